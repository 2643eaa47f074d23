"""`doctor`: is everything there that a run needs?"""

from __future__ import annotations

import click

from pipeline.errors import ExitCode
from pipeline.terminal import Invocation


@click.command("doctor")
@click.pass_obj
def command(invocation: Invocation) -> int:
    """Every prerequisite as OK, SKIP or NG with the fix. Exit code 7 when one is NG."""
    from pipeline.checks import State, look

    found = []
    for check in look(invocation.root):
        found.append(check)
        invocation.terminal.tell(f"{check.state.value:<5}{check.name:<14}{check.text}")
        if check.state is State.NG:
            invocation.terminal.tell(f"{'':<19}next: {check.fix}")
    bad = [check.name for check in found if check.state is State.NG]
    code = ExitCode.UNAVAILABLE if bad else ExitCode.DONE
    document = {
        "command": "doctor",
        "outcome": "unavailable" if bad else "done",
        "exit_code": int(code),
        "checks": [{"name": c.name, "state": c.state.value, "text": c.text, "fix": c.fix} for c in found],
    }
    invocation.terminal.answer("", document)
    return code
