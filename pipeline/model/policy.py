"""What a gate asks for: required stages, their age, their order and limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.model.limits import Limit

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_duration(value: object) -> float:
    """Seconds out of "250ms", "10s", "5m", "24h" or "30d". Raises ValueError for anything else, bare numbers too."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError('a duration is a number with a unit: "10s", "5m", "24h", "30d"')
    return float(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True, slots=True)
class Requirement:
    """What must be on record of one stage: PASSED, not older than `max_age` seconds, after its predecessors.

    `environment` empty: any. `plan`: the hash that counts as the same run today; empty asks for none.
    `limits` bound recorded metrics by name.
    """

    stage: str
    environment: str = ""
    max_age: float | None = None
    after: tuple[str, ...] = ()
    plan: str = ""
    limits: Mapping[str, Limit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What opens one stage for one app."""

    gate: str
    app: str
    requirements: tuple[Requirement, ...]
