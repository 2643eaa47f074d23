"""What AWS itself says of its actions, as cfn-lint brings it along (a development dependency, pinned by hash).

The Service Authorization Reference: which actions there are, and on which types of resources each may be allowed. And
the schemas of CloudFormation's resource types: which actions their handlers take, with the caller's permissions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from tests.iam.evaluator import action_matches

_DATA = files("cfnlint") / "data"
STEPS = ("create", "read", "update", "delete")
"""What CloudFormation does with a resource of a stack; `list` is for tools that look for resources."""


@dataclass(frozen=True, slots=True)
class Action:
    """An action, and the types of resources on which it may be allowed; with none of them it is allowed on `*`."""

    name: str
    types: tuple[str, ...]


@lru_cache(maxsize=1)
def _reference() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((_DATA / "AdditionalSpecs" / "Policies.json").read_text("utf-8"))
    return found


def actions(pattern: str) -> list[Action]:
    """Every action that a policy means by `pattern`, its name in lower case; empty where there is none."""
    service = pattern.split(":")[0]
    known = _reference().get(service, {}).get("Actions", {})
    named = {f"{service}:{name}": told.get("Resources", ()) for name, told in known.items()}
    return [Action(name, tuple(types)) for name, types in named.items() if action_matches(pattern, name)]


def takes(action: Action, arn: str) -> bool:
    """Whether `arn`, or a pattern of ARNs, is of a type on which the action may be allowed."""
    service = action.name.split(":")[0]
    told = {name.lower(): one["ARNFormats"] for name, one in _reference()[service]["Resources"].items()}
    return any(_fits(form, arn) for name in action.types for form in told[name.lower()])


def _fits(form: str, arn: str) -> bool:
    """What stands for partition, region or account may be empty, as in the ARNs of AWS's own parameters."""
    text = re.sub(r"\$\{\w+\}", "[^:]*", form)
    return bool(re.fullmatch(text, arn))


@lru_cache(maxsize=64)
def schema(resource_type: str) -> Mapping[str, Any]:
    """The schema of a type of resource."""
    schemas = _DATA / "schemas"
    providers = json.loads((schemas / "providers" / "us-east-1.json").read_text("utf-8"))
    path = schemas / "resources" / f"{providers[resource_type]}.json"
    found: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def handlers(resource_type: str) -> Mapping[str, frozenset[str]]:
    """The actions that CloudFormation takes for each step with a resource of this type."""
    told = schema(resource_type)["handlers"]
    return {step: frozenset(told.get(step, {}).get("permissions", ())) for step in STEPS}
