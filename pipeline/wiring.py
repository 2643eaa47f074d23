"""The one place that knows adapters and stages, and builds them from the configuration."""

from __future__ import annotations

import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.adapters.clock import InterruptibleClock, SystemClock
from pipeline.adapters.docker_engine import DockerBuilder, connect
from pipeline.adapters.hygiene import Hadolint, Syft
from pipeline.adapters.locust import Locust
from pipeline.adapters.process import Processes
from pipeline.adapters.registry_release import push_release
from pipeline.clouds import build_images, open_cloud
from pipeline.config import ProductionSettings, RequirementSettings, Settings, load
from pipeline.gates import load_limits
from pipeline.model.digest import ImageRef
from pipeline.model.evidence import Evidence
from pipeline.model.load import GeneratorLimits
from pipeline.model.waves import OnFailure, Waves
from pipeline.places import Place
from pipeline.ports import IntegrationSandbox, LoadGenerator, Progress, Stage
from pipeline.reach import kind_of, sites_of
from pipeline.rollout import DeploySpec, Rollout, RolloutResult
from pipeline.session import (
    Asked,
    Session,
    make_logbook,
    make_opponent,
    make_place,
    make_places,
    make_workers,
)
from pipeline.terminal import Terminal
from pipeline.trust import Signing, needs_cloud, open_signing
from stages.build import BuildPlan, BuildStage
from stages.build_services import ServicesBuildStage
from stages.deployment import Environment
from stages.integration import IntegrationPlan, IntegrationStage
from stages.prod import ProdStage
from stages.regions import Regions
from stages.rollback import RollbackStage
from stages.staging import LoadPlan, StagingStage

__all__ = ["Asked", "Project", "Session", "make_logbook", "make_place", "make_places"]

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Project:
    """A project at `root` and its settings."""

    root: Path
    settings: Settings
    terminal: Terminal

    @classmethod
    def open(cls, root: Path, terminal: Terminal) -> Project:
        """Reads pipeline.toml. Raises ConfigurationError with every mistake in it."""
        return cls(root, load(root), terminal)

    @contextmanager
    def session(
        self,
        stages: Sequence[str],
        *,
        touch: bool = True,
        records: Sequence[str] = (),
        asked: Asked | None = None,
    ) -> Iterator[Session]:
        """A session that runs the given stages and signs for them, and for what else it `records`.

        `touch` False starts nothing: for commands that only look. The key that signs is tried before anything is
        built, and before the cloud is started unless it lies there. `asked` is what a person asks for beside that.
        """
        signed = (*stages, *records)
        early = None if needs_cloud(self.settings) else self._signing(signed, _no_kms)
        cloud = open_cloud(self.root, self.settings, self.terminal.say, start=touch)
        signing = early or self._signing(signed, lambda: cloud.aws.client("kms"))
        watcher = self.terminal.watch(tuple(stages))
        try:
            yield Session(
                self.root,
                self.settings,
                self.terminal,
                cloud,
                signing,
                watcher,
                _run_id(),
                asked or Asked(),
                make_stages,
            )
        finally:
            watcher.close()

    def _signing(self, signed: Sequence[str], kms: Callable[[], Any]) -> Signing:
        signing = open_signing(self.root, self.settings, kms, self.terminal.say, records=bool(signed))
        if signed:
            signing.require(signed)
        return signing


def make_stages(session: Session) -> tuple[Stage, ...]:
    """The whole product in one tuple."""
    return (
        _build_stage(session),
        _integration_stage(session),
        _staging_stage(session),
        ProdStage(make_target(session, "prod")),
    )


def _build_stage(session: Session) -> BuildStage | ServicesBuildStage:
    services, records = session.settings.services, session.records
    if not services:
        return _build_of(session, "")

    def compose(images: Mapping[str, ImageRef]) -> ImageRef:
        return push_release(records.registry, images, f"release-{session.run_id.lower()}")

    return ServicesBuildStage({name: _build_of(session, name) for name in services}, compose, records.shares)


def _build_of(session: Session, service: str) -> BuildStage:
    root, settings = session.root, session.settings.of(service)
    runner = Processes()
    images = cache(lambda: build_images(settings, session.cloud))
    own = f"-{service}" if service else ""
    plan = BuildPlan(
        app=settings.app.name,
        root=root,
        context=(root / settings.app.context).resolve(),
        dockerfile=(root / settings.app.dockerfile).resolve(),
        repository=session.records.repository,
        platform=settings.build.platform,
        args=settings.build.args,
        max_size=settings.build.max_size_mb * _MIB,
        tag=f"build-{session.run_id.lower()}{own}",
        directory=session.directory / service,
    )
    return BuildStage(
        settings=plan,
        builder=DockerBuilder(connect, runner, session.cloud.login),
        registry=session.records.registry,
        linter=Hadolint(runner) if settings.build.lint else None,
        materials=Syft(runner) if settings.build.sbom else None,
        base_images=images,
        attach=session.records.attach_materials,
    )


