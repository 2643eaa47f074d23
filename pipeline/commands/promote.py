"""`promote`: a digest to an environment."""

from __future__ import annotations

import click

from pipeline.commands.reporting import finish
from pipeline.commands.targets import well_formed
from pipeline.commands.waiting import wait_option
from pipeline.errors import UsageError
from pipeline.model.policy import Override
from pipeline.terminal import Invocation


@click.command("promote")
@click.argument("digest", callback=well_formed)
@click.argument("environment", metavar="ENVIRONMENT", type=click.Choice(("staging", "prod")))
@click.option("--fresh", is_flag=True, help="Roll out and verify again, also when it runs there already.")
@click.option(
    "--force", is_flag=True, help="Go past a gate that refuses; asks for --reason, and is recorded."
)
@click.option("--reason", default="", help="Why the gate is overridden.")
@wait_option
@click.pass_obj
def command(
    invocation: Invocation, digest: str, environment: str, reason: str, *, fresh: bool, force: bool
) -> int:
    """Judges the digest's evidence for ENVIRONMENT, rolls it out, verifies, records.

    DIGEST is sha256:…, a unique prefix of at least 12 hex digits, or repository@sha256:…; never a tag. --force does not
    get past a quarantine, a revocation, or a digest that nobody who is trusted has built.
    """
    from pipeline.wiring import Project

    _check(reason, force=force)
    project = Project.open(invocation.root, invocation.terminal)
    forced = reason.strip() if force else ""
    with project.session((environment,), wait=invocation.wait, forced=forced) as session:
        override = Override(reason.strip(), session.records.person) if force else None
        report = session.runner.run(
            session.candidate(digest), only=(environment,), fresh=fresh, override=override
        )
    return finish(invocation.terminal, session, report, "promote", environment=environment)


def _check(reason: str, *, force: bool) -> None:
    if force and not reason.strip():
        raise UsageError("--force without a reason", hint="say why: --force --reason TEXT; it is recorded")
    if reason and not force:
        raise UsageError("--reason goes with --force", hint="add --force, or leave the reason out")
