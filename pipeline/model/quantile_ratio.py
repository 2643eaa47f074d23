"""By what factor a quantile of the candidate's latencies lies above the baseline's, with an interval.

A ratio is tried by dividing the candidate's latencies by it (a shift of logarithmic bins) and asking whether both
sides then have the same share of requests below the quantile of all of them together. Ratios that this test does not
reject make up the interval. How far the two shares may differ by chance comes out of the blocks: requests within a
block hang together, so blocks are what is independent. It is never taken to be less than independent requests give.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from operator import mul
from typing import NamedTuple

from pipeline.model.histogram import BIN_WIDTH
from pipeline.model.intervals import student_quantile

Bins = Mapping[int, int]
"""Counts by bin; bins are `BIN_WIDTH` wide and may be below zero once they were shifted."""

STEP = math.log1p(BIN_WIDTH)
_NOTHING = 1e-12
_LAGS = 4
"""Over how many blocks (of half a second) one block's speed may reach."""


@dataclass(frozen=True, slots=True)
class QuantileRatio:
    """The quantile's ratio, candidate to baseline; `low` and `high` enclose it with the confidence asked for."""

    point: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LatencyPair:
    """Both sides' latencies within a block, as counts by bin; `middle` is the bin that stands for the block's speed."""

    candidate: Bins
    baseline: Bins
    middle: int = 0


class _Steps(NamedTuple):
    """Sorted bins, and how many requests lie below each of them (and, at last, below the end)."""

    bins: Sequence[int]
    below: Sequence[int]

    @classmethod
    def of(cls, counts: Bins, middle: int = 0) -> _Steps:
        bins = sorted(counts)
        below = [0, *accumulate([counts[number] for number in bins])]
        return cls([number - middle for number in bins] if middle else bins, below)

    @property
    def requests(self) -> int:
        return self.below[-1]


@dataclass(frozen=True)
class PairedLatencies:
    """Both sides' latencies, block by block, each divided by its block's middle."""

    pairs: Sequence[LatencyPair]

    @cached_property
    def counts(self) -> tuple[int, int]:
        """How many requests the candidate and the baseline answered."""
        return self._whole[0].requests, self._whole[1].requests

    @cached_property
    def _steps(self) -> Sequence[tuple[_Steps, _Steps]]:
        answered = (pair for pair in self.pairs if pair.candidate or pair.baseline)
        return [
            (_Steps.of(pair.candidate, pair.middle), _Steps.of(pair.baseline, pair.middle))
            for pair in answered
        ]

    @cached_property
    def _whole(self) -> tuple[_Steps, _Steps]:
        candidate: dict[int, int] = {}
        baseline: dict[int, int] = {}
        for pair in self.pairs:
            add(candidate, pair.candidate, pair.middle)
            add(baseline, pair.baseline, pair.middle)
        return _Steps.of(candidate), _Steps.of(baseline)

    def ratio(self, share: float, confidence: float) -> QuantileRatio | None:
        """The ratio of the `share` quantiles with an interval of this two-sided confidence.

        None with fewer than two blocks, where a side answered nothing, and where there are so few requests that not
        even latencies without anything in common would be told apart. The ends are rounded outwards to whole bins.
        """
        if not all(self.counts) or len(self._steps) < 2:
            return None
        reach = student_quantile(confidence, len(self._steps) - 1)

        def rejected(shift: int) -> bool:
            difference, spread = self._score(shift, share)
            return abs(difference) > reach * spread

        lowest, highest = self._apart
        if not (rejected(lowest) and rejected(highest)):
            return None
        centre = self._crossing(share)
        near = reach * self._score(round(centre), share)[1]
        low, high = math.floor(centre), math.ceil(centre)
        # With the spread at the centre the ends can be guessed without going through the blocks.
        low_guess = _turn(lambda shift: self._difference(shift, share)[0] > -near, lowest, low) - 1
        high_guess = _turn(lambda shift: self._difference(shift, share)[0] > near, high, highest)
        ends = (_first(rejected, low, low_guess, lowest), _first(rejected, high, high_guess, highest))
        return QuantileRatio(math.exp(centre * STEP), *(math.exp(end * STEP) for end in ends))

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
        return (
            _below(candidate, number + shift, part) / candidate.requests
            - _below(baseline, number, part) / baseline.requests,
            number,
            part,
        )

    def _score(self, shift: int, share: float) -> tuple[float, float]:
        """The difference of the shares below, and its standard deviation were the shift the true one."""
        difference, number, part = self._difference(shift, share)
        n, m = self.counts
        parts = [
            (_below(c, number + shift, part) - share * c.requests) / n
            - (_below(b, number, part) - share * b.requests) / m
            for c, b in self._steps
        ]
        return difference, math.sqrt(max(_variance(parts), share * (1 - share) * (1 / n + 1 / m)))


def add(whole: dict[int, int], counts: Bins, middle: int = 0) -> None:
    """Adds counts to others, their bins lowered by `middle`."""
    # A look goes through every count several times: a plain dict takes half of what a Counter does.
    known = whole.get
    for number, count in counts.items():
        number -= middle
        whole[number] = known(number, 0) + count


def merged(counts: Iterable[Bins]) -> Bins:
    """All of them added up."""
    whole: dict[int, int] = {}
    for one in counts:
        add(whole, one)
    return whole


def _variance(parts: Sequence[float]) -> float:
    """The variance of the sum of what the blocks give.

    What slows one side down for seconds shows in blocks that follow each other: their covariances count too, the less
    the further apart they are (Newey and West), when they make the variance larger.
    """
    blocks = len(parts)
    mean = math.fsum(parts) / blocks
    off = [one - mean for one in parts]
    alone = math.fsum(map(mul, off, off))
    together = math.fsum(
        2 * (1 - lag / (_LAGS + 1)) * math.fsum(map(mul, off, off[lag:])) for lag in range(1, _LAGS + 1)
    )
    return blocks / (blocks - 1) * (alone + max(0.0, together))


def _below(steps: _Steps, number: int, part: float) -> float:
    """Requests below a bin, and `part` of those within it."""
    bins, below = steps
    place = bisect_left(bins, number)
    if place < len(bins) and bins[place] == number:
        return below[place] + part * (below[place + 1] - below[place])
    return below[place]


def _pooled(candidate: _Steps, baseline: _Steps, shift: int, share: float) -> tuple[int, float]:
    """The quantile of both sides, the candidate's bins lowered by `shift`: its bin, and how far into it."""
    rank = share * (candidate.requests + baseline.requests)

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


def _first(rejected: Callable[[int], bool], inside: int, guess: int, end: int) -> int:
    """The first shift from `inside` (which is not rejected) towards `end` (which is) that is rejected.

    Sought from `guess` in strides that double, then by halving.
    """
    outwards = 1 if end > inside else -1
    good, bad, probe, stride = inside, end, guess, 1
    while abs(bad - good) > 1:
        if not min(good, bad) < probe < max(good, bad):
            probe = (good + bad) // 2
        if rejected(probe):
            bad, probe = probe, probe - outwards * stride
        else:
            good, probe = probe, probe + outwards * stride
        stride *= 2
    return bad
