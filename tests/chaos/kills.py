"""Promotions killed at random moments, each followed by another of the same digest."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.chaos.aftermath import unclean_after
from tests.chaos.project import Mayhem, Told


@dataclass(frozen=True, slots=True)
class Killed:
    """One round: after how many seconds it was killed or had ended by itself, what it had said last, what was wrong."""

    after: float
    said: str
    ended: bool
    wrong: tuple[str, ...]


def undisturbed(mayhem: Mayhem) -> float:
    """How long a promotion takes that nobody disturbs."""
    digest = mayhem.passed(mayhem.other(mayhem.good()))
    mayhem.tell(Told())
    began = time.monotonic()
    screen = mayhem.promote(digest)
    assert screen.wait() == 0, screen.said
    return time.monotonic() - began


def kill_at_random(mayhem: Mayhem, kills: int, seed: int) -> Iterator[Killed]:
    """Kills so many promotions, at moments spread evenly over the time that one takes.

    One that ended before its moment is a round too, and none of the kills; it tells how long one takes now.
    """
    chance = random.Random(seed)
    longest = undisturbed(mayhem)
    while kills:
        found = kill_once(mayhem, chance.uniform(0.0, longest))
        longest = min(longest, found.after) if found.ended else longest
        kills -= not found.ended
        yield found


def kill_once(mayhem: Mayhem, after: float) -> Killed:
    """Promotes the good digest that does not serve, kills it after so many seconds, promotes again, and looks."""
    digest = mayhem.passed(mayhem.other(mayhem.good()))
    mayhem.tell(Told())
    began = time.time()
    screen = mayhem.promote(digest)
    ended = True
    try:
        screen.process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        ended = False
        screen.kill()
    took = time.time() - began
    screen.wait()
    said = screen.lines[-1][1].strip() if screen.lines else "(nothing yet)"
    again = mayhem.promote(digest)
    again.wait()
    return Killed(took, said, ended, tuple(unclean_after(mayhem, digest, again, began)))
