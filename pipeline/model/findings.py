"""What one quantile, or the error share, of one endpoint says about the candidate.

1. A quantile is slower when its ratio is at least 1 + tolerance, the ratio's interval lies above 1, and the
   difference is at least `min_delta_ms`. It is fast enough when it is not slower and the interval lies below
   1 + exclude, or below what `min_delta_ms` allows. Otherwise, and with too few requests, it is undecided.
2. Errors have increased when the candidate's share is more than `max_error_increase` above the baseline's and the
   interval of the difference lies above 0. They have not when the interval lies below `exclude_errors`. Otherwise it
   is undecided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.model.error_increase import ErrorIncrease
from pipeline.model.limits import show
from pipeline.model.load import needed
from pipeline.model.quantile_ratio import QuantileRatio
from pipeline.model.relative_rules import ALL, FEWEST, FEWEST_OF_ENDPOINT, SURELY_SLOWER, RelativeRules
from pipeline.model.verdict import Outcome, Reason

ERRORS = "errors"
"""What a finding about the error share is about, where others name their quantile."""

MORE = "raise load.max_duration or load.users in pipeline.toml, so that more requests are measured"


@dataclass(frozen=True, slots=True)
class Subject:
    """A quantile (`what` is its label, `share` its place, 0 to 1) or "errors", of an endpoint or of "all"."""

    endpoint: str
    what: str
    share: float = 0.0

    @property
    def words(self) -> str:
        """What it is about, as people say it."""
        of = "all requests" if self.endpoint == ALL else self.endpoint
        return f"{'the error share' if self.what == ERRORS else self.what} of {of}"

    @property
    def fewest(self) -> int:
        """How many requests a side a quantile must rest on."""
        if self.endpoint == ALL:
            return max(FEWEST.get(self.what, 0), needed(self.share))
        return max(FEWEST_OF_ENDPOINT, needed(self.share))


@dataclass(frozen=True, slots=True)
class Finding:
    """REFUSED, PASSED or UNDECIDED at this look, and why; `sure` where it need not be seen twice to refuse."""

    subject: Subject
    outcome: Outcome
    reason: Reason
    sure: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """A quantile on both sides: its ratio, and by itself in milliseconds over all blocks (0.0 without requests).

    There is no ratio where requests are too few to bound it. `samples`: requests in the blocks that were used, of the
    side that has fewer.
    """

    ratio: QuantileRatio | None
    samples: int
    candidate_ms: float
    baseline_ms: float


@dataclass(frozen=True, slots=True)
class RatioFinding:
    """What a quantile's ratio says.

    `missing`: about how many more samples it takes to decide; 0 where it is, or where nobody can tell.
    """

    finding: Finding
    measured: Measured
    missing: int = 0

    @property
    def ratio(self) -> QuantileRatio | None:
        """The ratio with its interval."""
        return self.measured.ratio

    @property
    def samples(self) -> int:
        """What it rests on."""
        return self.measured.samples


@dataclass(frozen=True, slots=True)
class ErrorFinding:
    """What the difference of the error shares says."""

    finding: Finding
    increase: ErrorIncrease


def judge_ratio(
    subject: Subject, measured: Measured, rules: RelativeRules, confidence: float
) -> RatioFinding:
    """Holds a quantile's ratio, whose interval has this confidence, against the rules at the top of this file."""
    ratio, samples = measured.ratio, measured.samples
    if ratio is None and samples >= subject.fewest:
        text = f"{subject.words} cannot be compared: {samples:,} requests a side do not bound the ratio"
        return RatioFinding(_undecided(subject, text, MORE), measured)
    if ratio is None or samples < subject.fewest:
        missing = max(subject.fewest - samples, _missing_of_equals(measured, rules))
        text = f"{subject.words} rests on {samples:,} requests a side, {subject.fewest:,} are needed"
        if samples + missing > subject.fewest:
            text += f", with an interval as wide as now about {samples + missing:,}"
        return RatioFinding(_undecided(subject, text, MORE), measured, missing)
    seen = _ratio_words(subject, ratio, confidence)
    if _slower(ratio, measured.baseline_ms, rules):
        text = f"{seen}, tolerated are {1 + rules.tolerance:.2f}"
        reason = Reason(text, _slower_remedy(subject))
        sure = ratio.low > SURELY_SLOWER
        return RatioFinding(Finding(subject, Outcome.REFUSED, reason, sure), measured)
    excluded = _excluded(measured.baseline_ms, rules)
    if ratio.high < excluded:
        return RatioFinding(Finding(subject, Outcome.PASSED, Reason(seen)), measured)
    missing = max(1, _missing(measured, rules))
    text = f"{seen}, and {excluded:.2f} × is not ruled out; about {missing:,} more requests a side would tell"
    return RatioFinding(_undecided(subject, text, MORE), measured, missing)


