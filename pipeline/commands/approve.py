"""`approve`: a person's yes."""

from __future__ import annotations

import click

from pipeline.commands.targets import well_formed
from pipeline.errors import ExitCode, UsageError
from pipeline.terminal import Invocation


@click.command("approve")
@click.argument("digest", callback=well_formed)
@click.argument("environment", metavar="ENVIRONMENT", type=click.Choice(("staging", "prod")))
@click.option("--reason", default="", help="What was looked at; goes into the record.")
@click.pass_obj
def command(invocation: Invocation, digest: str, environment: str, reason: str) -> int:
    """Signs that DIGEST may go to ENVIRONMENT as far as you are asked. All else that the gate asks for still holds."""
    from pipeline.wiring import Project

    project = Project.open(invocation.root, invocation.terminal)
    with project.session((), records=("approval",)) as session:
        image = session.records.image(digest)
        asked = session.records.rules.gates[environment].approval
        if asked and asked.by and session.signing.name not in asked.by:
            raise UsageError(
                f"the gate of {environment} asks for the approval of {' or '.join(asked.by)}, "
                f"and the key that signs here is {session.signing.name}",
                hint="sign with one of theirs (ONEDIGEST_SIGNING_KEY, evidence.signer)",
            )
        if asked is None:
            session.terminal.tell(
                f"the gate of {environment} asks for no approval; it is recorded all the same"
            )
        name = session.records.declare(image, "approval", environment, "PASSED", reason)
    document = {
        "command": "approve",
        "outcome": "done",
        "exit_code": 0,
        "digest": str(image.digest),
        "environment": environment,
        "evidence": name,
    }
    invocation.terminal.answer(f"{image.digest} is approved for {environment}", document)
    return ExitCode.DONE
