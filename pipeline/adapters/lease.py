"""Leases in the app's DynamoDB table: one holder per environment, a fence that only grows, a heartbeat.

Mutual exclusion rests on the table alone: every write is a conditional one, every read consistent. Clocks only say
when a silent holder is given up. It is given up when its lease has been over for `margin` seconds by the claimant's
clock; a holder that has stood still for as long as a lease lasts counts itself out. So while the clocks of the two
are not further apart than the margin (15 s), a former holder knows that it is one before anybody takes over. Beyond
that a living holder may be displaced; it finds out by its fence before its next change. To watch an item for the
length of a lease instead, as other lock clients do, would need no clock at all, but every claimant that does not
wait would be refused for ever by a holder that is dead.

A check and the change after it are two calls, since ECS knows no fences: between them a process can be stopped. What
is promised is that a change is begun only within moments of a check that went well.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pipeline.adapters.process_identity import ProcessIdentity, is_gone, own_identity
from pipeline.adapters.table import Item, Table
from pipeline.errors import BusyError, PipelineError, UnavailableError
from pipeline.model.lease import Claim, Tenure, Terms, may_be_taken, stood_still
from pipeline.ports import Clock, Held, Say
from pipeline.waiting import poll

_SORT = "lease"


class DynamoLease:
    """See `pipeline.ports.Lease`; the item of environment X is `lease#X`. It is never deleted, since it counts."""

    def __init__(
        self, table: Table, clock: Clock, terms: Terms | None = None, say: Say = lambda _text: None
    ) -> None:
        """`say` is told once whom `hold` waits for. The client of `table` should give up well within a lease's length,
        or an outage passes for a process that stood still.
        """
        self._table = table
        self._clock = clock
        self._terms = terms or Terms()
        self._say = say

    @contextlib.contextmanager
    def hold(self, environment: str, claim: Claim, *, wait: float = 0.0) -> Iterator[Held]:
        """See `pipeline.ports.Lease.hold`. A process of this machine that is gone is not waited for."""
        held = self._won(environment, claim, wait)
        try:
            with held.kept_alive():
                yield held
        finally:
            held.let_go()

    def tenure(self, environment: str) -> Tenure | None:
        """See `pipeline.ports.Lease.tenure`: whoever a claimant would be refused for now."""
        record = self._read(environment)
        return record.tenure if record and self._stands(record) else None

    def clear(self, environment: str, claim: Claim) -> Tenure | None:
        """See `pipeline.ports.Lease.clear`. The fence of a holder that is given up already goes up as well."""
        taken: _Record | None = None
        while record := self._read(environment):
            if not record.held:  # a lost answer, or its holder let go meanwhile
                return taken.tenure if taken and record.cleared == claim else None
            taken = record
            free = replace(_freed(record, record.fence + 1), cleared=claim)
            if self._table.put(free.item, {"fence": record.fence, "token": record.token, "held": 1}):
                break
        return taken.tenure if taken and self._stands(taken) else None

    def _won(self, environment: str, claim: Claim, wait: float) -> _Held:
        """Tries at once, then every `poll` seconds until `wait` is over; raises BusyError naming who has it."""
        said: list[str] = []

        def attempt() -> _Held | None:
            tenure = self.tenure(environment)
            if tenure is None:
                return self._attempt(environment, claim)
            if wait > 0 and not said:
                said.append(tenure.holder)
                self._say(f"{environment} is held by {tenure.holder}; waiting for up to {wait:.0f} s")
            return None

        won = poll(attempt, self._terms.poll, self._clock.monotonic() + wait, self._clock)
        if won is None:
            raise self._busy(environment)
        return won

    def _attempt(self, environment: str, claim: Claim) -> _Held | None:
        """Takes what may be taken; None when somebody else was quicker."""
        before = self._read(environment)
        if before and self._stands(before):
            return None
        now, since = self._clock.now(), self._clock.monotonic()
        fence = before.fence + 1 if before else 1
        tenure = Tenure(environment, claim, fence, now, now + timedelta(seconds=self._terms.length))
        record = _Record(tenure, uuid.uuid4().hex, own_identity())
        held = _Held(self._table, self._clock, self._terms, record, (now, since))
        expected = {"fence": before.fence, "token": before.token, **before.lasting} if before else None
        try:
            if self._table.put(record.item, expected):
                return held
            there = self._read(environment)
        except UnavailableError:  # it may have arrived
            held.let_go()
            raise
        return held if there and there.token == record.token else None

    def _read(self, environment: str) -> _Record | None:
        item = self._table.get(_key(environment), _SORT)
        return _record(environment, item) if item else None

    def _stands(self, record: _Record) -> bool:
        if not record.held:
            return False
        gone = is_gone(record.process)
        return not may_be_taken(record.tenure, self._clock.now(), self._terms, holder_is_gone=gone)

    def _busy(self, environment: str) -> BusyError:
        tenure = self.tenure(environment)
        who = f"is held by {tenure.holder}" if tenure else "was taken by others each time it was free"
        return BusyError(
            f"{environment} {who}",
            hint=f"run the same command again with --wait SECONDS; to end a lease whose holder is dead: "
            f"python -m pipeline unlock {environment} --reason TEXT",
        )


@dataclass(frozen=True, slots=True)
class _Record:
    """What the item says. `token` is new with each winner. `held` False: it is free; `cleared`: by force, by whom."""

    tenure: Tenure
    token: str
    process: ProcessIdentity
    held: bool = True
    cleared: Claim | None = None

    @property
    def fence(self) -> int:
        """The fence of its last change of hands."""
        return self.tenure.fence

    @property
    def lasting(self) -> Item:
        """What a renewal or a release changes."""
        return {"held": int(self.held), "expires": self.tenure.expires.isoformat()}

    @property
    def item(self) -> Item:
        """The item in the table."""
        tenure, process = self.tenure, self.process
        told: dict[str, str | int] = {
            "pk": _key(tenure.environment),
            "sk": _SORT,
            "fence": tenure.fence,
            "token": self.token,
            "since": tenure.since.isoformat(),
            "process_table": process.table,
            "process_id": process.pid,
            "process_started": process.started,
            **self.lasting,
            **_claimed("", tenure.claim),
        }
        return {**told, **_claimed("cleared_", self.cleared)} if self.cleared else told


class _Held:
    """See `pipeline.ports.Held`. An outage is lived through; having stood still or having been replaced is not."""

    def __init__(
        self, table: Table, clock: Clock, terms: Terms, record: _Record, tried: tuple[datetime, float]
    ) -> None:
        """`tried` is when it was last tried to win or renew it: wall clock and monotonic seconds."""
        self._table = table
        self._clock = clock
        self._terms = terms
        self._record = record
        self._tried = tried
        self._lost = ""
        self._ended = threading.Event()

    @property
    def fence(self) -> int:
        """See `pipeline.ports.Held.fence`."""
        return self._record.fence

    def check(self) -> None:
        """See `pipeline.ports.Held.check`. It renews, so that a whole length is ahead of the change that follows.

        Raises UnavailableError while the table cannot be reached.
        """
        self._renew()
        if self._lost:
            raise self._gone()

    @contextlib.contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Beats in a thread of its own until the block ends."""
        threading.Thread(target=self._beat, name="lease", daemon=True).start()
        try:
            yield
        finally:
            self._ended.set()

    def let_go(self) -> None:
        """Frees it, if it is still ours. Where that fails it ends by itself."""
        with contextlib.suppress(PipelineError):
            self._table.put(_freed(self._record, self.fence).item, self._ours)

    def _beat(self) -> None:
        while not self._lost and not self._ended.wait(self._terms.heartbeat):
            with contextlib.suppress(PipelineError):
                self._renew()

    @property
    def _ours(self) -> Item:
        return {"fence": self.fence, "token": self._record.token, "held": 1}

    def _renew(self) -> None:
        """Once lost, it stays so."""
        if self._lost or self._stood_still():
            return
        self._tried = now, _ = self._clock.now(), self._clock.monotonic()
        tenure = replace(self._record.tenure, expires=now + timedelta(seconds=self._terms.length))
        written = self._table.put(replace(self._record, tenure=tenure).item, self._ours)
        if not written:
            self._lost = "it is no longer ours"
        self._stood_still()

    def _stood_still(self) -> bool:
        gap = stood_still(self._tried, (self._clock.now(), self._clock.monotonic()), self._terms)
        if gap is not None:
            self._lost = (
                f"this process stood still for {gap:.0f} s, and a lease lasts {self._terms.length:.0f} s"
            )
        return bool(self._lost)

    def _gone(self) -> BusyError:
        environment = self._record.tenure.environment
        return BusyError(
            f"the lease of {environment} is lost: {self._now_with() or self._lost}",
            hint="nothing more is changed by this run, and what ECS was told goes on: look with "
            "`python -m pipeline status`, then run the same command again",
        )

    def _now_with(self) -> str:
        """Who took it and how, where that can be read."""
        environment = self._record.tenure.environment
        try:
            item = self._table.get(_key(environment), _SORT)
        except PipelineError:
            return ""
        if item is None:
            return "there is no record of it any more"
        now = _record(environment, item)
        if now.cleared:
            return f"{now.cleared.holder} cleared it: {now.cleared.why}"
        if now.token == self._record.token:
            return ""
        return f"{'now' if now.held else 'meanwhile'} with {now.tenure.holder}"


def _key(environment: str) -> str:
    return f"lease#{environment}"


def _freed(record: _Record, fence: int) -> _Record:
    return replace(record, held=False, tenure=replace(record.tenure, fence=fence))


def _claimed(prefix: str, claim: Claim) -> Item:
    told = {"holder": claim.holder, "run": claim.run, "why": claim.why, "digest": claim.digest}
    return {prefix + key: value for key, value in told.items()}


def _claim(prefix: str, item: Item) -> Claim:
    return Claim(*(str(item.get(prefix + key, "")) for key in ("holder", "run", "why", "digest")))


def _record(environment: str, item: Item) -> _Record:
    process = ProcessIdentity(
        str(item["process_table"]), int(item["process_id"]), str(item["process_started"])
    )
    since, expires = (datetime.fromisoformat(str(item[key])) for key in ("since", "expires"))
    return _Record(
        Tenure(environment, _claim("", item), int(item["fence"]), since, expires),
        str(item["token"]),
        process,
        held=item["held"] == 1,
        cleared=_claim("cleared_", item) if "cleared_holder" in item else None,
    )
