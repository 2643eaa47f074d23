"""Requests lost while production is rolled back and forth between two digests of the sample app, and lost without care.

`python -m bench.rollouts [rollouts] [rate]` copies this project, takes two versions of it through all four stages, and
then promotes one and the other in turn while `rate` requests a second go through production's front end: reads and
writes, on kept and on new connections. Then the same load goes on while production's tasks are killed without draining,
one of two, and both at once: the latter must lose requests, else the first figure could not have failed.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
import docker.errors

from tests.e2e.conftest import ANY_ORDER, Copy, Done, copy_of_this
from tests.system.steady_load import VISITORS, SteadyLoad, Tally

HEALED = 120.0


def measure(rollouts: int, rate: float) -> int:
    """Prints what came of it; 0 when nothing was lost in rollouts, and something when tasks were killed."""
    with two_releases() as (project, digests):
        good = _rolled(project, digests, rollouts, rate)
        _killed(project, rate, 1)
        rough = _killed(project, rate, 2)
    return 1 if good.failed or not rough.failed else 0


@contextmanager
def two_releases() -> Iterator[tuple[Copy, Sequence[str]]]:
    """A copy of this project with a cloud of its own, and two digests that passed all its gates; the second serves."""
    with tempfile.TemporaryDirectory(prefix="onedigest-bench-") as folder:
        project = copy_of_this(Path(folder))
        try:
            digests = [_released(project)]
            project.change("app/__init__.py", '"""', '# another version\n"""', count=1)
            yield project, [*digests, _released(project)]
        finally:
            project.pipeline("local", "reset", "--yes")


def _rolled(project: Copy, digests: Sequence[str], rollouts: int, rate: float) -> Tally:
    wall: list[float] = []
    answers = []
    with SteadyLoad(project.url("prod"), rate=rate, mix=VISITORS) as load:
        for number in range(rollouts):
            begun = time.monotonic()
            answers.append(
                passed(project.pipeline("--json", "promote", digests[number % 2], "prod", *ANY_ORDER)).answer
            )
            wall.append(time.monotonic() - begun)
    tally = load.tally
    deployments = [answer["stages"][-1]["facts"]["deployment"] for answer in answers]
    probes = [answer["probe"] for answer in answers]
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.kinds.items()))
    print(f"{rollouts} rollouts of production at {rate:g} requests/s: {tally.failed} failed of {tally.sent}")
    print(f"requests by kind: {kinds}")
    print(f"longest time without a good answer: {tally.longest_gap:.2f} s")
    print(f"sent late by this machine: {tally.late}")
    for error in tally.errors:
        print(f"failed: {error}", file=sys.stderr)
    print(f"promote, start to exit: {spread(wall)}")
    print(f"update to drained: {spread([_seconds(d, 'started_at', 'drained_at') for d in deployments])}")
    print(
        f"as our own probe saw it: {sum(p['failed'] for p in probes)} failed of {sum(p['sent'] for p in probes)}, "
        f"longest gap {max(p['longest_gap_s'] for p in probes):.2f} s",
        flush=True,
    )
    return tally


def _killed(project: Copy, rate: float, count: int) -> Tally:
    engine = docker.from_env()
    with SteadyLoad(project.url("prod"), rate=rate, mix=VISITORS) as load:
        time.sleep(2.0)
        tasks = production(engine, project)
        for task in tasks[:count]:
            task.kill("SIGKILL")
        _healed(engine, project, len(tasks), {task.id for task in tasks[:count]})
        time.sleep(2.0)
    tally = load.tally
    which = f"{count} of {len(tasks)} tasks killed without draining"
    print(f"the same load, {which}: {tally.failed} failed of {tally.sent}", flush=True)
    return tally


def production(engine: Any, project: Copy) -> list[Any]:
    """Containers of production's tasks."""
    family = "com.amazonaws.ecs.task-definition-family=petclinic-prod"
    labels = [f"dev.onedigest.cloud={project.cloud()}", "dev.onedigest.part=task", family]
    return list(engine.containers.list(filters={"label": labels}))


def _healed(engine: Any, project: Copy, tasks: int, killed: set[str]) -> None:
    end = time.monotonic() + HEALED
    while time.monotonic() < end:
        prod = project.pipeline("--json", "status").answer["environments"][1]
        ids = {container.id for container in production(engine, project)}
        if prod.get("healthy") == tasks == len(ids) and not killed & ids:
            return
        time.sleep(0.5)
    raise SystemExit("production did not come back after a task was killed")


def _seconds(deployment: Mapping[str, Any], start: str, end: str) -> float:
    return (
        datetime.fromisoformat(deployment[end]) - datetime.fromisoformat(deployment[start])
    ).total_seconds()


def spread(seconds: Sequence[float]) -> str:
    """Median and p95."""
    ranked = sorted(seconds)
    return f"median {statistics.median(ranked):.1f} s, p95 {ranked[max(0, -(-len(ranked) * 95 // 100) - 1)]:.1f} s"


def _released(project: Copy) -> str:
    return str(passed(project.pipeline("--json", "run")).answer["digest"])


def passed(done: Done) -> Done:
    """The command's end, when it was a good one."""
    if done.code:
        raise SystemExit(f"it ended with {done.code}:\n{done.said}")
    return done


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(measure(int(words[0]) if words else 20, float(words[1]) if len(words) > 1 else 200.0))
