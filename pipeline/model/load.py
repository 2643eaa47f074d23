"""The load gate's values and its verdict. (Skeleton: the values other modules rely on.)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LoadShape:
    """What is offered: the locustfile, users, users started per second, and seconds of warm-up and of measuring."""

    locustfile: Path
    users: int
    spawn_rate: float
    warmup: float
    duration: float


@dataclass(frozen=True, slots=True)
class EndpointSummary:
    """One endpoint, or all of them (`name` "all"): counts, and latency quantiles in milliseconds.

    `quantiles` maps "p50", "p95", "p99" to milliseconds; a quantile that could not be computed is not there.
    """

    name: str
    requests: int
    failures: int
    quantiles: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class GeneratorHealth:
    """Whether the load generator kept up: CPU share of its busiest process (1.0 = a core), share of the time its event loop lagged."""

    cpu_share: float
    lag_share: float


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """What was measured after the warm-up."""

    total: EndpointSummary
    endpoints: Sequence[EndpointSummary]
    seconds: float
    generator: GeneratorHealth
    errors: Mapping[str, int] = field(default_factory=dict)
    """The commonest failure messages and how often each came."""
