"""Waiting for something to become true: the only loop in the product that sleeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pipeline.ports import Clock

T = TypeVar("T")


def poll(until: Callable[[], T | None], every: float, deadline: float, clock: Clock) -> T | None:
    """What `until` gives as soon as it is something other than None, or None once the deadline has passed.

    `until` is asked at once, then every `every` seconds, and a last time at `deadline`, which is a value of
    `clock.monotonic()`. What `until` raises ends the wait.
    """
    while True:
        found = until()
        if found is not None:
            return found
        left = deadline - clock.monotonic()
        if left <= 0:
            return None
        clock.sleep(min(every, left))