def _integration_stage(session: Session) -> IntegrationStage:
    root, settings = session.root, session.settings
    told = settings.integration
    front = settings.of(settings.front)
    environment = {**front.app.environment, **told.environment}

    def sandbox() -> IntegrationSandbox:
        from pipeline.sandboxes import make_sandbox  # noqa: PLC0415 – half a second that only a test run needs

        shares = session.records.shares
        return make_sandbox(root, settings, session.cloud.images, shares, session.run_id)

    content = {
        **told.model_dump(mode="json", exclude={"front"}),
        "environment": environment,
        "port": front.app.port,
        "ready": front.app.ready,
    }
    if settings.services:
        apps = {name: settings.of(name).app for name in settings.services}
        keys = {"environment", "port", "ready"}
        content["released"] = {n: app.model_dump(mode="json", include=keys) for n, app in apps.items()}
        content["front"] = settings.front
    return IntegrationStage(IntegrationPlan(root, told.tests, content, session.directory), sandbox)


def _staging_stage(session: Session) -> StagingStage:
    root, settings = session.root, session.settings
    told = settings.load
    required = settings.gate.prod.staging or RequirementSettings()
    plan = LoadPlan(
        shape=told.shape,
        root=root,
        limits=load_limits(required),
        generator=GeneratorLimits(**told.generator.model_dump()),
        directory=session.directory,
        rules=told.rules,
        solo=told.solo,
        workers=told.workers.model_dump(mode="json", exclude={"start_timeout"})
        if told.workers.tasks
        else None,
        front=settings.front,
    )
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ONEDIGEST_"))
    }
    locust = Locust(sys.executable, SystemClock(), root=root, environ=environ)
    generator: LoadGenerator = locust
    if told.workers.tasks:
        generator = make_workers(session).generator(locust, session.terminal.say)
    rehearse = (
        (lambda: _production_image(session)) if settings.environments.staging.rehearse_rollback else None
    )
    return StagingStage(
        make_target(session, "staging"),
        plan,
        generator,
        rehearse,
        opponent=make_opponent(session) if told.compares else None,
        keep=session.records.attach_blocks,
    )


def make_rollback_stage(session: Session, name: str, to: Evidence, reason: str) -> RollbackStage:
    """A rollback of an environment to the deployment on record that `to` is."""
    definitions = {place.site.key: place.definition_of(to) for place in make_places(session, name)}
    target = make_target(session, name, lingers=False)
    return RollbackStage(target, definitions, reason, session.records.person)


def _production_image(session: Session) -> ImageRef | None:
    """What production would go back to."""
    found = session.records.last_good("prod")
    return ImageRef(session.records.repository, found.subject) if found else None


def make_target(session: Session, name: str, *, lingers: bool = True) -> Environment | Regions:
    """An environment as the stages take it: in one place, or in all its regions and all services at once.

    `lingers` False: no region is watched longer for the sake of a wave that comes after it.
    """
    waves, settings = sites_of(session.settings, name), session.settings
    if sum(map(len, waves)) == 1:
        return make_environment(session, name)
    own = settings.environments[name]
    bake, on_failure = (
        (own.wave_bake, own.on_failure) if isinstance(own, ProductionSettings) else (0.0, "roll_back")
    )
    keys: Waves = tuple(tuple(site.key for site in wave) for wave in waves)
    interrupted, environments = threading.Event(), {}
    for number, wave in enumerate(keys):
        linger = bake if lingers and number + 1 < len(keys) else 0.0
        for key in wave:
            place = make_place(session, name, key, clock=InterruptibleClock(interrupted), lingers=linger)
            environments[key] = _environment(session, place)
    return Regions(
        environments,
        keys,
        OnFailure(on_failure),
        make_logbook(session, name).keep,
        interrupted.set,
        kind_of(settings, name),
        next((site.key for wave in waves for site in wave if site.service == settings.front), ""),
    )


def make_environment(session: Session, name: str) -> Environment:
    """An environment in its first region."""
    return _environment(session, make_place(session, name))


def _environment(session: Session, place: Place) -> Environment:
    def logged(rollout: Rollout, image: ImageRef, spec: DeploySpec, progress: Progress) -> RolloutResult:
        return make_logbook(session, place.name).deploy(rollout, image, spec, progress)

    return Environment(
        name=place.name,
        container=place.own.container,
        base_url=place.url,
        shape=place.shape,
        rollout=place.rollout,
        spec=place.spec,
        last_good=place.last_good,
        order=place.order,
        settled=place.settled,
        held=place.held,
        logged=logged,
        delivered=place.delivered,
        recorded=place.recorded,
        foreseen=lambda candidate: place.preview(candidate.ref),
        region=place.site.key,
    )


def _no_kms() -> Any:
    raise AssertionError("no key of KMS is named")


def _run_id() -> str:
    return f"{SystemClock().now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
