"""How often the side-by-side load gate is right: simulated loads, quiet and noisy, with looks up to the cap.

`python -m bench.gate_simulation [trials]` – 200 a line unless told otherwise, fewer where p99 gets the many requests
that it needs; seeded, so that a line can be repeated.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from statistics import median

from pipeline.model.comparison import compare
from pipeline.model.relative_rules import RelativeRules
from pipeline.model.verdict import Outcome
from tests.simulated_load import Load, blocks, looked_at

SEED = 20261128
RULES = {
    "p50 + p95": RelativeRules(),
    "p50": RelativeRules(percentiles=("p50",)),
    "p95": RelativeRules(percentiles=("p95",)),
    "p99": RelativeRules(percentiles=("p99",)),
}
LOADS = {
    "A/A": Load(),
    "+10 %": Load(slower=1.10),
    "+25 %": Load(slower=1.25),
    "+100 %": Load(slower=2.0),
}
ENDPOINTS = {
    "one endpoint of 15 % +100 %": Load(slower_endpoints={"GET /api/vets": 2.0}),
    "one endpoint of 5 % +100 %": Load(slower_endpoints={"GET /report": 2.0}),
    "8 % of requests +200 %": Load(slower=3.0, hidden=0.08),
    "2 % errors more": Load(failing=(0.02, 0.0)),
    "1 % errors on both": Load(failing=(0.01, 0.01)),
}
RATES = {"p99": {250.0: 1, 500.0: 2, 800.0: 4}}
"""Requests a second in all, and through what the number of trials is divided: what takes longer gets fewer."""

USUAL = {110.0: 1}
Trial = tuple[Outcome, float, int]


def main(trials: int) -> int:
    """Prints a line for every rule, noise and load, then what a look costs."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for (rule, rules), noisy in itertools.product(RULES.items(), (False, True)):
            loads = {**LOADS, **(ENDPOINTS if rule == "p50 + p95" else {})}
            for (rate, part), (name, load) in itertools.product(
                RATES.get(rule, USUAL).items(), loads.items()
            ):
                case, count = replace(load, noisy=noisy, rate=rate), -(-trials // part)
                found = list(pool.map(trial, [case] * count, [rules] * count, range(count), chunksize=4))
                kind = f"{rule}, {rate:.0f} requests/s, {'noisy' if noisy else 'quiet'}"
                print(f"{kind}, {name}: {told(found)}", flush=True)
    for rate in (100.0, 1000.0):
        source = blocks(Load(rate=rate), random.Random(SEED))
        load = list(itertools.islice(source, 128))
        print(f"a look at 128 blocks of 6 endpoints, {rate:.0f} requests/s: {cost(load):.0f} ms")
    return 0


def trial(load: Load, rules: RelativeRules, number: int) -> Trial:
    """Outcome, seconds it took, and looks."""
    looks = looked_at(load, rules, random.Random(SEED + number))
    last = looks.taken[-1]
    return last.outcome, last.at, len(looks.taken)


def told(found: list[Trial]) -> str:
    """Shares of the outcomes, and the seconds until they came: in the median, and the longest."""
    counts = Counter(outcome for outcome, _, _ in found)
    shares = ", ".join(f"{outcome.value} {counts[outcome] / len(found):.1%}" for outcome in Outcome)
    seconds = sorted(at for _, at, _ in found)
    return f"{shares}; after {median(seconds):.0f} s (at most {seconds[-1]:.0f})"


def cost(load: list) -> float:  # type: ignore[type-arg]
    """Milliseconds of CPU for a look, the quickest of nine."""
    times = []
    for _ in range(9):
        start = time.process_time()
        compare(load, RelativeRules())
        times.append(time.process_time() - start)
    return min(times) * 1000


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
