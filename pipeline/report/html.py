"""A run as one HTML file: no script, nothing from elsewhere, readable on a phone and on paper.

Made of the run's JSON document alone (docs/reference/cli.md, "JSON"), and the integration tests' results. What the
document does not say is shown as not recorded; nothing in it can stop a report from being made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipeline.errors import ExitCode
from pipeline.model.suite import SuiteCase
from pipeline.report import load, provenance, rollout, testing
from pipeline.report.reading import Recorded
from pipeline.report.scales import Scale
from pipeline.report.wording import (
    NONE,
    Text,
    chip,
    code,
    join,
    moment,
    pairs,
    reasons,
    said,
    seconds,
    section,
    short,
)

_NOT_TEXT = re.compile("[^\\t\\n\\r\\u0020-\\u007e\\u00a0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
_TICKS = 5

_AT_END = 92.0
"""Per cent of the way from which a tick's name would not fit on a phone, were it in the middle below it."""

_MINUTES = 120.0
"""Seconds from which a run is told in minutes."""

# Belt and braces: should anything be let through unescaped, the browser runs and fetches nothing all the same.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

_PAGE = Markup(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="onedigest">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<header>{header}</header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main>{sections}</main>
<footer>onedigest run {run}</footer>
</body>
</html>
"""
)


def page(document: Mapping[str, Any], cases: Sequence[SuiteCase] = ()) -> str:
    """The report of the run that `document` describes; `cases` are the results of its own integration tests."""
    run = Recorded(document)
    found = list(_sections(run, cases))
    sections = join(section(name, title, content) for name, title, content in found)
    links = join(Markup('<li><a href="#{}">{}</a></li>').format(name, title) for name, title, _ in found)
    made = _PAGE.format(
        policy=_POLICY,
        title=f"{_subject(run)}: {run['command'].text} {run['outcome'].text}",
        style=_style(),
        header=_header(run),
        links=links,
        sections=sections,
        run=run["run_id"].text,
    )
    return _NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", made)


@cache
def _style() -> Markup:
    return Markup(Path(__file__).with_name("style.css").read_text("utf-8"))  # noqa: S704 – our own file


def _sections(run: Recorded, cases: Sequence[SuiteCase]) -> list[tuple[str, str, Text]]:
    stages = list(run["stages"])
    named = {stage["name"].text: stage for stage in stages}
    found: list[tuple[str, str, Text]] = [("stages", "Stages", _timeline(stages))]
    if "build" in named:
        found.append(("image", "Image", provenance.image(named["build"])))
    if "integration" in named:
        found.append(("tests", "Tests", testing.told(named["integration"], cases)))
    for stage in stages:
        name = stage["name"].text
        if stage["facts"]["deployment"]:
            where = stage["environment"].text or name
            found.append((f"rollout-{name}", f"Rollout to {where}", rollout.told(stage)))
        if load.has_load(stage):
            found.append((f"load-{name}", "Load", load.told(stage, run["settings"])))
    found.append(("evidence", "Evidence", provenance.chain(run)))
    found.append(("environment", "Machine and settings", provenance.surroundings(run)))
    return found


def _subject(run: Recorded) -> str:
    image = run["image"].text
    name = run["settings"]["app"].text or image.partition("@")[0].rpartition("/")[2]
    return " ".join(part for part in (name, short(run["digest"].text)) if part) or "no image"


def _header(run: Recorded) -> Markup:
    stages = list(run["stages"])
    last = stages[-1] if stages else Recorded()
    to = f" to {run['environment'].text}" if run["environment"] else ""
    return Markup('<p class="kind">onedigest {}{}</p><h1>{}</h1><p class="result">{} {}</p>{}{}').format(
        run["command"].text,
        to,
        _subject(run),
        chip(run["outcome"].text),
        _sentence(run, stages),
        reasons(last) if run["outcome"].text != "passed" else "",
        _facts(run, stages),
    )


def _sentence(run: Recorded, stages: Sequence[Recorded]) -> str:
    if not stages:
        return "No stage was run."
    names = [stage["name"].text for stage in stages]
    if run["outcome"].text == "passed":
        reused = sum(stage["reused"].flag for stage in stages)
        again = f", {reused} of {len(stages)} by an earlier record" if reused else ""
        return f"{_listed(names)} passed{again}."
    good = [stage["name"].text for stage in stages if stage["outcome"].text == "passed"]
    return f"{names[-1]} did not pass{_code(run)}." + (f" {_listed(good)} passed." if good else "")


def _code(run: Recorded) -> str:
    number = run["exit_code"].number
    known = {int(each): each.name.lower().replace("_", " ") for each in ExitCode}
    return f": {known[int(number)]}, exit code {number:.0f}" if number in known else ""


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _facts(run: Recorded, stages: Sequence[Recorded]) -> Markup:
    commit = run["commit"].text or next(
        (s["facts"]["commit"].text for s in stages if s["facts"]["commit"]), ""
    )
    began, ended = _span(stages)
    return pairs(
        [
            ("image", code(run["image"].text)),
            ("commit", code(commit)),
            ("began", moment(stages[0]["started"]) if stages else NONE),
            ("took", seconds((ended - began).total_seconds()) if began and ended else NONE),
            ("run", said(run["run_id"])),
        ]
    )


def _span(stages: Sequence[Recorded]) -> tuple[datetime | None, datetime | None]:
    began = [at for stage in stages if (at := stage["started"].moment)]
    ended = [at for stage in stages if (at := stage["finished"].moment)]
    return (min(began), max(ended)) if began and ended else (None, None)


def _timeline(stages: Sequence[Recorded]) -> Markup:
    """A bar a stage over the time of the whole run."""
    if not stages:
        return Markup("<p>No stage was run.</p>")
    began, ended = _span(stages)
    whole = (ended - began).total_seconds() if began and ended else 0.0
    bars = join(_bar(stage, began, whole) for stage in stages)
    return Markup('<ol class="timeline">{}</ol>{}').format(bars, _scale(whole))


def _bar(stage: Recorded, began: datetime | None, whole: float) -> Markup:
    at, until = stage["started"].moment, stage["finished"].moment
    outcome = "reused" if stage["reused"].flag else stage["outcome"].text
    bar = Markup("")
    if at and until and began and whole > 0:
        left = (at - began).total_seconds() / whole * 100
        width = (until - at).total_seconds() / whole * 100
        bar = Markup('<span class="bar {}" style="left:{:.2f}%;width:{:.2f}%"></span>').format(
            outcome if outcome in ("passed", "refused", "reused") else "undecided", left, width
        )
    # Why a stage did not pass stands right above, in the page's head.
    said_in_short = reasons(stage) if stage["outcome"].text == "passed" else Markup("")
    return Markup(
        '<li><span class="stage">{}</span><span class="track" aria-hidden="true">{}</span>'
        '<span class="took">{} {}</span>{}</li>'
    ).format(_linked(stage), bar, chip(outcome), seconds(stage["seconds"]), said_in_short)


def _linked(stage: Recorded) -> Text:
    """A stage's name, leading to the section that says most of it."""
    name = stage["name"].text
    known = {"build": "image", "integration": "tests"}
    told = "load" if load.has_load(stage) else "rollout" if stage["facts"]["deployment"] else ""
    place = known.get(name) or (f"{told}-{name}" if told else "")
    return Markup('<a href="#{}">{}</a>').format(place, name) if place else name


def _scale(whole: float) -> Markup:
    if whole <= 0:
        return Markup("")
    unit, size = ("min", 60.0) if whole >= _MINUTES else ("s", 1.0)
    scale = Scale(0.0, whole / size, 0.0, 100.0)
    ticks = [
        Markup('<span{} style="left:{:.1f}%">{:g} {}</span>').format(
            Markup(' class="end"') if scale(tick) > _AT_END else "", scale(tick), tick, unit
        )
        for tick in scale.ticks(_TICKS)
    ]
    return Markup('<p class="scale" aria-hidden="true">{}</p>').format(join(ticks))
