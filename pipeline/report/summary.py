"""A run as Markdown, and as outputs of a GitHub Actions step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.report.reading import Recorded


def markdown(document: Mapping[str, Any]) -> str:
    """The run's JSON document as a Markdown summary: stages, the load's figures, the probe, where the report is."""
    lines = [
        f"### onedigest {document['command']}: {document['outcome']}",
        "",
        f"`{document['image'] or 'no image'}`",
        "",
        "| stage | outcome | time | why |",
        "|---|---|---|---|",
    ]
    for stage in document["stages"]:
        outcome = "reused" if stage["reused"] else stage["outcome"]
        why = "<br>".join(_cell(reason["text"]) for reason in stage["reasons"])
        lines.append(f"| {stage['name']} | {outcome} | {stage['seconds']:.1f} s | {why} |")
    for stage in document["stages"]:
        facts = Recorded(stage["facts"])
        lines += _comparison(facts["comparison"])
        lines += _probe(stage["name"], facts["deployment"]["probe"])
    run = [f"run `{document['run_id']}`"]
    if document.get("report"):
        run.append(f"report `{document['report']}`")
    return "\n".join([*lines, "", ", ".join(run), ""])


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
            "|---|---|---|---|---|",
            *lines,
        )


def _ratios(row: Recorded) -> Iterator[str]:
    for label, one in row["ratios"].items():
        point, low, high = (one[name].number for name in ("point", "low", "high"))
        if point is None or low is None or high is None:
            continue
        sides = [row[side][f"{label}_ms"].number for side in ("candidate", "baseline")]
        measured = " | ".join("" if value is None else f"{value:.1f} ms" for value in sides)
        name = _cell(f"{row['name'].text} {label}")
        yield f"| {name} | {measured} | {point:.2f} ({low:.2f}–{high:.2f}) | {_cell(one['outcome'].text)} |"


def _probe(stage: str, probe: Recorded) -> Iterator[str]:
    sent, failed, gap = (probe[name].number for name in ("sent", "failed", "longest_gap_s"))
    if sent is not None and failed is not None and gap is not None:
        yield ""
        yield f"{stage}: {failed:,.0f} of {sent:,.0f} requests failed during the rollout, longest gap {gap:.1f} s"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
