from __future__ import annotations

import pytest

from pipeline.waiting import poll
from tests.fakes.clock import FakeClock


def test_what_is_there_already_is_given_without_a_sleep() -> None:
    clock = FakeClock()
    assert poll(lambda: "there", every=1, deadline=10, clock=clock) == "there"
    assert clock.slept == []


def test_it_is_given_at_the_first_look_after_it_is_there() -> None:
    clock = FakeClock()
    there: list[str] = []
    clock.at(2.5, lambda: there.append("x"))
    assert poll(lambda: there or None, every=1, deadline=10, clock=clock) == ["x"]
    assert clock.monotonic() == 3


def test_zero_and_false_are_answers() -> None:
    assert poll(lambda: 0, every=1, deadline=10, clock=FakeClock()) == 0
    assert poll(lambda: False, every=1, deadline=10, clock=FakeClock()) is False


def test_the_deadline_ends_the_wait_with_a_last_look_at_that_moment() -> None:
    clock = FakeClock()
    there: list[str] = []
    assert poll(lambda: there or None, every=3, deadline=10, clock=clock) is None
    assert clock.slept == [3, 3, 3, 1]
    clock.at(19.9, lambda: there.append("x"))
    assert poll(lambda: there or None, every=30, deadline=20, clock=clock) == ["x"]


def test_a_deadline_that_has_passed_still_gets_one_look() -> None:
    looks: list[int] = []
    assert poll(lambda: looks.append(1), every=1, deadline=-5, clock=FakeClock()) is None
    assert looks == [1]


def test_what_the_look_raises_ends_the_wait() -> None:
    def look() -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        poll(look, every=1, deadline=10, clock=FakeClock())
