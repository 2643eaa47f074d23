"""`run`: all four stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.commands.waiting import wait_option

if TYPE_CHECKING:
    from pipeline.terminal import Invocation

STAGES = ("build", "integration", "staging", "prod")


@click.command("run")
@click.option("--until", type=click.Choice(STAGES), default="prod", help="The last stage to run.")
@click.option("--fresh", is_flag=True, help="Run every stage, also those whose evidence still stands.")
@wait_option
@click.pass_obj
def command(invocation: Invocation, until: str, *, fresh: bool) -> int:
    """Build, integration, staging, prod: one digest, as far as its evidence carries it."""
    from pipeline.commands.reporting import finish, kept_when_interrupted
    from pipeline.ports import Candidate
    from pipeline.wiring import Asked, Project

    project = Project.open(invocation.root, invocation.terminal)
    stages = STAGES[: STAGES.index(until) + 1]
    asked = Asked(wait=invocation.wait)
    with project.session(stages, asked=asked) as session, kept_when_interrupted(session, "run"):
        report = session.runner.run(Candidate(session.source), only=stages, fresh=fresh)
    return finish(invocation.terminal, session, report, "run")
