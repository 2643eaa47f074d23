"""`rollback`: an environment back to what ran well there."""

from __future__ import annotations

import click

from pipeline.terminal import Invocation


def _digest(context: click.Context, parameter: click.Parameter, value: str) -> str:
    from pipeline.commands.targets import well_formed

    return well_formed(context, parameter, value) if value else ""


@click.command("rollback")
@click.argument("environment", metavar="ENVIRONMENT", type=click.Choice(("staging", "prod")))
@click.option(
    "--to", default="", callback=_digest, metavar="DIGEST", help="Go back to this one, not the newest."
)
@click.option("--reason", default="", help="Why; goes into the record.")
@click.pass_obj
def command(invocation: Invocation, environment: str, to: str, reason: str) -> int:
    """Takes ENVIRONMENT back to the newest digest with a good deployment on record there, but the one that runs now.

    It runs again by the very task definition it ran with. What is quarantined, revoked, or failed there since is passed
    over. The digest that is left is not promoted there again without --force.
    """
    from pipeline.commands.reporting import finish
    from pipeline.wiring import Project

    project = Project.open(invocation.root, invocation.terminal)
    with project.session(("rollback",)) as session:
        report = session.roll_back(environment, to, reason.strip())
    return finish(invocation.terminal, session, report, "rollback", environment=environment)
