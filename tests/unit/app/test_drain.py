from __future__ import annotations

import pytest

from app.drain import Drain


class HandClock:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def drain(clock: HandClock) -> Drain:
    return Drain(limit=5.0, quiet=1.0, clock=clock)


def test_a_server_that_was_not_asked_to_stop_is_never_drained(drain: Drain, clock: HandClock) -> None:
    clock.now += 1000
    assert not drain.draining
    assert not drain.drained()


def test_an_idle_server_has_drained_after_the_quiet_time(drain: Drain, clock: HandClock) -> None:
    drain.begin()
    clock.now += 0.9
    assert drain.draining
    assert not drain.drained()
    clock.now += 0.1
    assert drain.drained()


def test_being_idle_before_it_was_asked_does_not_count(drain: Drain, clock: HandClock) -> None:
    drain.request_started()
    drain.request_finished()
    clock.now += 60
    drain.begin()
    assert not drain.drained()


def test_each_request_starts_the_quiet_time_again(drain: Drain, clock: HandClock) -> None:
    drain.begin()
    for _ in range(4):
        clock.now += 0.9
        drain.request_started()
        drain.request_finished()
        assert not drain.drained()
    clock.now += 1.0
    assert drain.drained()


def test_what_is_in_flight_holds_it_open(drain: Drain, clock: HandClock) -> None:
    drain.request_started()
    drain.begin()
    clock.now += 4.9
    assert not drain.drained()
    drain.request_finished()
    assert not drain.drained()


def test_the_limit_ends_it_however_busy_it_is(drain: Drain, clock: HandClock) -> None:
    drain.begin()
    drain.request_started()
    clock.now += 5.0
    assert drain.drained()


def test_asking_again_does_not_extend_the_limit(drain: Drain, clock: HandClock) -> None:
    drain.request_started()
    drain.begin()
    clock.now += 3.0
    drain.begin()
    clock.now += 2.0
    assert drain.drained()


def test_without_drain_time_it_stops_at_once(clock: HandClock) -> None:
    drain = Drain(limit=0.0, clock=clock)
    drain.begin()
    assert drain.drained()
