"""What a gate asks for: required stages, their age, their order and limits."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.model.verdict import Reason

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_duration(value: object) -> float:
    """Seconds out of "250ms", "10s", "5m", "24h" or "30d". Raises ValueError for anything else, bare numbers too."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError('a duration is a number with a unit: "10s", "5m", "24h", "30d"')
    return float(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True, slots=True)
class Limit:
    """Bounds on one metric; the bound itself is still within."""

    max: float | None = None
    min: float | None = None


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


def limit_reasons(stage: str, metrics: Mapping[str, float], limits: Mapping[str, Limit]) -> list[Reason]:
    """Why recorded metrics do not meet the limits; empty when every one is met.

    A metric that is missing, a bool, not a number or not finite does not meet any limit.
    """
    return [reason for name, limit in limits.items() if (reason := _limit_reason(stage, name, metrics.get(name), limit))]


def _limit_reason(stage: str, name: str, value: object, limit: Limit) -> Reason | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return Reason(f"{stage} recorded no {name}", f"run {stage} again")
    if limit.max is not None and value > limit.max:
        return Reason(f"{stage}: {name} was {value:g}, at most {limit.max:g} is allowed", f"mend it, or change the limit of {name}")
    if limit.min is not None and value < limit.min:
        return Reason(f"{stage}: {name} was {value:g}, at least {limit.min:g} is asked for", f"run {stage} for longer or with more users")
    return None
