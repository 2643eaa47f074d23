"""Error shares of two sides: their intervals, and the difference's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.error_increase import Counts, error_increase, summed
from pipeline.model.intervals import difference_interval, normal_quantile, score_interval

counts = st.integers(0, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
sides = st.lists(counts, max_size=12)


def spread(requests: int, failures: int, blocks: int = 20) -> list[Counts]:
    """Failures as even as they can be."""
    return [
        (requests // blocks, failures * (at + 1) // blocks - failures * at // blocks) for at in range(blocks)
    ]


def test_even_failures_have_the_intervals_of_wilson_and_newcombe() -> None:
    found = error_increase(spread(2000, 60), spread(2000, 20), 0.99)
    z = normal_quantile(0.99)
    assert (found.candidate.low, found.candidate.high) == score_interval(0.03, 2000, z)
    assert (found.baseline.low, found.baseline.high) == score_interval(0.01, 2000, z)
    assert (found.low, found.high) == difference_interval((0.03, 2000), (0.01, 2000), z)
    assert found.difference == pytest.approx(0.02)
    assert (found.candidate.share, found.candidate.requests, found.candidate.failures) == (0.03, 2000, 60)


BURST = [(100, 60), *[(100, 0)] * 19]


def test_one_burst_says_less_than_as_many_failures_here_and_there() -> None:
    even, bursting = (error_increase(side, spread(2000, 0), 0.99) for side in (spread(2000, 60), BURST))
    assert even.low > 0
    assert bursting.low < 0
    assert bursting.high > even.high
    assert bursting.difference == even.difference


def test_a_burst_of_productions_does_not_speak_against_the_candidate() -> None:
    assert error_increase(spread(2000, 0), BURST, 0.99).high < 0.005


@given(sides, sides)
def test_intervals_hold_what_was_seen_whatever_that_is(mine: list[Counts], theirs: list[Counts]) -> None:
    found = error_increase(mine, theirs, 0.995)
    for side in (found.candidate, found.baseline):
        assert 0 <= side.low <= side.share + 1e-9
        assert side.share <= side.high + 1e-9 <= 1 + 1e-9
    assert -1 <= found.low <= found.difference + 1e-9
    assert found.difference <= found.high + 1e-9 <= 1 + 1e-9


def test_a_side_without_requests_says_nothing() -> None:
    found = error_increase([(0, 0)], spread(2000, 0), 0.99)
    assert (found.low, found.high) == (-1, 1)
    assert (found.candidate.share, found.candidate.low, found.candidate.high) == (0, 0, 1)
    assert error_increase(spread(2000, 0), [], 0.99).high == 1


def test_everything_failing_is_far_from_nothing_failing() -> None:
    found = error_increase(spread(800, 800), spread(800, 0), 0.995)
    assert (found.difference, found.high) == (1, 1)
    assert found.low > 0.97


def test_counts_are_summed_block_by_block() -> None:
    assert summed([[(3, 1), (0, 0)], [(4, 0), (5, 5)]], 2) == [(7, 1), (5, 5)]
    assert summed([], 2) == [(0, 0), (0, 0)]
