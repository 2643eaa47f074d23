"""Each side alone: what is suspicious, and that it takes twice to refuse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from pipeline.model.histogram import Histogram
from pipeline.model.load import EndpointSummary, GeneratorHealth, LoadSummary, Second
from pipeline.model.relative_rules import RelativeRules
from pipeline.model.solo import Solo, conclude_solo, judge_solo
from pipeline.model.verdict import Outcome

RULES = RelativeRules()


def alone(p50: float | None, p95: float | None, requests: int = 1000) -> LoadSummary:
    quantiles = {label: value for label, value in (("p50", p50), ("p95", p95)) if value is not None}
    total = EndpointSummary("all", requests, 0, quantiles, Histogram())
    return LoadSummary(total, (), 10.0, GeneratorHealth(0.1, 0.0, 1.0))


def judged(p50: float, p95: float, baseline: tuple[float, float] = (10.0, 20.0)) -> Solo:
    return judge_solo(alone(p50, p95), alone(*baseline), RULES)


SAME, SLOW, SLOW_TAIL = judged(11, 22), judged(16, 30), judged(12, 41)


@pytest.mark.parametrize(
    ("p50", "p95", "suspicious"),
    [
        (10, 20, False),
        (15, 40, False),  # a bound itself is still within
        (15.1, 20, True),
        (10, 40.1, True),
        (5, 10, False),
    ],
)
def test_more_than_one_and_a_half_times_the_median_or_twice_the_tail_is_suspicious(
    p50: float, p95: float, suspicious: bool
) -> None:
    assert judged(p50, p95).suspicious is suspicious


@pytest.mark.parametrize(
    ("seconds", "suspicious"),
    [
        ([45.0] * 10, True),
        ([20.0] * 6 + [300.0] * 4, False),
        ([300.0] * 3, True),
        ([20.0] * 3 + [None, None], True),
    ],
    ids=["throughout", "a burst of four seconds", "too few seconds to tell", "some without an answer"],
)
def test_a_tail_must_be_slow_in_most_of_the_seconds(seconds: list[float | None], *, suspicious: bool) -> None:
    def with_seconds(told: list[float | None], summary: LoadSummary) -> LoadSummary:
        series = [Second(float(at), 100, 0, 5, 10.0, p95) for at, p95 in enumerate(told)]
        return replace(summary, series=series)

    candidate = with_seconds(seconds, alone(11, 45))
    assert judge_solo(candidate, with_seconds([20.0] * 10, alone(10, 20)), RULES).suspicious is suspicious


def test_less_than_a_millisecond_is_never_suspicious() -> None:
    assert not judged(0.9, 1.9, (0.2, 0.95)).suspicious
    assert judged(1.3, 1.9, (0.2, 0.95)).suspicious


def test_nothing_suspicious_passes() -> None:
    found = conclude_solo(SAME)
    assert (found.gate, found.outcome) == ("load", Outcome.PASSED)
    assert found.reasons[0].text == "p50 alone is 1.10 × production's alone (11 ms against 10 ms)"


def test_suspicious_once_has_to_be_repeated() -> None:
    found = conclude_solo(SLOW)
    assert found.outcome is Outcome.UNDECIDED
    assert "in one try, tolerated are 1.50" in found.reasons[0].text


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (SLOW, SLOW, Outcome.REFUSED),
        (SLOW_TAIL, SLOW_TAIL, Outcome.REFUSED),
        (SLOW, SAME, Outcome.PASSED),
        (SLOW, SLOW_TAIL, Outcome.PASSED),
        (SAME, SLOW, Outcome.PASSED),
    ],
    ids=["p50 twice", "p95 twice", "only at first", "something else", "only then"],
)
def test_it_takes_the_same_quantile_twice_to_refuse(first: Solo, second: Solo, outcome: Outcome) -> None:
    found = conclude_solo(first, second)
    assert found.outcome is outcome
    if outcome is Outcome.REFUSED:
        assert len(found.reasons) == 1
        assert " twice, tolerated are " in found.reasons[0].text
        assert "database" in found.reasons[0].remedy


@pytest.mark.parametrize(
    ("candidate", "baseline"),
    [
        (alone(10, 20, requests=199), alone(10, 20)),
        (alone(10, 20), alone(10, 20, requests=0)),
        (alone(None, 20), alone(10, 20)),
        (alone(10, 20), alone(10, None)),
        (alone(10, 20), alone(0.0, 20)),
    ],
    ids=["few", "none", "no p50", "no p95 of production", "zero"],
)
def test_what_was_not_measured_is_undecided(candidate: LoadSummary, baseline: LoadSummary) -> None:
    unmeasured = judge_solo(candidate, baseline, RULES)
    for found in (
        conclude_solo(unmeasured),
        conclude_solo(SLOW, unmeasured),
        conclude_solo(unmeasured, SAME),
    ):
        assert found.outcome is Outcome.UNDECIDED
        assert "are needed" in found.reasons[0].text
        assert "load.solo" in found.reasons[0].remedy


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"unfinished": 2}, "2 users were still waiting for an answer of production alone when it had ended"),
        ({"failures": 60}, "production alone is ill: 6 % of its requests failed (60 of 1,000)"),
    ],
)
def test_a_baseline_that_is_ill_alone_is_no_measure(changed: Mapping[str, int], text: str) -> None:
    """Its answers may be slow, so that everything passes, or fast refusals, so that nothing does."""
    ill = alone(10, 20)
    ill = replace(
        ill,
        total=replace(ill.total, failures=changed.get("failures", 0)),
        unfinished=changed.get("unfinished", 0),
    )
    for candidate in (alone(9, 19), alone(100, 200)):
        found = judge_solo(candidate, ill, RULES)
        assert not found.suspicious
        assert conclude_solo(found).outcome is Outcome.UNDECIDED
        assert [reason.text for reason in conclude_solo(found).reasons] == [text]


def test_a_few_failures_of_the_baseline_alone_are_no_illness() -> None:
    few = alone(10, 20)
    few = replace(few, total=replace(few.total, failures=20))
    assert conclude_solo(judge_solo(alone(10, 20), few, RULES)).passed
