"""What IAM answers, for policies of the kind that we print: identity policies, with conditions on single keys.

After "Policy evaluation logic" and "IAM JSON policy elements" in the IAM User Guide. What is not known here raises
ValueError: a policy that says more than this understands is not judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

_KNOWN = {"Sid", "Effect", "Action", "Resource", "Condition"}
_SEGMENTS = 6
"""An ARN has five colons that count; what comes after is the resource, with colons of its own."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing that is asked of IAM. `context` has what conditions may ask about, by key, each with its values."""

    action: str
    resource: str
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        told = ", ".join(f"{key} {' '.join(values)}" for key, values in sorted(self.context.items()))
        return f"{self.action} on {self.resource}" + (f" ({told})" if told else "")


def allowed(policies: Sequence[Mapping[str, Any]], asked: Asked) -> bool:
    """Whether a statement allows it and none denies it."""
    statements = [one for policy in policies for one in listed(policy["Statement"])]
    effects = {str(one["Effect"]) for one in statements if _applies(one, asked)}
    return effects == {"Allow"}


def listed(value: Any) -> list[Any]:
    """One and a list of one are the same to IAM."""
    return list(value) if isinstance(value, list | tuple) else [value]


def action_matches(pattern: str, action: str) -> bool:
    """Actions are compared without regard to case."""
    return bool(_pattern(pattern.lower()).fullmatch(action.lower()))


def resource_matches(pattern: str, resource: str) -> bool:
    """ARNs are compared segment by segment: no wildcard but that at the end reaches over a colon."""
    if pattern == "*":
        return True
    wanted, found = (text.split(":", _SEGMENTS - 1) for text in (pattern, resource))
    return len(wanted) == len(found) and all(
        _pattern(want).fullmatch(have) for want, have in zip(wanted, found, strict=True)
    )


def _applies(statement: Mapping[str, Any], asked: Asked) -> bool:
    if unknown := set(statement) - _KNOWN:
        raise ValueError(f"a statement with {', '.join(sorted(unknown))}")
    conditions = [
        _holds(operator, key, listed(values), asked.context)
        for operator, told in statement.get("Condition", {}).items()
        for key, values in told.items()
    ]
    return (
        any(action_matches(one, asked.action) for one in listed(statement["Action"]))
        and any(resource_matches(one, asked.resource) for one in listed(statement["Resource"]))
        and all(conditions)
    )


def _holds(operator: str, key: str, wanted: Sequence[str], context: Mapping[str, Sequence[str]]) -> bool:
    """A key that is not there fulfils no condition; of one with several values, `ForAnyValue` asks for one."""
    several, _, name = operator.rpartition(":")
    if several not in ("", "ForAnyValue") or name not in _COMPARED:
        raise ValueError(f"a condition with {operator}")
    compare = _COMPARED[name]
    found = {one.lower(): values for one, values in context.items()}.get(key.lower(), ())
    if not several and len(found) > 1:
        raise ValueError(f"{key} has several values: a condition on it begins with ForAnyValue")
    return any(compare(want, have) for want in wanted for have in found)


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in text), re.DOTALL)


_COMPARED: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda want, have: want == have,
    "StringLike": lambda want, have: bool(_pattern(want).fullmatch(have)),
    "ArnLike": resource_matches,
    "ArnEquals": resource_matches,
}
