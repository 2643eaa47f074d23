"""Which resources a CloudFormation template makes with given parameters: its conditions, evaluated without AWS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.model.stack_plan import Action, ResourceChange


def resources_made(template: Mapping[str, Any], parameters: Mapping[str, str]) -> tuple[ResourceChange, ...]:
    """Every resource of a new stack, as additions. `template` has its functions in the long form (Fn::If).

    Raises ValueError for a condition with a function that is not one of Equals, Not, And, Or, Condition, Ref, Join.
    """
    known = {name: told.get("Default", "") for name, told in (template.get("Parameters") or {}).items()}
    conditions = _Conditions(template.get("Conditions") or {}, {**known, **parameters})
    return tuple(
        ResourceChange(Action.ADD, name, str(resource["Type"]))
        for name, resource in template["Resources"].items()
        if "Condition" not in resource or conditions.holds(resource["Condition"])
    )


class _Conditions:
    def __init__(self, told: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        self._told = told
        self._values = values

    def holds(self, name: str) -> bool:
        return self._true(self._told[name])

    def _true(self, node: Any) -> bool:
        ((function, argument),) = node.items()
        if function == "Fn::Equals":
            return self._text(argument[0]) == self._text(argument[1])
        if function == "Fn::Not":
            return not self._true(argument[0])
        if function in ("Fn::And", "Fn::Or"):
            return (all if function == "Fn::And" else any)(self._true(part) for part in argument)
        if function == "Condition":
            return self.holds(argument)
        raise ValueError(f"a condition with {function}")

    def _text(self, node: Any) -> str:
        if not isinstance(node, Mapping):
            return str(node)
        ((function, argument),) = node.items()
        if function == "Ref":
            return str(self._values[argument])
        if function == "Fn::Join":
            between, parts = argument
            texts = [self._text(part) for part in parts] if _listed(parts) else [self._text(parts)]
            return str(between).join(texts)
        raise ValueError(f"a condition with {function}")


def _listed(parts: Any) -> bool:
    return isinstance(parts, Sequence) and not isinstance(parts, str)
