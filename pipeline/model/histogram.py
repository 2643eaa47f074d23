"""Latencies counted in bins that are half a per cent wide: small, mergeable, exact to the bin."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

BIN_WIDTH = 0.005
"""How much wider a bin's upper edge is than its lower one."""

SMALLEST = 0.01
"""Milliseconds at the upper edge of bin 0, which holds everything faster."""

_STEP = math.log1p(BIN_WIDTH)


def bin_of(milliseconds: float) -> int:
    """The bin that holds a latency. Raises ValueError for what is negative or not finite."""
    if not math.isfinite(milliseconds) or milliseconds < 0:
        raise ValueError(f"not a latency in milliseconds: {milliseconds!r}")
    if milliseconds <= SMALLEST:
        return 0
    return math.ceil(math.log(milliseconds / SMALLEST) / _STEP)


def upper_edge(bin_number: int) -> float:
    """The longest latency, in milliseconds, that a bin holds."""
    return SMALLEST * math.exp(bin_number * _STEP)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many latencies fell into each bin; `bins` maps a bin's number to a count above zero."""

    bins: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, latencies: Iterable[float]) -> Histogram:
        """Counts latencies given in milliseconds."""
        return cls(Counter(bin_of(latency) for latency in latencies))

    @property
    def count(self) -> int:
        """How many latencies were counted."""
        return sum(self.bins.values())

    @property
    def facts(self) -> dict[str, int]:
        """The counts as JSON values, by bin, the fastest first."""
        return {str(number): self.bins[number] for number in sorted(self.bins)}

    def merge(self, other: Histogram) -> Histogram:
        """Both together; neither is changed."""
        return Histogram(Counter(self.bins) + Counter(other.bins))

    def quantile(self, share: float) -> float | None:
        """The upper edge, in milliseconds, of the bin in which the `share` quantile (nearest rank) lies.

        It is never below the true quantile and at most one bin width above it. None where nothing was counted.
        """
        rank = max(1, math.ceil(share * self.count - 1e-9))
        seen = 0
        for number in sorted(self.bins):
            seen += self.bins[number]
            if seen >= rank:
                return upper_edge(number)
        return None

    def above(self, milliseconds: float) -> int:
        """How many latencies lie in bins above the one that holds `milliseconds`."""
        limit = bin_of(milliseconds)
        return sum(count for number, count in self.bins.items() if number > limit)
