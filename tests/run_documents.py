"""Run documents for the tests of reports: a real run's, filled up with a comparison under load that is made up."""

from __future__ import annotations

import copy
import json
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.adapters.junit import read_cases
from pipeline.model.comparison_facts import comparison_facts
from pipeline.model.histogram import Histogram
from pipeline.model.load import EndpointSummary, GeneratorHealth, LoadSummary, facts_of
from pipeline.model.looks import Looks
from pipeline.model.relative_rules import RelativeRules
from pipeline.model.sides import Block, Tally
from pipeline.model.suite import SuiteCase

DATA = Path(__file__).parent / "data"
PRODUCTION = "sha256:" + "7c" * 32
HOSTILE = "<script>alert('x')</script><img src=http://192.0.2.1/x.png onerror=alert(1)>"
ENDPOINTS = {
    "GET /": (1.4, 3),
    "GET /api/owners": (2.9, 8),
    "GET /api/owners/{id}": (2.5, 16),
    "GET /api/vets": (2.3, 4),
    "POST /api/owners": (3.5, 2),
    "POST /api/owners/{id}/pets/{id}/visits": (3.3, 2),
}
"""Median in milliseconds and requests a half second, by endpoint."""


def passed_run(seconds: int = 24) -> dict[str, Any]:
    """All four stages passed, the first two of them reused; staging was compared with production."""
    document = _real_run()
    build, integration, staging, prod = document["stages"]
    for stage in (build, integration):
        stage |= {"reused": True, "seconds": 0.1, "started": "2026-11-28T17:30:22.9+00:00"}
        stage["finished"] = "2026-11-28T17:30:23.0+00:00"
    staging["facts"]["comparison"] = comparison(1.01, seconds)
    prod["facts"]["deployment"]["previous_digests"] = [PRODUCTION]
    gap = {"longest_gap_in": "bake", "longest_gap_at": "2026-11-28T17:31:05.250+00:00"}
    prod["facts"]["deployment"]["probe"] |= gap
    return document


def first_run() -> dict[str, Any]:
    """All four stages passed, and there was nothing that staging could have been compared with."""
    document = passed_run()
    facts = document["stages"][2]["facts"]
    facts["load"]["distribution"] = facts["comparison"]["solo"]["candidate"]["distribution"]
    for second in facts["load"]["series"]:
        second["p50_ms"] = second["p95_ms"] and second["p95_ms"] / 2
    facts["comparison"] = {"baseline": {"skipped": "nothing runs in production yet"}}
    return document


def refused_run() -> dict[str, Any]:
    """Staging refused one endpoint, and production was not touched."""
    document = passed_run() | {"outcome": "refused", "exit_code": 1}
    staging = document["stages"][2]
    staging["outcome"] = "refused"
    staging["facts"]["comparison"] = slow = comparison(1.0, 24, slower={"GET /api/vets": 1.9})
    remedy = "look for what takes the time in the application's log"
    staging["reasons"] = [{"text": slow["endpoints"][3]["reason"], "remedy": remedy}]
    document["stages"] = document["stages"][:3]
    return document


def hostile_run() -> dict[str, Any]:
    """What an application, a test or a log can say is no friend of HTML; a rollout went back."""
    document = passed_run() | {"outcome": "refused", "exit_code": 5}
    _, integration, staging, prod = document["stages"]
    integration["reused"] = False
    integration["facts"] |= {
        "failed": 1,
        "failures": [
            {"name": f"test_x[{HOSTILE}]", "message": f"AssertionError: {HOSTILE}\n\x1b[31mred\x1b[0m"}
        ],
        "logs": {"app": [f"GET /{HOSTILE} 500", "\x00\ud800 " + "long " * 2000]},
    }
    staging["reasons"] = [{"text": HOSTILE, "remedy": HOSTILE}]
    staging["facts"]["comparison"] = comparison(1.0, 24)
    staging["facts"]["comparison"]["endpoints"][0] |= {"name": HOSTILE, "outcome": HOSTILE, "reason": HOSTILE}
    staging["facts"]["load"]["errors"] = {HOSTILE: 3}
    prod["outcome"] = "refused"
    prod["reasons"] = [{"text": "task 1 failed: exit 1\n  | Traceback", "remedy": f"mend it {HOSTILE}"}]
    prod["facts"]["deployment"] |= {
        "outcome": "rolled_back",
        "healthy_at": None,
        "diagnosis": f"task 1 failed:\n  | {HOSTILE}\nrule: exited",
    }
    return document


