"""One look: what all requests say, what an endpoint may say against them, and when blocks say nothing."""

from __future__ import annotations

import random
from itertools import islice
from typing import Any

import pytest

from pipeline.model.comparison import Comparison, compare, compare_together
from pipeline.model.findings import Subject
from pipeline.model.histogram import Histogram
from pipeline.model.relative_rules import ALL, RelativeRules
from pipeline.model.sides import Block, Tally
from pipeline.model.verdict import Outcome
from tests.simulated_load import Load, blocks

RULES = RelativeRules()


def compared(seconds: float = 20, rules: RelativeRules = RULES, seed: int = 1, **load: Any) -> Comparison:
    return compare(list(islice(blocks(Load(**load), random.Random(seed)), int(2 * seconds))), rules)


def subjects(comparison: Comparison) -> set[tuple[str, str]]:
    return {(found.subject.endpoint, found.subject.what) for found in comparison.refused}


def test_the_same_on_both_sides_passes() -> None:
    found = compared()
    assert found.outcome is Outcome.PASSED
    assert found.refused == ()
    assert found.reason.text.startswith("against production p50 ")
    assert (found.blocks, found.used, found.dropped) == (40, 40, 0)
    assert [row.name for row in found.rows][:3] == [ALL, "GET /", "GET /api/owners"]


def test_a_slower_candidate_is_refused_in_all() -> None:
    found = compared(slower=1.4)
    assert found.outcome is Outcome.REFUSED
    assert {(ALL, "p50"), (ALL, "p95")} <= subjects(found)
    assert found.reason is found.total.ratios[0].finding.reason


def test_an_endpoint_can_fail_by_itself() -> None:
    found = compared(seconds=60, slower_endpoints={"GET /api/owners/1": 1.6})
    assert found.outcome is Outcome.REFUSED
    assert found.total.outcome is Outcome.PASSED
    assert subjects(found) == {("GET /api/owners/1", "p50"), ("GET /api/owners/1", "p95")}
    assert found.reason.text.startswith("p50 of GET /api/owners/1 is ")


def test_an_endpoint_with_too_few_requests_says_so_and_holds_up_nothing() -> None:
    found = compared()
    rows = {row.name: row for row in found.endpoints}
    assert rows["GET /report"].outcome is Outcome.UNDECIDED
    assert "rests on" in rows["GET /report"].reason.text
    assert found.outcome is Outcome.PASSED


def test_endpoints_are_held_to_a_confidence_corrected_for_their_number() -> None:
    found = compared()
    assert found.confidence == 0.995
    assert found.endpoint_confidence == pytest.approx(1 - 0.005 / 6)
    assert "99.5 % interval" in found.total.findings[0].reason.text
    assert "99.92 % interval" in found.endpoints[0].findings[0].reason.text


def test_more_errors_are_refused_though_they_answer_as_fast() -> None:
    found = compared(failing=(0.05, 0.0))
    assert (ALL, "errors") in subjects(found)
    assert found.total.outcome is Outcome.REFUSED
    assert "the error share of all requests" in found.total.reason.text


def test_too_few_requests_in_all_decide_nothing() -> None:
    found = compared(seconds=8)
    assert found.outcome is Outcome.UNDECIDED
    assert "800 are needed" in found.reason.text
    assert [finding.outcome for finding in found.total.findings[:2]] == [Outcome.UNDECIDED] * 2


def test_with_too_many_disturbed_blocks_nothing_is_said() -> None:
    """More than 40 % cannot be over twice the median unless the rest is uneven: most blocks are fast, or idle."""
    fast = Histogram.of([10.0 + 0.02 * step for step in range(60)])
    slow = Histogram.of([90.0 + 0.02 * step for step in range(60)])
    shapes = [fast] * 58 + [slow] * 42
    loaded = [
        Block(at, {"GET /": Tally(60, 0, shape)}, {"GET /": Tally(60, 0, shape)})
        for at, shape in enumerate(shapes)
    ]
    found = compare(loaded, RULES)
    assert (found.used, found.dropped, found.disturbed) == (58, 42, True)
    assert (found.outcome, found.refused) == (Outcome.UNDECIDED, ())
    assert found.reason.text.startswith("the machine was disturbed in 42%")


@pytest.mark.parametrize(
    "loaded",
    [
        [],
        [Block(0, {}, {})],
        [Block(at, {"GET /": Tally(50, 0, Histogram({700: 50}))}, {}) for at in range(40)],
        [Block(at, {}, {"GET /": Tally(50, 0, Histogram({700: 50}))}) for at in range(40)],
        [Block(at, {"GET /": Tally(50, 50)}, {"GET /": Tally(50, 50)}) for at in range(40)],
    ],
    ids=["no blocks", "an empty block", "no baseline", "no candidate", "no latencies"],
)
def test_absence_never_passes(loaded: list[Block]) -> None:
    assert compare(loaded, RULES).outcome is Outcome.UNDECIDED


def test_all_failing_against_none_is_surely_refused() -> None:
    same = Histogram({700: 50})
    loaded = [Block(at, {"/": Tally(50, 50, same)}, {"/": Tally(50, 0, same)}) for at in range(40)]
    found = compare(loaded, RULES)
    assert found.outcome is Outcome.REFUSED
    assert [f.sure for f in found.refused if f.subject == Subject(ALL, "errors")] == [True]


def test_latencies_of_one_bin_pass_and_gaps_between_blocks_do_no_harm() -> None:
    same = Histogram({700: 50})
    loaded = [Block(7 * at, {"/": Tally(50, 0, same)}, {"/": Tally(50, 0, same)}) for at in range(40)]
    assert compare(loaded, RULES).outcome is Outcome.PASSED


def test_all_requests_can_be_compared_alone() -> None:
    loaded = list(islice(blocks(Load(), random.Random(1)), 40))
    row = compare_together(loaded, RULES)
    assert row == compare(loaded, RULES).total
    whole = Histogram()
    for tally in (tally for block in loaded for tally in block.candidate.values()):
        whole = whole.merge(tally.histogram)
    assert row.ratios[1].measured.candidate_ms == whole.quantile(0.95)


def test_only_the_percentiles_that_are_asked_for_are_judged() -> None:
    found = compared(rules=RelativeRules(percentiles=("p50", "p99")))
    assert [ratio.finding.subject.what for ratio in found.total.ratios] == ["p50", "p99"]
    assert "6,000 are needed" in found.total.ratios[1].finding.reason.text
