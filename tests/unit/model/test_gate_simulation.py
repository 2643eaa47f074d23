"""How often the gate is right, looks included: simulated loads, seeded. bench/gate_simulation.py has many more."""

from __future__ import annotations

import random
from collections import Counter

from pipeline.model.relative_rules import RelativeRules
from pipeline.model.verdict import Outcome
from tests.simulated_load import Load, looked_at

RULES = RelativeRules()
MIX = {"GET /": (5.0, 0.6), "GET /api/owners": (12.0, 0.25), "POST /api/visits": (40.0, 0.15)}


def outcomes(trials: int, slower: float = 1.0, **endpoints: float) -> Counter[Outcome]:
    """Every other load is on a noisy machine."""
    found: Counter[Outcome] = Counter()
    for seed in range(trials):
        load = Load(slower=slower, slower_endpoints=endpoints, noisy=bool(seed % 2), mix=MIX)
        look = looked_at(load, RULES, random.Random(seed)).last
        assert look is not None
        found[look.outcome] += 1
    return found


def test_the_same_on_both_sides_is_refused_at_most_once_in_a_hundred_and_nearly_always_passes() -> None:
    found = outcomes(100)
    assert found[Outcome.REFUSED] <= 1
    assert found[Outcome.PASSED] >= 97


def test_a_quarter_slower_is_found() -> None:
    assert outcomes(20, 1.25)[Outcome.REFUSED] >= 19


def test_one_slow_endpoint_is_found() -> None:
    assert outcomes(20, **{"POST /api/visits": 2.0})[Outcome.REFUSED] >= 19
