"""The ratio of two quantiles: its interval holds the truth, swaps with the sides, and knows what blocks share."""

from __future__ import annotations

import math
import random
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.histogram import BIN_WIDTH
from pipeline.model.intervals import student_quantile
from pipeline.model.quantile_ratio import STEP, Bins, LatencyPair, PairedLatencies, QuantileRatio

seeds = st.integers(0, 2**32)
quantiles = st.sampled_from([0.5, 0.95, 0.99])
Pairs = list[tuple[Bins, Bins]]


def anything(seed: int, least: int = 0) -> Pairs:
    """Few or many bins, near or far apart, and blocks in which a side or both were not asked."""
    chance = random.Random(seed)
    reach, most = chance.choice((0, 3, 40, 900)), chance.choice((2, 8))

    def side() -> Bins:
        numbers = [chance.randint(-reach, reach) for _ in range(chance.randint(least, most))]
        return {number: chance.randint(1, 30) for number in numbers}

    return [(side(), side()) for _ in range(chance.randint(2, 14))]


def ratio(pairs: Pairs, share: float, confidence: float = 0.99) -> QuantileRatio | None:
    return PairedLatencies([LatencyPair(*pair) for pair in pairs]).ratio(share, confidence)


def lifted(counts: Bins, by: int) -> Bins:
    return {number + by: count for number, count in counts.items()}


def scattered(chance: random.Random, count: int, middle: float, spread: float = 70) -> Bins:
    found: dict[int, int] = {}
    for _ in range(count):
        number = round(chance.gauss(middle, spread))
        found[number] = found.get(number, 0) + 1
    return found


def logs(found: QuantileRatio | None) -> tuple[float, float, float]:
    assert found is not None
    return math.log(found.point), math.log(found.low), math.log(found.high)


@given(seeds, quantiles)
def test_the_interval_encloses_the_point_and_nothing_is_nan(seed: int, share: float) -> None:
    found = ratio(anything(seed), share)
    if found is not None:
        assert 0 < found.low <= found.point <= found.high < math.inf


@given(seeds, quantiles)
def test_swapping_the_sides_turns_the_interval_over(seed: int, share: float) -> None:
    pairs = anything(seed)
    one, other = ratio(pairs, share), ratio([(baseline, candidate) for candidate, baseline in pairs], share)
    if one is None or other is None:
        assert one is other
        return
    point, low, high = logs(one)
    assert logs(other) == pytest.approx((-point, -high, -low), abs=1e-6)


@given(seeds, quantiles, st.integers(-300, 300))
def test_a_slower_candidate_moves_the_interval_by_as_much(seed: int, share: float, by: int) -> None:
    pairs = anything(seed)
    slower: Pairs = [(lifted(c, by), b) for c, b in pairs]
    one, other = ratio(pairs, share), ratio(slower, share)
    if one is None or other is None:
        assert one is other
        return
    assert logs(other) == pytest.approx([value + by * STEP for value in logs(one)], abs=1e-6)


@given(seeds, quantiles)
def test_two_equal_sides_have_the_ratio_one(seed: int, share: float) -> None:
    found = ratio([(side, side) for side, _ in anything(seed, least=1)], share)
    if found is not None:
        assert found.point == pytest.approx(1)
        assert found.low < 1 < found.high


@given(seeds, st.integers(-500, 500), quantiles)
def test_the_middle_of_a_block_is_taken_out_on_both_sides(seed: int, middle: int, share: float) -> None:
    pairs = anything(seed)
    moved = [
        LatencyPair(lifted(candidate, middle * place), lifted(baseline, middle * place), middle * place)
        for place, (candidate, baseline) in enumerate(pairs)
    ]
    assert PairedLatencies(moved).ratio(share, 0.99) == ratio(pairs, share)


@pytest.mark.parametrize("pairs", [[], [({}, {}), ({}, {})], [({1: 900}, {1: 900})]], ids=str)
def test_no_ratio_without_requests_or_with_a_single_block(pairs: Pairs) -> None:
    assert ratio(pairs, 0.5) is None


def test_no_ratio_with_a_side_that_answered_nothing() -> None:
    assert ratio([({1: 100}, {}), ({1: 100}, {})], 0.5) is None
    assert ratio([({}, {1: 100}), ({}, {1: 100})], 0.5) is None


def test_no_ratio_with_so_few_requests_that_nothing_could_tell_them_apart() -> None:
    assert ratio([({1: 1}, {900: 1}), ({1: 1}, {900: 1})], 0.5) is None


def test_latencies_in_one_bin_are_told_apart_from_the_next_bin() -> None:
    found = ratio([({700: 50}, {700: 50})] * 30, 0.5)
    assert found is not None
    ends = (found.point, found.low, found.high)
    assert ends == pytest.approx((1, 1 / (1 + BIN_WIDTH), 1 + BIN_WIDTH))


def test_where_several_ratios_fit_the_middle_one_is_taken() -> None:
    # half of each side is at 0, half at 200: every shift of the gap leaves the medians' shares alike
    found = ratio([({0: 10, 200: 10}, {0: 10, 200: 10})] * 20, 0.5)
    point, low, high = logs(found)
    assert point == pytest.approx(0)
    assert low == pytest.approx(-high)


@pytest.mark.parametrize(("share", "slower"), [(0.5, 45), (0.95, -60)])
def test_the_true_ratio_lies_in_the_interval_as_often_as_promised(share: float, slower: int) -> None:
    chance, held = random.Random(7), 0
    for _ in range(40):
        pairs = [(scattered(chance, 25, slower), scattered(chance, 25, 0)) for _ in range(24)]
        _, low, high = logs(ratio(pairs, share, 0.95))
        held += low <= slower * STEP <= high
    assert held >= 34  # of 40 at 95 %; fewer come once in two hundred


def test_what_slows_one_side_down_block_by_block_widens_the_interval() -> None:
    chance = random.Random(3)
    steady = [(scattered(chance, 25, 0), scattered(chance, 25, 0)) for _ in range(40)]
    shaken = [
        (scattered(chance, 25, chance.gauss(0, 60)), scattered(chance, 25, chance.gauss(0, 60)))
        for _ in range(40)
    ]
    _, low, high = logs(ratio(steady, 0.5))
    _, shaken_low, shaken_high = logs(ratio(shaken, 0.5))
    assert shaken_high - shaken_low > 1.5 * (high - low)


def test_what_slows_one_side_down_for_seconds_widens_it_further() -> None:
    chance = random.Random(3)
    spells = [60 if (block // 10) % 2 else -60 for block in range(40)]
    mixed = sorted(spells, key=lambda _: chance.random())
    lasting, passing = (
        [(scattered(random.Random(9), 25, spell), scattered(random.Random(8), 25, 0)) for spell in order]
        for order in (spells, mixed)
    )
    _, low, high = logs(ratio(passing, 0.5))
    _, lasting_low, lasting_high = logs(ratio(lasting, 0.5))
    assert lasting_high - lasting_low > 1.2 * (high - low)


def test_it_is_as_wide_as_independent_requests_make_it_where_blocks_do_not_differ() -> None:
    """The same counts in every block would have no spread at all."""
    normal = NormalDist(0, 70)
    side = {round(normal.inv_cdf((step + 0.5) / 41)): 1 for step in range(41)}
    _, low, high = logs(ratio([(side, side)] * 20, 0.5, 0.95))
    share_off = student_quantile(0.95, 19) * math.sqrt(0.25 * 2 / (20 * 41))
    assert (high - low) / 2 == pytest.approx(share_off / normal.pdf(0) * STEP, rel=0.1)
