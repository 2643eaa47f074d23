"""Loads on two sides that never took place: seeded blocks with log-normal latencies, shared disturbance, long tails."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.model.histogram import BIN_WIDTH, SMALLEST, Histogram
from pipeline.model.looks import Looks
from pipeline.model.relative_rules import RelativeRules
from pipeline.model.sides import BLOCK_SECONDS, Block, Tally

STEP = math.log1p(BIN_WIDTH)

MIX: Mapping[str, tuple[float, float]] = {
    "GET /": (4.0, 0.35),
    "GET /api/owners": (9.0, 0.25),
    "GET /api/vets": (14.0, 0.15),
    "GET /api/owners/1": (22.0, 0.12),
    "POST /api/visits": (40.0, 0.08),
    "GET /report": (80.0, 0.05),
}
"""Median in milliseconds, and share of the requests."""


@dataclass(frozen=True)
class Load:
    """What is simulated. `rate`: requests a second, both sides together. `slower`: the candidate's factor, in all and
    by endpoint. `failing`: error shares of candidate and baseline. `hidden`: share of the requests that are `slower`.
    """

    rate: float = 110.0
    slower: float = 1.0
    slower_endpoints: Mapping[str, float] = field(default_factory=dict)
    failing: tuple[float, float] = (0.0, 0.0)
    noisy: bool = False
    mix: Mapping[str, tuple[float, float]] = field(default_factory=lambda: MIX)
    sigma: float = 0.35
    hidden: float = 1.0


def blocks(load: Load, chance: random.Random) -> Iterator[Block]:
    """Blocks without end: the machine's speed drifts, is now and then disturbed, and is the same for both sides."""
    drift, burst, index = 0.0, 0, 0
    while True:
        drift = 0.8 * drift + chance.gauss(0, 0.12 if load.noisy else 0.03)
        burst = (
            burst - 1 if burst else chance.choice((1, 1, 2, 3)) if chance.random() < 0.04 * load.noisy else 0
        )
        machine = drift + (math.log(chance.uniform(1.5, 4)) if burst else 0.0)
        sides = [_side(load, chance, machine, candidate) for candidate in (True, False)]
        yield Block(index, *sides)
        index += 1


def _side(load: Load, chance: random.Random, machine: float, candidate: bool) -> Mapping[str, Tally]:
    """Each side has a little noise of its own, too."""
    machine += chance.gauss(0, 0.05 if load.noisy else 0.01)
    expected = load.rate * BLOCK_SECONDS / 2
    count = max(0, round(chance.gauss(expected, 0.3 * math.sqrt(expected))))
    weights = [weight for _, weight in load.mix.values()]
    counted: dict[str, tuple[list[int], dict[int, int]]] = {}
    for name in chance.choices(list(load.mix), weights, k=count):
        latency = math.log(load.mix[name][0] / SMALLEST) + machine + chance.gauss(0, load.sigma)
        if chance.random() < 0.03:
            latency += chance.expovariate(1.2)
        if candidate and chance.random() < load.hidden:
            latency += math.log(load.slower * load.slower_endpoints.get(name, 1.0))
        counts, bins = counted.setdefault(name, ([0, 0], {}))
        counts[0] += 1
        counts[1] += chance.random() < load.failing[0 if candidate else 1]
        number = math.ceil(latency / STEP)
        bins[number] = bins.get(number, 0) + 1
    return {name: Tally(asked, failed, Histogram(bins)) for name, ((asked, failed), bins) in counted.items()}


def looked_at(load: Load, rules: RelativeRules, chance: random.Random) -> Looks:
    """The looks at one such load, up to the one that decides or the last one; never none."""
    looks, so_far, source = Looks(rules), list[Block](), blocks(load, chance)
    seconds = 0.0
    while True:
        so_far.append(next(source))
        seconds += BLOCK_SECONDS
        if looks.look(so_far, seconds):
            return looks
