"""The comparison as JSON and as metrics: complete, finite, and enough to work the verdict out again."""

from __future__ import annotations

import json
import random
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.model.comparison import compare
from pipeline.model.comparison_facts import comparison_facts, marks_of, relative_metrics
from pipeline.model.histogram import Histogram, upper_edge
from pipeline.model.limits import Limit, judge_metrics
from pipeline.model.looks import Looks
from pipeline.model.relative_rules import RelativeRules
from pipeline.model.side_quantiles import side_quantile
from pipeline.model.sides import Block, Tally
from pipeline.model.stored_blocks import blocks_from_json, blocks_to_json
from tests.simulated_load import Load, blocks, looked_at

RULES = RelativeRules()


def loaded(load: Load, count: int, seed: int = 1) -> list[Block]:
    return list(islice(blocks(load, random.Random(seed)), count))


def looked(measured: list[Block]) -> Looks:
    looks = Looks(RULES)
    for at in range(1, len(measured) // 2 + 1):
        looks.look(measured[: 2 * at], at)
    return looks


MEASURED = loaded(Load(slower=1.3, failing=(0.02, 0.01)), 64)
LOOKS = looked(MEASURED)
FACTS = comparison_facts(LOOKS, MEASURED)


def test_the_facts_have_the_shape_that_reports_rely_on() -> None:
    assert set(FACTS) == {
        *("seconds", "blocks", "dropped", "rules", "looks", "all", "endpoints", "series", "distribution"),
    }
    assert (FACTS["seconds"], FACTS["blocks"], FACTS["dropped"]) == (24, 48, 0)
    assert FACTS["rules"]["percentiles"] == ["p50", "p95"]
    assert [(look["at"], look["outcome"]) for look in FACTS["looks"]] == [(16, "undecided"), (24, "refused")]
    for row in (FACTS["all"], *FACTS["endpoints"]):
        assert set(row) == {"name", "outcome", "reason", "candidate", "baseline", "ratios", "errors"}
        assert set(row["ratios"]) == {"p50", "p95"}
        for label in ("p50", "p95", "p99"):
            low, high = row["candidate"][f"{label}_ms_interval"]
            assert low <= row["candidate"][f"{label}_ms"] <= high


def test_the_facts_say_what_was_seen() -> None:
    row = FACTS["all"]
    tallies = [tally for block in MEASURED[:48] for tally in block.candidate.values()]
    assert row["candidate"]["requests"] == sum(tally.requests for tally in tallies)
    assert row["candidate"]["failures"] == sum(tally.failures for tally in tallies)
    low, high = row["candidate"]["error_rate_interval"]
    assert low < row["candidate"]["error_rate"] < high
    ratio = row["ratios"]["p50"]
    assert 1 < ratio["low"] < ratio["point"] < ratio["high"]
    assert (ratio["outcome"], ratio["missing"]) == ("refused", 0)
    assert row["reason"] == ratio["reason"]
    assert row["errors"]["difference"] == pytest.approx(
        row["candidate"]["error_rate"] - row["baseline"]["error_rate"]
    )


def test_series_and_distribution_hold_every_request_of_every_block() -> None:
    for side in ("candidate", "baseline"):
        tallies = [tally for block in MEASURED for tally in getattr(block, side).values()]
        requests = sum(tally.requests for tally in tallies)
        series = FACTS["series"][side]
        assert [second["at"] for second in series] == list(range(32))
        assert sum(second["requests"] for second in series) == requests
        assert sum(second["failures"] for second in series) == sum(tally.failures for tally in tallies)
        assert all(second["p50_ms"] <= second["p95_ms"] for second in series)
        assert sum(FACTS["distribution"][side].values()) == requests


def test_seconds_are_counted_from_the_first_block_and_gaps_are_left_out() -> None:
    same = {"/": Tally(2, 0, Histogram({700: 2}))}
    gappy = [Block(100, same, {}), Block(101, same, same), Block(107, {}, same)]
    series = comparison_facts(Looks(RULES), gappy)["series"]
    assert [(second["at"], second["requests"]) for second in series["candidate"]] == [(0, 4), (3, 0)]
    assert series["candidate"][1]["p50_ms"] is None


def test_without_a_look_there_are_no_rows() -> None:
    facts = comparison_facts(Looks(RULES), [])
    assert (facts["all"], facts["endpoints"], facts["looks"], facts["seconds"]) == (None, [], [], 0)


@pytest.mark.parametrize(
    "load", [Load(), Load(slower=1.12), Load(slower=2), Load(rate=8), Load(failing=(0.02, 0))]
)
def test_the_verdict_can_be_worked_out_again_from_what_is_stored(load: Load) -> None:
    measured = loaded(load, 80)
    looks = looked(measured)
    stored = json.loads(
        json.dumps([comparison_facts(looks, measured), blocks_to_json(measured)], allow_nan=False)
    )
    again = Looks.replay(RULES, blocks_from_json(stored[1]), marks_of(stored[0]))
    assert again.taken == looks.taken
    assert comparison_facts(again, measured) == stored[0]


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.5, 1.0]))
def test_whatever_was_measured_the_facts_are_finite(seed: int, empty: float) -> None:
    chance = random.Random(seed)

    def side() -> dict[str, Tally]:
        if chance.random() < empty:
            return {}
        requests = chance.randint(0, 40)
        bins = {chance.randint(0, 900): chance.randint(1, 9) for _ in range(chance.randint(0, 4))}
        return {chance.choice("ab"): Tally(requests, chance.randint(0, requests), Histogram(bins))}

    measured = [Block(chance.randint(0, 3) + 4 * at, side(), side()) for at in range(chance.randint(0, 40))]
    looks = Looks(RULES)
    looks.take(measured, 20.0)
    json.dumps(comparison_facts(looks, measured), allow_nan=False)
    assert blocks_from_json(blocks_to_json(measured)) == measured


