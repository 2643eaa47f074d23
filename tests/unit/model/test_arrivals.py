"""Planned starts: as many as asked for, independent of each other, and the same in every run."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest

from pipeline.model.arrivals import Schedule


def test_starts_ascend_at_the_rate_asked_for() -> None:
    starts = list(islice(Schedule(50.0, "candidate 0").starts(), 20_000))
    assert all(before < after for before, after in pairwise(starts))
    assert 20_000 / starts[-1] == pytest.approx(50.0, rel=0.03)


def test_gaps_are_those_of_independent_visitors() -> None:
    starts = list(islice(Schedule(10.0, "candidate 0").starts(), 20_000))
    gaps = [after - before for before, after in pairwise(starts)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert variance**0.5 / mean == pytest.approx(1.0, rel=0.05)


def test_the_same_seed_gives_the_same_starts_and_another_one_others() -> None:
    first, again, other = (list(islice(Schedule(5.0, seed).starts(), 10)) for seed in ("a 0", "a 0", "a 1"))
    assert first == again != other


def test_what_is_planned_within_a_time_is_what_the_starts_say() -> None:
    schedule = Schedule(20.0, "baseline 1")
    within = [at for at in islice(schedule.starts(), 1000) if 3.0 <= at < 8.0]
    assert schedule.planned(3.0, 8.0) == len(within) > 50
    assert schedule.planned(0.0, 0.0) == 0


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="not a rate of arrivals"):
        next(Schedule(rate, "a").starts())
