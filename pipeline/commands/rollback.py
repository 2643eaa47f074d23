"""`rollback`: an environment back to what ran well there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.commands.waiting import wait_option
from pipeline.errors import PipelineError
from pipeline.terminal import Invocation

if TYPE_CHECKING:
    from pipeline.model.digest import Digest, ImageRef
    from pipeline.model.run import RunReport
    from pipeline.wiring import Session


def _digest(context: click.Context, parameter: click.Parameter, value: str) -> str:
    from pipeline.commands.targets import well_formed

    return well_formed(context, parameter, value) if value else ""


@click.command("rollback")
@click.argument("environment", metavar="ENVIRONMENT", type=click.Choice(("staging", "prod")))
@click.option(
    "--to", default="", callback=_digest, metavar="DIGEST", help="Go back to this one, not the newest."
)
@click.option("--reason", default="", help="Why; goes into the record.")
@wait_option
@click.pass_obj
def command(invocation: Invocation, environment: str, to: str, reason: str) -> int:
    """Takes ENVIRONMENT back to the newest digest with a good deployment on record there, but the one that runs now.

    It runs again by the very task definition it ran with. What is quarantined, revoked, or failed there since is passed
    over. The digest that is left is not promoted there again without --force.
    """
    from pipeline.commands.reporting import finish
    from pipeline.wiring import Asked, Project

    project = Project.open(invocation.root, invocation.terminal)
    with project.session(("rollback",), asked=Asked(wait=invocation.wait)) as session:
        report = _back(session, environment, to, reason.strip())
    return finish(invocation.terminal, session, report, "rollback", environment=environment)


def _back(session: Session, name: str, to: str, reason: str) -> RunReport:
    from pipeline.model.digest import ImageRef
    from pipeline.model.rollback import nothing_good
    from pipeline.model.verdict import Outcome
    from pipeline.ports import Candidate, Source
    from pipeline.wiring import make_place, make_rollback_stage

    records, running = session.records, make_place(session, name).running()
    choice = records.named(name, records.image(to).digest) if to else records.rollback_choice(name, running)
    for passed_over in choice.passed_over:
        session.terminal.tell(f"passed over: {passed_over.text}")
    if choice.target is None:
        return session.runner.refused("rollback", name, choice.passed_over or (nothing_good(name),))
    image = ImageRef(records.repository, choice.target.subject)
    stage = make_rollback_stage(session, name, choice.target, reason)
    report = session.runner.roll_back(stage, Candidate(Source(""), image), records.rules.gates[name])
    if report.outcome is Outcome.PASSED:
        for left in sorted(running - {image.digest}, key=str):
            _mark_left(session, ImageRef(records.repository, left), name, image.digest, reason)
    return report


def _mark_left(session: Session, image: ImageRef, name: str, to: Digest, reason: str) -> None:
    terminal = session.terminal
    try:
        session.records.left(image, name, to, reason)
    except PipelineError as error:
        terminal.tell(f"{image.digest.short} was left and could not be marked so: {error.message}")
        return
    terminal.tell(
        f"{image.digest.short} was left: it is not promoted to {name} again without --force. To keep it out of every "
        f"environment: python -m pipeline quarantine {image.digest} --reason TEXT"
    )
