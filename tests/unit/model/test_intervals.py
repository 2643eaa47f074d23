"""Student's t and score intervals, held against printed tables and against what makes them intervals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.intervals import (
    difference_interval,
    normal_quantile,
    score_interval,
    student_quantile,
    within,
)

shares = st.floats(0, 1)
trials = st.floats(0.5, 1e6)


@pytest.mark.parametrize(
    ("confidence", "degrees", "quantile"),
    [
        (0.95, 1, 12.706),
        (0.95, 2, 4.303),
        (0.95, 3, 3.182),
        (0.99, 10, 3.169),
        (0.95, 30, 2.042),
        (0.99, 120, 2.617),
        (0.995, 1, 127.321),
        (0.995, 3, 7.453),
        (0.998, 20, 3.552),
        (0.999, 5, 6.869),
        (0.999, 40, 3.551),
    ],
)
def test_student_quantiles_are_those_of_the_printed_tables(
    confidence: float, degrees: int, quantile: float
) -> None:
    assert student_quantile(confidence, degrees) == pytest.approx(quantile, abs=0.0006)


def test_with_many_degrees_student_is_the_normal_distribution() -> None:
    assert normal_quantile(0.95) == pytest.approx(1.95996, abs=1e-5)
    assert student_quantile(0.995, 20_000) == pytest.approx(normal_quantile(0.995), rel=1e-3)


@given(st.floats(0.5, 0.9999), st.integers(1, 300))
def test_a_student_quantile_holds_as_much_as_it_was_asked_for(confidence: float, degrees: int) -> None:
    assert within(student_quantile(confidence, degrees), degrees) == pytest.approx(confidence, abs=1e-9)


@pytest.mark.parametrize(("confidence", "degrees"), [(0.0, 3), (1.0, 3), (0.95, 0), (float("nan"), 3)])
def test_no_student_quantile_without_confidence_or_degrees(confidence: float, degrees: int) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        student_quantile(confidence, degrees)


def test_wilson_as_published() -> None:
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29, each at 95 %
    z = normal_quantile(0.95)
    found = [
        score_interval(hits / trials, trials, z) for hits, trials in ((81, 263), (15, 148), (0, 20), (1, 29))
    ]
    published = [(0.2553, 0.3662), (0.0624, 0.1605), (0.0, 0.1611), (0.0061, 0.1718)]
    for interval, expected in zip(found, published, strict=True):
        assert interval == pytest.approx(expected, abs=5e-5)


def test_newcombe_as_published() -> None:
    # Newcombe 1998, table II, method 10: 56/70 less 48/80, 9/10 less 3/10, 10/10 less 0/20, at 95 %
    z = normal_quantile(0.95)
    cases = [((56, 70), (48, 80)), ((9, 10), (3, 10)), ((10, 10), (0, 20))]
    found = [difference_interval((a / n, n), (b / m, m), z) for (a, n), (b, m) in cases]
    published = [(0.0524, 0.3339), (0.1705, 0.8090), (0.6791, 1.0)]
    for interval, expected in zip(found, published, strict=True):
        assert interval == pytest.approx(expected, abs=5e-5)


@given(shares, trials, shares, trials)
def test_intervals_hold_what_was_seen_and_swap_with_the_sides(p: float, n: float, q: float, m: float) -> None:
    low, high = score_interval(p, n, 2.8)
    assert 0 <= low <= p + 1e-9
    assert p - 1e-9 <= high <= 1
    down, up = difference_interval((p, n), (q, m), 2.8)
    assert -1 <= down <= p - q + 1e-9
    assert p - q - 1e-9 <= up <= 1
    assert difference_interval((q, m), (p, n), 2.8) == pytest.approx((-up, -down))


@pytest.mark.parametrize(
    ("share", "count"), [(-0.1, 5), (1.1, 5), (0.5, 0), (float("nan"), 5), (0.5, float("nan"))]
)
def test_no_interval_of_what_is_no_share(share: float, count: float) -> None:
    with pytest.raises(ValueError, match="no share"):
        score_interval(share, count, 2)
