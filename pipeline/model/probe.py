"""What a steady trickle of requests through the load balancer says of a rollout: requests go in, figures come out.

A request fails when there was no answer, or one of 500 and above. An answer of 400 to 499 is an answer; it is counted
apart. Latency counts from the planned moment of a request, so that a service which holds requests up is not spared;
a request that the probe itself sent late says nothing of latency, and one that it never sent says nothing at all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from itertools import pairwise
from typing import Any

from pipeline.model.verdict import Outcome, Reason, Verdict

LATE = 0.25
"""Seconds after its planned moment from which a request counts as sent late by the probe."""

LEAST_REQUESTS = 10
"""Fewer requests than these say nothing about a share or a percentile."""

_LEAST_FAILED = 3
_NOTICEABLE_MS = 500.0
_KINDS = 5
_LONG_GAP = 1.0
"""Seconds without a good answer from which people want to look into a log for what happened then."""

_REMEDY = "look at the application's log; the old release serves again once the way back is complete"


class Phase(Enum):
    """Who may answer. BEFORE: what ran before alone; SWITCH: old and new tasks; BAKE: the new tasks, while they must
    stay up; DRAIN: they count as good, the old ones leave; BACK: on the way back.
    """

    BEFORE = "before"
    SWITCH = "switch"
    BAKE = "bake"
    DRAIN = "drain"
    BACK = "back"


@dataclass(frozen=True, slots=True)
class Shot:
    """One request that has ended, its moments in seconds of one monotonic clock. `status` 0: no answer, see `error`."""

    planned: float
    started: float
    finished: float
    path: str
    status: int
    error: str = ""

    @property
    def failed(self) -> bool:
        """No answer, or the server's own error."""
        return not self.status or self.status >= 500

    @property
    def late(self) -> bool:
        """Sent late by the probe itself."""
        return self.started - self.planned > LATE


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which the probe sent nothing although it should have: its own machine had no time for it."""

    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Log:
    """What a probe has done so far: the requests that have ended, and its own pauses."""

    shots: Sequence[Shot] = ()
    pauses: Sequence[Pause] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """From `since` on it is `phase`."""

    phase: Phase
    since: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts and latencies of some requests. Percentiles are of answers to requests sent in time; None: there are none.

    `failures` holds the most frequent kinds of failure with their count, as `500 on /readyz`.
    """

    sent: int = 0
    failed: int = 0
    client_errors: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    failures: tuple[tuple[str, int], ...] = ()

    @property
    def share(self) -> float:
        """The share that failed; 0 of nothing."""
        return self.failed / self.sent if self.sent else 0.0

    @property
    def facts(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "sent": self.sent,
            "failed": self.failed,
            "client_errors": self.client_errors,
            "p50_ms": self.p50_ms,
            "p95_ms": self.p95_ms,
            "failures": dict(self.failures),
        }


@dataclass(frozen=True, slots=True)
class ProbeSummary:
    """The whole probe in figures: in all, by phase, and since the bake began (bake and drain together).

    `late` were sent late by the probe. `longest_gap` is the longest time in seconds without a good answer, less the
    probe's own pauses, which `paused` sums up; `gap_in` is the phase in which it began, `gap_at` when, where known.
    """

    whole: Figures = field(default_factory=Figures)
    phases: Mapping[Phase, Figures] = field(default_factory=dict)
    settled: Figures = field(default_factory=Figures)
    late: int = 0
    longest_gap: float = 0.0
    paused: float = 0.0
    gap_in: Phase | None = None
    gap_at: datetime | None = None

    def of(self, phase: Phase) -> Figures:
        """The figures of a phase."""
        return self.phases.get(phase, Figures())

    @property
    def line(self) -> str:
        """For people: `74 requests, 0 failed, longest gap 0.2 s`; from a second on also when it began."""
        failed = f"{self.whole.failed} failed"
        kinds = f" ({told(self.whole)})" if self.whole.failed else ""
        since = f" from {self.gap_at:%H:%M:%S %Z} on" if self.gap_at and self.longest_gap >= _LONG_GAP else ""
        return f"{self.whole.sent} requests, {failed}{kinds}, longest gap {self.longest_gap:.1f} s{since}"

    @property
    def facts(self) -> dict[str, Any]:
        """JSON values, for evidence and reports."""
        return {
            **self.whole.facts,
            "longest_gap_s": round(self.longest_gap, 3),
            "longest_gap_in": self.gap_in.value if self.gap_in else "",
            "longest_gap_at": self.gap_at.isoformat(timespec="milliseconds") if self.gap_at else None,
            "late": self.late,
            "paused_s": round(self.paused, 3),
            "phases": {phase.value: figures.facts for phase, figures in self.phases.items()},
        }


@dataclass(frozen=True, slots=True)
class ProbeLimits:
    """What speaks against a rollout.

    `max_failed`: more failed requests than these at any time since the new tasks began to serve (None: only recorded).
    `max_error_share`: the share that may fail during the bake beyond what failed before. `max_slowdown`: how many times
    as slow (p95) as before the bake may be, and by half a second at least (0: only recorded).
    """

    max_failed: int | None = None
    max_error_share: float = 0.05
    max_slowdown: float = 0.0


