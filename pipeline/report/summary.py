"""A run as Markdown, and as outputs of a GitHub Actions step."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from textwrap import indent
from typing import Any

from pipeline.model.relative_rules import ALL
from pipeline.report.reading import Recorded
from pipeline.report.wording import MARKS, milliseconds, plain, seconds

_CODE = re.compile("(`[^`]+`)")
_SPECIAL = re.compile(r"[\\`*<\[]|&(?=#?\w+;)")


def markdown(document: Mapping[str, Any]) -> str:
    """The run's JSON document as a Markdown summary: why it did not pass and what to do, stages, load, rollouts."""
    run = Recorded(document)
    outcome = run["outcome"].text
    stages = list(run["stages"])
    image = run["image"].text
    lines = [
        f"### {MARKS.get(outcome, '?')} onedigest {run['command'].text}: {outcome}",
        "",
        f"`{image}`" if image else "no image",
        *(line for stage in stages for line in _why(stage)),
        "",
        "| stage | outcome | time | |",
        "|---|---|---:|---|",
        *map(_row, stages),
    ]
    for stage in stages:
        lines += _comparison(stage["facts"]["comparison"])
        lines += _probe(stage["name"].text, stage["facts"]["deployment"]["probe"])
    end = [f"run `{run['run_id'].text}`"]
    if run["report"]:
        end.append(f"report `{run['report'].text}`")
    return "\n".join([*lines, "", ", ".join(end), ""])


def _why(stage: Recorded) -> Iterator[str]:
    """What a stage that did not pass says, each reason with its next step."""
    if stage["outcome"].text == "passed":
        return
    yield ""
    yield f"**{_plain(stage['name'].text)}** did not pass:"
    for reason in stage["reasons"]:
        first, _, rest = plain(reason["text"].text).partition("\n")
        yield ""
        yield f"- {_plain(first)}"
        if rest:
            # Every line of it stands within the list's item, else the rest of the summary would be part of it.
            yield indent(f"<pre>\n{escape(rest, quote=False)}\n</pre>", "  ", lambda _: True)
        if reason["remedy"]:
            yield f"  <br>next: {_plain(reason['remedy'].text)}"


def _row(stage: Recorded) -> str:
    outcome = "reused" if stage["reused"].flag else stage["outcome"].text
    said = stage["reasons"] if stage["outcome"].text == "passed" else ()
    told = "<br>".join(_cell(reason["text"].text) for reason in said)
    word = f"{MARKS.get(outcome, '?')} {_cell(outcome)}"
    return f"| {_cell(stage['name'].text)} | {word} | {seconds(stage['seconds'])} | {told} |"


def github_outputs(document: Mapping[str, Any]) -> str:
    """`name=value` lines: outcome, digest, image, run_id, report."""
    names = ("outcome", "digest", "image", "run_id", "report")
    return "".join(f"{name}={document.get(name, '')}\n" for name in names)


def _comparison(compared: Recorded) -> Iterator[str]:
    """The candidate's latencies against production's, in all, and endpoints of which something else is to be said."""
    rows = [compared["all"], *(row for row in compared["endpoints"] if row["outcome"].text == "refused")]
    lines = [line for row in rows for line in _ratios(row)]
    if lines:
        yield from (
            "",
            "| under load | candidate | production | ratio (interval) | |",
            "|---|---:|---:|---:|---|",
            *lines,
        )


def _ratios(row: Recorded) -> Iterator[str]:
    for label, one in row["ratios"].items():
        point, low, high = (one[name].number for name in ("point", "low", "high"))
        if point is None or low is None or high is None:
            continue
        sides = [row[side][f"{label}_ms"].number for side in ("candidate", "baseline")]
        measured = " | ".join("" if value is None else str(milliseconds(value)) for value in sides)
        name = "all requests" if row["name"].text == ALL else row["name"].text
        verdict = one["outcome"].text
        shown = f"{point:.2f} ({low:.2f}–{high:.2f}) | {MARKS.get(verdict, '?')} {_cell(verdict)}"
        yield f"| {_cell(name)} {label} | {measured} | {shown} |"


def _probe(stage: str, probe: Recorded) -> Iterator[str]:
    sent, failed, gap = (probe[name].number for name in ("sent", "failed", "longest_gap_s"))
    if sent is not None and failed is not None and gap is not None:
        at = probe["longest_gap_at"].moment
        since = f" (from {at:%H:%M:%S %Z} on)" if at else ""
        counted = f"{failed:,.0f} of {sent:,.0f} requests failed during the rollout"
        yield ""
        yield f"{_plain(stage)}: {counted}, longest gap {gap:.1f} s{since}"


def _plain(text: str) -> str:
    """One line that Markdown leaves as it is, but for what stands between backquotes."""
    parts = _CODE.split(" ".join(text.split()))
    return "".join(part if at % 2 else _SPECIAL.sub(r"\\\g<0>", part) for at, part in enumerate(parts))


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")
