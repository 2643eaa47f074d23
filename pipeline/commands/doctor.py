"""`doctor`: is everything there that a run needs?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from pipeline.commands.preview import tell_check
from pipeline.errors import ExitCode, PipelineError
from pipeline.model.check import Check, State
from pipeline.terminal import Invocation

if TYPE_CHECKING:
    from pipeline.wiring import Session

ENVIRONMENTS = ("staging", "prod")


@click.command("doctor")
@click.pass_obj
def command(invocation: Invocation) -> int:
    """Every prerequisite as OK, SKIP or NG with the fix. Exit code 7 when one is NG."""
    from pipeline.checks import look

    found = []
    for check in look(invocation.root):
        found.append(check)
        tell_check(invocation.terminal, check)
    up = all(check.state is State.OK for check in found if check.name in ("pipeline.toml", "cloud"))
    for check in _environments(invocation, up=up and found[-1].name == "cloud"):
        found.append(check)
        tell_check(invocation.terminal, check)
    bad = [check.name for check in found if check.state is State.NG]
    code = ExitCode.UNAVAILABLE if bad else ExitCode.DONE
    document = {
        "command": "doctor",
        "outcome": "unavailable" if bad else "done",
        "exit_code": int(code),
        "checks": [{"name": c.name, "state": c.state.value, "text": c.text, "fix": c.fix} for c in found],
    }
    invocation.terminal.answer(_counted(found), document)
    return code


def _counted(found: Sequence[Check]) -> str:
    """`41 OK, 4 SKIP, 1 NG: docker`."""
    counts = Counter(check.state for check in found)
    bad = ", ".join(check.name for check in found if check.state is State.NG)
    line = ", ".join(f"{counts[state]} {state.value}" for state in State)
    return f"{line}: {bad}" if bad else line


def _seen(session: Session, name: str, key: str) -> Sequence[Check]:
    try:
        return session.preview(name, None, key).checks
    except PipelineError as error:
        return (Check("service", State.NG, error.message, error.hint),)


def _environments(invocation: Invocation, *, up: bool) -> Iterator[Check]:
    """What a rollout would need in each environment, looked at where the cloud is up."""
    from pipeline.checks import of_account
    from pipeline.wiring import Project

    if not up:
        yield from (Check(name, State.SKIP, "the cloud was not reached") for name in ENVIRONMENTS)
        return
    project = Project.open(invocation.root, invocation.terminal)
    try:
        with project.session((), touch=False) as session:
            for name in ENVIRONMENTS:
                keys = tuple(session.sites(name))
                for key in keys:
                    where = f"{name} {key}" if len(keys) > 1 else name
                    seen = _seen(session, name, key)
                    yield from (replace(check, name=f"{where} {check.name}") for check in seen)
            yield from of_account(session.settings, session.cloud)
    except PipelineError as error:
        yield Check("environments", State.SKIP, error.message)
