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
    from pipeline.wiring import Asked, Project, make_place

    project = Project.open(invocation.root, invocation.terminal)
    with project.session(("rollback",), asked=Asked(wait=invocation.wait)) as session:
        named = session.records.image(to).digest if to else None
        with make_place(session, environment).held("rollback", str(named or "")):
            report = _back(session, environment, named, reason.strip())
    return finish(invocation.terminal, session, report, "rollback", environment=environment)


def _back(session: Session, name: str, to: Digest | None, reason: str) -> RunReport:
    """Chooses, goes back and marks what is left, all while nobody else changes the environment."""
    from pipeline.model.digest import ImageRef
    from pipeline.model.rollback import nothing_good
    from pipeline.model.verdict import Outcome
    from pipeline.ports import Candidate, Source
    from pipeline.wiring import make_place, make_rollback_stage

    records, leaving = session.records, make_place(session, name).leaving()
    choice = records.named(name, to) if to else records.rollback_choice(name, leaving)
    for passed_over in choice.passed_over:
        session.terminal.tell(f"passed over: {passed_over.text}")
    if choice.target is None:
        return session.runner.refused("rollback", name, choice.passed_over or (nothing_good(name),))
    image = ImageRef(records.repository, choice.target.subject)
    stage = make_rollback_stage(session, name, choice.target, reason)
    report = session.runner.roll_back(stage, Candidate(Source(""), image), records.rules.gates[name])
    if report.outcome is Outcome.PASSED:
        for left in sorted(leaving - {image.digest}, key=str):
            report = _marked(session, report, ImageRef(records.repository, left), name, reason)
    return report


def _marked(session: Session, report: RunReport, left: ImageRef, name: str, reason: str) -> RunReport:
    """The report once what was left is marked so. Where that fails the gate does not know of it: no success."""
    from pipeline.model.verdict import Reason

    digest, to = left.digest, report.image
    assert to is not None, "a rollback that passed has an image"
    out = f"python -m pipeline quarantine {digest} --reason TEXT"
    try:
        session.records.left(left, name, to.digest, reason)
    except PipelineError as error:
        text = (
            f"{digest.short} was left and could not be marked so, it may be promoted again: {error.message}"
        )
        unmarked = Reason(text, f"keep it out: {out}")
        session.terminal.reasons((unmarked,))
        return report.marred(unmarked, error.exit_code)
    session.terminal.tell(
        f"{digest.short} was left: it is not promoted to {name} again without --force. To keep it out of every "
        f"environment: {out}"
    )
    return report
