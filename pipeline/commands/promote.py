"""`promote`: a digest to an environment."""

from __future__ import annotations

from typing import TypedDict, Unpack

import click

from pipeline.commands.dry_run import rehearse
from pipeline.commands.reporting import finish
from pipeline.commands.targets import well_formed
from pipeline.errors import UsageError
from pipeline.model.policy import Override
from pipeline.terminal import Invocation


class Asked(TypedDict):
    """The options."""

    fresh: bool
    force: bool
    reason: str
    dry_run: bool


@click.command("promote")
@click.argument("digest", callback=well_formed)
@click.argument("environment", metavar="ENVIRONMENT", type=click.Choice(("staging", "prod")))
@click.option("--fresh", is_flag=True, help="Roll out and verify again, also when it runs there already.")
@click.option(
    "--force", is_flag=True, help="Go past a gate that refuses; asks for --reason, and is recorded."
)
@click.option("--reason", default="", help="Why the gate is overridden.")
@click.option(
    "--dry-run", is_flag=True, help="Judge, look at what it needs, show what it would change; do nothing."
)
@click.pass_obj
def command(invocation: Invocation, digest: str, environment: str, **asked: Unpack[Asked]) -> int:
    """Judges the digest's evidence for ENVIRONMENT, rolls it out, verifies, records.

    DIGEST is sha256:…, a unique prefix of at least 12 hex digits, or repository@sha256:…; never a tag. --force does not
    get past a quarantine, a revocation, or a digest that nobody who is trusted has built.
    """
    from pipeline.wiring import Project

    reason, fresh, dry_run = asked["reason"], asked["fresh"], asked["dry_run"]
    _check(reason, force=asked["force"])
    project = Project.open(invocation.root, invocation.terminal)
    with project.session(() if dry_run else (environment,), touch=not dry_run) as session:
        override = Override(reason.strip(), session.records.person) if asked["force"] else None
        candidate = session.candidate(digest)
        if dry_run:
            return rehearse(invocation.terminal, session, candidate, environment, override, fresh=fresh)
        report = session.runner.run(candidate, only=(environment,), fresh=fresh, override=override)
    return finish(invocation.terminal, session, report, "promote", environment=environment)


def _check(reason: str, *, force: bool) -> None:
    if force and not reason.strip():
        raise UsageError("--force without a reason", hint="say why: --force --reason TEXT; it is recorded")
    if reason and not force:
        raise UsageError("--reason goes with --force", hint="add --force, or leave the reason out")
