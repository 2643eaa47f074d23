"""By how much the candidate's error share lies above the baseline's, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.model.intervals import difference_interval, normal_quantile, score_interval

Counts = tuple[int, int]
"""Requests and failures, within a block."""


@dataclass(frozen=True, slots=True)
class ErrorShare:
    """One side's failures, with the Wilson interval of their share."""

    requests: int
    failures: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Failures per request; 0 where there was no request."""
        return self.failures / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class ErrorIncrease:
    """Candidate's share less the baseline's (0.01: one request more of a hundred failed), with Newcombe's interval."""

    candidate: ErrorShare
    baseline: ErrorShare
    difference: float
    low: float
    high: float


def error_increase(
    candidate: Sequence[Counts], baseline: Sequence[Counts], confidence: float
) -> ErrorIncrease:
    """What the blocks' counts say, at this two-sided confidence (0 to 1).

    Failures come in bursts: where they vary more from block to block than independent ones would, requests count for
    correspondingly fewer, which widens the intervals. Without requests nothing is known: 0 to 1, and -1 to 1.
    """
    reach = normal_quantile(confidence)
    clusters = _clustering(candidate), _clustering(baseline)
    mine, theirs = (
        _share(side, clustering, reach)
        for side, clustering in zip((candidate, baseline), clusters, strict=True)
    )
    low, high = -1.0, 1.0
    if mine.requests and theirs.requests:
        # A side that had no burst yet may have one as well as the other: so the candidate's only burst proves nothing.
        most = max(clusters)
        low, _ = difference_interval(_trials(mine, most), _trials(theirs, most), reach)
        _, high = difference_interval(_trials(mine, clusters[0]), _trials(theirs, clusters[1]), reach)
    return ErrorIncrease(mine, theirs, mine.share - theirs.share, low, high)


def summed(parts: Sequence[Sequence[Counts]], blocks: int) -> Sequence[Counts]:
    """Counts by block, of all parts together; every part has so many blocks."""
    requests, failures = [0] * blocks, [0] * blocks
    for part in parts:
        for place, (asked, failed) in enumerate(part):
            requests[place] += asked
            failures[place] += failed
    return list(zip(requests, failures, strict=True))


def _share(blocks: Sequence[Counts], clustering: float, reach: float) -> ErrorShare:
    requests, failures = sum(n for n, _ in blocks), sum(f for _, f in blocks)
    if not requests:
        return ErrorShare(0, failures, 0.0, 1.0)
    return ErrorShare(requests, failures, *score_interval(failures / requests, requests / clustering, reach))


def _trials(side: ErrorShare, clustering: float) -> tuple[float, float]:
    return side.share, side.requests / clustering


def _clustering(blocks: Sequence[Counts]) -> float:
    """How many requests tell only as much as an independent one; 1 where failures are no more uneven than chance."""
    asked = [(n, f) for n, f in blocks if n]
    requests, failures = sum(n for n, _ in asked), sum(f for _, f in asked)
    if len(asked) < 2 or not 0 < failures < requests:
        return 1.0
    share = failures / requests
    seen = len(asked) / (len(asked) - 1) * math.fsum((f - share * n) ** 2 for n, f in asked)
    return max(1.0, seen / (share * (1 - share) * requests))
