"""`setup`: an account made ready for environments, by CloudFormation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from pipeline.commands.consent import agree
from pipeline.errors import ExitCode, UsageError
from pipeline.terminal import Invocation, Terminal

if TYPE_CHECKING:
    from pipeline.foundation import Foundation
    from pipeline.provisioning import Made, SetupPlan

_TYPED = frozenset({"prod"})


class Options(TypedDict):
    """The flags."""

    plan: bool
    yes: bool
    accept_loss: bool
    print_iam: bool


@click.command("setup")
@click.argument("environments", nargs=-1, type=click.Choice(("staging", "prod")))
@click.option("-r", "--region", metavar="REGION", default="", help="Another region than cloud.region.")
@click.option("--plan", is_flag=True, help="Show what would be made and changed; do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Also replace or remove a repository, table, secret, log group or key.",
)
@click.option(
    "--print-iam", is_flag=True, help="Print the IAM policies for set-up, CI and promotion; touch nothing."
)
@click.pass_obj
def command(
    invocation: Invocation, /, environments: tuple[str, ...], region: str, **options: Unpack[Options]
) -> int:
    """Makes everything that ENVIRONMENTS (staging, prod) need on AWS, or changes it to what pipeline.toml says.

    It says first what it will do. What services run is left alone. Again and again it has the same end, also after it
    was killed.
    """
    if options["print_iam"]:
        return _print_iam(invocation, environments, region)
    if not environments:
        raise UsageError("setup of what?", hint="name the environments: setup staging prod")
    from pipeline.foundation import Foundation

    terminal = invocation.terminal
    foundation = Foundation.open(invocation.root, region, terminal.say, "setup")
    terminal.tell(f"cloud: {foundation.ground.text}")
    plan = foundation.provisioning.plan(environments, accept_loss=options["accept_loss"])
    _tell(terminal, plan)
    document = _document(foundation, plan)
    if plan.reasons:
        terminal.reasons(plan.reasons)
        return _answer(terminal, "refused, nothing was changed", document, "refused", ExitCode.REFUSED)
    if options["plan"]:
        return _answer(terminal, "nothing was changed", document, "planned", ExitCode.DONE)
    if not plan.empty:
        agree(environments, "set up", typed=_TYPED, yes=options["yes"])
    made = foundation.provisioning.apply(plan)
    return _finish(terminal, foundation, environments, made, document)


def _tell(terminal: Terminal, plan: SetupPlan) -> None:
    for note in plan.notes:
        terminal.tell(note)
    for step in plan.steps:
        first, *others = step.plan.lines
        terminal.tell(f"{step.plan.name:<34}{first}")
        for line in others:
            terminal.tell(f"{'':<34}{line}")


def _document(foundation: Foundation, plan: SetupPlan) -> dict[str, Any]:
    return {
        "account": foundation.ground.text,
        "region": foundation.settings.cloud.region,
        "notes": list(plan.notes),
        "reasons": [{"text": reason.text, "remedy": reason.remedy} for reason in plan.reasons],
        "stacks": [
            {
                "name": step.plan.name,
                "did": "",
                "new": step.plan.new and step.spec is not None,
                "changes": [
                    {
                        "action": change.action.value,
                        "resource": change.logical,
                        "kind": change.kind,
                        "id": change.physical,
                        "properties": list(change.properties),
                    }
                    for change in step.plan.changes
                ],
            }
            for step in plan.steps
        ],
        "environments": [],
    }


def _finish(
    terminal: Terminal,
    foundation: Foundation,
    environments: Sequence[str],
    made: Sequence[Made],
    document: dict[str, Any],
) -> int:
    did = {one.name: one.did for one in made}
    for stack in document["stacks"]:
        stack["did"] = did[stack["name"]]
    ready = [foundation.now(name, made) for name in environments]
    document["environments"] = [one.document for one in ready]
    for one in ready:
        for line in one.lines:
            terminal.tell(line)
    text = (
        "ready: python -m pipeline run"
        if not any(one.todo for one in ready)
        else "set up; what is left to do is told above"
    )
    return _answer(terminal, text, document, "done", ExitCode.DONE)


def _answer(terminal: Terminal, text: str, document: dict[str, Any], outcome: str, code: ExitCode) -> int:
    terminal.answer(text, {"command": "setup", "outcome": outcome, "exit_code": int(code), **document})
    return code


def _print_iam(invocation: Invocation, environments: Sequence[str], region: str) -> int:
    from pipeline.foundation import settings_for
    from pipeline.stacks import policies

    found = policies(settings_for(invocation.root, region), environments or ("staging", "prod"))
    head = {"command": "setup", "outcome": "done", "exit_code": 0}
    invocation.terminal.answer(json.dumps(found, indent=2), {**head, "policies": found})
    return ExitCode.DONE