def summarise(log: Log, marks: Sequence[Mark], until: float, now: datetime | None = None) -> ProbeSummary:
    """Figures of what was planned since the first of `marks`; `until` is now, and `now` its time of day, where known.

    Without marks nothing counts.
    """
    if not marks:
        return ProbeSummary()
    shots = [shot for shot in log.shots if shot.planned >= marks[0].since]
    phased = [(_phase(shot, marks), shot) for shot in shots]
    gap, began = _longest_gap(shots, log.pauses, marks[0].since, until)
    present = [phase for phase in Phase if any(mark.phase is phase for mark in marks)]
    return ProbeSummary(
        whole=figures(shots),
        phases={phase: figures([s for p, s in phased if p is phase]) for phase in present},
        settled=figures([s for p, s in phased if p in (Phase.BAKE, Phase.DRAIN)]),
        late=sum(shot.late for shot in shots),
        longest_gap=gap,
        gap_in=_phase_at(began, marks),
        gap_at=now and now - timedelta(seconds=until - began),
        paused=sum(_overlap(pause, marks[0].since, until) for pause in log.pauses),
    )


def figures(shots: Sequence[Shot]) -> Figures:
    """Counts and percentiles of these requests."""
    failed = [shot for shot in shots if shot.failed]
    kinds = Counter(f"{shot.status or shot.error} on {shot.path}" for shot in failed)
    times = sorted(s.finished - s.planned for s in shots if not s.failed and not s.late)
    return Figures(
        sent=len(shots),
        failed=len(failed),
        client_errors=sum(400 <= shot.status < 500 for shot in shots),
        p50_ms=_percentile(times, 0.50),
        p95_ms=_percentile(times, 0.95),
        failures=tuple(kinds.most_common(_KINDS)),
    )


def _percentile(times: Sequence[float], share: float) -> float | None:
    """The smallest time that `share` of them do not exceed (nearest rank), in milliseconds."""
    if not times:
        return None
    return round(times[max(0, math.ceil(share * len(times)) - 1)] * 1000, 1)


def _phase(shot: Shot, marks: Sequence[Mark]) -> Phase:
    return _phase_at(shot.planned, marks)


def _phase_at(moment: float, marks: Sequence[Mark]) -> Phase:
    return [mark.phase for mark in marks if mark.since <= moment][-1]


def _longest_gap(
    shots: Sequence[Shot], pauses: Sequence[Pause], since: float, until: float
) -> tuple[float, float]:
    """How long it was, and when it began."""
    good = sorted(shot.finished for shot in shots if not shot.failed)
    ends = [since, *good, max([until, *good])]
    return max(
        (later - earlier - sum(_overlap(pause, earlier, later) for pause in pauses), earlier)
        for earlier, later in pairwise(ends)
    )


def _overlap(pause: Pause, since: float, until: float) -> float:
    return max(0.0, min(pause.until, until) - max(pause.since, since))


def judge_probe(summary: ProbeSummary, limits: ProbeLimits) -> Verdict:
    """REFUSED, with numbers, when the probe speaks against the rollout; UNDECIDED when too few requests say so."""
    against = _too_many(summary, limits) or _too_often(summary, limits) or _too_slow(summary, limits)
    if against:
        return Verdict("probe", Outcome.REFUSED, (Reason(against, _REMEDY),))
    bake = summary.settled
    if bake.sent < LEAST_REQUESTS:
        text = f"{bake.sent} requests since the bake began say nothing; {LEAST_REQUESTS} would"
        return Verdict("probe", Outcome.UNDECIDED, (Reason(text),))
    text = f"{bake.failed} of {bake.sent} requests failed {_when(summary)}"
    return Verdict("probe", Outcome.PASSED, (Reason(text),))


def _too_many(summary: ProbeSummary, limits: ProbeLimits) -> str:
    """What failed before at the same rate does not count: the release may be the one that mends it."""
    new = [f for phase, f in summary.phases.items() if phase not in (Phase.BEFORE, Phase.BACK)]
    sent, failed = sum(f.sent for f in new), sum(f.failed for f in new)
    expected = math.floor(_baseline(summary).share * sent)
    if limits.max_failed is None or failed - expected <= limits.max_failed:
        return ""
    return f"{failed} of {sent} requests failed during the rollout, {limits.max_failed} may: {told(summary.whole)}"


def _too_often(summary: ProbeSummary, limits: ProbeLimits) -> str:
    bake, before = summary.settled, _baseline(summary)
    if bake.sent < LEAST_REQUESTS or bake.failed < _LEAST_FAILED:
        return ""
    if bake.share <= before.share + limits.max_error_share:
        return ""
    earlier = f"; before it {before.failed} of {before.sent}" if before.sent else ""
    return f"{bake.failed} of {bake.sent} requests failed {_when(summary)}{earlier}: {told(bake)}"


def _too_slow(summary: ProbeSummary, limits: ProbeLimits) -> str:
    now, before = summary.settled.p95_ms, _baseline(summary).p95_ms
    if not limits.max_slowdown or now is None or before is None or summary.settled.sent < LEAST_REQUESTS:
        return ""
    if now <= before * limits.max_slowdown or now <= before + _NOTICEABLE_MS:
        return ""
    return f"p95 is {now:.0f} ms {_when(summary)}, and was {before:.0f} ms before it"


def _baseline(summary: ProbeSummary) -> Figures:
    before = summary.of(Phase.BEFORE)
    return before if before.sent >= LEAST_REQUESTS else Figures()


def _when(summary: ProbeSummary) -> str:
    return "since the bake began" if summary.of(Phase.DRAIN).sent else "during the bake"


def told(some: Figures) -> str:
    """The kinds of failure in words: `500 on /readyz (3), timed out on / (1)`."""
    if len(some.failures) == 1:
        return some.failures[0][0]
    return ", ".join(f"{kind} ({count})" for kind, count in some.failures)