def suite_cases() -> Sequence[SuiteCase]:
    """The tests of that run."""
    return read_cases(DATA / "junit.xml")


def hostile_cases() -> Sequence[SuiteCase]:
    """The same, and one that failed."""
    bad = SuiteCase(
        f"tests.{HOSTILE}", f"test_x[{HOSTILE}]", "failed", 0.2, f"AssertionError: {HOSTILE}", HOSTILE
    )
    return (*suite_cases(), bad)


def comparison(factor: float, seconds: int, slower: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Candidate against baseline in the form that the evidence has it; `factor` slows the candidate."""
    return copy.deepcopy(_comparison(factor, seconds, tuple((slower or {}).items())))


@cache
def _comparison(factor: float, seconds: int, slowed: tuple[tuple[str, float], ...]) -> dict[str, Any]:
    """Latencies are drawn, and looked at as those of a real load are."""
    slower, source = dict(slowed), random.Random(7)
    looks = Looks(RelativeRules())
    blocks: list[Block] = []
    for index in range(2 * seconds):
        weather = math.exp(source.gauss(0, 0.08))
        sides = [
            {
                name: _tally(source, median * weather * slow.get(name, usual), often)
                for name, (median, often) in ENDPOINTS.items()
            }
            for slow, usual in ((slower, factor), ({}, 1.0))
        ]
        blocks.append(Block(index, *sides))
        looks.look(blocks, (index + 1) / 2)
    alone = _alone(blocks, seconds)
    return comparison_facts(looks, blocks) | {
        "baseline": {"digest": PRODUCTION, "image": f"localhost:18081/petclinic@{PRODUCTION}"},
        "generator": alone["candidate"]["generator"],
        "solo": alone,
    }


def _tally(source: random.Random, median: float, often: int) -> Tally:
    many = max(1, often + source.choice((-1, 0, 0, 1)))
    return Tally(many, 0, Histogram.of(median * math.exp(source.gauss(0, 0.35)) for _ in range(many)))


def _alone(blocks: Sequence[Block], seconds: int) -> dict[str, Any]:
    """The same latencies once more, as if each side had been alone."""
    found = {}
    for name, sides in (
        ("candidate", [b.candidate for b in blocks]),
        ("baseline", [b.baseline for b in blocks]),
    ):
        tallies = [tally for side in sides for tally in side.values()]
        whole = Histogram(sum((Counter(tally.histogram.bins) for tally in tallies), Counter[int]()))
        total = EndpointSummary.of("all", sum(tally.requests for tally in tallies), 0, whole)
        found[name] = facts_of(LoadSummary(total, (), float(seconds), GeneratorHealth(0.2, 0.03, 1.0)))
    return found


def _real_run() -> dict[str, Any]:
    document: dict[str, Any] = copy.deepcopy(json.loads((DATA / "run.json").read_text("utf-8")))
    before = ""
    for stage in document["stages"]:
        stage["inputs"] = {before: _record_of(document, before)} if before else {}
        before = stage["name"]
    return document | {
        "commit": document["stages"][0]["facts"]["commit"],
        "machine": {
            "system": "Linux 6.18 x86_64, Debian GNU/Linux 12 (bookworm)",
            "processors": 2,
            "processor": "Intel Xeon",
            "memory_bytes": 24 * 2**30,
            "versions": {"onedigest": "0.1.0", "Python": "3.11.2", "locust": "2.47.0"},
        },
        "settings": {
            "file": "pipeline.toml",
            "digest": "sha256:" + "5e" * 32,
            "app": "petclinic",
            "provider": "local",
            "region": "eu-central-1",
            "generator": {"max_cpu": 0.7, "max_lag_share": 0.25, "min_delivered": 0.95},
            "limits": {
                "requests": {"min": 1000},
                "error_rate": {"max": 0.001},
                "p95_ms": {"max": 800},
                "p95_ms[GET /api/owners]": {"max": 800},
            },
        },
    }


def _record_of(document: Mapping[str, Any], name: str) -> str:
    return next(str(stage["evidence"]) for stage in document["stages"] if stage["name"] == name)
