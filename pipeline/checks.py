"""Every prerequisite, looked at: OK, SKIP with the reason, or NG with the fix. Nothing is changed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from pipeline.adapters import account_lookups
from pipeline.adapters.aws import Access, Aws
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.git import Git
from pipeline.adapters.hygiene import Hadolint
from pipeline.adapters.locust import Locust
from pipeline.adapters.process import Processes
from pipeline.clouds import Cloud, local_cloud
from pipeline.config import Settings, load
from pipeline.errors import PipelineError
from pipeline.local import engine
from pipeline.locations import Location
from pipeline.model import repository
from pipeline.model.check import Check, State, combine
from pipeline.names import is_adopted
from pipeline.reach import ENVIRONMENTS
from pipeline.trust import needs_cloud, open_signing

__all__ = ["Check", "State", "look", "of_account"]

TERRAFORM = "lifecycle { ignore_changes = [task_definition, desired_count] } on the aws_ecs_service"
_GIB = 1024**3
_ROOM = 3 * _GIB


def look(root: Path) -> Iterator[Check]:
    """Looks at everything a run at `root` needs, cheapest first."""
    yield Check("python", State.OK, ".".join(map(str, sys.version_info[:3])))
    yield _engine()
    yield _disk(root)
    try:
        settings = load(root)
    except PipelineError as error:
        yield Check("pipeline.toml", State.NG, error.message, error.hint)
        return
    yield Check("pipeline.toml", State.OK, f"app {settings.app.name}, cloud {settings.cloud.provider}")
    yield _tried("git", lambda: _git(root))
    for name in tuple(settings.services) or ("",):
        check = _tried("dockerfile", partial(_dockerfile, root, settings.of(name)))
        yield replace(check, name=f"dockerfile {name}") if name else check
    yield _suite(root, settings)
    yield _tried("locustfile", lambda: _locustfile(root, settings))
    yield _tried("keys", lambda: _keys(root, settings))
    yield _tried(
        "cloud", lambda: _local(root, settings) if settings.cloud.provider == "local" else _aws(settings)
    )


def _tried(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except PipelineError as error:
        return Check(name, State.NG, error.message, error.hint)


def _engine() -> Check:
    state = engine.check()
    return Check("docker", State.OK if state.fine else State.NG, state.message, state.hint)


def _disk(root: Path) -> Check:
    free = shutil.disk_usage(root).free
    text = f"{free / _GIB:.0f} GiB free"
    if not os.access(root, os.W_OK):
        return Check("disk", State.NG, f"{root} is not writable", "make it writable; evidence is kept there")
    return Check(
        "disk", State.OK if free > _ROOM else State.NG, text, "free at least 3 GiB" if free <= _ROOM else ""
    )


def _git(root: Path) -> Check:
    source = Git(root, Processes()).source()
    if not source.commit:
        return Check("git", State.SKIP, "no commit here: builds are recorded without one")
    changed = f", {len(source.changed)} files differ from it" if source.dirty else ""
    return Check("git", State.OK, f"commit {source.commit[:12]}{changed}")


def _dockerfile(root: Path, settings: Settings) -> Check:
    path = root / settings.app.dockerfile
    if not path.is_file():
        return Check("dockerfile", State.NG, f"no {path}", "write one, or name yours in app.dockerfile")
    findings = Hadolint(Processes()).findings(path) if settings.build.lint else []
    if findings:
        return Check(
            "dockerfile", State.NG, "; ".join(findings), "mend the lines, or allow the rule in .hadolint.yaml"
        )
    return Check("dockerfile", State.OK, f"{path.name}, no findings" if settings.build.lint else path.name)


def _suite(root: Path, settings: Settings) -> Check:
    folder = root / settings.integration.tests
    count = len(list(folder.rglob("test_*.py")))
    if not count:
        return Check(
            "integration", State.NG, f"no tests in {folder}", "write some, or mend integration.tests"
        )
    return Check("integration", State.OK, f"{count} test files in {settings.integration.tests}")


def _locustfile(root: Path, settings: Settings) -> Check:
    path = Path(settings.load.locustfile)
    locust = Locust(sys.executable, SystemClock(), root=root, environ=os.environ)
    (locust.parse if settings.load.workers.requirements else locust.check)(path)
    return Check("locustfile", State.OK, str(path))


def _keys(root: Path, settings: Settings) -> Check:
    if needs_cloud(settings):
        return Check("keys", State.SKIP, "a key lies in KMS; a run tries it at its start")
    signing = open_signing(root, settings, dict, lambda _line: None, records=False)
    trusted = ", ".join(f"{trust.name} ({', '.join(sorted(trust.stages))})" for trust in signing.trust)
    if not signing.signer.key_id:
        made = os.environ.get("CI", "") == "" or settings.cloud.provider == "local"
        text = "no key on this machine" + ("; the first run makes one" if made else "")
        fix = "" if made else "put a P-256 key in PEM into the secret ONEDIGEST_SIGNING_KEY"
        return Check("keys", State.SKIP if made else State.NG, text, fix)
    return Check("keys", State.OK, f"signs: {signing.name}; trusted: {trusted}")


def _local(root: Path, settings: Settings) -> Check:
    status = local_cloud(root, settings, lambda _line: None).status()
    down = [part.name for part in status.parts if not part.up]
    if not down:
        return Check("cloud", State.OK, "local, all parts up")
    return Check("cloud", State.SKIP, f"local, not up now: {', '.join(down)}; a run starts it")


def _aws(settings: Settings) -> Check:
    return Check("cloud", State.OK, Aws(Access(settings.cloud.region, profile=settings.cloud.profile)).who())


def of_account(settings: Settings, cloud: Cloud) -> Iterator[Check]:
    """What of the account is not one environment's, and what is adopted. Nothing of it keeps the local cloud."""
    if settings.cloud.provider == "local":
        return
    yield from _repository(settings, cloud)
    for name in ENVIRONMENTS:
        for part in Location.whole(settings).parts:
            if is_adopted(part.settings, name):
                called = part.called(name)
                text = f"{called} is somebody else's: setup leaves it alone. Where Terraform makes it: {TERRAFORM}"
                yield Check(f"{called} adopted", State.OK, text)


def _repository(settings: Settings, cloud: Cloud) -> Iterator[Check]:
    names = ("repository tags", "repository expiry")
    if settings.cloud.registry:
        yield from (
            Check(name, State.SKIP, f"{settings.cloud.registry} is not looked into") for name in names
        )
        return
    try:
        found = account_lookups.repository(cloud.aws.client("ecr"), settings.repository)
    except PipelineError as error:
        yield from (Check(name, State.SKIP, error.message) for name in names)
        return
    if found is None:
        fix = "python -m pipeline setup staging prod makes it; or name yours in app.repository"
        yield Check("repository", State.NG, f"there is no repository {settings.repository}", fix)
        return
    yield combine("repository tags", [repository.tags(found)])
    yield combine("repository expiry", repository.expiry(found, ENVIRONMENTS))
