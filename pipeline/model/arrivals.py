"""When iterations of an arrival-rate load are planned to begin: a Poisson process that is the same in every run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from random import Random

ON_TIME = 0.1
"""Seconds after its planned start within which an iteration counts as begun on time."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Planned starts, `rate` a second in the mean, with gaps as independent visitors leave them.

    `seed` tells the schedules of sides and processes apart; the same seed gives the same starts.
    """

    rate: float
    seed: str

    def starts(self) -> Iterator[float]:
        """Seconds after the load's begin, ascending, without an end. Raises ValueError for a rate that is none."""
        if not 0 < self.rate < float("inf"):
            raise ValueError(f"not a rate of arrivals: {self.rate!r}")
        draw = Random(self.seed)  # noqa: S311 – reproducible, not secret
        at = 0.0
        while True:
            at += draw.expovariate(self.rate)
            yield at

    def planned(self, begin: float, end: float) -> int:
        """How many starts lie from `begin` on and before `end`."""
        return sum(at >= begin for at in takewhile(lambda at: at < end, self.starts()))
