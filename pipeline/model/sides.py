"""Candidate and baseline under one load: what was measured of both within the same half seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from pipeline.model.histogram import Histogram
from pipeline.model.load import GeneratorHealth, LoadSummary

BLOCK_SECONDS = 0.5
"""How long a block is: both sides share whatever the machine does in it."""


class Side(Enum):
    """Who answers a request."""

    CANDIDATE = "candidate"
    BASELINE = "baseline"


@dataclass(frozen=True, slots=True)
class Sides:
    """The two base URLs that are loaded at the same time."""

    candidate: str
    baseline: str


@dataclass(frozen=True, slots=True)
class Tally:
    """One endpoint of one side within one block; the histogram (milliseconds) holds failed requests too."""

    requests: int = 0
    failures: int = 0
    histogram: Histogram = field(default_factory=Histogram)


@dataclass(frozen=True, slots=True)
class Block:
    """Both sides within the same `BLOCK_SECONDS`, by endpoint. `index` counts blocks of the clock, gaps included.

    A request belongs to the block in which it was sent.
    """

    index: int
    candidate: Mapping[str, Tally]
    baseline: Mapping[str, Tally]


@dataclass(frozen=True, slots=True)
class PairSummary:
    """What one load on both sides gave: each side by itself, and the blocks they share, in order.

    `generator` is the health of the worst process; it stands in both summaries too.
    """

    candidate: LoadSummary
    baseline: LoadSummary
    blocks: Sequence[Block]
    generator: GeneratorHealth


Enough = Callable[[Sequence[Block], float], bool]
"""Takes the whole blocks so far and the seconds measured; True ends the load early."""
