"""`promote`: a digest to an environment."""

from __future__ import annotations

from typing import TypedDict, Unpack

import click

from pipeline.commands.dry_run import rehearse
from pipeline.commands.reporting import finish, kept_when_interrupted
from pipeline.commands.targets import well_formed
from pipeline.commands.waiting import wait_option
from pipeline.errors import UsageError
from pipeline.terminal import Invocation


class Options(TypedDict):
    """The flags."""

    fresh: bool
    force: bool
    older: bool
    dry_run: bool


@click.command("promote")
@click.argument("digest", callback=well_formed)
@click.argument("environment", metavar="ENVIRONMENT", type=click.Choice(("staging", "prod")))
@click.option("--fresh", is_flag=True, help="Roll out and verify again, also when it runs there already.")
@click.option(
    "--force", is_flag=True, help="Go past a gate that refuses; asks for --reason, and is recorded."
)
@click.option(
    "--allow-older", "older", is_flag=True, help="Let it replace something newer; asks for --reason as well."
)
@click.option("--reason", default="", help="Why the gate is overridden, or something newer replaced.")
@click.option(
    "--dry-run", is_flag=True, help="Judge, look at what it needs, show what it would change; do nothing."
)
@wait_option
@click.pass_obj
def command(
    invocation: Invocation, /, digest: str, environment: str, reason: str, **options: Unpack[Options]
) -> int:
    """Judges the digest's evidence for ENVIRONMENT, rolls it out, verifies, records.

    DIGEST is sha256:…, a unique prefix of at least 12 hex digits, or repository@sha256:…; never a tag. --force does not
    get past a quarantine, a revocation, or a digest that nobody who is trusted has built. What is older than what runs
    there (by git, else by build time) is refused without --allow-older.
    """
    from pipeline.wiring import Asked, Project

    force, older, fresh, dry_run = (options[key] for key in ("force", "older", "fresh", "dry_run"))
    _check(reason, {"--force": force, "--allow-older": older})
    project = Project.open(invocation.root, invocation.terminal)
    asked = Asked(invocation.wait, reason.strip(), force, older)
    with project.session(() if dry_run else (environment,), touch=not dry_run, asked=asked) as session:
        override, candidate = session.override(given=force), session.candidate(digest)
        if dry_run:
            return rehearse(invocation.terminal, session, candidate, environment, override, fresh=fresh)
        with kept_when_interrupted(session, "promote", environment):
            report = session.runner.run(candidate, only=(environment,), fresh=fresh, override=override)
    return finish(invocation.terminal, session, report, "promote", environment=environment)


def _check(reason: str, overrides: dict[str, bool]) -> None:
    given = [option for option, asked in overrides.items() if asked]
    if given and not reason.strip():
        raise UsageError(
            f"{given[0]} without a reason", hint=f"say why: {given[0]} --reason TEXT; it is recorded"
        )
    if reason and not given:
        raise UsageError(
            f"--reason goes with {' or '.join(overrides)}", hint="add one of them, or leave the reason out"
        )
