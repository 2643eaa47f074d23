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
    """Takes ENVIRONMENT back to the newest digest with a good deployment on record there, but the one it now is to run.

    It runs again by the very task definition it ran with. What is quarantined, revoked, or failed there since is passed
    over. The digest that is left is marked, and not promoted there again without --force.
    """
    from pipeline.commands.reporting import finish, kept_when_interrupted
    from pipeline.wiring import Asked, Project, make_place

    project = Project.open(invocation.root, invocation.terminal)
    with project.session(("rollback",), asked=Asked(wait=invocation.wait)) as session:
        named = session.records.image(to).digest if to else None
        place = make_place(session, environment)
        kept = kept_when_interrupted(session, "rollback", environment)
        with kept, place.held("rollback", str(named or "")):
            report = _back(session, environment, named, reason.strip())
    return finish(invocation.terminal, session, report, "rollback", environment=environment)


def _back(session: Session, name: str, to: Digest | None, reason: str) -> RunReport:
    """Chooses, marks what is left, and goes back, all while nobody else changes the environment.

    The mark comes first: who takes up a rollback that was killed must find what it led to, and from what.
    """
    from pipeline.model.digest import ImageRef
    from pipeline.model.rollback import nothing_good
    from pipeline.model.verdict import Outcome
    from pipeline.ports import Candidate, Source
    from pipeline.wiring import make_rollback_stage

    records, leaving = session.records, session.leaving(name)
    choice = records.named(name, to) if to else records.rollback_choice(name, leaving)
    for passed_over in choice.passed_over:
        session.terminal.tell(f"passed over: {passed_over.text}")
    if choice.target is None:
        return session.runner.refused("rollback", name, choice.passed_over or (nothing_good(name),))
    image = ImageRef(records.repository, choice.target.subject)
    if choice.resumed:
        session.terminal.tell(f"taking up the rollback to {image.digest.short}, which was begun")
    left = [ImageRef(records.repository, each) for each in sorted(leaving - {image.digest}, key=str)]
    unmarked = [each for each in left if _unmarked(session, each, name, image.digest, reason)]
    stage = make_rollback_stage(session, name, choice.target, reason)
    report = session.runner.roll_back(stage, Candidate(Source(""), image), records.rules.gates[name])
    if report.outcome is Outcome.PASSED:
        for each in unmarked:
            report = _marked_late(session, report, each, name, reason)
    return report


def _unmarked(session: Session, left: ImageRef, name: str, to: Digest, reason: str) -> PipelineError | None:
    """Marks what is left; why that failed, if it did: no reason not to go back."""
    digest = left.digest
    try:
        session.records.left(left, name, to, reason)
    except PipelineError as error:
        return error
    session.terminal.tell(
        f"{digest.short} is left: it is not promoted to {name} again without --force. To keep it out of every "
        f"environment: {_quarantine(digest)}"
    )
    return None


def _marked_late(session: Session, report: RunReport, left: ImageRef, name: str, reason: str) -> RunReport:
    """The report once what was left is marked after all. Where that fails the gate does not know of it: no success."""
    from pipeline.model.verdict import Reason

    assert report.image is not None, "a rollback that passed has an image"
    error = _unmarked(session, left, name, report.image.digest, reason)
    if error is None:
        return report
    text = (
        f"{left.digest.short} was left and could not be marked so, it may be promoted again: {error.message}"
    )
    lacking = Reason(text, f"keep it out: {_quarantine(left.digest)}")
    session.terminal.reasons((lacking,))
    return report.marred(lacking, error.exit_code)


def _quarantine(digest: Digest) -> str:
    return f"python -m pipeline quarantine {digest} --reason TEXT"
