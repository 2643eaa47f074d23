"""How a prerequisite stands: OK, SKIP with the reason, or NG with the fix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a check came out."""

    OK = "OK"
    SKIP = "SKIP"
    NG = "NG"


@dataclass(frozen=True, slots=True)
class Check:
    """One prerequisite: its name, how it stands, and for NG the fix."""

    name: str
    state: State
    text: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; several under one name make a `Check`."""

    state: State
    text: str
    fix: str = ""


def combine(name: str, found: Sequence[Finding]) -> Check:
    """The worst of what was found under one name, NG before SKIP before OK, with everything that is like it."""
    if not found:
        return Check(name, State.OK, "nothing of the kind is used")
    state = max((entry.state for entry in found), key=(State.OK, State.SKIP, State.NG).index)
    alike = [entry for entry in found if entry.state is state]
    texts = dict.fromkeys(entry.text for entry in alike)
    fixes = dict.fromkeys(entry.fix for entry in alike if entry.fix)
    return Check(name, state, "; ".join(texts), "; ".join(fixes))


def ok(text: str) -> Finding:
    """It is as it should be."""
    return Finding(State.OK, text)


def skip(text: str) -> Finding:
    """It could not be looked at, or says nothing: `text` is why."""
    return Finding(State.SKIP, text)


def ng(text: str, fix: str) -> Finding:
    """It is not as it should be, and `fix` mends it."""
    return Finding(State.NG, text, fix)
