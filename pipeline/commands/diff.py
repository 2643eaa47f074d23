"""`diff`: what a promotion would change."""

from __future__ import annotations

import click

from pipeline.commands.preview import changes, definition_lines, replacement, replacement_lines
from pipeline.commands.targets import well_formed
from pipeline.errors import ExitCode
from pipeline.terminal import Invocation


@click.command("diff")
@click.argument("digest", callback=well_formed)
@click.argument("environment", metavar="ENVIRONMENT", type=click.Choice(("staging", "prod")))
@click.pass_obj
def command(invocation: Invocation, digest: str, environment: str) -> int:
    """What promoting DIGEST to ENVIRONMENT would change: image, commits, task definition. Touches nothing."""
    from pipeline.wiring import Project

    project = Project.open(invocation.root, invocation.terminal)
    with project.session((), touch=False) as session:
        candidate = session.candidate(digest)
        preview = session.preview(environment, candidate.ref)
        found = replacement(session, preview, candidate.source.commit)
    name = str(candidate.ref.digest)
    lines = [*replacement_lines(found, name, candidate.source.commit), *definition_lines(preview)]
    document = {
        "command": "diff",
        "outcome": "done",
        "exit_code": 0,
        "digest": name,
        "commit": candidate.source.commit,
        "environment": environment,
        **found,
        "changes": changes(preview),
    }
    invocation.terminal.answer("\n".join(lines), document)
    return ExitCode.DONE
