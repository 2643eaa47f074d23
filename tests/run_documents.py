"""Run documents for the tests of reports: a real run's, filled up with a comparison under load that is made up."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.adapters.junit import read_cases
from pipeline.model.histogram import Histogram
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

Drawn = dict[str, list[list[float]]]


def passed_run(seconds: int = 24) -> dict[str, Any]:
    """All four stages passed, the first two of them reused; staging was compared with production."""
    document = _real_run()
    build, integration, staging, prod = document["stages"]
    for stage in (build, integration):
        stage |= {"reused": True, "seconds": 0.1, "started": "2026-11-28T17:30:22.9+00:00"}
        stage["finished"] = "2026-11-28T17:30:23.0+00:00"
    staging["facts"]["comparison"] = comparison(1.01, seconds)
    prod["facts"]["deployment"]["previous_digests"] = [PRODUCTION]
    prod["facts"]["deployment"]["probe"]["longest_gap_in"] = "bake"
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
    slower = dict(slowed)
    source = random.Random(7)
    both: dict[str, Drawn] = {side: {name: [] for name in ENDPOINTS} for side in ("candidate", "baseline")}
    for _ in range(seconds):
        weather = math.exp(source.gauss(0, 0.08))
        for side, drawn in both.items():
            for name, (median, often) in ENDPOINTS.items():
                own = median * weather * (slower.get(name, factor) if side == "candidate" else 1.0)
                drawn[name].append(
                    [own * math.exp(source.gauss(0, 0.35)) for _ in range(2 * often + source.randint(-1, 1))]
                )
    rows = [_row(name, {side: [drawn[name]] for side, drawn in both.items()}) for name in ENDPOINTS]
    worst = "refused" if slower else "passed"
    return {
        "seconds": float(seconds),
        "blocks": 2 * seconds,
        "dropped": 1,
        "rules": {
            "tolerance": 0.10,
            "exclude": 0.25,
            "confidence": 0.995,
            "max_error_increase": 0.005,
            "exclude_errors": 0.02,
        },
        "looks": [
            {
                "at": 16.0,
                "outcome": "undecided",
                "reason": "p95 is 1.06 × (0.93 to 1.27); 1.25 is not excluded yet",
            },
            {"at": float(seconds), "outcome": worst, "reason": "every interval is clear"},
        ],
        "all": _row("all", {side: list(drawn.values()) for side, drawn in both.items()}),
        "endpoints": rows,
        "series": {side: _series(drawn) for side, drawn in both.items()},
        "distribution": {side: _bins(list(drawn.values())) for side, drawn in both.items()},
        "baseline": {"digest": PRODUCTION, "image": f"localhost:18081/petclinic@{PRODUCTION}"},
        "solo": {side: {"all": _side(list(drawn.values()))} for side, drawn in both.items()},
    }


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


def _flat(groups: Sequence[Sequence[Sequence[float]]]) -> list[float]:
    return [value for group in groups for second in group for value in second]


def _side(groups: Sequence[Sequence[Sequence[float]]]) -> dict[str, Any]:
    values = _flat(groups)
    found = Histogram.of(values)
    measured = {
        label: found.quantile(share) or 0.0 for label, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
    return {
        "requests": len(values),
        "failures": 0,
        "error_rate": 0.0,
        "error_rate_interval": [0.0, 6.6 / len(values)],
        **{f"{label}_ms": value for label, value in measured.items()},
        **{f"{label}_ms_interval": [value * 0.97, value * 1.03] for label, value in measured.items()},
    }


def _row(name: str, sides: Mapping[str, Sequence[Sequence[Sequence[float]]]]) -> dict[str, Any]:
    candidate, baseline = _side(sides["candidate"]), _side(sides["baseline"])
    wide = 2.2 / math.sqrt(candidate["requests"])
    ratios = {}
    for label in ("p50", "p95"):
        point = candidate[f"{label}_ms"] / baseline[f"{label}_ms"]
        low, high = point * math.exp(-wide), point * math.exp(wide)
        outcome = "refused" if low > 1.1 else "passed" if high < 1.25 else "undecided"
        of = "all requests" if name == "all" else name
        reason = f"{label} of {of} is {point:.2f} × production's (99.5 % interval {low:.2f} to {high:.2f})"
        ratios[label] = {
            "point": point,
            "low": low,
            "high": high,
            "samples": candidate["requests"],
            "outcome": outcome,
            "reason": reason,
        }
    worst = next(
        (o for o in ("refused", "undecided") if o in {r["outcome"] for r in ratios.values()}), "passed"
    )
    return {
        "name": name,
        "outcome": worst,
        "reason": ratios["p50"]["reason"],
        "candidate": candidate,
        "baseline": baseline,
        "ratios": ratios,
        "errors": {
            "difference": 0.0,
            "low": -3 / baseline["requests"],
            "high": 3 / candidate["requests"],
            "outcome": "passed",
        },
    }


def _series(drawn: Drawn) -> list[dict[str, Any]]:
    seconds = [[value for name in drawn for value in drawn[name][at]] for at in range(len(drawn["GET /"]))]
    return [
        {
            "at": float(at),
            "requests": len(values),
            "failures": 0,
            "p50_ms": Histogram.of(values).quantile(0.5) if at != 7 else None,
            "p95_ms": Histogram.of(values).quantile(0.95) if at != 7 else None,
        }
        for at, values in enumerate(seconds)
    ]


def _bins(groups: Sequence[Sequence[Sequence[float]]]) -> dict[str, int]:
    return {str(number): count for number, count in Histogram.of(_flat(groups)).bins.items()}
