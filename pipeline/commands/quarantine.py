"""`quarantine`: an image that must not be released."""

from __future__ import annotations

import click

from pipeline.commands.targets import well_formed
from pipeline.errors import ExitCode, UsageError
from pipeline.terminal import Invocation


@click.command("quarantine")
@click.argument("digest", callback=well_formed)
@click.option("--reason", default="", help="Why; shown to everybody who tries to release it.")
@click.option(
    "--environment", type=click.Choice(("staging", "prod")), help="For this one only; all when not given."
)
@click.option("--lift", is_flag=True, help="Let it in again.")
@click.pass_obj
def command(invocation: Invocation, digest: str, reason: str, environment: str | None, *, lift: bool) -> int:
    """Keeps DIGEST out of every environment, also as the target of a rollback; no --force gets past it.

    The image of one service keeps out every release that it is in.
    """
    from pipeline.wiring import Project

    if not lift and not reason.strip():
        raise UsageError("a quarantine without a reason", hint="say why: --reason TEXT")
    project = Project.open(invocation.root, invocation.terminal)
    with project.session((), records=("quarantine",)) as session:
        image = session.records.image(digest)
        result = "PASSED" if lift else "FAILED"
        name = session.records.declare(image, "quarantine", environment or "", result, reason)
    where = environment or "every environment"
    word = (
        f"may go to {where} again"
        if lift
        else f"is kept out of {where}; where it runs now, it goes on running"
    )
    document = {
        "command": "quarantine",
        "outcome": "done",
        "exit_code": 0,
        "digest": str(image.digest),
        "environment": environment or "",
        "lifted": lift,
        "evidence": name,
    }
    invocation.terminal.answer(f"{image.digest} {word}", document)
    return ExitCode.DONE