def test_metrics_are_flat_and_can_be_bounded_by_limits() -> None:
    metrics = relative_metrics(compare(MEASURED, RULES))
    assert metrics["p50_ratio"] == pytest.approx(1.3, abs=0.05)
    assert metrics["p50_ratio_low"] < metrics["p50_ratio"] < metrics["p50_ratio_high"]
    assert {"p95_ratio", "error_increase", "error_increase_low", "error_increase_high"} <= set(metrics)
    assert metrics["p50_ratio[GET /]"] == pytest.approx(1.3, abs=0.2)
    assert "p95_ratio[GET /report]" not in metrics
    assert "error_increase[GET /report]" in metrics
    assert judge_metrics(metrics, {"p95_ratio": Limit(max=2), "error_increase": Limit(max=0.05)}) == []
    assert len(judge_metrics(metrics, {"p50_ratio": Limit(max=1.1)})) == 1


def test_what_was_not_measured_is_no_metric() -> None:
    one_sided: list[Any] = [Block(at, {"/": Tally(9, 0, Histogram({700: 9}))}, {}) for at in range(40)]
    assert relative_metrics(compare(one_sided, RULES)) == {}


def test_a_quantile_of_a_side_has_an_interval_that_knows_of_blocks() -> None:
    even = [Histogram({600: 10, 700: 20, 800: 10})] * 30
    uneven = [Histogram({600: 40}), Histogram({700: 40}), Histogram({800: 40})] * 10
    for blocks_of_side, ends in ((even, (700, 700)), (uneven, (600, 800))):
        found = side_quantile(blocks_of_side, 0.5, 0.99)
        assert found is not None
        assert (found.value, found.low, found.high) == pytest.approx([upper_edge(b) for b in (700, *ends)])
    alone = side_quantile([Histogram({600: 4, 700: 9, 800: 4})], 0.5, 0.99)
    assert alone is not None
    assert (alone.low, alone.high) == (upper_edge(600), upper_edge(800))
    assert side_quantile([Histogram()], 0.5, 0.99) is None


def test_a_simulated_load_ends_with_a_look() -> None:
    assert looked_at(Load(), RULES, random.Random(3)).last is not None
