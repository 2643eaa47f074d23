"""`diff`: what a promotion would change."""

from __future__ import annotations

from typing import Any

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
        commit, kind = candidate.source.commit, session.kind(environment)
        seen = {
            region: (preview, replacement(session, preview, commit))
            for region, preview in session.previews(environment, candidate.ref).items()
        }
    name = str(candidate.ref.digest)
    lines = []
    for region, (preview, found) in seen.items():
        lines += [region] if len(seen) > 1 else []
        lines += [*replacement_lines(found, name, commit), *definition_lines(preview)]
    preview, found = next(iter(seen.values()))
    document: dict[str, Any] = {
        "command": "diff",
        "outcome": "done",
        "exit_code": 0,
        "digest": name,
        "commit": commit,
        "environment": environment,
        **found,
        "changes": changes(preview),
    }
    if len(seen) > 1:
        document[kind] = [
            {"name": region, **replaced, "changes": changes(one)} for region, (one, replaced) in seen.items()
        ]
    invocation.terminal.answer("\n".join(lines), document)
    return ExitCode.DONE
