"""Takes out of the blocks what the machine did to both sides at once.

1. Latencies are held against what is usual for their endpoint: the median of both sides together over all blocks. So
   it does not matter which endpoints happened to be asked in a block, or by which side.
2. A block is disturbed when its 90th percentile, of both sides together, is over twice what is usual among the
   blocks. Where only one side was slow it is kept: that is what the comparison is about.
3. What is left is divided by the block's middle, of both sides together: the mean of the middle half of its
   requests. (A median would put one request of every block onto the very same bin, and pull ratios towards 1.)
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from pipeline.model.quantile_ratio import STEP, Bins, PairedLatencies, merged
from pipeline.model.sides import Block, Tally

_DISTURBED = round(math.log(2) / STEP)
_SLOW = 0.90


@dataclass(frozen=True, slots=True)
class Steadied:
    """What is compared: all requests (each against its endpoint's usual latency), and each endpoint by itself."""

    total: PairedLatencies
    endpoints: Mapping[str, PairedLatencies]
    used: int
    dropped: int


def steady(blocks: Sequence[Block]) -> Steadied:
    """Drops disturbed blocks and divides the others by their middle; blocks in which nothing was answered count for
    nothing.
    """
    usual = usual_bins(blocks)
    pairs = [(b, (_against(b.candidate, usual), _against(b.baseline, usual))) for b in blocks]
    pairs = [(b, pair) for b, pair in pairs if any(pair)]
    kept = _undisturbed(pairs)
    total: list[tuple[Bins, Bins]] = []
    endpoints: dict[str, list[tuple[Bins, Bins]]] = defaultdict(list)
    for block, (candidate, baseline) in kept:
        middle = middle_of(merged((candidate, baseline)))
        total.append((_lowered(candidate, middle), _lowered(baseline, middle)))
        for name in {**block.candidate, **block.baseline}:
            mine, theirs = block.candidate.get(name, Tally()), block.baseline.get(name, Tally())
            pair = (_lowered(mine.histogram.bins, middle), _lowered(theirs.histogram.bins, middle))
            endpoints[name].append(pair)
    paired = {name: PairedLatencies(found) for name, found in endpoints.items()}
    return Steadied(PairedLatencies(total), paired, len(kept), len(pairs) - len(kept))


def usual_bins(blocks: Iterable[Block]) -> Mapping[str, int]:
    """The median bin of each endpoint, both sides together."""
    whole: dict[str, Counter[int]] = defaultdict(Counter)
    for block in blocks:
        for side in (block.candidate, block.baseline):
            for name, tally in side.items():
                whole[name].update(tally.histogram.bins)
    return {name: bin_at(counts, 0.5) for name, counts in whole.items() if counts}


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
        inside += number * max(0.0, min(seen, 0.75 * whole) - max(below, 0.25 * whole))
    return round(inside / (whole / 2))


def _against(side: Mapping[str, Tally], usual: Mapping[str, int]) -> Bins:
    found: Counter[int] = Counter()
    for name, tally in side.items():
        for number, count in tally.histogram.bins.items():
            found[number - usual[name]] += count
    return found


def _undisturbed(
    pairs: Sequence[tuple[Block, tuple[Bins, Bins]]],
) -> Sequence[tuple[Block, tuple[Bins, Bins]]]:
    if not pairs:
        return []
    slow = [bin_at(merged(pair), _SLOW) for _, pair in pairs]
    limit = median(slow) + _DISTURBED
    return [
        one
        for one, reached in zip(pairs, slow, strict=True)
        if reached <= limit or not all(side and bin_at(side, _SLOW) > limit for side in one[1])
    ]


def _lowered(counts: Bins, by: int) -> Bins:
    return {number - by: count for number, count in counts.items()}
