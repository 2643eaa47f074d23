"""Production in three regions and two waves against production in one: how long a promotion takes from start to exit.

`python -m bench.fleet [rounds]` promotes two digests of a tiny service in turn, `rounds` times with each. The waves are
one region, then two at once: what is to be expected is twice the time of one rollout, not three times.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.chaos.project import APP, Told, make_project, remove_images
from tests.e2e.conftest import ANY_ORDER, Copy, Done

ONE = ""
THREE = 'regions = [["eu-central-1"], ["us-east-1", "us-west-2"]]'


def main(rounds: int) -> int:
    """Prints what came of it; 1 when a region was left without the digest."""
    with (
        tempfile.TemporaryDirectory(prefix="onedigest-bench-") as folder,
        project(Path(folder) / "p") as copy,
    ):
        digests = [released(copy, variant) for variant in ("one", "two")]
        single = _promoted(copy, digests, ONE, rounds)
        fleet = _promoted(copy, digests, THREE, rounds)
    print(f"one region, promote start to exit: {spread([seconds for seconds, _ in single])}")
    print(f"three regions in two waves, start to exit: {spread([seconds for seconds, _ in fleet])}")
    ratio = statistics.median([s for s, _ in fleet]) / statistics.median([s for s, _ in single])
    print(f"three regions against one: {ratio:.2f} times as long")
    rollouts = [one for _, facts in fleet for one in facts["regions"].values()]
    print(f"requests of the probes in all regions: {_lost(rollouts)}")
    return 0 if all(one["outcome"] == "succeeded" for one in rollouts) else 1


@contextmanager
def project(folder: Path) -> Iterator[Copy]:
    """A tiny project with a cloud of its own, which is taken down again."""
    copy = make_project(folder)
    try:
        yield copy
    finally:
        ports = folder / ".pipeline" / "local" / "ports.json"
        registry = json.loads(ports.read_text())["registry"] if ports.is_file() else 0
        copy.pipeline("local", "reset", "--yes")
        remove_images(f"localhost:{registry}/{APP}")


def tell(copy: Copy, variant: str, regions: str) -> None:
    (copy.root / "pipeline.toml").write_text(Told(variant, bake="2s", regions=regions).toml, "utf-8")


def released(copy: Copy, variant: str) -> str:
    """The digest of a variant, taken through all stages, in one region."""
    tell(copy, variant, ONE)
    return str(passed(copy.pipeline("--json", "run")).answer["digest"])


def _promoted(
    copy: Copy, digests: Sequence[str], regions: str, rounds: int
) -> list[tuple[float, Mapping[str, Any]]]:
    """Seconds and the deployment's facts of each promotion, after one that does not count."""
    tell(copy, "two", regions)
    found = []
    for number in range(1 + 2 * rounds):
        begun = time.monotonic()
        done = passed(copy.pipeline("--json", "promote", digests[number % 2], "prod", *ANY_ORDER))
        found.append((time.monotonic() - begun, done.stages["prod"]["facts"]["deployment"]))
    return found[1:]


def passed(done: Done) -> Done:
    if done.code != 0:
        raise SystemExit(f"a promotion ended with {done.code}:\n{done.said}")
    return done


def spread(seconds: Sequence[float]) -> str:
    return f"median {statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f}), n={len(seconds)}"


def _lost(rollouts: Sequence[Mapping[str, Any]]) -> str:
    probes = [one["probe"] for one in rollouts if one.get("probe")]
    return f"{sum(p['failed'] for p in probes)} failed of {sum(p['sent'] for p in probes)}"


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2))
