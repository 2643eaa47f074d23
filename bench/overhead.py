"""What `promote` costs beside a rollout written by hand with boto3 that waits without a moment lost.

`python -m bench.overhead [pairs] [bake seconds]` takes two versions of this project's sample through all gates and then
lets both ways roll production to the other version in turn. Bake is the same for both; the command before a rollout is
left out, because the script has none. Checking evidence, smoke checks, probing and recording are ours alone.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bench.rollouts import passed, two_releases
from tests.e2e.conftest import ANY_ORDER, ROOT, Copy

MOST = 1.05


@dataclass(frozen=True)
class Took:
    """One rollout in seconds: `wall` from the process's start to its exit, `rollout` from first call to drained."""

    wall: float
    rollout: float
    healthy: float


def measure(pairs: int, bake: float) -> int:
    """Prints both and their ratio; 0 when the rollout itself costs at most 5 % more than the script's."""
    with two_releases() as (project, digests):
        settle(project, bake)
        ours: list[Took] = []
        script: list[Took] = []
        for number in range(pairs):
            for turn in range(2):
                digest = digests[turn]
                if (number + turn) % 2:
                    script.append(by_script(project, digest, bake)[0])
                else:
                    ours.append(by_us(project, digest))
        calls = counted(project, digests[0]), by_script(project, digests[1], bake)[1]
    return report(ours, script, calls)


def settle(project: Copy, bake: float) -> None:
    """Production without a command before rollouts, and with this bake."""
    path = project.root / "pipeline.toml"
    head, tail = path.read_text("utf-8").split("[environments.prod]")
    prod, rest = tail.split("\n[", 1)
    prod = re.sub(r"^before = .*\n", "", prod, flags=re.MULTILINE)
    prod = re.sub(r"bake = \"[^\"]*\"", f'bake = "{bake:g}s"', prod)
    path.write_text(f"{head}[environments.prod]{prod}\n[{rest}", "utf-8")


def by_us(project: Copy, digest: str) -> Took:
    """`promote`, as a user runs it."""
    begun = time.time()
    done = passed(project.pipeline("--json", "promote", digest, "prod", *ANY_ORDER))
    ended = time.time()
    facts = done.stages["prod"]["facts"]["deployment"]
    started, healthy, drained = (
        datetime.fromisoformat(facts[name]).timestamp() for name in ("started_at", "healthy_at", "drained_at")
    )
    return Took(ended - begun, max(healthy, drained) - started, healthy - started)


def by_script(project: Copy, digest: str, bake: float) -> tuple[Took, float]:
    """The script as a program of its own, and its calls a minute of waiting."""
    told = {**where(project, digest), "bake": bake}
    begun = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "bench.perfect_wait", json.dumps(told)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    ended = time.time()
    seen = json.loads(done.stdout)
    took = Took(ended - begun, seen["ended"] - seen["began"], seen["healthy"] + bake - seen["began"])
    return took, seen["waiting_calls"] * 60 / (seen["ended"] - seen["updated"])


def where(project: Copy, digest: str) -> Mapping[str, Any]:
    """The place that both roll out to."""
    up = project.pipeline("--json", "local", "up").answer
    return {
        "endpoint": up["aws"],
        "region": "eu-central-1",
        "cluster": "petclinic-prod",
        "service": "petclinic",
        "image": f"{up['registry']}/petclinic@{digest}",
    }


def counted(project: Copy, digest: str) -> float:
    """Our calls a minute of waiting: after UpdateService, until the deployment was drained."""
    file = project.root / ".pipeline" / "calls.json"
    command = [sys.executable, "-m", "bench.counted", str(file), "-C", str(project.root), "--json"]
    done = subprocess.run(
        [*command, "promote", digest, "prod", *ANY_ORDER],
        cwd=ROOT,
        env={**os.environ, "XDG_CONFIG_HOME": str(project.root / ".pipeline" / "config")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    calls = json.loads(file.read_text("utf-8"))
    facts = json.loads(done.stdout)["stages"][0]["facts"]["deployment"]
    updated = next(float(at) for at, name in calls if name == "UpdateService")
    end = datetime.fromisoformat(facts["drained_at"]).timestamp()
    return sum(updated < at <= end for at, _ in calls) * 60 / (end - updated)


def report(ours: Sequence[Took], script: Sequence[Took], calls: tuple[float, float]) -> int:
    """The figures, and whether they hold."""
    print(f"pairs: {len(ours)}")
    ratios = {}
    for name in ("wall", "rollout", "healthy"):
        mine, theirs = (statistics.median(getattr(took, name) for took in side) for side in (ours, script))
        ratios[name] = mine / theirs
        meaning = {
            "wall": "start to exit",
            "rollout": "first call to drained",
            "healthy": "first call to baked",
        }
        print(
            f"{meaning[name]}, medians: promote {mine:.2f} s, script {theirs:.2f} s, ratio {mine / theirs:.3f}"
        )
    fixed = [statistics.median(took.wall - took.rollout for took in side) for side in (ours, script)]
    print(
        f"start-up, gate, records and exit, medians: promote {fixed[0]:.2f} s, the script's {fixed[1]:.2f} s"
    )
    print(f"API calls a minute of waiting: promote {calls[0]:.0f}, script {calls[1]:.0f}")
    return 0 if ratios["rollout"] <= MOST else 1


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(measure(int(words[0]) if words else 10, float(words[1]) if len(words) > 1 else 10.0))
