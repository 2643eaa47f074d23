"""`unlock`: an environment's lease, taken from whoever holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.commands.reporting import describe_tenure
from pipeline.errors import ExitCode, PipelineError, UsageError
from pipeline.terminal import Invocation

if TYPE_CHECKING:
    from pipeline.model.lease import Tenure
    from pipeline.wiring import Session


@click.command("unlock")
@click.argument("environment", metavar="ENVIRONMENT", type=click.Choice(("staging", "prod")))
@click.option("--reason", default="", help="Why; shown to whoever held it, and kept in the deployment log.")
@click.pass_obj
def command(invocation: Invocation, environment: str, reason: str) -> int:
    """Takes the lease of ENVIRONMENT from its holder, whose run changes nothing there any more.

    What ECS was told goes on. A lease whose holder died ends by itself within a minute.
    """
    from pipeline.wiring import Project

    if not reason.strip():
        raise UsageError("unlock without a reason", hint="say why: --reason TEXT")
    project = Project.open(invocation.root, invocation.terminal)
    with project.session((), touch=False) as session:
        taken, logged = _cleared(session, environment, reason.strip())
    text = f"{environment} was held by {taken.holder}" if taken else f"nobody holds {environment}"
    invocation.terminal.answer(
        f"{text}; it is free now" if taken else text,
        {
            "command": "unlock",
            "outcome": "done",
            "exit_code": 0,
            "environment": environment,
            "cleared": describe_tenure(taken) if taken else None,
            "logged": logged,
        },
    )
    return ExitCode.DONE


def _cleared(session: Session, environment: str, reason: str) -> tuple[Tenure | None, bool]:
    """Who had it, and whether that is in the log."""
    from pipeline.model.lease import Claim
    from pipeline.wiring import make_logbook

    taken = session.lease.clear(environment, Claim(session.records.person, session.run_id, reason))
    if taken is None:
        return None, False
    try:
        make_logbook(session, environment).cleared(taken, reason)
    except PipelineError as error:
        session.terminal.tell(f"it is not in the deployment log: {error.message}")
        return taken, False
    return taken, True
