"""What the machine does to both sides at once is taken out of the blocks; what one side does is not."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.histogram import Histogram
from pipeline.model.sides import Block, Tally
from pipeline.model.steady_blocks import bin_at, middle_of, steady, usual_bins

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
        [Block(0, {"a": Tally(1, 0, Histogram({4: 1}))}, {"a": Tally(2, 0, Histogram({9: 2}))})]
    )
    assert found == {"a": 9}
    assert usual_bins([Block(0, {"a": Tally(1, 1)}, {})]) == {}


def test_nothing_counted_has_no_quantile() -> None:
    with pytest.raises(ValueError, match="nothing was counted"):
        bin_at({}, 0.5)
