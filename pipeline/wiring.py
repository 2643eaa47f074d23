"""The one place that knows adapters and stages, and builds them from the configuration."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pipeline.adapters.atomic_file import write_whole
from pipeline.adapters.build_index import FileBuildIndex
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.deployment_log import DynamoDeploymentLog
from pipeline.adapters.docker_engine import DockerBuilder, connect
from pipeline.adapters.git import Git
from pipeline.adapters.hygiene import Hadolint, Syft
from pipeline.adapters.lease import DynamoLease
from pipeline.adapters.locust import Locust
from pipeline.adapters.process import Processes
from pipeline.adapters.table import Table
from pipeline.clouds import (
    CONTAINER,
    Cloud,
    build_images,
    open_cloud,
    table_name,
)
from pipeline.config import RequirementSettings, Settings, load
from pipeline.errors import PipelineError
from pipeline.gates import load_limits
from pipeline.glance import Glance, glance
from pipeline.logbook import Logbook
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import Collected, Evidence
from pipeline.model.history import HistoryLine, merge
from pipeline.model.load import GeneratorLimits, LoadShape
from pipeline.model.policy import Override
from pipeline.model.run import RunReport
from pipeline.places import Place
from pipeline.ports import Candidate, IntegrationSandbox, Progress, Source, Stage
from pipeline.records import Records
from pipeline.report.summary import github_outputs, markdown
from pipeline.rollout import DeploySpec, Rollout, RolloutResult
from pipeline.runner import Runner
from pipeline.terminal import Terminal, Watcher
from pipeline.trust import Signing, needs_cloud, open_signing
from stages.build import BuildPlan, BuildStage
from stages.deployment import Environment
from stages.integration import IntegrationPlan, IntegrationStage
from stages.prod import ProdStage
from stages.rollback import RollbackStage
from stages.staging import LoadPlan, StagingStage

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

    @property
    def state(self) -> Path:
        """What the tool keeps: `.pipeline`."""
        return self.root / ".pipeline"

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
            yield Session(self, cloud, signing, watcher, _run_id(), asked or Asked())
        finally:
            watcher.close()

    def _signing(self, signed: Sequence[str], kms: Callable[[], Any]) -> Signing:
        signing = open_signing(self.root, self.settings, kms, self.terminal.say, records=bool(signed))
        if signed:
            signing.require(signed)
        return signing


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asks of a run beside its stages.

    `wait` is for how many seconds whoever holds an environment is waited for. `force` goes past a gate that refuses,
    `older` past something newer that runs; `reason` says why, for the record.
    """

    wait: float = 0.0
    reason: str = ""
    force: bool = False
    older: bool = False


@dataclass(frozen=True)
class Session:
    """One run of one command: everything it needs, made when it is first asked for."""

    project: Project
    cloud: Cloud
    signing: Signing
    watcher: Watcher
    run_id: str
    asked: Asked

    @property
    def directory(self) -> Path:
        """Where this run's records go."""
        return self.project.state / "runs" / self.run_id

    def override(self, *, given: bool) -> Override | None:
        """The person's decision to go past something, where one was `given`."""
        return Override(self.asked.reason, self.records.person) if given else None

    @cached_property
    def source(self) -> Source:
        """The work tree."""
        return Git(self.project.root, Processes()).source()

    @cached_property
    def records(self) -> Records:
        """Images, and what is recorded of them."""
        project, cloud = self.project, self.cloud
        return Records(
            project.settings, self.signing, cloud.registry, cloud.login, project.state, self.run_id
        )

    @cached_property
    def lease(self) -> DynamoLease:
        """Who may change an environment."""
        return DynamoLease(self._table, SystemClock(), say=self.project.terminal.say)

    @cached_property
    def log(self) -> DynamoDeploymentLog:
        """What was deployed where, as far as it was kept."""
        return DynamoDeploymentLog(self._table)

    @cached_property
    def _table(self) -> Table:
        settings = self.project.settings
        client = self.cloud.aws.client("dynamodb", prompt=True)
        return Table(client, table_name(settings), settings.app.name)

    @cached_property
    def runner(self) -> Runner:
        """The loop over all four stages."""
        return Runner(
            stages=make_stages(self),
            rules=self.records.rules,
            evidence=self.records.evidence,
            builds=FileBuildIndex(self.project.state / "builds"),
            clock=SystemClock(),
            observer=self.watcher,
            app=self.project.settings.app.name,
            run_id=self.run_id,
        )

    def candidate(self, text: str) -> Candidate:
        """The image that a person means, with what it was built from and when. The errors are `Records.image`'s."""
        image = self.records.image(text)
        origin = self.records.origin(image.digest)
        return Candidate(Source(origin.commit, built_at=origin.built), image)

    def glance(self, name: str) -> Glance:
        """What the environment looks like now, against what is on record of it."""
        place = make_place(self, name)

        def weighed(digest: Digest) -> Collected:
            return self.records.weighed(ImageRef(self.records.repository, digest))

        newest = self.records.newest(name)
        return glance(place.service, place.targets, CONTAINER, weighed, newest)

    def history(self, name: str, limit: int) -> Sequence[HistoryLine]:
        """What was deployed to an environment, newest first. Without the log, which is said, what is on record."""
        try:
            entries = self.log.entries(name, limit)
        except PipelineError as error:
            self.project.terminal.tell(f"only what left a record, without the log: {error.message}")
            entries = ()
        signers = {trust.key_id: trust.name for trust in self.signing.trust}
        return merge(entries, self.records.deployments(name), signers, limit)

    def keep(self, document: Mapping[str, Any]) -> Path:
        """Writes the run's records; returns their folder. In GitHub Actions, its outputs and summary too."""
        write_whole(self.directory / "run.json", json.dumps({"schema": 1, **document}, indent=2).encode())
        write_whole(self.directory / "summary.md", markdown(document).encode())
        for variable, text in (
            ("GITHUB_OUTPUT", github_outputs(document)),
            ("GITHUB_STEP_SUMMARY", markdown(document)),
        ):
            if os.environ.get(variable):
                with Path(os.environ[variable]).open("a", encoding="utf-8") as stream:
                    stream.write(text)
        return self.directory

    def closing_lines(self, report: RunReport) -> list[str]:
        """What a person wants to know at the end: the image, where it serves, where the records are."""
        lines = [f"image       {report.image}"] if report.image else []
        lines += [
            f"{stage.name:<12}{self.cloud.url(stage.environment)}"
            for stage in report.stages
            if stage.environment
        ]
        return [*lines, f"records     {self.directory}"]


