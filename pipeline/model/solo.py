"""The candidate alone, then production alone: shows what a resource that both saturate hides side by side.

With a shared saturated database a candidate three times as slow reads as 1.05 to 1.12 side by side, because it slows
production down as well. Alone it shows. Phases one after the other are noisy, so the bounds are wide, what they find
is measured a second time, the other way round, and a tail must be slow in the middle one of its seconds too: what slows
the machine for some seconds is no slowness of the candidate.

Measured on a machine of two cores under the load of others (its tasks waited for a core for 90 % of the time), 10 s
alone, equal sides: suspicious once 29 %; refused when repeated in the same order 10 %, the other way round 1.4 %, and
with the middle second 0.4 %. Three times as slow is found about as often by all three (82 to 84 %).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

from pipeline.model.limits import show
from pipeline.model.load import QUANTILES, LoadSummary, needed, wilson
from pipeline.model.relative_rules import RelativeRules
from pipeline.model.verdict import Outcome, Reason, Verdict

MOST: Mapping[str, float] = {"p50": 1.5, "p95": 2.0}
"""Ratios above these are suspicious."""

_GATE = "load"
_FEWEST_SECONDS = 4


@dataclass(frozen=True, slots=True)
class SoloRatio:
    """A quantile of the candidate alone, of the baseline alone (milliseconds), and their ratio."""

    label: str
    candidate_ms: float
    baseline_ms: float
    suspicious: bool

    @property
    def ratio(self) -> float:
        """Candidate to baseline."""
        return self.candidate_ms / self.baseline_ms

    @property
    def words(self) -> str:
        """The ratio with what it is made of."""
        shown = f"{show('p50_ms', self.candidate_ms)} against {show('p50_ms', self.baseline_ms)}"
        return f"{self.label} alone is {self.ratio:.2f} × production's alone ({shown})"


@dataclass(frozen=True, slots=True)
class Solo:
    """What one pair of solo phases says; `missing` tells of each quantile that could not be compared."""

    ratios: Mapping[str, SoloRatio] = field(default_factory=dict)
    missing: tuple[Reason, ...] = ()

    @property
    def suspicious(self) -> bool:
        """Whether both phases have to be repeated."""
        return any(ratio.suspicious for ratio in self.ratios.values())


def judge_solo(candidate: LoadSummary, baseline: LoadSummary, rules: RelativeRules) -> Solo:
    """Compares the median and the 95th percentile; differences below `rules.min_delta_ms` are never suspicious.

    A baseline that fails by itself, or hangs, is no measure: nothing is compared then.
    """
    if ill := tuple(_ill(baseline, rules)):
        return Solo(missing=ill)
    found, missing = {}, []
    for label, most in MOST.items():
        mine, theirs = candidate.total.quantiles.get(label), baseline.total.quantiles.get(label)
        requests = min(candidate.total.requests, baseline.total.requests)
        fewest = needed(QUANTILES[label])
        if mine is None or theirs is None or theirs <= 0 or requests < fewest:
            text = f"{label} alone rests on {requests:,} requests a side, {fewest:,} are needed"
            missing.append(Reason(text, "raise load.solo or load.users in pipeline.toml"))
            continue
        slow = mine > most * theirs and (label != "p95" or _slow_throughout(candidate, baseline))
        suspicious = slow and mine - theirs >= rules.min_delta_ms
        found[label] = SoloRatio(label, mine, theirs, suspicious)
    return Solo(found, tuple(missing))


def _ill(baseline: LoadSummary, rules: RelativeRules) -> Iterator[Reason]:
    total, remedy = (
        baseline.total,
        "lower load.users to what production bears, or mend production, and run again",
    )
    if baseline.unfinished > 0:
        text = f"{baseline.unfinished} users were still waiting for an answer of production alone when it had ended"
        yield Reason(text, remedy)
    if total.requests > 0 and wilson(total.failures, total.requests)[0] > rules.exclude_errors:
        share = show("error_rate", total.failures / total.requests)
        counts = f"{total.failures:,} of {total.requests:,}"
        yield Reason(f"production alone is ill: {share} of its requests failed ({counts})", remedy)


def _slow_throughout(candidate: LoadSummary, baseline: LoadSummary) -> bool:
    """Whether the middle one of the seconds is as slow; with too few seconds nothing speaks against it."""
    mine, theirs = (
        [second.p95_ms for second in side.series if second.p95_ms is not None]
        for side in (candidate, baseline)
    )
    if min(len(mine), len(theirs)) < _FEWEST_SECONDS:
        return True
    return median(mine) > MOST["p95"] * median(theirs)


def conclude_solo(first: Solo, second: Solo | None = None) -> Verdict:
    """The verdict on the solo phases; `second` is what the repetition found, which a suspicious first one asks for.

    REFUSED when the same quantile is suspicious in both, UNDECIDED when something was not measured or the repetition
    is missing.
    """
    last = second or first
    if last.missing or first.missing:
        return Verdict(_GATE, Outcome.UNDECIDED, first.missing or last.missing)
    if second is None and first.suspicious:
        reasons = tuple(_suspicions(first, "raise load.solo in pipeline.toml, or run again", " in one try"))
        return Verdict(_GATE, Outcome.UNDECIDED, reasons)
    remedy = "look for what both versions wait for (the database, first of all), and for what the candidate asks of it"
    again = Solo(
        {label: r for label, r in last.ratios.items() if r.suspicious and first.ratios[label].suspicious}
    )
    if again.suspicious:
        return Verdict(_GATE, Outcome.REFUSED, tuple(_suspicions(again, remedy, " twice")))
    return Verdict(_GATE, Outcome.PASSED, tuple(Reason(ratio.words) for ratio in last.ratios.values()))


def _suspicions(solo: Solo, remedy: str, times: str) -> Iterator[Reason]:
    for label, ratio in solo.ratios.items():
        if ratio.suspicious:
            yield Reason(f"{ratio.words}{times}, tolerated are {MOST[label]:.2f}", remedy)
