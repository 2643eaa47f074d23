"""What every command that runs stages answers with, and keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.errors import ExitCode
from pipeline.model.lease import Tenure
from pipeline.model.run import RunReport, StageReport
from pipeline.terminal import Terminal

_LEFT = (ExitCode.UNAVAILABLE, ExitCode.BUSY, ExitCode.INTERRUPTED)
"""What a run ends with that leaves a deployment to itself."""

if TYPE_CHECKING:
    from pipeline.wiring import Session


def finish(
    terminal: Terminal,
    session: Session,
    report: RunReport,
    command: str,
    *,
    answer: str = "",
    environment: str = "",
) -> int:
    """Writes the run's records, says where they are, answers, and returns the exit code."""
    document = session.keep(describe(report, command, environment))
    for line in session.closing_lines(report, document["report"]):
        terminal.say(line)
    terminal.answer(answer, document)
    return report.exit_code


@contextmanager
def kept_when_interrupted(session: Session, command: str, environment: str = "") -> Iterator[None]:
    """A run that is interrupted in here leaves its records and its report all the same; the interrupt goes on."""
    from pipeline.runner import RunInterrupt

    try:
        yield
    except RunInterrupt as interrupt:
        kept = session.keep(describe(interrupt.report, command, environment))
        session.terminal.say(f"report      {kept['report'] or 'none'}")
        raise


def describe(report: RunReport, command: str, environment: str = "") -> dict[str, Any]:
    """The JSON answer of `run`, `stage`, `promote` and `rollback` (docs/reference/cli.md)."""
    document = {
        "command": command,
        "outcome": report.outcome.value,
        "exit_code": int(report.exit_code),
        "run_id": report.run_id,
        "digest": str(report.image.digest) if report.image else "",
        "image": str(report.image) if report.image else "",
        "commit": report.commit,
        "environment": environment,
        "stages": [_stage(stage) for stage in report.stages],
    }
    return {**document, **_rollout(report)} if command in ("promote", "rollback") else document


def _rollout(report: RunReport) -> dict[str, Any]:
    """What `promote` and `rollback` add: the digest before, the deployment and the probe; None where there was none."""
    stage = report.stages[-1] if report.stages else None
    facts = stage.facts.get("deployment", {}) if stage else {}
    outcome = facts.get("outcome") or (_broken_off(stage) if stage else "")
    known = {"id": facts.get("deployment", ""), "outcome": outcome}
    moments = {name: facts.get(name) for name in ("healthy_at", "drained_at")}
    return {
        "previous": next(iter(facts.get("previous_digests", ())), ""),
        "deployment": {**known, **moments} if outcome else None,
        "probe": facts.get("probe"),
    }


def _broken_off(stage: StageReport) -> str:
    """How a deployment without a result of its own ended: it needs a person, or goes on without us."""
    if stage.error_code is ExitCode.STUCK:
        return "stuck"
    left = any("detached" in reason.text for reason in stage.reasons)
    return "detached" if left and stage.error_code in _LEFT else ""


def describe_tenure(tenure: Tenure) -> dict[str, Any]:
    """A tenure as JSON (docs/reference/cli.md)."""
    claim = tenure.claim
    return {
        "text": tenure.holder,
        "holder": claim.holder,
        "run": claim.run,
        "digest": claim.digest,
        "why": claim.why,
        "since": tenure.since.isoformat(),
        "expires": tenure.expires.isoformat(),
        "fence": tenure.fence,
    }


def _stage(stage: StageReport) -> dict[str, Any]:
    return {
        "name": stage.name,
        "environment": stage.environment,
        "outcome": stage.outcome.value,
        "reused": stage.reused,
        "started": stage.started.isoformat(),
        "finished": stage.finished.isoformat(),
        "seconds": round(stage.seconds, 3),
        "reasons": [{"text": reason.text, "remedy": reason.remedy} for reason in stage.reasons],
        "facts": dict(stage.facts),
        "metrics": dict(stage.metrics),
        "evidence": stage.evidence,
        "inputs": dict(stage.inputs),
    }
