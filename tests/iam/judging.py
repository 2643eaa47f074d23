"""Calls that commands made, judged by the policies that `setup --print-iam` prints for who gives such a command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.iam.calls import Call, asked_by
from tests.iam.evaluator import allowed

Policies = Mapping[str, Any]
"""What `setup --print-iam` prints."""


def set_up(printed: Policies) -> list[Any]:
    """The policies of who sets up, in every region."""
    return [part["setup"] for part in (printed, *printed.get("regions", ()))]


def promotion(printed: Policies, environment: str) -> list[Any]:
    """The policies of who promotes to an environment, in every region that it is in."""
    parts = (printed, *printed.get("regions", ()))
    return [part["promote"][environment] for part in parts if environment in part["promote"]]


def of_command(printed: Policies, command: Sequence[str]) -> list[Any]:
    """The policies of who gives a command: of its stage, of those up to `--until`, else of all that deliver.

    None where there is no such stage: such a command asks nothing.
    """
    said = [word for word in command if not word.startswith("-")]
    ci, staging, prod = [printed["ci"]], promotion(printed, "staging"), promotion(printed, "prod")
    own = {"build": ci, "integration": ci, "staging": staging, "prod": prod}
    if said[:1] == ["stage"]:
        return own.get(said[1], [])
    if said[:1] in (["promote"], ["rollback"]):
        return staging if "staging" in said else prod
    if "--until" in command and (last := command[command.index("--until") + 1]) != "prod":
        return {**own, "staging": [*ci, *staging]}.get(last, [])
    return [*ci, *staging, *prod]


def refused(calls: Iterable[Call], printed: Policies, policies: Sequence[Any]) -> list[str]:
    """What IAM would refuse, each once. `policies` are those of who gives the command; set-up within it has its own.

    What the local cloud calls for itself is nobody's on AWS.
    """
    found: dict[str, None] = {}
    for call in calls:
        if call.whose != "local cloud":
            judged_by = set_up(printed) if call.whose == "set-up" else policies
            found |= {str(one): None for one in asked_by(call) if not allowed(judged_by, one)}
    return list(found)
