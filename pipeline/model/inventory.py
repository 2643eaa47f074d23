"""What is there of an app in an account: things found, going, kept on purpose, or not to be seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Presence(StrEnum):
    """How something is there. Only GOING and KEPT are as they should be after a clean-up."""

    THERE = "there"
    GOING = "going"
    KEPT = "kept"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Found:
    """One thing. `environment` is empty for what all environments share; `why` says why it is still there."""

    kind: str
    name: str
    environment: str = ""
    presence: Presence = Presence.THERE
    why: str = ""

    @property
    def text(self) -> str:
        """One line on it."""
        state = "" if self.presence is Presence.THERE else f", {self.presence.value}"
        return f"{self.kind} {self.name}{state}" + (f": {self.why}" if self.why else "")


def left(found: Iterable[Found]) -> tuple[Found, ...]:
    """What is there and should not be, and what could not be looked at: that is not gone."""
    return tuple(one for one in found if is_left(one))


def is_left(one: Found) -> bool:
    """Whether this one is there and should not be, or cannot be looked at."""
    return one.presence in (Presence.THERE, Presence.UNKNOWN)


def counted(found: Sequence[Found]) -> str:
    """How many of each kind, in a line: `2 roles, 1 table`; `nothing` when there are none."""
    kinds = [one.kind for one in found]
    parts = [f"{kinds.count(kind)} {_plural(kind, kinds.count(kind))}" for kind in dict.fromkeys(kinds)]
    return ", ".join(parts) or "nothing"


def _plural(kind: str, count: int) -> str:
    return kind if count == 1 else f"{kind}s"
