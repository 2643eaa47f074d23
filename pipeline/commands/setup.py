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
    from pipeline.estate import Estate
    from pipeline.foundation import Foundation, Ready
    from pipeline.provisioning import Made, SetupPlan, Step

_TYPED = frozenset({"prod"})
_WIDTH = 34
"""Columns for a stack's name."""


class Options(TypedDict):
    """The flags."""

    plan: bool
    yes: bool
    accept_loss: bool
    print_iam: bool


@click.command("setup")
@click.argument("environments", nargs=-1, type=click.Choice(("staging", "prod")))
@click.option("-r", "--region", metavar="REGION", default="", help="One region alone; see the reference.")
@click.option("--plan", is_flag=True, help="Show what would be made and changed; do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Also replace or remove a repository, table, secret, log group or key, and the rest of a half deleted stack.",
)
@click.option(
    "--print-iam", is_flag=True, help="Print the IAM policies for set-up, CI and promotion; touch nothing."
)
@click.pass_obj
def command(
    invocation: Invocation, /, environments: tuple[str, ...], region: str, **options: Unpack[Options]
) -> int:
    """Makes everything that ENVIRONMENTS (staging, prod) need on AWS, or changes it to what pipeline.toml says.

    In every region they are in. It says first what it will do. What services run is left alone. Again and again it has
    the same end, also after it was killed.
    """
    if options["print_iam"]:
        return _print_iam(invocation, environments, region)
    if not environments:
        raise UsageError("setup of what?", hint="name the environments: setup staging prod")
    from pipeline.estate import Estate

    terminal = invocation.terminal
    estate = Estate.open(invocation.root, environments, region, terminal.say, "setup")
    plans = estate.plan_setup(accept_loss=options["accept_loss"])
    document = _document(estate, plans)
    for foundation, plan in plans:
        _tell(terminal, foundation, plan)
    if reasons := estate.refusals(plans):
        terminal.reasons(reasons)
        return _answer(terminal, "refused, nothing was changed", document, "refused", ExitCode.REFUSED)
    if options["plan"]:
        return _answer(terminal, "nothing was changed", document, "planned", ExitCode.DONE)
    if not all(plan.empty for _, plan in plans):
        agree(environments, "set up", typed=_TYPED, yes=options["yes"])
    ready = [one for foundation, made in estate.set_up(plans) for one in _done(foundation, made, document)]
    return _finish(terminal, ready, document)


def _tell(terminal: Terminal, foundation: Foundation, plan: SetupPlan) -> None:
    terminal.tell(f"cloud: {foundation.ground.text}")
    for note in plan.notes:
        terminal.tell(note)
    width = max([_WIDTH, *(len(step.plan.name) + 2 for step in plan.steps)])
    for step in plan.steps:
        first, *others = step.plan.lines
        terminal.tell(f"{step.plan.name:<{width}}{first}")
        for line in others:
            terminal.tell(f"{'':<{width}}{line}")


def _document(estate: Estate, plans: Sequence[tuple[Foundation, SetupPlan]]) -> dict[str, Any]:
    first = estate.foundations[0].ground
    return {
        "account": first.text,
        "region": first.region,
        "regions": [
            {"region": one.ground.region, "account": one.ground.text, "environments": list(one.environments)}
            for one in estate.foundations
        ],
        "notes": [note for _, plan in plans for note in plan.notes],
        "reasons": [
            {"text": reason.text, "remedy": reason.remedy, "region": one.ground.region}
            for one, plan in plans
            for reason in plan.reasons
        ],
        "stacks": [_stack(one.ground.region, step) for one, plan in plans for step in plan.steps],
        "environments": [],
    }


def _stack(region: str, step: Step) -> dict[str, Any]:
    return {
        "name": step.plan.name,
        "region": region,
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


def _done(foundation: Foundation, made: Sequence[Made], document: dict[str, Any]) -> list[Ready]:
    """Writes into the document what was done at a location, and gives its environments."""
    did = {(foundation.ground.region, one.name): one.did for one in made}
    for stack in document["stacks"]:
        stack["did"] = did.get((stack["region"], stack["name"]), stack["did"])
    return [ready for name in foundation.environments for ready in foundation.now(name, made)]


def _finish(terminal: Terminal, ready: Sequence[Ready], document: dict[str, Any]) -> int:
    document["environments"] = [one.document for one in ready]
    for line in dict.fromkeys(
        line for one in ready for line in one.lines
    ):  # what services share is told once
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
    from pipeline.config import load
    from pipeline.iam import policies
    from pipeline.locations import chosen

    about = chosen(load(invocation.root), environments or ("staging", "prod"), region)
    found = policies(about.settings, about.places)
    head = {"command": "setup", "outcome": "done", "exit_code": 0}
    invocation.terminal.answer(json.dumps(found, indent=2), {**head, "policies": found})
    return ExitCode.DONE
