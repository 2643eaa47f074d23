"""The report as a browser shows it: whole, by itself, on a phone and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline.report.html import page as report
from tests import browser
from tests.browser import Page
from tests.run_documents import (
    HOSTILE,
    first_run,
    hostile_cases,
    hostile_run,
    passed_run,
    refused_run,
    suite_cases,
)

REPORTS = {
    "passed": (passed_run, suite_cases),
    "first": (first_run, suite_cases),
    "refused": (refused_run, suite_cases),
    "hostile": (hostile_run, hostile_cases),
}
CURVES = """[...document.querySelectorAll('.curve')].map(path => {
    const box = path.getBoundingClientRect();
    return {kind: path.classList[1], points: path.getAttribute('d').split(/[ML]/).length - 1,
            wide: box.width, high: box.height, drawn: path.getTotalLength(), stroke: getComputedStyle(path).stroke};
})"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One browser for all of these tests."""
    if not browser.program():
        pytest.skip(f"no browser to show a report in: none of {', '.join(browser.PROGRAMS)} is installed")
    with browser.browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Each report as a file."""
    folder = tmp_path_factory.mktemp("reports")
    found = {}
    for name, (document, cases) in REPORTS.items():
        path = folder / f"{name}.html"
        path.write_text(report(document(), cases()), "utf-8")
        found[name] = path.as_uri()
    return found


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_asks_for_nothing_and_complains_of_nothing(
    shown: Page, addresses: dict[str, str], name: str
) -> None:
    shown.open(addresses[name])
    assert shown.requested[0] == addresses[name]
    assert [address for address in shown.requested[1:] if not address.startswith("data:")] == []
    assert shown.complaints == []


def test_what_would_ask_or_complain_is_seen(shown: Page, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<img src='http://127.0.0.1:9/x.png'><script>console.error('no'); throw new Error('oh')</script>"
    )
    shown.open(bad.as_uri())
    assert "http://127.0.0.1:9/x.png" in shown.requested
    assert any("no" in text for text in shown.complaints)
    assert any("Uncaught" in text for text in shown.complaints)


def test_what_an_application_says_is_text(shown: Page, addresses: dict[str, str]) -> None:
    shown.open(addresses["hostile"])
    assert shown.evaluate("document.querySelectorAll('script, img, iframe, object').length") == 0
    assert shown.evaluate("document.body.textContent").count(HOSTILE) >= 5


def test_the_policy_stops_a_script_should_one_ever_get_in(
    shown: Page, addresses: dict[str, str], tmp_path: Path
) -> None:
    clean = Path(addresses["passed"].removeprefix("file://")).read_text("utf-8")
    broken = tmp_path / "broken.html"
    broken.write_text(clean.replace("</main>", "<script>document.title = 'taken'</script></main>"))
    shown.open(broken.as_uri())
    assert shown.evaluate("document.title") != "taken"
    assert any("Content Security Policy" in text for text in shown.complaints)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_curves_are_drawn(shown: Page, addresses: dict[str, str], width: int, scheme: str) -> None:
    shown.size(width)
    shown.scheme(scheme)
    shown.open(addresses["passed"])
    curves: list[dict[str, Any]] = shown.evaluate(CURVES)
    assert [curve["kind"] for curve in curves] == ["candidate", "baseline"] * 4
    for curve in curves:
        assert curve["points"] >= 20
        assert curve["wide"] > 200
        assert curve["drawn"] > 200
        assert curve["stroke"] not in ("none", "rgba(0, 0, 0, 0)")
    assert all(curve["high"] > 10 for curve in curves[:6]), "requests, p50 and p95 go up and down"
    areas = shown.evaluate("[...document.querySelectorAll('.area')].map(area => area.getBBox().height)")
    assert len(areas) == 2
    assert min(areas) > 50


def test_curves_and_latencies_of_a_load_without_a_baseline_are_drawn(
    shown: Page, addresses: dict[str, str]
) -> None:
    shown.size(1280)
    shown.open(addresses["first"])
    assert [curve["kind"] for curve in shown.evaluate(CURVES)] == ["candidate"] * 4
    areas = shown.evaluate("[...document.querySelectorAll('.area')].map(area => area.getBBox().height)")
    assert len(areas) == 1
    assert areas[0] > 50


def test_intervals_are_drawn_where_they_are(shown: Page, addresses: dict[str, str]) -> None:
    shown.size(1280)
    shown.open(addresses["refused"])
    at = """[...document.querySelectorAll('.forest')[0].querySelectorAll('tbody tr:has(.dot)')].map(row => ({
        name: row.cells[0].textContent, dot: row.querySelector('.dot').getBoundingClientRect().x,
        tolerated: row.querySelector('.tolerated').getBoundingClientRect().x, why: row.cells[3].textContent}))"""
    rows: list[dict[str, Any]] = shown.evaluate(at)
    refused = {row["name"] for row in rows if "refused" in row["why"]}
    assert len(rows) > 4
    assert refused >= {"GET /api/vets · p50"}
    assert {row["name"] for row in rows if row["dot"] > row["tolerated"]} >= refused


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_shows_it_without_scrolling_sideways(
    shown: Page, addresses: dict[str, str], name: str, width: int
) -> None:
    shown.size(width)
    shown.open(addresses[name])
    assert shown.evaluate("innerWidth") == width
    assert shown.evaluate(OVERFLOW) == 0
    beyond = "[...document.querySelectorAll('.scale span')].map(s => s.getBoundingClientRect().right)"
    assert max(shown.evaluate(beyond)) <= width
    assert (
        shown.evaluate("Math.min(...[...document.querySelectorAll('.chart')].map(c => c.clientWidth))") > 250
    )


@pytest.mark.parametrize("name", REPORTS)
def test_dark_and_light_are_two_looks_with_readable_text(
    shown: Page, addresses: dict[str, str], name: str
) -> None:
    found = {}
    for scheme in ("light", "dark"):
        shown.scheme(scheme)
        shown.open(addresses[name])
        found[scheme] = shown.evaluate(_CONTRASTS)
    assert found["light"]["page"] != found["dark"]["page"]
    for look in found.values():
        assert len(look["ratios"]) > 15, "kinds of text"
        assert {kind: ratio for kind, ratio in look["ratios"].items() if ratio < 4.5} == {}


_CONTRASTS = """(() => {
    const parts = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
    const light = colour => parts(colour).map(v => v / 255)
        .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
    const clear = 'rgba(0, 0, 0, 0)';
    const behind = element => {
        while (element && getComputedStyle(element).backgroundColor === clear) element = element.parentElement;
        return element ? getComputedStyle(element).backgroundColor : 'rgb(255, 255, 255)';
    };
    const ratios = {};
    for (const element of document.querySelectorAll('body *:not(title)')) {
        if (![...element.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.textContent.trim())) continue;
        const svg = element.closest('svg'), style = getComputedStyle(element);
        const [a, b] = [light(svg ? style.fill : style.color), light(behind(svg ? svg.parentElement : element))]
            .sort((x, y) => y - x);
        const kind = `${element.tagName} ${element.getAttribute('class') || ''}`;
        ratios[kind] = Math.min(ratios[kind] || 21, (a + 0.05) / (b + 0.05));
    }
    return {page: getComputedStyle(document.body).backgroundColor, ratios};
})()"""


def test_it_is_printed_with_its_charts(shown: Page, addresses: dict[str, str], tmp_path: Path) -> None:
    shown.scheme("dark")
    shown.open(addresses["passed"])
    paper = shown.pdf()
    assert paper.startswith(b"%PDF-")
    assert 2 <= paper.count(b"/Type /Page\n") <= 12
    shown.ask("Emulation.setEmulatedMedia", media="print")
    try:
        assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert shown.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
        scrolled = "[...document.querySelectorAll('.wide')].map(e => getComputedStyle(e).overflowX)"
        assert set(shown.evaluate(scrolled)) == {"visible"}
    finally:
        shown.ask("Emulation.setEmulatedMedia", media="")


def test_headings_charts_and_tables_can_be_told_apart_without_seeing_them(
    shown: Page, addresses: dict[str, str]
) -> None:
    shown.open(addresses["passed"])
    levels = shown.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    unnamed = "document.querySelectorAll('svg:not([aria-label]):not([aria-hidden])').length"
    assert shown.evaluate(unnamed) == 0
    bare = "document.querySelectorAll('table:not(:has(caption)), table:not(:has(th[scope=row]))').length"
    assert shown.evaluate(bare) == 0
    twice = "(ids => ids.length - new Set(ids).size)([...document.querySelectorAll('[id]')].map(e => e.id))"
    assert shown.evaluate(twice) == 0
    lost = (
        "[...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.querySelector(a.hash)).length"
    )
    assert shown.evaluate(lost) == 0
