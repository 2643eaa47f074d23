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
    from pipeline.estate import Estate
    from pipeline.foundation import Foundation
    from pipeline.model.inventory import Found

_TYPED = frozenset({"staging", "prod"})


@click.command("cleanup")
@click.argument("environments", nargs=-1, required=True, type=click.Choice(("staging", "prod")))
@click.option("-r", "--region", metavar="REGION", default="", help="One region alone; see the reference.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--keep-images", is_flag=True, help="Keep the image repository, with images and evidence.")
@click.pass_obj
def command(
    invocation: Invocation, environments: tuple[str, ...], region: str, *, yes: bool, keep_images: bool
) -> int:
    """Deletes everything that `setup` made for ENVIRONMENTS (staging, prod), with the last one also what they share.

    In every region they are in. It ends with an inventory by tag: exit code 0 only when nothing is left. Killed midway,
    run it again.
    """
    from pipeline.estate import Estate

    terminal = invocation.terminal
    estate = Estate.open(invocation.root, environments, region, terminal.say, "cleanup")
    plans = estate.plan_cleanup(keep_images=keep_images)
    document = _document(estate, plans)
    for foundation, plan in plans:
        _tell(terminal, foundation, plan)
    if reasons := estate.refusals(plans):
        terminal.reasons(reasons)
        return _answer(terminal, "refused, nothing was deleted", document, "refused", ExitCode.REFUSED)
    if any(plan.found for _, plan in plans):
        agree(environments, "delete", typed=_TYPED, yes=yes)
    left = [
        (foundation.ground.region, one)
        for foundation, found in estate.clean_up(plans, keep_images=keep_images)
        for one in found
    ]
    return _inventory(terminal, left, document)


def _tell(terminal: Terminal, foundation: Foundation, plan: CleanupPlan) -> None:
    from pipeline.model.inventory import Presence, counted

    terminal.tell(f"cloud: {foundation.ground.text}")
    seen = [one for one in plan.found if one.presence is not Presence.UNKNOWN]
    terminal.tell(f"there now   {counted(seen)}")
    for one in plan.found:
        if one not in seen:
            terminal.tell(f"not seen    {one.text}")
    for line in plan.lost:
        terminal.tell(f"lost        {line}")
    for line in plan.notes:
        terminal.tell(f"stays       {line}")


def _inventory(terminal: Terminal, found: Sequence[tuple[str, Found]], document: dict[str, Any]) -> int:
    from pipeline.model.inventory import Presence, is_left

    remaining = [one for one in found if is_left(one[1])]
    for one in found:
        terminal.tell(f"{'left' if one in remaining else 'note':<12}{one[1].text}, in {one[0]}")
    unknown = [one for _, one in remaining if one.presence is Presence.UNKNOWN]
    code = ExitCode.DONE
    if remaining:
        code = ExitCode.UNDECIDED if len(unknown) == len(remaining) else ExitCode.STUCK
        terminal.tell("next:  mend what keeps it, then run the same command again")
    document["left"] = [_found(*one) for one in remaining]
    document["noted"] = [_found(*one) for one in found if one not in remaining]
    outcome = {ExitCode.DONE: "done", ExitCode.UNDECIDED: "undecided"}.get(code, "stuck")
    return _answer(terminal, _counts(document, remaining), document, outcome, code)


def _counts(document: dict[str, Any], remaining: Sequence[tuple[str, Found]]) -> str:
    """How much is left, by region where there are several; into the document as well."""
    for one in document["regions"]:
        one["left"] = sum(region == one["region"] for region, _ in remaining)
    counts = {one["region"]: one["left"] for one in document["regions"]}
    by_region = ", ".join(f"{region} {count}" for region, count in counts.items())
    return f"inventory: {len(remaining)} left" + (f" ({by_region})" if len(counts) > 1 else "")


def _document(estate: Estate, plans: Sequence[tuple[Foundation, CleanupPlan]]) -> dict[str, Any]:
    first = estate.foundations[0].ground
    return {
        "account": first.text,
        "region": first.region,
        "regions": [
            {
                "region": one.ground.region,
                "account": one.ground.text,
                "environments": list(plan.environments),
                "last": plan.last,
                "left": None,
            }
            for one, plan in plans
        ],
        "environments": list(dict.fromkeys(name for name, _ in estate.about.places)),
        "last": plans[-1][1].last,
        "found": [_found(one.ground.region, found) for one, plan in plans for found in plan.found],
        "lost": [line for _, plan in plans for line in plan.lost],
        "notes": [line for _, plan in plans for line in plan.notes],
        "reasons": [
            {"text": reason.text, "remedy": reason.remedy, "region": one.ground.region}
            for one, plan in plans
            for reason in plan.reasons
        ],
        "left": [],
        "noted": [],
    }


def _found(region: str, one: Found) -> dict[str, str]:
    return {
        "region": region,
        "kind": one.kind,
        "name": one.name,
        "environment": one.environment,
        "presence": one.presence.value,
        "why": one.why,
    }


def _answer(terminal: Terminal, text: str, document: dict[str, Any], outcome: str, code: ExitCode) -> int:
    terminal.answer(text, {"command": "cleanup", "outcome": outcome, "exit_code": int(code), **document})
    return code
