"""How far a clock is off, from answers whose Date tells seconds."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from pipeline.adapters.load_clock import Comparison


def asked(offset: float, *, every: float = 0.1, took: float = 0.02, times: int = 25) -> Comparison:
    """A machine whose clock is ahead by `offset` asks again and again, from half a second on."""
    comparison = Comparison()
    for number in range(times):
        true = 1_800_000_000.45 + number * every
        sent, came = true + offset, true + took + offset
        comparison.answer(formatdate(int(true + took / 2), usegmt=True), sent, came)
    return comparison


@pytest.mark.parametrize("offset", [0.0, 0.03, -7.25, 3600.5])
def test_the_offset_is_known_within_the_time_between_two_questions(offset: float) -> None:
    found = asked(offset)
    assert found.offset is not None
    assert found.within <= 0.0601
    assert abs(found.offset - offset) <= found.within


def test_it_is_not_known_before_a_second_has_begun() -> None:
    assert asked(0.0, times=3).offset is None


def test_the_better_measurement_stays() -> None:
    comparison = asked(1.0)
    offset, within = comparison.offset, comparison.within
    assert offset is not None
    comparison.answer(formatdate(1_800_000_060, usegmt=True), 1_800_000_090.0, 1_800_000_091.0)
    assert (comparison.offset, comparison.within) == (offset, within)


def test_what_is_no_date_is_not_in_form() -> None:
    with pytest.raises(ValueError, match=r".+"):
        Comparison().answer("yesterday", 0.0, 1.0)