def make_stages(session: Session) -> tuple[Stage, ...]:
    """The whole product in one tuple."""
    return (
        _build_stage(session),
        _integration_stage(session),
        _staging_stage(session),
        ProdStage(make_environment(session, "prod")),
    )


def _build_stage(session: Session) -> BuildStage:
    root, settings = session.project.root, session.project.settings
    runner = Processes()
    images = cache(lambda: build_images(settings, session.cloud))
    plan = BuildPlan(
        app=settings.app.name,
        root=root,
        context=(root / settings.app.context).resolve(),
        dockerfile=(root / settings.app.dockerfile).resolve(),
        repository=session.records.repository,
        platform=settings.build.platform,
        args=settings.build.args,
        max_size=settings.build.max_size_mb * _MIB,
        tag=f"build-{session.run_id.lower()}",
        directory=session.directory,
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
    root, settings = session.project.root, session.project.settings
    told = settings.integration
    environment = {**settings.app.environment, **told.environment}

    def sandbox() -> IntegrationSandbox:
        from pipeline.sandboxes import make_sandbox  # noqa: PLC0415 – half a second that only a test run needs

        return make_sandbox(root, settings, environment, session.cloud.images, session.run_id)

    content = {
        **told.model_dump(mode="json"),
        "environment": environment,
        "port": settings.app.port,
        "ready": settings.app.ready,
    }
    return IntegrationStage(IntegrationPlan(root, told.tests, content, session.directory), sandbox)


def _staging_stage(session: Session) -> StagingStage:
    root, settings = session.project.root, session.project.settings
    load_settings = settings.load
    required = settings.gate.prod.staging or RequirementSettings()
    shape = LoadShape(
        locustfile=Path(load_settings.locustfile),
        users=load_settings.users,
        spawn_rate=load_settings.spawn_rate,
        warmup=load_settings.warmup,
        duration=load_settings.duration,
    )
    generator = load_settings.generator
    plan = LoadPlan(
        shape=shape,
        root=root,
        limits=load_limits(required),
        generator=GeneratorLimits(generator.max_cpu, generator.max_lag_share, generator.min_delivered),
        directory=session.directory,
    )
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ONEDIGEST_"))
    }
    locust = Locust(sys.executable, SystemClock(), root=root, environ=environ)
    rehearse = (
        (lambda: _production_image(session)) if settings.environments.staging.rehearse_rollback else None
    )
    return StagingStage(make_environment(session, "staging"), plan, locust, rehearse)


def make_rollback_stage(session: Session, name: str, to: Evidence, reason: str) -> RollbackStage:
    """A rollback of an environment to the deployment on record that `to` is."""
    definition = make_place(session, name).definition_of(to)
    return RollbackStage(make_environment(session, name), definition, reason, session.records.person)


def _production_image(session: Session) -> ImageRef | None:
    """What production would go back to."""
    found = session.records.last_good("prod")
    return ImageRef(session.records.repository, found.subject) if found else None


def make_place(session: Session, name: str) -> Place:
    """An environment as a place to roll out to."""
    settings = session.project.settings
    ancestry = Git(session.project.root, Processes()).ancestry
    return Place(
        name,
        settings,
        session.cloud,
        session.records,
        lambda: session.lease,
        ancestry,
        session.asked.wait,
        session.override(given=session.asked.older),
    )


def make_logbook(session: Session, name: str) -> Logbook:
    """The deployment log of an environment, as this run writes it."""
    forced = session.asked.reason if session.asked.force else ""
    return Logbook(session.log, SystemClock(), name, session.run_id, session.records.person, forced)


def make_environment(session: Session, name: str) -> Environment:
    """An environment as the stages take it."""
    place = make_place(session, name)

    def logged(rollout: Rollout, image: ImageRef, spec: DeploySpec, progress: Progress) -> RolloutResult:
        return make_logbook(session, name).deploy(rollout, image, spec, progress)

    return Environment(
        name=name,
        container=CONTAINER,
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
    )


def _no_kms() -> Any:
    raise AssertionError("no key of KMS is named")


def _run_id() -> str:
    return f"{SystemClock().now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
