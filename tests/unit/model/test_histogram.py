"""Latencies in bins: exact to half a per cent, mergeable in any order."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.histogram import BIN_WIDTH, SMALLEST, Histogram, bin_of, upper_edge

latencies = st.floats(min_value=0, max_value=1e7, allow_nan=False)
samples = st.lists(latencies, max_size=60)
ROUNDING = 1e-9


@given(latencies)
def test_a_latency_lies_within_a_bin_width_below_its_upper_edge(latency: float) -> None:
    edge = upper_edge(bin_of(latency))
    assert latency <= edge * (1 + ROUNDING)
    assert edge <= max(latency, SMALLEST) * (1 + BIN_WIDTH) * (1 + ROUNDING)


@given(st.lists(latencies, min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_never_below_the_true_one_and_at_most_a_bin_width_above(
    values: list[float], share: float
) -> None:
    true = sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]
    found = Histogram.of(values).quantile(share)
    assert found is not None
    assert true <= found * (1 + ROUNDING)
    assert found <= max(true, SMALLEST) * (1 + BIN_WIDTH) * (1 + ROUNDING)


@given(samples, samples, samples)
def test_merging_is_associative_and_counts_as_if_measured_together(
    a: list[float], b: list[float], c: list[float]
) -> None:
    one, two, three = Histogram.of(a), Histogram.of(b), Histogram.of(c)
    assert one.merge(two).merge(three) == one.merge(two.merge(three)) == Histogram.of(a + b + c)
    assert one.merge(two).count == len(a) + len(b)


def test_merging_changes_neither_part() -> None:
    one, two = Histogram({3: 1}), Histogram({3: 2})
    assert one.merge(two).bins == {3: 3}
    assert (one.bins, two.bins) == ({3: 1}, {3: 2})


@pytest.mark.parametrize(("count", "rank"), [(20, 19), (60, 57), (140, 133), (1000, 950), (1, 1)])
def test_the_95th_percentile_is_the_nearest_rank(count: int, rank: int) -> None:
    values = [float(2**number) if number < 40 else 2.0**39 + number * 2.0**34 for number in range(count)]
    found = Histogram.of(values).quantile(0.95)
    assert found == pytest.approx(values[rank - 1], rel=BIN_WIDTH)


def test_nothing_counted_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None
    assert Histogram().count == 0


def test_above_counts_what_lies_in_higher_bins() -> None:
    histogram = Histogram.of([1.0, 250.0, 251.9, 400.0])
    assert histogram.above(250.0) == 2
    assert histogram.above(0.0) == 4


@pytest.mark.parametrize("latency", [-0.1, math.nan, math.inf])
def test_what_is_no_latency_is_refused(latency: float) -> None:
    with pytest.raises(ValueError, match="not a latency"):
        bin_of(latency)
