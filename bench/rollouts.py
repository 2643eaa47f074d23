"""Requests lost while production is rolled back and forth between two digests of the sample app.

`python -m bench.rollouts [rollouts] [rate]` copies this project, takes two versions of it through all four stages, and
then promotes one and the other in turn while `rate` requests a second go through production's front end.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.conftest import Copy, Done, copy_of_this
from tests.system.steady_load import SteadyLoad


def measure(rollouts: int, rate: float) -> int:
    """Prints what came of it; 0 when nothing was lost."""
    with tempfile.TemporaryDirectory(prefix="onedigest-bench-") as folder:
        project = copy_of_this(Path(folder))
        try:
            return _measure(project, rollouts, rate)
        finally:
            project.pipeline("local", "reset", "--yes")


def _measure(project: Copy, rollouts: int, rate: float) -> int:
    digests = [_released(project)]
    project.change("app/__init__.py", '"""', '# another version\n"""', count=1)
    digests.append(_released(project))
    seconds = []
    with SteadyLoad(project.url("prod"), rate=rate, path="/api/owners?last_name=Davis") as load:
        for number in range(rollouts):
            begun = time.monotonic()
            _passed(project.pipeline("--json", "promote", digests[number % 2], "prod"))
            seconds.append(time.monotonic() - begun)
    tally = load.tally
    print(f"{rollouts} rollouts of production at {rate:g} requests/s: {tally.failed} failed of {tally.sent}")
    print(f"longest time without a good answer: {tally.longest_gap:.2f} s")
    print(f"a rollout, median: {sorted(seconds)[len(seconds) // 2]:.1f} s")
    for error in tally.errors[:5]:
        print(f"failed: {error}", file=sys.stderr)
    return 1 if tally.failed else 0


def _released(project: Copy) -> str:
    return str(_passed(project.pipeline("--json", "run")).answer["digest"])


def _passed(done: Done) -> Done:
    if done.code:
        raise SystemExit(f"it ended with {done.code}:\n{done.said}")
    return done


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(measure(int(words[0]) if words else 5, float(words[1]) if len(words) > 1 else 100.0))
