"""Leases: who may change an environment, since when and for how long, and when it may be taken over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """Who wants an environment: `holder` a person or CI job, the run's id, the digest it is about, and why."""

    holder: str
    run: str
    why: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Tenure:
    """Who has an environment. Without a heartbeat it ends at `expires`; times are aware and in UTC."""

    environment: str
    claim: Claim
    fence: int
    since: datetime
    expires: datetime
