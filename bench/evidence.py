"""How long evidence takes: attaching a record, collecting four, judging them, and `verify` from end to end.

`measure()` drives a small registry on loopback, once with the referrers API and once without. With the folder of a
project that was released to a local cloud which is up, and the digest, `verify` is measured as a program as well.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.adapters.registry import OciRegistry
from pipeline.adapters.registry_evidence import DigestLocks, RegistryEvidenceStore
from pipeline.adapters.signer import TrustedKeys, file_signer
from pipeline.model.evidence import Collected, Statement
from pipeline.model.gate import judge
from pipeline.model.policy import OWN_KEY, SIGNED, GatePolicy, Requirement, Trust
from tests.fakes.registry_images import push_image
from tests.fakes.registry_server import Traits, registry_server

Row = tuple[str, float, str]
"""What was measured, the median in milliseconds, and of how many."""

_TIMES = 20
_CHAIN = ("build", "integration", "staging", "prod")


def measure() -> list[Row]:
    """Median times of attach, collect and judge, on a registry with the referrers API and on one without."""
    rows: list[Row] = []
    for name, trait in (("referrers API", "api"), ("kept list", "404")):
        with (
            registry_server(Traits(referrers=trait, page=100)) as server,
            tempfile.TemporaryDirectory() as folder,
        ):
            rows += _on_registry(name, server.host, Path(folder))
    return rows


def end_to_end(root: Path, digest: str, times: int = 5) -> Row:
    """`python -m pipeline verify DIGEST`, as a program, for a project whose local cloud is up."""
    command = [sys.executable, "-m", "pipeline", "-C", str(root), "-q", "verify", digest]

    def once() -> None:
        subprocess.run(command, check=True, capture_output=True)

    once()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = _median(once, times)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / times
    return ("verify, as a program", wall * 1000, f"median of {times}; {spent * 1000:.0f} ms of it computing")


def _on_registry(name: str, host: str, folder: Path) -> list[Row]:
    registry, repository = OciRegistry(lambda: None), f"{host}/shop"
    signer = file_signer(folder / "key", create=True)
    trusted = TrustedKeys({OWN_KEY: signer.public_key})
    store = RegistryEvidenceStore(
        registry, repository, lambda: signer, trusted, DigestLocks(folder / "locks")
    )
    many = [push_image(registry, repository, f"image {number}") for number in range(_TIMES)]
    images = iter(many)
    attach = _median(lambda: store.attach(next(images), _statement("build", {})), _TIMES)
    image = push_image(registry, repository, "the chain")
    inputs: dict[str, str] = {}
    for stage in _CHAIN:
        inputs[stage] = store.attach(image, _statement(stage, inputs))
    found = store.collect(image)
    policy = _policy(signer.key_id)
    assert judge(image.digest, found, policy, datetime.now(UTC)).verdict.passed
    collect = _median(lambda: store.collect(image), _TIMES)
    rows = [_row(f"attach one, {name}", attach, _TIMES), _row(f"collect four, {name}", collect, _TIMES)]
    return [*rows, *_judging(found, policy)] if name == "kept list" else rows


def _judging(found: Collected, policy: GatePolicy) -> list[Row]:
    subject, now = found.accepted[0].subject, datetime.now(UTC)
    old = replace(
        found.accepted[0].statement, finished=now - timedelta(days=2), started=now - timedelta(days=3)
    )
    more = [
        replace(found.accepted[0], id=f"sha256:{number}", payload=str(number), statement=old)
        for number in range(196)
    ]
    full = Collected((*found.accepted, *more))
    return [
        _row("judge four", _median(lambda: judge(subject, found, policy, now), 200), 200),
        _row("judge two hundred", _median(lambda: judge(subject, full, policy, now), 200), 200),
    ]


def _policy(key: str) -> GatePolicy:
    requirements = tuple(
        Requirement(stage, after=_CHAIN[max(0, at - 1) : at]) for at, stage in enumerate(_CHAIN[:3])
    )
    return GatePolicy("prod", "shop", requirements, "prod", (Trust(OWN_KEY, key, frozenset(SIGNED)),))


def _statement(stage: str, inputs: dict[str, str]) -> Statement:
    now = datetime.now(UTC)
    return Statement("shop", stage, "", "PASSED", "sha256:" + "0" * 64, "bench", now, now, dict(inputs))


def _median(what: Callable[[], object], times: int) -> float:
    taken: list[float] = []
    for _ in range(times):
        begin = time.perf_counter()
        what()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def _row(what: str, seconds: float, times: int) -> Row:
    return (what, seconds * 1000, f"median of {times}")


def show(rows: Sequence[Row]) -> None:
    """Prints rows as `python -m bench` reads them."""
    for what, milliseconds, how in rows:
        print(f"{what}: {milliseconds:.2f} ms ({how})", flush=True)


if __name__ == "__main__":
    show(measure())
    if len(sys.argv) == 3:
        show([end_to_end(Path(sys.argv[1]), sys.argv[2])])