def judge_errors(
    subject: Subject, increase: ErrorIncrease, rules: RelativeRules, confidence: float
) -> ErrorFinding:
    """Holds a difference of error shares, whose interval has this confidence, against the rules above."""
    mine, theirs = increase.candidate, increase.baseline
    seen = (
        f"{subject.words} is {show('error_rate', mine.share)} ({mine.failures:,} of {mine.requests:,}), "
        f"production's {show('error_rate', theirs.share)} ({theirs.failures:,} of {theirs.requests:,}): "
        f"{_points(increase.difference)} percentage points more ({_percent(confidence)} interval "
        f"{_points(increase.low)} to {_points(increase.high)})"
    )
    if increase.difference > rules.max_error_increase and increase.low > 0:
        text = f"{seen}, tolerated are {_points(rules.max_error_increase)}"
        remedy = "read the failures in the load report and the candidate's log"
        sure = increase.low > rules.exclude_errors
        return ErrorFinding(Finding(subject, Outcome.REFUSED, Reason(text, remedy), sure), increase)
    if increase.high < rules.exclude_errors:
        return ErrorFinding(Finding(subject, Outcome.PASSED, Reason(seen)), increase)
    text = f"{seen}, and {_points(rules.exclude_errors)} are not ruled out"
    return ErrorFinding(_undecided(subject, text, MORE), increase)


def _undecided(subject: Subject, text: str, remedy: str) -> Finding:
    return Finding(subject, Outcome.UNDECIDED, Reason(text, remedy))


def _slower(ratio: QuantileRatio, baseline_ms: float, rules: RelativeRules) -> bool:
    return ratio.low > 1 and _intolerable(ratio, baseline_ms, rules)


def _intolerable(ratio: QuantileRatio, baseline_ms: float, rules: RelativeRules) -> bool:
    """Whether it would be slower, were it sure."""
    noticeable = (ratio.point - 1) * baseline_ms >= rules.min_delta_ms
    return ratio.point >= 1 + rules.tolerance and noticeable


def _slower_remedy(subject: Subject) -> str:
    where = (
        "the endpoints' rows in the load report"
        if subject.endpoint == ALL
        else f"what {subject.endpoint} does"
    )
    return (
        f"compare {where} with production's version; if the slowdown is intended, raise load.relative.tolerance "
        "in pipeline.toml"
    )


def _excluded(baseline_ms: float, rules: RelativeRules) -> float:
    """What the interval must lie below: 1 + exclude, or the ratio at which `min_delta_ms` is reached, if later."""
    noticeable = 1 + rules.min_delta_ms / baseline_ms if baseline_ms > 0 else 1.0
    return max(1 + rules.exclude, noticeable)


def _missing(measured: Measured, rules: RelativeRules) -> int:
    """How many more requests would narrow the interval (as the root of their number) until it decides; 0 if it does.

    That is until it lies above 1, where the ratio is not tolerated, or below what is excluded, whichever comes first.
    Without a ratio nothing can be told of it: 0.
    """
    ratio = measured.ratio
    if ratio is None:
        return 0
    excluded = _excluded(measured.baseline_ms, rules)
    point, low, high, bound = (math.log(value) for value in (ratio.point, ratio.low, ratio.high, excluded))
    factors = [((point - low) / point) ** 2] if _intolerable(ratio, measured.baseline_ms, rules) else []
    if point < bound:
        factors.append(((high - point) / (bound - point)) ** 2)
    return max(0, math.ceil(measured.samples * (min(factors, default=1.0) - 1)))


def _missing_of_equals(measured: Measured, rules: RelativeRules) -> int:
    """The same as if both sides were equally fast: where a ratio itself rests on few requests, it says little."""
    ratio = measured.ratio
    if ratio is None or not _missing(measured, rules):
        return 0
    excluded = _excluded(measured.baseline_ms, rules)
    factor = (math.log(ratio.high / ratio.low) / 2 / math.log(excluded)) ** 2
    return math.ceil(measured.samples * (factor - 1))


def _ratio_words(subject: Subject, ratio: QuantileRatio, confidence: float) -> str:
    return (
        f"{subject.words} is {ratio.point:.2f} × production's "
        f"({_percent(confidence)} interval {ratio.low:.2f} to {ratio.high:.2f})"
    )


def _percent(share: float) -> str:
    return f"{share * 100:.4g} %"


def _points(difference: float) -> str:
    """A difference of shares in percentage points."""
    return f"{round(difference * 100, 2) + 0.0:.2f}"
