"""Latency quantiles of one side in milliseconds, with intervals that know that requests of a block hang together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.model.histogram import Histogram
from pipeline.model.intervals import normal_quantile, student_quantile
from pipeline.model.quantile_ratio import merged


@dataclass(frozen=True, slots=True)
class SideQuantile:
    """A quantile and its interval, in milliseconds; upper edges of bins."""

    value: float
    low: float
    high: float


def side_quantile(blocks: Sequence[Histogram], share: float, confidence: float) -> SideQuantile | None:
    """The `share` quantile of all blocks together, with Woodruff's interval of this two-sided confidence.

    How far the share below the quantile may be off comes out of the blocks, and is never taken to be less than
    independent requests give. The interval ends at the fastest and the slowest request. None without requests.
    """
    whole = Histogram(merged(block.bins for block in blocks))
    value = whole.quantile(share)
    if value is None:
        return None
    counts = [(block.count, block.above(value)) for block in blocks if block.count]
    above, requests = 1 - share, whole.count
    off = math.sqrt(above * share / requests)
    reach = normal_quantile(confidence)
    if len(counts) > 1:
        # The bin of the quantile holds requests on both sides of it: the share that is really above it is expected.
        seen_above = sum(slow for _, slow in counts) / requests
        seen = math.fsum((slow - seen_above * count) ** 2 for count, slow in counts)
        off = max(off, math.sqrt(len(counts) / (len(counts) - 1) * seen) / requests)
        reach = student_quantile(confidence, len(counts) - 1)
    low = whole.quantile(max(0.0, share - reach * off))
    high = whole.quantile(min(1.0, share + reach * off))
    return SideQuantile(value, low or value, high or value)
