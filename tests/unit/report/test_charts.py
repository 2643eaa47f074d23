"""Scales and drawings: where values lie, which are named, what an empty one says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.charts import Curve, Line, curves, distribution, strip
from pipeline.report.reading import Recorded
from pipeline.report.scales import Scale, rounded_up
from pipeline.report.wording import binary_size, digits, interval, milliseconds, plain, ratio, seconds, when

FINITE = st.floats(1e-6, 1e9)


@given(FINITE, FINITE, FINITE, st.booleans())
def test_a_place_is_on_the_drawing_and_in_order(low: float, high: float, value: float, log: bool) -> None:
    scale = Scale(min(low, high), max(low, high), 10.0, 90.0, log=log)
    assert 10.0 <= scale(value) <= 90.0
    assert scale(low) <= scale(high) or low >= high


@given(FINITE, st.floats(1.01, 1e5), st.booleans())
def test_an_axis_names_a_few_values_that_lie_on_it(low: float, factor: float, log: bool) -> None:
    scale = Scale(low, low * factor, 0.0, 1.0, log=log)
    ticks = scale.ticks(5)
    assert len(ticks) <= 8
    assert all(low * 0.99 <= tick <= low * factor * 1.01 for tick in ticks)
    assert ticks == sorted(ticks)


@pytest.mark.parametrize(
    ("low", "high", "log", "ticks"),
    [
        (0.0, 20.0, False, [0, 5, 10, 15, 20]),
        (0.0, 0.8, False, [0, 0.2, 0.4, 0.6, 0.8]),
        (1.0, 30.0, True, [1, 2, 5, 10, 20]),
        (1.0, 1e5, True, [1, 10, 100, 1000, 10000, 100000]),
        (5.0, 5.0, False, [5.0]),
    ],
)
def test_named_values_are_round(low: float, high: float, log: bool, ticks: list[float]) -> None:
    assert Scale(low, high, 0.0, 1.0, log=log).ticks(5) == pytest.approx(ticks)


@given(FINITE)
def test_an_axis_ends_above_its_values_but_not_far(value: float) -> None:
    assert value * 0.99999 <= rounded_up(value) <= value * 2.01


def test_an_axis_of_nothing_has_a_length() -> None:
    assert (rounded_up(0.0), rounded_up(-1.0)) == (1.0, 1.0)


def test_curves_of_nothing_are_not_drawn_but_said() -> None:
    for drawn in ([], [Curve("a", "candidate", [(0.0, None)])]):
        assert "<svg" not in curves("p95", "ms", drawn)
        assert "not recorded" in curves("p95", "ms", drawn)
    assert "not recorded" in distribution("latencies", {})
    assert "not recorded" in distribution("latencies", {"candidate": ("candidate", {3: 0})})


def test_a_single_second_is_a_visible_point() -> None:
    drawn = curves("p95", "ms", [Curve("a", "candidate", [(0.0, 2.0)])])
    assert re.search(r'class="curve candidate" d="M(\S+ \S+)L\1"', drawn)


def test_what_is_drawn_is_told_too() -> None:
    drawn = curves("p95, ms", "ms", [Curve("a", "candidate", [(0.0, 2.0), (1.0, 9.0), (2.0, 4.0)])])
    assert 'aria-label="p95, ms over time. a: 2 to 9 ms, median 4 ms"' in drawn
    assert "<title>1 s: a 9 ms</title>" in drawn


def test_a_distribution_of_one_value_is_drawn() -> None:
    drawn = distribution(
        "latencies", {"candidate": ("candidate", {900: 5}), "baseline": ("production", {900: 1})}
    )
    assert drawn.count('class="area') == 2
    assert "nan" not in drawn


def test_shares_of_a_distribution_do_not_depend_on_how_much_was_asked() -> None:
    few, many = {800: 1, 900: 3}, {800: 100, 900: 300}
    drawn = distribution("latencies", {"candidate": ("a", few), "baseline": ("b", many)})
    paths = re.findall(r'class="area \w+" d="([^"]+)"', drawn)
    assert paths[0] == paths[1]


def test_an_interval_that_leaves_the_scale_ends_at_its_edge() -> None:
    scale, bounds = Scale(0.5, 2.0, 0.0, 100.0, log=True), [Line("same", "same", 1.0)]
    drawn = strip("x", scale, (0.1, 1.0, 9.0), bounds)
    assert 'd="M0.00 10H100.00"' in drawn
    assert 'd="M50.00 10h.01"' in drawn
    assert 'aria-label="x"' in drawn
    bare = strip("x", scale, None, bounds)
    assert bare.count("<path") == 1, "the bound goes on through a row that has no interval"
    assert 'aria-hidden="true"' in bare


@pytest.mark.parametrize("value", [0.7, 1.2, 2.3, 3.7, 4.1, 5.5, 6.4, 7.9, 9.2, 87, 430])
def test_an_axis_ends_with_a_line_that_is_named(value: float) -> None:
    top = rounded_up(value)
    assert Scale(0.0, top, 0.0, 100.0).ticks(4)[-1] == pytest.approx(top)


def test_where_nothing_failed_that_is_said_beside_the_flat_line() -> None:
    assert "(none)" in curves("Failed requests", "per s", [Curve("a", "candidate", [(0, 0.0), (1, 0.0)])])
    assert "(none)" not in curves("Failed requests", "per s", [Curve("a", "candidate", [(0, 0.0), (1, 2.0)])])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.00449, "0.0045"),
        (0.5, "0.5"),
        (2.694, "2.69"),
        (53.04, "53"),
        (128.6, "129"),
        (-2.5, "−2.5"),
        (12345.6, "12,346"),
    ],
)
def test_numbers_have_the_digits_that_mean_something(value: float, text: str) -> None:
    assert digits(value) == text


def test_values_are_shown_with_units_and_what_is_missing_as_missing() -> None:
    assert [milliseconds(each) for each in (2.694, 5.2, 41.0, 1234.5)] == [
        "2.69 ms",
        "5.20 ms",
        "41.0 ms",
        "1,234 ms",
    ]
    assert (binary_size(Recorded(60_712_550)), binary_size(Recorded(24 * 2**30))) == ("57.9 MiB", "24.0 GiB")
    assert seconds(119.0) == "119 s"
    assert seconds(125.0) == "2 min 5 s"
    assert "not recorded" in milliseconds(Recorded("x"))
    assert interval(Recorded(1.5), (1.25, 1.75), ratio) == "1.50 <small>1.25 to 1.75</small>"
    assert interval(Recorded(1.5), None, ratio) == "1.50"
    assert "not recorded" in interval(Recorded(), (1.0, 2.0), ratio)


def test_a_line_that_is_very_long_is_cut() -> None:
    assert len(plain("x" * 5000)) < 500


def test_what_a_document_says_is_read_without_trusting_it() -> None:
    found = Recorded(
        {"n": 1, "t": "x", "at": "2026-01-01T00:00:00", "i": [2, 1], "nan": float("nan"), "yes": True}
    )
    assert (found["n"].number, found["t"].number, found["nan"].number, found["yes"].number) == (
        1,
        None,
        None,
        None,
    )
    assert (found["n"].text, found["i"].text, found["none"].text) == ("1", "", "")
    assert found["at"].moment is not None
    assert when(found["at"].moment) == "2026-01-01 00:00:00 UTC"
    assert (found["t"].moment, found["n"].moment) == (None, None)
    assert (found["i"].interval, Recorded([1, 2]).interval, Recorded([1]).interval) == (
        None,
        (1.0, 2.0),
        None,
    )
    assert (list(found["t"]), found["t"].items(), found["t"]["deeper"].value) == ([], [], None)
    assert (bool(found["n"]), bool(Recorded(0)), bool(Recorded("")), bool(Recorded())) == (
        True,
        True,
        False,
        False,
    )
