"""A run as Markdown, and as outputs of a GitHub Actions step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def markdown(document: Mapping[str, Any]) -> str:
    """The run's JSON document as a Markdown summary."""
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
    return "\n".join([*lines, "", f"run `{document['run_id']}`", ""])


def github_outputs(document: Mapping[str, Any]) -> str:
    """`name=value` lines: outcome, digest, image, run_id."""
    names = ("outcome", "digest", "image", "run_id")
    return "".join(f"{name}={document[name]}\n" for name in names)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
