"""What differs between two task definitions, key by key, with what looks like a secret masked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.model.task_definition import READ_ONLY

MASK = "(masked)"
"""What is shown instead of a value that looks like a secret."""

_NAMES = re.compile(
    r"pass(word|wd|phrase)?|secret|token|credential|private|api_?key|access_?key|signing_?key|_key$|^key$|auth|"
    r"cookie|salt|dsn|connection_?string|database_url|webhook",
    re.IGNORECASE,
)
_VALUES = re.compile(r"://[^/@\s]*:[^/@\s]+@|-----BEGIN|\b(AKIA|ASIA)[A-Z0-9]{16}\b|\beyJ[\w-]+\.[\w-]+\.")


@dataclass(frozen=True, slots=True)
class Change:
    """One key: its path, and its value before and after; None: it is not there."""

    path: str
    before: str | None
    after: str | None

    @property
    def line(self) -> str:
        """The change as people read it."""
        if self.before is None:
            return f"+ {self.path} = {self.after}"
        if self.after is None:
            return f"- {self.path} = {self.before}"
        changed = " (another value)" if self.before == self.after else ""
        return f"~ {self.path}: {self.before} → {self.after}{changed}"


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """What registering `after` in place of `before` changes, in the order of the paths.

    What DescribeTaskDefinition adds, tags, and the difference between absent and empty are left out. Containers,
    variables and secrets go by their names. Where a secret comes from is shown; values of variables that look like
    secrets, by name or by form, are masked.
    """
    old, new = dict(_flat(_kept(before))), dict(_flat(_kept(after)))
    return tuple(
        Change(path, _shown(path, old.get(path)), _shown(path, new.get(path)))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    )


def _kept(definition: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in definition.items() if key not in READ_ONLY and key != "tags"}


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        items = [(str(key), entry) for key, entry in value.items()]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        items = _named(value)
    else:
        return [] if value is None or value == "" else [(path, _text(value))]
    return [leaf for key, entry in items for leaf in _flat(entry, f"{path}.{key}".removeprefix("."))]


def _named(entries: Sequence[Any]) -> list[tuple[str, Any]]:
    """The entries of a list by their names where they have some, else by their places."""
    if not entries or not all(isinstance(entry, Mapping) and entry.get("name") for entry in entries):
        return [(str(index), entry) for index, entry in enumerate(entries)]
    return [(str(entry["name"]), _inner(entry)) for entry in entries]


def _inner(entry: Mapping[str, Any]) -> Any:
    rest = {key: value for key, value in entry.items() if key != "name"}
    for only in ("value", "valueFrom"):
        if set(rest) == {only}:
            return rest[only]
    return rest


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(path: str, value: str | None) -> str | None:
    if value is None:
        return None
    _, variable, name = path.rpartition(".environment.")
    if (variable and _NAMES.search(name)) or _VALUES.search(value):
        return MASK
    return value
