"""`promote --dry-run`: all that a promotion would ask, meet and do, and nothing of it done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.commands.preview import (
    IGNORE,
    changes,
    checks,
    definition_lines,
    replacement,
    replacement_lines,
    tell_check,
)
from pipeline.errors import ExitCode

if TYPE_CHECKING:
    from pipeline.model.policy import Override
    from pipeline.model.run import StageReport
    from pipeline.model.verdict import Verdict
    from pipeline.ports import Candidate
    from pipeline.preflight import Preview
    from pipeline.terminal import Terminal
    from pipeline.wiring import Session


def rehearse(
    terminal: Terminal,
    session: Session,
    candidate: Candidate,
    environment: str,
    override: Override | None,
    *,
    fresh: bool,
) -> int:
    """Judges, looks, tells, and returns the exit code that the promotion would end with before its rollout."""
    if session.signing.signer.key_id:
        session.signing.require((environment,))
    report = session.runner.foresee(environment, candidate, fresh=fresh, override=override)
    order = None if report else session.order(environment, candidate).verdict
    previews = session.previews(environment, candidate.ref)
    seen = {
        region: (preview, replacement(session, preview, candidate.source.commit))
        for region, preview in previews.items()
    }
    code, outcome, word = _end(report, order, list(previews.values()))
    reasons = report.reasons if report else order.reasons if order else ()
    terminal.tell(f"gate        {_gate(report)}")
    terminal.reasons(reasons, indent=" " * 12)
    for region, (preview, found) in seen.items():
        if len(seen) > 1:
            terminal.tell(region)
        _tell(terminal, preview, found, candidate)
    preview, found = next(iter(seen.values()))
    document: dict[str, Any] = {
        "command": "promote",
        "dry_run": True,
        "outcome": outcome,
        "exit_code": int(code),
        "digest": str(candidate.ref.digest),
        "image": str(candidate.ref),
        "environment": environment,
        "reasons": [{"text": reason.text, "remedy": reason.remedy} for reason in reasons],
        **_foreseen(preview, found),
        "ignore_changes": list(IGNORE),
    }
    if len(seen) > 1:
        document[session.kind(environment)] = [
            {"name": name, **_foreseen(*one)} for name, one in seen.items()
        ]
    terminal.answer(f"{candidate.ref.digest} {word} {environment}; nothing was changed", document)
    return code


def _foreseen(preview: Preview, found: dict[str, Any]) -> dict[str, Any]:
    """What a rollout would need and change in one region, as JSON values."""
    return {
        "checks": checks(preview),
        **found,
        "changes": changes(preview),
        "predicted": dict(preview.prediction.facts),
    }


def _end(
    report: StageReport | None, order: Verdict | None, previews: Sequence[Preview]
) -> tuple[ExitCode, str, str]:
    """Exit code and outcome, and how a sentence says it."""
    if report and report.reused:
        return ExitCode.DONE, "passed", "has passed and would be reused in"
    if report:
        return report.exit_code, report.outcome.value, "would not go to"
    if order and not order.passed:
        return ExitCode.REFUSED, order.outcome.value, "would not go to"
    if all(preview.underway for preview in previews):
        return ExitCode.DONE, "passed", "runs already, or is on its way, in"
    for preview in previews:
        if preview.error and not preview.underway:
            return preview.error.exit_code, "undecided", "could not go to"
    return ExitCode.DONE, "passed", "would go to"


def _gate(report: StageReport | None) -> str:
    if report is None:
        return "open"
    return "nothing to do: what is on record still stands" if report.reused else report.outcome.value


def _tell(terminal: Terminal, preview: Preview, found: dict[str, Any], candidate: Candidate) -> None:
    for check in preview.checks:
        tell_check(terminal, check)
    commit = candidate.source.commit
    for line in replacement_lines(found, str(candidate.ref.digest), commit):
        terminal.tell(line)
    for line in definition_lines(preview):
        terminal.tell(line)
    expected = preview.prediction
    terminal.tell(f"expected    {expected.text}")
    parts = ", ".join(f"{term.name} {term.seconds:.0f} s" for term in expected.terms)
    terminal.tell(f"{'':<12}{parts}")
    if expected.slow:
        terminal.tell(f"{'':<12}{expected.slow}")
    terminal.tell(
        f"terraform   lifecycle {{ ignore_changes = [{', '.join(IGNORE)}] }} on the aws_ecs_service"
    )
