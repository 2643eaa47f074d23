"""`history`: what was deployed to an environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipeline.errors import ExitCode
from pipeline.terminal import Invocation, duration

if TYPE_CHECKING:
    from pipeline.model.history import HistoryLine
    from pipeline.wiring import Session

_OPEN = "running"


@click.command("history")
@click.argument("environment", metavar="ENVIRONMENT", type=click.Choice(("staging", "prod")))
@click.option("--limit", type=click.IntRange(min=1), default=20, help="How many at most.")
@click.pass_obj
def command(invocation: Invocation, environment: str, limit: int) -> int:
    """The deployments to ENVIRONMENT, newest first: from the signed records, and from the log what left no record."""
    from pipeline.wiring import Project

    project = Project.open(invocation.root, invocation.terminal)
    with project.session((), touch=False) as session:
        found = session.history(environment, limit)
        holder = _holder(session, environment) if any(line.outcome == _OPEN for line in found) else ""
    for line in found:
        for text in _lines(line, under_way=line.run == holder):
            invocation.terminal.tell(text)
    document = {
        "command": "history",
        "outcome": "done",
        "exit_code": 0,
        "environment": environment,
        "deployments": [_deployment(line, under_way=line.run == holder) for line in found],
    }
    count = f"{len(found)} deployment{'s' * (len(found) != 1)} to {environment}"
    invocation.terminal.answer(
        count if found else f"nothing is known of deployments to {environment}", document
    )
    return ExitCode.DONE


def _holder(session: Session, environment: str) -> str:
    """The run that holds the environment now."""
    tenure = session.lease.tenure(environment)
    return tenure.claim.run if tenure else ""


def _lines(line: HistoryLine, *, under_way: bool) -> list[str]:
    when = f"{line.started:%Y-%m-%d %H:%M:%S} UTC"
    took = duration(line.seconds) if line.seconds is not None else ""
    forced = "  FORCED" if line.forced else ""
    word = _outcome(line, under_way=under_way)
    first = f"{when}  {word:<16}{line.digest[:19]:<21}{took:<12}{_requests(line):<16}{line.who}{forced}"
    more = [line.reason] if line.reason and line.outcome != "succeeded" else []
    if line.recorded not in ("PASSED", "") and line.outcome == "succeeded":
        more.append(f"recorded as {line.recorded}: {line.reason}")
    if not line.recorded and line.outcome in ("succeeded", "rolled_back"):
        more.append("without a signed record")
    return [first.rstrip(), *(f"{'':<25}{text.splitlines()[0]}" for text in more)]


def _outcome(line: HistoryLine, *, under_way: bool) -> str:
    if line.outcome != _OPEN:
        return line.outcome
    return "under way" if under_way else "no end recorded"


def _requests(line: HistoryLine) -> str:
    return "" if line.sent is None else f"{line.failed or 0} of {line.sent} failed"


def _deployment(line: HistoryLine, *, under_way: bool) -> dict[str, Any]:
    return {
        "run": line.run,
        "digest": line.digest,
        "outcome": line.outcome,
        "under_way": under_way and line.outcome == _OPEN,
        "recorded": line.recorded,
        "evidence": line.evidence,
        "who": line.who,
        "started": line.started.isoformat(),
        "finished": line.finished.isoformat() if line.finished else None,
        "seconds": round(line.seconds, 3) if line.seconds is not None else None,
        "reason": line.reason,
        "sent": line.sent,
        "failed": line.failed,
        "previous": line.previous,
        "forced": line.forced,
    }
