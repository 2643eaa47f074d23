"""What every clock promises, on the fake and on the machine's."""

from __future__ import annotations

import threading
from datetime import UTC, timedelta

import pytest

from pipeline.adapters.clock import InterruptibleClock, SystemClock
from pipeline.ports import Clock
from tests.fakes.clock import FakeClock


@pytest.fixture(params=[FakeClock, SystemClock, lambda: InterruptibleClock(threading.Event())])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


def test_now_is_aware_and_in_utc(clock: Clock) -> None:
    assert clock.now().tzinfo is UTC


def test_sleep_takes_at_least_what_it_was_asked_for(clock: Clock) -> None:
    before = clock.monotonic()
    clock.sleep(0.01)
    assert clock.monotonic() - before >= 0.0099


def test_both_times_go_on_together(clock: Clock) -> None:
    now = clock.now()
    clock.sleep(0.01)
    assert clock.now() - now >= timedelta(seconds=0.009)


def test_a_negative_sleep_is_none(clock: Clock) -> None:
    before = clock.monotonic()
    clock.sleep(-3600)
    assert clock.monotonic() >= before


def test_what_is_interrupted_waits_no_more() -> None:
    interrupted = threading.Event()
    clock = InterruptibleClock(interrupted)
    threading.Timer(0.05, interrupted.set).start()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            clock.sleep(60)
