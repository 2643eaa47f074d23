"""Leases and a deployment log in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pipeline.errors import BusyError
from pipeline.model.deployment_log import Ending, LogEntry
from pipeline.model.lease import Claim, Tenure, Terms, may_be_taken, stood_still
from pipeline.ports import Clock
from pipeline.waiting import poll


@dataclass
class _Seat:
    """An environment's lease: who has it or had it last, and who cleared it."""

    tenure: Tenure
    held: bool = True
    cleared: Claim | None = None


@dataclass
class FakeHeld:
    """`pipeline.ports.Held`; `checks` counts how often it was asked."""

    lease: FakeLease
    seat: _Seat
    tried: tuple[datetime, float]
    lost: str = ""
    checks: int = 0

    @property
    def fence(self) -> int:
        return self.seat.tenure.fence

    def check(self) -> None:
        self.checks += 1
        gap = stood_still(self.tried, self.lease.moment(), self.lease.terms)
        if gap is not None and not self.lost:
            self.lost = f"this process stood still for {gap:.0f} s"
        now = self.lease.seats[self.seat.tenure.environment]
        if now is not self.seat:
            self.lost = f"now with {now.tenure.holder}"
        elif now.cleared:
            self.lost = f"{now.cleared.holder} cleared it: {now.cleared.why}"
        if self.lost:
            raise BusyError(f"the lease is lost: {self.lost}", hint="look with status")
        self.tried = self.lease.moment()
        ends = self.tried[0] + timedelta(seconds=self.lease.terms.length)
        self.seat.tenure = replace(self.seat.tenure, expires=ends)


@dataclass
class FakeLease:
    """`pipeline.ports.Lease`."""

    clock: Clock
    terms: Terms = field(default_factory=Terms)
    seats: dict[str, _Seat] = field(default_factory=dict)

    def moment(self) -> tuple[datetime, float]:
        return self.clock.now(), self.clock.monotonic()

    @contextmanager
    def hold(self, environment: str, claim: Claim, *, wait: float = 0.0) -> Iterator[FakeHeld]:
        def free() -> bool | None:
            return self.tenure(environment) is None or None

        end = self.clock.monotonic() + wait
        if not poll(free, self.terms.poll, end, self.clock):
            tenure = self.seats[environment].tenure
            raise BusyError(f"{environment} is held by {tenure.holder}", hint="wait")
        now = self.clock.now()
        before = self.seats.get(environment)
        fence = before.tenure.fence + 1 if before else 1
        seat = _Seat(Tenure(environment, claim, fence, now, now + timedelta(seconds=self.terms.length)))
        self.seats[environment] = seat
        try:
            yield FakeHeld(self, seat, self.moment())
        finally:
            seat.held = False

    def tenure(self, environment: str) -> Tenure | None:
        seat = self.seats.get(environment)
        if seat is None or not seat.held:
            return None
        gone = may_be_taken(seat.tenure, self.clock.now(), self.terms, holder_is_gone=False)
        return None if gone else seat.tenure

    def clear(self, environment: str, claim: Claim) -> Tenure | None:
        taken = self.tenure(environment)
        seat = self.seats.get(environment)
        if seat and seat.held:
            seat.held, seat.cleared = False, claim
            seat.tenure = replace(seat.tenure, fence=seat.tenure.fence + 1)
        return taken


@dataclass
class MemoryDeploymentLog:
    """`pipeline.ports.DeploymentLog`; `trouble` is raised by what writes."""

    kept: dict[tuple[str, datetime, str], LogEntry] = field(default_factory=dict)
    trouble: Exception | None = None

    def begin(self, entry: LogEntry) -> None:
        self._fail()
        self.kept.setdefault(_key(entry), entry)

    def complete(self, entry: LogEntry) -> None:
        self._fail()
        before = self.kept.get(_key(entry))
        if before is None or before.ending is Ending.RUNNING:
            self.kept[_key(entry)] = entry

    def entries(self, environment: str, limit: int) -> list[LogEntry]:
        found = [entry for entry in self.kept.values() if entry.environment == environment]
        return sorted(found, key=lambda entry: entry.started, reverse=True)[:limit]

    def _fail(self) -> None:
        if self.trouble:
            raise self.trouble


def _key(entry: LogEntry) -> tuple[str, datetime, str]:
    return entry.environment, entry.started, entry.run
