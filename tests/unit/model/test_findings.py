"""What a ratio or a difference of error shares says: slower, fast enough, or not decided; and in which words."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pipeline.model.error_increase import error_increase
from pipeline.model.findings import (
    ErrorFinding,
    Measured,
    RatioFinding,
    Subject,
    judge_errors,
    judge_ratio,
)
from pipeline.model.quantile_ratio import QuantileRatio
from pipeline.model.relative_rules import ALL, RelativeRules
from pipeline.model.verdict import Outcome

RULES = RelativeRules()
VETS = Subject("GET /api/vets", "p95", 0.95)
REFUSED, PASSED, UNDECIDED = Outcome.REFUSED, Outcome.PASSED, Outcome.UNDECIDED


def judged(
    point: float,
    low: float,
    high: float,
    baseline_ms: float = 100.0,
    subject: Subject = VETS,
    samples: int = 1000,
) -> RatioFinding:
    measured = Measured(QuantileRatio(point, low, high), samples, point * baseline_ms, baseline_ms)
    return judge_ratio(subject, measured, RULES, 0.995)


@pytest.mark.parametrize(
    ("point", "low", "high", "outcome"),
    [
        (1.34, 1.21, 1.48, REFUSED),
        (1.10, 1.001, 1.30, REFUSED),  # exactly the tolerance is slower
        (1.12, 1.05, 1.20, REFUSED),  # slower, though 1.25 is ruled out
        (1.09, 1.05, 1.20, PASSED),  # slower, but tolerated
        (1.00, 0.90, 1.24, PASSED),
        (0.50, 0.40, 0.60, PASSED),
        (1.00, 0.80, 1.25, UNDECIDED),
        (1.12, 1.00, 1.30, UNDECIDED),
        (1.40, 0.95, 2.00, UNDECIDED),
    ],
)
def test_a_ratio_is_slower_fast_enough_or_undecided(
    point: float, low: float, high: float, outcome: Outcome
) -> None:
    assert judged(point, low, high).finding.outcome is outcome


def test_a_slower_ratio_says_by_how_much_and_how_sure_that_is() -> None:
    found = judged(1.34, 1.21, 1.48).finding
    assert found.reason.text == (
        "p95 of GET /api/vets is 1.34 × production's (99.5 % interval 1.21 to 1.48), tolerated are 1.10"
    )
    assert "what GET /api/vets does" in found.reason.remedy
    assert not found.sure
    assert judged(1.9, 1.51, 2.2).finding.sure


@pytest.mark.parametrize(
    ("ratio", "baseline_ms", "outcome"),
    [
        ((2.0, 1.8, 2.2), 0.5, PASSED),  # at most 0.6 ms more
        ((2.0, 1.8, 2.2), 0.9, UNDECIDED),  # 0.9 ms more, and it may be 1.08
        ((2.0, 1.8, 2.2), 1.0, REFUSED),  # 1 ms more
        ((1.2, 0.5, 1.9), 1.0, PASSED),
    ],
)
def test_less_than_a_millisecond_is_no_failure(
    ratio: tuple[float, float, float], baseline_ms: float, outcome: Outcome
) -> None:
    assert judged(*ratio, baseline_ms).finding.outcome is outcome


def test_an_undecided_ratio_says_about_how_many_requests_were_missing() -> None:
    found = judged(1.0, 0.75, 1 / 0.75)
    factor = (math.log(1 / 0.75) / math.log(1.25)) ** 2
    assert found.missing == math.ceil(1000 * (factor - 1))
    assert f"1.25 × is not ruled out; about {found.missing} more requests a side" in found.finding.reason.text
    assert "load.max_duration" in found.finding.reason.remedy


def test_what_is_missing_is_what_decides_first() -> None:
    # 1.2: being above 1 is nearer than being below 1.25
    found = judged(1.2, 0.98, 1.5)
    factor = (math.log(1.2 / 0.98) / math.log(1.2)) ** 2
    assert found.missing == math.ceil(1000 * (factor - 1))
    assert judged(1.3, 1.0, 1.7).missing >= 1
    assert judged(2.0, 1.8, 2.2, 0.9).missing >= 1


def test_what_is_tolerated_is_not_waited_for_to_become_slower() -> None:
    """The interval is above 1 already, which decides nothing: it has to come below what is excluded."""
    found = judged(1.05, 1.01, 1.30)
    factor = (math.log(1.30 / 1.05) / math.log(1.25 / 1.05)) ** 2
    assert found.missing == math.ceil(1000 * (factor - 1))


def test_with_too_few_requests_a_wide_interval_asks_for_more_than_the_fewest() -> None:
    tail = Subject(ALL, "p99", 0.99)
    factor = (math.log(1 / 0.5) / math.log(1.25)) ** 2
    assert judged(1.0, 0.5, 2.0, subject=tail, samples=1000).missing == math.ceil(1000 * (factor - 1)) > 5000
    equal = judged(1.0, 0.5, 2.0, subject=tail, samples=1000).missing
    assert judged(1.24, 0.62, 2.48, subject=tail, samples=1000).missing == equal, (
        "few say little of the ratio"
    )
    assert judged(1.0, 0.99, 1.01, subject=tail, samples=1000).missing == 5000
    assert judge_ratio(tail, Measured(None, 1000, 0.0, 0.0), RULES, 0.995).missing == 5000


def test_too_few_requests_say_only_so() -> None:
    found = judged(3.0, 2.0, 4.0, subject=Subject(ALL, "p50", 0.5), samples=799)
    assert found.finding.outcome is UNDECIDED
    assert found.finding.reason.text == "p50 of all requests rests on 799 requests a side, 800 are needed"
    assert found.missing == 1


def test_a_ratio_that_could_not_be_bounded_is_undecided() -> None:
    found = judge_ratio(VETS, Measured(None, 5000, 0.0, 0.0), RULES, 0.995)
    assert (found.finding.outcome, found.ratio, found.samples, found.missing) == (UNDECIDED, None, 5000, 0)
    assert "5,000 requests a side do not bound the ratio" in found.finding.reason.text


@pytest.mark.parametrize(
    ("subject", "fewest"),
    [
        (Subject(ALL, "p50", 0.5), 800),
        (Subject(ALL, "p95", 0.95), 800),
        (Subject(ALL, "p99", 0.99), 6000),
        (Subject("GET /", "p50", 0.5), 100),
        (Subject("GET /", "p95", 0.95), 200),
        (Subject("GET /", "p99", 0.99), 1000),
    ],
)
def test_a_quantile_rests_on_so_many_requests_a_side(subject: Subject, fewest: int) -> None:
    assert subject.fewest == fewest


def errors(mine: tuple[int, int], theirs: tuple[int, int]) -> ErrorFinding:
    increase = error_increase([mine, (mine[0], mine[1])], [theirs, (theirs[0], theirs[1])], 0.995)
    return judge_errors(Subject(ALL, "errors"), increase, RULES, 0.995)


@pytest.mark.parametrize(
    ("mine", "theirs", "outcome", "sure"),
    [
        ((1000, 0), (1000, 0), PASSED, False),
        ((1000, 10), (1000, 10), PASSED, False),
        ((1000, 15), (1000, 0), REFUSED, False),
        ((1000, 60), (1000, 0), REFUSED, True),
        ((1000, 1000), (1000, 0), REFUSED, True),
        ((10000, 40), (10000, 0), PASSED, False),  # surely more, but tolerated
        ((100, 1), (100, 0), UNDECIDED, False),
        ((100, 0), (100, 0), UNDECIDED, False),
        ((1000, 0), (1000, 500), PASSED, False),
        ((0, 0), (1000, 0), UNDECIDED, False),
    ],
)
def test_errors_have_increased_or_not_or_are_undecided(
    mine: tuple[int, int], theirs: tuple[int, int], outcome: Outcome, sure: Any
) -> None:
    found = errors(mine, theirs).finding
    assert (found.outcome, found.sure) == (outcome, sure)


def test_increased_errors_say_what_failed_on_both_sides() -> None:
    text = errors((1000, 15), (1000, 1)).finding.reason.text
    assert text.startswith(
        "the error share of all requests is 1.5 % (30 of 2,000), production's 0.1 % (2 of 2,000): "
        "1.40 percentage points more (99.5 % interval 0."
    )
    assert text.endswith("tolerated are 0.50")


def test_a_tiny_difference_is_not_minus_zero() -> None:
    assert "0.00 percentage points more" in errors((100_000, 1), (100_000, 2)).finding.reason.text


@pytest.mark.parametrize(
    "rules",
    [
        {"tolerance": 0.0},
        {"exclude": math.nan},
        {"max_error_increase": -0.1},
        {"exclude_errors": math.inf},
        {"tolerance": 0.3},
        {"exclude_errors": 0.001},
        {"confidence": 1.0},
        {"confidence": 0.2},
        {"min_delta_ms": -1.0},
        {"min_delta_ms": math.inf},
        {"percentiles": ()},
        {"percentiles": ("p50", "p97")},
        {"every": 0.0},
        {"min_duration": 0.0},
        {"min_duration": 70.0},
        {"max_duration": math.inf},
    ],
    ids=str,
)
def test_rules_that_nothing_could_fail_or_follow_are_no_rules(rules: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        RelativeRules(**rules)
