"""Promotions of different digests to one environment, all at the same time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.chaos.aftermath import deployments, interleaved
from tests.chaos.project import Mayhem, Told

WAIT = "1800"


@dataclass(frozen=True, slots=True)
class Contest:
    """Who took part: exit codes by digest, the digests of the deployments in their order, and what was wrong."""

    codes: dict[str, int]
    deployed: Sequence[str]
    seconds: float
    wrong: tuple[str, ...]

    @property
    def done(self) -> int:
        return list(self.codes.values()).count(0)


def contest(mayhem: Mayhem, digests: Sequence[str]) -> Contest:
    """Promotes all of them at once, each waiting for its turn where the program can wait."""
    more = ("--wait", WAIT) if "--wait" in mayhem.pipeline("promote", "--help").out else ()
    began, clock = time.time(), time.monotonic()
    screens = {digest: mayhem.promote(digest, forced=True, more=more) for digest in digests}
    codes = {digest: screen.wait() for digest, screen in screens.items()}
    seconds = time.monotonic() - clock
    mayhem.settled()
    deployed = deployments(mayhem, began)
    return Contest(codes, deployed, seconds, tuple(_wrong(mayhem, codes, deployed, began, waited=bool(more))))


def built(mayhem: Mayhem, count: int) -> list[str]:
    """So many digests that were only built."""
    found = [mayhem.built(Told(f"contender-{number}")) for number in range(count)]
    mayhem.tell(Told())
    return found


def _wrong(
    mayhem: Mayhem, codes: dict[str, int], deployed: Sequence[str], began: float, *, waited: bool
) -> Iterator[str]:
    done = {digest for digest, code in codes.items() if code == 0}
    yield from interleaved([call for call in mayhem.proxy.calls if call.began >= began])
    if odd := {code for code in codes.values() if code not in ((0,) if waited else (0, 8))}:
        yield f"exit codes {sorted(odd)}"
    if not done:
        yield "nobody came through"
    if sorted(deployed) != sorted(done):
        yield f"{len(deployed)} deployments for {len(done)} promotions that succeeded"
    status, serving = mayhem.status(), mayhem.serving()
    if deployed and (serving != {deployed[-1]} or status["digest"] != deployed[-1] or status["drift"]):
        yield f"{serving} serves, status says {status['digest']} {status['drift']}; last was {deployed[-1]}"
    if status.get("lease"):
        yield f"the lease is held: {status['lease']}"
