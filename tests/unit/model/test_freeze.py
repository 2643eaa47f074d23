from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.model.freeze import parse_window

WEEKEND = "Fri 16:00–Mon 08:00 Europe/Berlin"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "frozen"),
    [
        ("2026-03-06T14:59:59", False),  # Friday 15:59:59 in Berlin
        ("2026-03-06T15:00:00", True),
        ("2026-03-08T23:00:00", True),
        ("2026-03-09T06:59:59", True),
        ("2026-03-09T07:00:00", False),
        ("2026-03-11T12:00:00", False),
        ("2026-07-03T13:59:59", False),  # summer time: two hours ahead
        ("2026-07-03T14:00:00", True),
    ],
)
def test_a_window_over_the_weekend_goes_by_the_wall_clock_there(moment: str, frozen: bool) -> None:
    assert parse_window(WEEKEND).holds(utc(moment)) is frozen


@pytest.mark.parametrize(
    ("moment", "frozen"),
    [
        ("2026-03-03T08:59", False),
        ("2026-03-03T09:00", True),
        ("2026-03-04T16:59", True),
        ("2026-03-04T17:00", False),
    ],
)
def test_a_window_within_the_week(moment: str, frozen: bool) -> None:
    assert parse_window("Tue 09:00-Wed 17:00 UTC").holds(utc(moment)) is frozen


def test_a_window_keeps_the_words_it_was_written_in() -> None:
    window = parse_window(WEEKEND)
    assert window.text == WEEKEND
    assert parse_window(window) is window


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Fri 16:00",
        "Fri 16:00–Mon 08:00",
        "Fri 24:00–Mon 08:00 UTC",
        "Fri 16:60–Mon 08:00 UTC",
        "fri 16:00–mon 08:00 UTC",
        "Friday 16:00–Mon 08:00 UTC",
        "Fri 16:00–Mon 08:00 UTC trailing",
        " Fri 16:00–Mon 08:00 UTC",
        16,
        None,
    ],
)
def test_anything_else_is_refused_with_the_form_that_is_right(text: object) -> None:
    with pytest.raises(ValueError, match="two times of the week and a time zone"):
        parse_window(text)


@pytest.mark.parametrize("zone", ["Europe/Berlyn", "../etc/passwd", "/etc/localtime", "Europe"])
def test_a_time_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        parse_window(f"Fri 16:00–Mon 08:00 {zone}")


def test_a_window_that_is_empty_or_always_is_refused() -> None:
    with pytest.raises(ValueError, match="another time of the week"):
        parse_window("Fri 16:00–Fri 16:00 UTC")
