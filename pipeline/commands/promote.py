"""`promote`: a digest to an environment."""

from __future__ import annotations

import click

from pipeline.commands.reporting import finish
from pipeline.terminal import Invocation


@click.command("promote")
@click.argument("digest")
@click.argument("environment", type=click.Choice(("staging", "prod")))
@click.option("--fresh", is_flag=True, help="Roll out and verify again, also when it runs there already.")
@click.pass_obj
def command(invocation: Invocation, digest: str, environment: str, *, fresh: bool) -> int:
    """Judges the digest's evidence for ENVIRONMENT, rolls it out, verifies, records.

    DIGEST is sha256:…, a unique prefix of at least 12 hex digits, or repository@sha256:…; never a tag.
    """
    from pipeline.wiring import Project

    project = Project.open(invocation.root, invocation.terminal)
    with project.session((environment,)) as session:
        report = session.runner.run(session.candidate(digest), only=(environment,), fresh=fresh)
    return finish(invocation.terminal, session, report, "promote", environment=environment)
