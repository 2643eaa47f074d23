"""Takes out of the blocks what the machine did to both sides at once.

1. Latencies are held against what is usual for their endpoint: the median of both sides together over all blocks. So
   it does not matter which endpoints happened to be asked in a block, or by which side. Endpoints that were
   answered less than twenty times have what is usual for all of these: against its own median alone an endpoint
   that was asked once is never slow (names that were not grouped: an id in each).
2. A block is disturbed when its 90th percentile, of both sides together, is over twice what is usual among the
   blocks. Where only one side was slow it is kept: that is what the comparison is about.
3. What is left is divided by the block's middle, of both sides together: the mean of the middle half of its
   requests. (A median would put one request of every block onto the very same bin, and pull ratios towards 1.)
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from pipeline.model.quantile_ratio import STEP, Bins, LatencyPair, PairedLatencies, add, merged
from pipeline.model.sides import Block, Tally

_DISTURBED = round(math.log(2) / STEP)
_SLOW = 0.90
_FEW = 20
_NOTHING = Tally()


@dataclass(frozen=True, slots=True)
class Steadied:
    """What is compared: all requests (each against its endpoint's usual latency), and each endpoint by itself."""

    total: PairedLatencies
    endpoints: Mapping[str, PairedLatencies]
    used: int
    dropped: int


@dataclass(frozen=True, slots=True)
class _Held:
    """A block, its latencies held against what is usual, and the bin of the 90th percentile of both sides."""

    block: Block
    candidate: Bins
    baseline: Bins
    middle: int
    slow: int


def steady(blocks: Sequence[Block]) -> Steadied:
    """Drops disturbed blocks and divides the others by their middle; blocks in which nothing was answered count for
    nothing.
    """
    usual = usual_bins(blocks)
    held = [found for block in blocks if (found := _held(block, usual))]
    kept = _undisturbed(held)
    endpoints: dict[str, list[LatencyPair]] = defaultdict(list)
    for one in kept:
        mine, theirs = one.block.candidate, one.block.baseline
        for name in {**mine, **theirs}:
            pair = (mine.get(name, _NOTHING).histogram.bins, theirs.get(name, _NOTHING).histogram.bins)
            endpoints[name].append(LatencyPair(*pair, one.middle))
    return Steadied(
        PairedLatencies([LatencyPair(one.candidate, one.baseline, one.middle) for one in kept]),
        {name: PairedLatencies(pairs) for name, pairs in endpoints.items()},
        len(kept),
        len(held) - len(kept),
    )


def usual_bins(blocks: Iterable[Block]) -> Mapping[str, int]:
    """The median bin of each endpoint, both sides together; of rare ones together, see the top of this file."""
    whole: dict[str, dict[int, int]] = defaultdict(dict)
    for block in blocks:
        for side in (block.candidate, block.baseline):
            for name, tally in side.items():
                add(whole[name], tally.histogram.bins)
    rare = {name for name, counts in whole.items() if _few(counts)}
    pooled = merged(whole[name] for name in rare)
    if _few(pooled):
        pooled = merged(whole.values())
    usual_of_rare = bin_at(pooled, 0.5) if pooled else 0
    return {
        name: usual_of_rare if name in rare else bin_at(counts, 0.5)
        for name, counts in whole.items()
        if counts
    }


def _few(counts: Bins) -> bool:
    return sum(counts.values()) < _FEW


def bin_at(counts: Bins, share: float) -> int:
    """The bin of the `share` quantile (nearest rank). Raises ValueError where nothing was counted."""
    left = max(1, math.ceil(share * sum(counts.values()) - 1e-9))
    for number in sorted(counts):
        left -= counts[number]
        if left <= 0:
            return number
    raise ValueError("nothing was counted")


def middle_of(counts: Bins) -> int:
    """The mean bin of the middle half of what was counted. Raises ZeroDivisionError where that is nothing."""
    whole = sum(counts.values())
    seen, inside = 0.0, 0.0
    for number in sorted(counts):
        below, seen = seen, seen + counts[number]
        if seen > 0.25 * whole and below < 0.75 * whole:
            inside += number * (min(seen, 0.75 * whole) - max(below, 0.25 * whole))
    return round(inside / (whole / 2))


def _held(block: Block, usual: Mapping[str, int]) -> _Held | None:
    candidate, baseline = _against(block.candidate, usual), _against(block.baseline, usual)
    both = merged((candidate, baseline))
    return _Held(block, candidate, baseline, middle_of(both), bin_at(both, _SLOW)) if both else None


def _against(side: Mapping[str, Tally], usual: Mapping[str, int]) -> Bins:
    found: dict[int, int] = {}
    for name, tally in side.items():
        add(found, tally.histogram.bins, usual.get(name, 0))
    return found


def _undisturbed(held: Sequence[_Held]) -> Sequence[_Held]:
    if not held:
        return []
    limit = median([one.slow for one in held]) + _DISTURBED
    return [
        one
        for one in held
        if one.slow <= limit
        or not all(side and bin_at(side, _SLOW) > limit for side in (one.candidate, one.baseline))
    ]
