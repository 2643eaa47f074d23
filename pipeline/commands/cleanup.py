"""`cleanup`: everything that `setup` made, taken away again, and an inventory of what is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.consent import agree
from pipeline.errors import ExitCode
from pipeline.terminal import Invocation, Terminal

if TYPE_CHECKING:
    from pipeline.dismantling import CleanupPlan
    from pipeline.model.inventory import Found

_TYPED = frozenset({"staging", "prod"})


@click.command("cleanup")
@click.argument("environments", nargs=-1, required=True, type=click.Choice(("staging", "prod")))
@click.option("-r", "--region", metavar="REGION", default="", help="Another region than cloud.region.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--keep-images", is_flag=True, help="Keep the image repository, with images and evidence.")
@click.pass_obj
def command(
    invocation: Invocation, environments: tuple[str, ...], region: str, *, yes: bool, keep_images: bool
) -> int:
    """Deletes everything that `setup` made for ENVIRONMENTS (staging, prod), with the last one also what they share.

    It ends with an inventory by tag: exit code 0 only when nothing is left. Killed midway, run it again.
    """
    from pipeline.foundation import Foundation

    terminal = invocation.terminal
    foundation = Foundation.open(invocation.root, region, terminal.say, "cleanup")
    terminal.tell(f"cloud: {foundation.ground.text}")
    plan = foundation.dismantling.plan(environments, keep_images=keep_images)
    document = _document(foundation.settings.cloud.region, foundation.ground.text, plan)
    _tell(terminal, plan)
    if plan.reasons:
        terminal.reasons(plan.reasons)
        return _answer(terminal, "refused, nothing was deleted", document, "refused", ExitCode.REFUSED)
    if plan.found:
        agree(environments, "delete", typed=_TYPED, yes=yes)
    left = foundation.dismantling.apply(plan, keep_images=keep_images)
    return _inventory(terminal, left, document)


def _tell(terminal: Terminal, plan: CleanupPlan) -> None:
    from pipeline.model.inventory import Presence, counted

    seen = [one for one in plan.found if one.presence is not Presence.UNKNOWN]
    terminal.tell(f"there now   {counted(seen)}")
    for one in plan.found:
        if one not in seen:
            terminal.tell(f"not seen    {one.text}")
    for line in plan.lost:
        terminal.tell(f"lost        {line}")
    for line in plan.notes:
        terminal.tell(f"stays       {line}")


def _inventory(terminal: Terminal, found: Sequence[Found], document: dict[str, Any]) -> int:
    from pipeline.model.inventory import Presence, left

    remaining = left(found)
    for one in found:
        terminal.tell(f"{'left' if one in remaining else 'note':<12}{one.text}")
    unknown = [one for one in remaining if one.presence is Presence.UNKNOWN]
    code = ExitCode.DONE
    if remaining:
        code = ExitCode.UNDECIDED if len(unknown) == len(remaining) else ExitCode.STUCK
        terminal.tell("next:  mend what keeps it, then run the same command again")
    document["left"] = [_found(one) for one in remaining]
    document["noted"] = [_found(one) for one in found if one not in remaining]
    outcome = {ExitCode.DONE: "done", ExitCode.UNDECIDED: "undecided"}.get(code, "stuck")
    return _answer(terminal, f"inventory: {len(remaining)} left", document, outcome, code)


def _document(region: str, account: str, plan: CleanupPlan) -> dict[str, Any]:
    return {
        "account": account,
        "region": region,
        "environments": list(plan.environments),
        "last": plan.last,
        "found": [_found(one) for one in plan.found],
        "lost": list(plan.lost),
        "notes": list(plan.notes),
        "reasons": [{"text": reason.text, "remedy": reason.remedy} for reason in plan.reasons],
        "left": [],
        "noted": [],
    }


def _found(one: Found) -> dict[str, str]:
    return {
        "kind": one.kind,
        "name": one.name,
        "environment": one.environment,
        "presence": one.presence.value,
        "why": one.why,
    }


def _answer(terminal: Terminal, text: str, document: dict[str, Any], outcome: str, code: ExitCode) -> int:
    terminal.answer(text, {"command": "cleanup", "outcome": outcome, "exit_code": int(code), **document})
    return code
