"""What an open quantile needs, in seconds and in requests a second."""

from __future__ import annotations

import math

import pytest

from pipeline.model.findings import MORE, Measured, Subject, judge_ratio
from pipeline.model.relative_rules import ALL, RelativeRules
from pipeline.model.shortfall import Shortfall

TAIL = Subject(ALL, "p99", 0.99)


def short(samples: int, seconds: float = 64.0, cap: float = 64.0) -> Shortfall:
    """Of 6,000 requests a side that p99 needs."""
    found = judge_ratio(TAIL, Measured(None, samples, 0.0, 0.0), RelativeRules(), 0.995)
    return Shortfall(found, seconds, cap)


def test_it_tells_the_time_at_the_rate_so_far_and_the_load_that_would_do() -> None:
    half = short(3000, seconds=60.0, cap=60.0)
    assert (half.rate, half.in_all, half.beyond) == (50.0, 120.0, True)
    assert half.reason.text == (
        "p99 of all requests rests on 3,000 requests a side, 6,000 are needed "
        "(at 50 requests/s a side that is about 60 s more)"
    )
    assert half.reason.remedy == (
        "raise load.max_duration to about 120 s, or load.users (load.arrivals, where it is set) to about 2.0 times as "
        "many, 100 requests/s a side"
    )


def test_what_is_reached_in_time_needs_no_other_setting() -> None:
    early = short(1600, seconds=16.0, cap=64.0)
    assert early.in_all == pytest.approx(60.0)
    assert not early.beyond
    assert "about 44 s more" in early.reason.text
    assert early.reason.remedy == MORE


def test_it_asks_for_no_less_than_is_needed() -> None:
    """Rounded up: with what it says, nothing is missing any more."""
    found = short(5990)
    assert "about 1 s more" in found.reason.text
    assert "to about 65 s" in found.reason.remedy
    assert "to about 1.1 times" in found.reason.remedy


def test_a_slow_rate_has_a_decimal() -> None:
    assert "at 1.5 requests/s a side" in short(96).reason.text


def test_where_nobody_can_tell_how_many_are_missing_no_time_is_told() -> None:
    found = short(6500)
    assert "do not bound the ratio" in found.reason.text
    assert (found.reason.remedy, found.beyond) == (MORE, False)
    assert "/s" not in found.reason.text


def test_without_a_request_nothing_can_be_told_of_time() -> None:
    none = short(0)
    assert (none.rate, none.in_all, none.beyond) == (0.0, math.inf, False)
    assert none.reason.remedy == MORE
    assert none.reason.text == "p99 of all requests rests on 0 requests a side, 6,000 are needed"
