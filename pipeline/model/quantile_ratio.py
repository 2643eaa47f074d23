"""By what factor a quantile of the candidate's latencies lies above the baseline's, with an interval.

A ratio is tried by dividing the candidate's latencies by it (a shift of logarithmic bins) and asking whether both
sides then have the same share of requests below the quantile of all of them together. Ratios that this test does not
reject make up the interval. How far the two shares may differ by chance comes out of the blocks: requests within a
block hang together, so blocks are what is independent. It is never taken to be less than independent requests give.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

from pipeline.model.histogram import BIN_WIDTH
from pipeline.model.intervals import student_quantile

Bins = Mapping[int, int]
"""Counts by bin; bins are `BIN_WIDTH` wide and may be below zero once they were shifted."""

STEP = math.log1p(BIN_WIDTH)
_NOTHING = 1e-12


@dataclass(frozen=True, slots=True)
class QuantileRatio:
    """The quantile's ratio, candidate to baseline; `low` and `high` enclose it with the confidence asked for."""

    point: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _Steps:
    """One side of one block: sorted bins, and how many requests lie below each of them (and below the end)."""

    bins: Sequence[int]
    below: Sequence[int]

    @classmethod
    def of(cls, counts: Bins) -> _Steps:
        bins = sorted(counts)
        return cls(bins, [0, *accumulate(counts[number] for number in bins)])

    @property
    def count(self) -> int:
        return self.below[-1]

    def share_below(self, number: int, part: float) -> float:
        """Requests below a bin, and `part` of those within it."""
        lower = self.below[bisect_left(self.bins, number)]
        return lower + part * (self.below[bisect_right(self.bins, number)] - lower)


@dataclass(frozen=True)
class PairedLatencies:
    """Both sides' latencies, block by block: (candidate, baseline) as counts by bin."""

    pairs: Sequence[tuple[Bins, Bins]]
    _steps: Sequence[tuple[_Steps, _Steps]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        steps = [(_Steps.of(c), _Steps.of(b)) for c, b in self.pairs if c or b]
        object.__setattr__(self, "_steps", steps)

    @cached_property
    def counts(self) -> tuple[int, int]:
        """How many requests the candidate and the baseline answered."""
        return sum(c.count for c, _ in self._steps), sum(b.count for _, b in self._steps)

    @property
    def blocks(self) -> int:
        """Blocks in which either side answered anything."""
        return len(self._steps)

    @cached_property
    def _whole(self) -> tuple[_Steps, _Steps]:
        return _Steps.of(merged(c for c, _ in self.pairs)), _Steps.of(merged(b for _, b in self.pairs))

    def ratio(self, share: float, confidence: float) -> QuantileRatio | None:
        """The ratio of the `share` quantiles with an interval of this two-sided confidence.

        None with fewer than two blocks, where a side answered nothing, and where there are so few requests that not
        even latencies without anything in common would be told apart. The ends are rounded outwards to whole bins.
        """
        if self.blocks < 2 or not all(self.counts):
            return None
        centre = self._crossing(share)
        reach = student_quantile(confidence, self.blocks - 1)

        def rejected(shift: int) -> bool:
            difference, spread = self._score(shift, share)
            return abs(difference) > reach * spread

        lowest, highest = self._apart
        if not (rejected(lowest) and rejected(highest)):
            return None
        high = _first(rejected, math.ceil(centre), highest)
        low = _first(rejected, math.floor(centre), lowest)
        return QuantileRatio(math.exp(centre * STEP), math.exp(low * STEP), math.exp(high * STEP))

    @property
    def _apart(self) -> tuple[int, int]:
        """Shifts by which all of the candidate's latencies come to lie above, or below, all of the baseline's."""
        candidate, baseline = self._whole
        return candidate.bins[0] - baseline.bins[-1] - 1, candidate.bins[-1] - baseline.bins[0] + 1

    def _crossing(self, share: float) -> float:
        """The shift, in bins, at which both sides have the same share below; the middle where several do."""
        low, high = self._apart
        first = _turn(lambda shift: self._difference(shift, share)[0] > -_NOTHING, low, high)
        after = self._difference(first, share)[0]
        if after > _NOTHING:
            before = self._difference(first - 1, share)[0]
            return first - after / (after - before)
        return (
            first + _turn(lambda shift: self._difference(shift, share)[0] > _NOTHING, first, high) - 1
        ) / 2

    def _difference(self, shift: int, share: float) -> tuple[float, int, float]:
        """Candidate's share below less the baseline's; and the quantile of both: its bin, and the part of it."""
        candidate, baseline = self._whole
        number, part = _pooled(candidate, baseline, shift, share)
        lower = candidate.share_below(number + shift, part) / candidate.count
        return lower - baseline.share_below(number, part) / baseline.count, number, part

    def _score(self, shift: int, share: float) -> tuple[float, float]:
        """The difference of the shares below, and its standard deviation were the shift the true one."""
        difference, number, part = self._difference(shift, share)
        n, m = self.counts
        shifted = number + shift
        parts = [
            (c.share_below(shifted, part) - share * c.count) / n
            - (b.share_below(number, part) - share * b.count) / m
            for c, b in self._steps
        ]
        blocks = len(parts)
        mean = difference / blocks
        seen = blocks / (blocks - 1) * math.fsum((one - mean) ** 2 for one in parts)
        return difference, math.sqrt(max(seen, share * (1 - share) * (1 / n + 1 / m)))


def merged(counts: Iterable[Bins]) -> Bins:
    """All of them added up."""
    whole: Counter[int] = Counter()
    for one in counts:
        whole.update(one)
    return whole


def _pooled(candidate: _Steps, baseline: _Steps, shift: int, share: float) -> tuple[int, float]:
    """The quantile of both sides, the candidate's bins lowered by `shift`: its bin, and how far into it."""
    rank = share * (candidate.count + baseline.count)

    def below(number: int) -> int:
        mine = candidate.below[bisect_left(candidate.bins, number + shift)]
        return mine + baseline.below[bisect_left(baseline.bins, number)]

    low = min(candidate.bins[0] - shift, baseline.bins[0])
    high = max(candidate.bins[-1] - shift, baseline.bins[-1])
    while low < high:
        middle = (low + high) // 2
        if below(middle + 1) >= rank:
            high = middle
        else:
            low = middle + 1
    lower = below(low)
    return low, (rank - lower) / (below(low + 1) - lower)


def _turn(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The first shift above `low` for which something holds that holds for `high` and, once it does, ever after."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _first(rejected: Callable[[int], bool], start: int, end: int) -> int:
    """The first shift from `start` towards `end` that is rejected, as `end` is; in strides that double, then halve."""
    direction, stride = (1, 1) if end > start else (-1, 1)
    good, bad = start, start + direction
    while not rejected(bad):
        stride *= 2
        good, bad = bad, min(bad + stride, end) if direction > 0 else max(bad - stride, end)
    while abs(bad - good) > 1:
        middle = (good + bad) // 2
        good, bad = (good, middle) if rejected(middle) else (middle, bad)
    return bad
