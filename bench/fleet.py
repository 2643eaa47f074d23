"""Production in three regions against one, and twenty services as one release against one: how long it takes.

`python -m bench.fleet [rounds] [services]` promotes two digests of a tiny service in turn, `rounds` times with each, to
one region and to three in two waves: what is to be expected is twice the time of one rollout, not three times. Then it
takes two releases of so many services through all stages; the second is the one that counts.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.chaos.project import Told, opened_project
from tests.e2e.conftest import ANY_ORDER, Copy, Done

ONE = ""
THREE = 'regions = [["eu-central-1"], ["us-east-1", "us-west-2"]]'


def main(rounds: int, services: int) -> int:
    """Prints what came of it; 1 when a region or a service was left without the digest."""
    return regions(rounds) or together(services)


def regions(rounds: int) -> int:
    with (
        tempfile.TemporaryDirectory(prefix="onedigest-bench-") as folder,
        opened_project(Path(folder) / "p") as copy,
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


def together(services: int) -> int:
    """One service and then several, each a whole run of a second release: per stage, and from start to exit."""
    good = True
    for count in (1, services):
        with (
            tempfile.TemporaryDirectory(prefix="onedigest-bench-") as folder,
            opened_project(Path(folder) / "p") as copy,
        ):
            for variant in ("one", "two"):
                names = [f"s{number}" for number in range(count)] if count > 1 else []
                (copy.root / "pipeline.toml").write_text(_toml(variant, names), "utf-8")
                begun = time.monotonic()
                done = passed(copy.pipeline("--json", "run"))
                whole = time.monotonic() - begun
        stages = ", ".join(f"{name} {stage['seconds']:.1f} s" for name, stage in done.stages.items())
        what = f"{count} services as one release" if count > 1 else "one service"
        print(f"{what}, second release through all stages: {whole:.1f} s ({stages})", flush=True)
        parts = done.stages["prod"]["facts"]["deployment"].get("services", {})
        good = good and all(one["outcome"] == "succeeded" for one in parts.values())
    return 0 if good else 1


def _toml(variant: str, names: Sequence[str]) -> str:
    toml = Told(variant, bake="2s").toml.replace("desired = 2", "desired = 1")
    tables = "".join(f'[services.{name}]\nenvironment = {{ ROLE = "{name}" }}\n' for name in names)
    return toml.replace("[integration]\n", f"{tables}\n[integration]\n")


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
    told = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*(told + [2, 20][len(told) :])))
