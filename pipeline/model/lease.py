"""Leases: who may change an environment, since when and for how long, and when it may be taken over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Terms:
    """How leases go, in seconds. A holder renews every `heartbeat` for another `length`.

    `margin` is how far the clocks of holder and claimant may be apart: a claimant waits so much longer than the lease
    lasts. `poll` is how often one who waits looks again.
    """

    length: float = 45.0
    heartbeat: float = 10.0
    margin: float = 15.0
    poll: float = 2.0


@dataclass(frozen=True, slots=True)
class Claim:
    """Who wants an environment: `holder` a person or CI job, the run's id, the digest it is about, and why."""

    holder: str
    run: str
    why: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Tenure:
    """Who has an environment. Without a heartbeat it ends at `expires`; times are aware and in UTC."""

    environment: str
    claim: Claim
    fence: int
    since: datetime
    expires: datetime

    @property
    def holder(self) -> str:
        """Who it is, what for and since when, as people read it."""
        claim = self.claim
        return f"{claim.holder}, run {claim.run}, since {self.since:%Y-%m-%d %H:%M:%S} UTC ({claim.why})"


def may_be_taken(tenure: Tenure, now: datetime, terms: Terms, *, holder_is_gone: bool) -> bool:
    """Whether another may take over: the holder is known to be gone, or it has not renewed in time.

    `holder_is_gone` is a fact about a process, never a guess: what is not known is not gone.
    """
    return holder_is_gone or now > tenure.expires + timedelta(seconds=terms.margin)


def stood_still(last: tuple[datetime, float], now: tuple[datetime, float], terms: Terms) -> float | None:
    """For how many seconds a holder did not even try to renew, where that is longer than a lease lasts; else None.

    Both moments are (wall clock, monotonic seconds): the monotonic one does not count while a machine sleeps.
    """
    gap = max((now[0] - last[0]).total_seconds(), now[1] - last[1])
    return gap if gap > terms.length else None
