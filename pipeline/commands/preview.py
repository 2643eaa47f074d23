"""What a rollout would change, and what it would need, as lines and as JSON: for `diff` and `promote --dry-run`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipeline.model.check import Check, State
from pipeline.terminal import Terminal

if TYPE_CHECKING:
    from pipeline.preflight import Preview
    from pipeline.wiring import Session

IGNORE = ("task_definition", "desired_count")
"""What Terraform must leave alone on a service that is rolled out by somebody else."""


def tell_check(terminal: Terminal, check: Check, name: str = "") -> None:
    """A check as a line, the fix of an NG below it."""
    terminal.tell(f"{check.state.value:<5}{name or check.name:<23} {check.text}")
    if check.state is State.NG:
        terminal.tell(f"{'':<29}next: {check.fix}")


def replacement(session: Session, preview: Preview, commit: str) -> dict[str, Any]:
    """What would be replaced, and the commits in between, as JSON values.

    `commit` is what the digest was built from. `commits` and `undone` are None where git does not know both ends.
    """
    from pipeline.model.digest import Digest

    digest = preview.replaced
    before = session.records.origin(Digest(digest)).commit if digest else ""
    commits, undone = session.between(before, commit)
    return {
        "previous": digest,
        "replaces": {"commit": before, "task_definition": preview.service.task_definition},
        "commits": commits,
        "undone": undone,
    }


def replacement_lines(found: dict[str, Any], digest: str, commit: str) -> list[str]:
    """The same for people."""
    previous = found["previous"]
    now = f"{previous} (commit {found['replaces']['commit'][:12] or 'unknown'})"
    lines = [
        f"runs now    {now if previous else 'nothing that is known by its digest'}",
        f"would run   {digest} (commit {commit[:12] or 'unknown'})",
    ]
    if found["commits"] is None:
        lines.append("commits     unknown: git here does not know both")
    else:
        lines += [f"{'commits' if not n else '':<12}+ {line}" for n, line in enumerate(found["commits"])]
        lines += [f"{'undone' if not n else '':<12}- {line}" for n, line in enumerate(found["undone"])]
        lines += [] if found["commits"] or found["undone"] else ["commits     none: the same commit"]
    return lines


def definition_lines(preview: Preview) -> list[str]:
    """The task definition's changes, one a line."""
    from pipeline.model.service import short

    head = f"definition  {short(preview.service.task_definition)}"
    if preview.wanted is None:
        return [f"{head}: nothing can be made of it, see the checks"]
    if not preview.changes:
        return [f"{head} stays as it is"]
    return [f"{head} → a new revision", *(f"{'':<12}{change.line}" for change in preview.changes)]


def changes(preview: Preview) -> list[dict[str, Any]]:
    """The task definition's changes as JSON values."""
    return [asdict(change) for change in preview.changes]


def checks(preview: Preview) -> list[dict[str, str]]:
    """The checks as JSON values, as `doctor` gives them."""
    return [{"name": c.name, "state": c.state.value, "text": c.text, "fix": c.fix} for c in preview.checks]
