"""What a gate asks for: required stages, their age, their order and limits; whom it trusts, and what it holds back."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from pipeline.model.freeze import FreezeWindow
from pipeline.model.limits import Limit

OWN_KEY = "this machine"
"""What the key of this machine is called where pipeline.toml trusts no other."""

SIGNED = ("build", "integration", "staging", "prod", "rollback", "approval", "quarantine")
"""Everything that a key may be trusted to sign."""

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
class Trust:
    """A key by its id (`SHA256:…`), the name that people know it by, and what it may sign."""

    name: str
    key_id: str
    stages: frozenset[str]


@dataclass(frozen=True, slots=True)
class Approval:
    """A person must have said yes to this digest for this environment.

    `max_age` is in seconds, None for ever. `by` names trusted keys; empty means any that may sign approvals.
    """

    max_age: float | None = None
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Override:
    """A person's decision to go past a gate that refused: why, and who."""

    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What opens one stage for one app. `environment` is what the gate leads to, empty where that is none.

    Without `trust` nobody's word counts. `revoked` holds image digests, ids of bundles or of signed payloads
    (`sha256:…`), and key ids (`SHA256:…`).
    """

    gate: str
    app: str
    requirements: tuple[Requirement, ...]
    environment: str = ""
    trust: tuple[Trust, ...] = ()
    revoked: frozenset[str] = frozenset()
    approval: Approval | None = None
    frozen: tuple[FreezeWindow, ...] = ()

    @property
    def hash(self) -> str:
        """`sha256:` over the canonical JSON of the policy: the record says by which rules a stage was admitted."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), default=sorted)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
