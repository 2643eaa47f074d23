"""`stage`: one stage, for CI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.commands.targets import well_formed
from pipeline.commands.waiting import wait_option

if TYPE_CHECKING:
    from pipeline.terminal import Invocation


@click.group("stage")
def command() -> None:
    """One stage at a time. `stage build` prints the digest; the others take it."""


_fresh = click.option("--fresh", is_flag=True, help="Run it, also when its evidence still stands.")


@command.command("build")
@_fresh
@click.pass_obj
def build(invocation: Invocation, *, fresh: bool) -> int:
    """Builds and pushes; stdout is the digest alone."""
    from pipeline.commands.reporting import finish, kept_when_interrupted
    from pipeline.ports import Candidate
    from pipeline.wiring import Project

    project = Project.open(invocation.root, invocation.terminal)
    with project.session(("build",)) as session, kept_when_interrupted(session, "stage"):
        report = session.runner.run(Candidate(session.source), only=("build",), fresh=fresh)
    answer = str(report.image.digest) if report.image and not report.exit_code else ""
    return finish(invocation.terminal, session, report, "stage", answer=answer)


def _one(name: str, help_text: str, *, waits: bool = False) -> click.Command:
    @click.command(name, help=help_text, short_help=help_text)
    @click.argument("digest", callback=well_formed)
    @_fresh
    @click.pass_obj
    def one(invocation: Invocation, digest: str, *, fresh: bool) -> int:
        from pipeline.commands.reporting import finish, kept_when_interrupted
        from pipeline.wiring import Asked, Project

        project = Project.open(invocation.root, invocation.terminal)
        asked = Asked(wait=invocation.wait)
        with project.session((name,), asked=asked) as session, kept_when_interrupted(session, "stage"):
            report = session.runner.run(session.candidate(digest), only=(name,), fresh=fresh)
        return finish(invocation.terminal, session, report, "stage")

    return wait_option(one) if waits else one


command.add_command(
    _one("integration", "Runs the digest with its real dependencies and the tests against it.")
)
command.add_command(_one("staging", "Rolls the digest out on staging, loads it, and judges.", waits=True))
command.add_command(_one("prod", "Rolls the digest out on production, when its gate is open.", waits=True))
