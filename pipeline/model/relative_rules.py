"""What the candidate may be worse by than the baseline, and for how long to measure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

ALL = "all"
"""The name of all requests together, beside the endpoints' names."""

MOST_DISTURBED = 0.40
"""The largest share of disturbed blocks with which a comparison still says something."""

FEWEST: Mapping[str, int] = {"p50": 800, "p95": 800, "p99": 6000}
"""Requests a side that a quantile of all requests must rest on."""

FEWEST_OF_ENDPOINT = 100
"""Requests a side that a quantile of one endpoint must rest on, and ten in its tail."""

SURELY_SLOWER = 1.5
"""A ratio whose whole interval is above this refuses at once; any other must be seen at two looks running."""


@dataclass(frozen=True, slots=True)
class RelativeRules:
    """What [load.relative] and [load.errors] of pipeline.toml say.

    `tolerance`, `exclude`: a ratio of quantiles fails from 1 + tolerance on, and passes when its interval lies below
    1 + exclude. `confidence`: of the two-sided intervals. `percentiles`: which of p50, p95 and p99 are judged.
    `min_delta_ms`: differences below it are never a failure. `max_error_increase`, `exclude_errors`: the same two
    bounds for the difference of the error shares (0.01: one request more of a hundred). The times are in seconds:
    looks are taken at `min_duration`, then every `every`, and at `max_duration` for the last time. Raises ValueError
    for rules that could not be followed, or that everything would pass.
    """

    tolerance: float = 0.10
    exclude: float = 0.25
    confidence: float = 0.995
    percentiles: tuple[str, ...] = ("p50", "p95")
    min_delta_ms: float = 1.0
    max_error_increase: float = 0.005
    exclude_errors: float = 0.02
    min_duration: float = 16.0
    every: float = 8.0
    max_duration: float = 64.0

    def __post_init__(self) -> None:
        bounds = (self.tolerance, self.exclude, self.max_error_increase, self.exclude_errors)
        if not all(math.isfinite(bound) and bound > 0 for bound in bounds):
            raise ValueError(f"bounds of the comparison must be above 0 and finite: {bounds}")
        if self.tolerance >= self.exclude or self.max_error_increase > self.exclude_errors:
            raise ValueError("a candidate must fail before it is past what is excluded")
        if not 0.5 <= self.confidence < 1 or not 0 <= self.min_delta_ms < math.inf:
            raise ValueError(f"confidence {self.confidence}, min_delta_ms {self.min_delta_ms}")
        if not self.percentiles or set(self.percentiles) - set(FEWEST):
            raise ValueError(f"percentiles are some of {', '.join(FEWEST)}: {self.percentiles}")
        if not 0 < self.every < math.inf or not 0 < self.min_duration <= self.max_duration < math.inf:
            raise ValueError(
                f"no times to look at: {self.min_duration} s, every {self.every} s, up to {self.max_duration} s"
            )
