"""What deciding costs: the gate of production over the records of three stages, and over a thousand more."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pipeline.model.evidence import Collected, Evidence
from pipeline.model.gate import judge
from pipeline.model.limits import Limit
from pipeline.model.policy import GatePolicy, Requirement
from tests.fakes.evidence import IMAGE, KEY, TRUST, statement_of

NOON = datetime(2026, 1, 1, tzinfo=UTC)
STAGES = ("build", "integration", "staging")
LIMITS = {f"p95_ms[GET /{number}]": Limit(max=400) for number in range(20)}
POLICY = GatePolicy(
    "prod",
    "shop",
    (
        Requirement("build"),
        Requirement("integration", after=("build",), max_age=86400),
        Requirement("staging", "staging", after=("integration",), max_age=86400, limits=LIMITS),
    ),
    "prod",
    TRUST,
)


def main() -> int:
    """Prints times, and what they are of a bare interpreter's start in the same run."""
    small, large = records(1), records(334)
    if not judge(IMAGE.digest, small, POLICY, NOON + timedelta(hours=1)).verdict.passed:
        print("the gate refuses what it should admit", file=sys.stderr)
        return 1
    start = typical(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), 7)
    for name, found in (("3 records", small), ("1,002 records", large)):
        took = typical(lambda found=found: judge(IMAGE.digest, found, POLICY, NOON + timedelta(hours=1)), 101)  # type: ignore[misc]
        print(f"judge {name}: {took * 1000:.2f} ms ({took / start:.3f} × bare interpreter)")
    return 0


def records(times: int) -> Collected:
    """Each stage's record, `times` over, a minute apart."""
    found = []
    for number in range(times):
        admitted: dict[str, str] = {}
        for order, stage in enumerate(STAGES):
            at = NOON + timedelta(seconds=10 * order - 60 * (times - 1 - number))
            metrics = dict.fromkeys(LIMITS, 120.0) if stage == "staging" else {}
            told = statement_of(
                stage,
                environment="staging" if stage == "staging" else "",
                started=at,
                finished=at + timedelta(seconds=5),
                metrics=metrics,
                inputs=dict(admitted),
            )
            admitted[stage] = f"sha256:{number:060x}{order:04x}"
            found.append(Evidence(IMAGE.digest, admitted[stage], told, KEY, admitted[stage]))
    return Collected(tuple(found))


def typical(call: Callable[[], object], rounds: int) -> float:
    """The median wall time of a call."""
    return statistics.median(measured(call) for _ in range(rounds))


def measured(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
