"""What the machine does to both sides at once is taken out of the blocks; what one side does is not."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.histogram import Histogram, bin_of
from pipeline.model.sides import Block, Tally
from pipeline.model.steady_blocks import bin_at, middle_of, steady, usual_bins
from tests.simulated_load import Load
from tests.simulated_load import blocks as load_blocks

counts = st.dictionaries(st.integers(0, 2000), st.integers(1, 50), min_size=1, max_size=8)


def side(latency: float, count: int = 20, name: str = "GET /") -> Mapping[str, Tally]:
    spread = [latency * (0.8 + 0.02 * step) for step in range(count)]
    return {name: Tally(count, 0, Histogram.of(spread))}


def blocks(*latencies: tuple[float, float]) -> list[Block]:
    return [Block(3 * number, side(mine), side(theirs)) for number, (mine, theirs) in enumerate(latencies)]


def test_a_block_in_which_both_sides_were_slow_is_dropped() -> None:
    found = steady(blocks(*[(10, 10)] * 9, (40, 40)))
    assert (found.used, found.dropped) == (9, 1)
    assert found.total.counts == found.endpoints["GET /"].counts == (180, 180)


@pytest.mark.parametrize("slow", [(40, 10), (10, 40)])
def test_a_block_in_which_one_side_was_slow_is_kept(slow: tuple[float, float]) -> None:
    found = steady(blocks(*[(10.0, 10.0)] * 9, slow))
    assert (found.used, found.dropped) == (10, 0)


def test_a_slow_block_that_only_one_side_was_asked_in_is_kept() -> None:
    found = steady([*blocks(*[(10, 10)] * 9), Block(99, side(40), {})])
    assert (found.used, found.dropped) == (10, 0)


def test_a_drift_of_the_machine_is_divided_out() -> None:
    drifting = blocks(*[(10 * (1 + 0.1 * step), 10 * (1 + 0.1 * step)) for step in range(10)])
    steadied, plain = steady(drifting), steady(blocks(*[(10, 10)] * 10))
    wide, narrow = (found.total.ratio(0.5, 0.99) for found in (steadied, plain))
    assert wide is not None
    assert narrow is not None
    assert wide.high / wide.low == pytest.approx(narrow.high / narrow.low, rel=0.02)


def test_which_endpoints_were_asked_makes_no_difference_to_all_requests() -> None:
    fast, slow = side(5, name="GET /"), side(500, name="GET /report")
    uneven = [
        Block(number, {**fast, **(slow if number % 2 else {})}, {**fast, **({} if number % 2 else slow)})
        for number in range(20)
    ]
    found = steady(uneven).total.ratio(0.95, 0.99)
    assert found is not None
    assert found.point == pytest.approx(1, abs=0.02)
    assert found.high < 1.25


def test_blocks_in_which_nothing_was_answered_count_for_nothing() -> None:
    empty = [Block(number, {}, {"GET /": Tally(1, 1)}) for number in range(100, 150)]
    found = steady([*blocks(*[(10, 10)] * 9), *empty])
    assert (found.used, found.dropped) == (9, 0)


def test_no_blocks_hold_nothing() -> None:
    found = steady([])
    assert (found.used, found.dropped, found.total.counts, found.endpoints) == (0, 0, (0, 0), {})


@given(counts)
def test_the_middle_lies_within_the_middle_half(found: Mapping[int, int]) -> None:
    assert bin_at(found, 0.25) <= middle_of(found) <= bin_at(found, 0.75)


@given(counts, st.integers(-500, 500))
def test_the_middle_moves_with_the_latencies(found: Mapping[int, int], by: int) -> None:
    moved = {number + by: count for number, count in found.items()}
    assert abs(middle_of(moved) - middle_of(found) - by) <= 1


def test_the_middle_is_no_single_request_that_all_blocks_would_have_in_common() -> None:
    """Medians put one request of each block onto bin 0, and the ratio of 1.25 read as 1.23."""
    chance = random.Random(5)
    middles = [middle_of(dict.fromkeys(chance.sample(range(0, 400, 3), 41), 1)) % 3 for _ in range(90)]
    assert len(set(middles)) == 3


def test_what_is_usual_is_the_median_of_both_sides() -> None:
    found = usual_bins(
        [Block(0, {"a": Tally(10, 0, Histogram({4: 10}))}, {"a": Tally(20, 0, Histogram({9: 20}))})]
    )
    assert found == {"a": 9}
    assert usual_bins([Block(0, {"a": Tally(1, 1)}, {})]) == {}


def asked(count: int, latency: float) -> Tally:
    return Tally(count, 0, Histogram({bin_of(latency): count}))


def test_what_is_usual_for_rare_endpoints_is_that_of_all_rare_ones() -> None:
    often = {"a": asked(10, 5)}
    rare = {f"b/{number}": asked(2, 50) for number in range(9)}
    found = usual_bins([Block(0, {**often, **rare}, {**often, "b/x": asked(19, 70), "c": asked(20, 90)})])
    assert (found["a"], found["c"]) == (bin_of(5), bin_of(90))
    assert {found[name] for name in (*rare, "b/x")} == {bin_of(70)}


def test_a_few_rare_endpoints_are_held_against_all_requests() -> None:
    often = {"a": asked(10, 5)}
    found = usual_bins([Block(0, {**often, "b": asked(9, 50)}, often)])
    assert found == {"a": bin_of(5), "b": bin_of(5)}


@pytest.mark.parametrize("ids", [30, 10_000])
def test_names_that_were_not_grouped_hide_nothing(ids: int) -> None:
    """With an id in every name nearly every request would be held against itself, and both sides look the same."""
    chance = random.Random(4)

    def ungrouped(tallies: Mapping[str, Tally]) -> Mapping[str, Tally]:
        found: dict[str, dict[int, int]] = {}
        for tally in tallies.values():
            for number, count in tally.histogram.bins.items():
                for _ in range(count):
                    bins = found.setdefault(f"GET /{chance.randrange(ids)}", {})
                    bins[number] = bins.get(number, 0) + 1
        return {name: Tally(sum(bins.values()), 0, Histogram(bins)) for name, bins in found.items()}

    loaded = islice(load_blocks(Load(slower=1.5, mix={"GET /": (10.0, 1.0)}), chance), 48)
    told = [Block(b.index, ungrouped(b.candidate), ungrouped(b.baseline)) for b in loaded]
    found = steady(told).total.ratio(0.5, 0.99)
    assert found is not None
    assert found.point == pytest.approx(1.5, rel=0.06)


def test_nothing_counted_has_no_quantile() -> None:
    with pytest.raises(ValueError, match="nothing was counted"):
        bin_at({}, 0.5)
