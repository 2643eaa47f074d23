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
from pipeline.adapters.docker_engine import DockerBuilder, connect
from pipeline.adapters.git import Git
from pipeline.adapters.hygiene import Hadolint, Syft
from pipeline.adapters.locust import Locust
from pipeline.adapters.log_lines import ServiceLog
from pipeline.adapters.process import Processes
from pipeline.clouds import Cloud, build_images, open_cloud
from pipeline.config import RequirementSettings, Settings, load
from pipeline.gates import load_limits
from pipeline.glance import Glance, glance
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import Collected
from pipeline.model.load import GeneratorLimits, LoadShape
from pipeline.model.run import RunReport
from pipeline.places import Place
from pipeline.ports import Candidate, IntegrationSandbox, Source, Stage
from pipeline.preflight import Preview
from pipeline.records import Records
from pipeline.report.summary import github_outputs, markdown
from pipeline.runner import Runner
from pipeline.terminal import Terminal, Watcher
from pipeline.trust import Signing, needs_cloud, open_signing
from stages.build import BuildPlan, BuildStage
from stages.deployment import Environment
from stages.integration import IntegrationPlan, IntegrationStage
from stages.prod import ProdStage
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
        self, stages: Sequence[str], *, touch: bool = True, records: Sequence[str] = ()
    ) -> Iterator[Session]:
        """A session that runs the given stages and signs for them, and for what else it `records`.

        `touch` False starts nothing: for commands that only look. The key that signs is tried before anything is
        built, and before the cloud is started unless it lies there.
        """
        signed = (*stages, *records)
        early = None if needs_cloud(self.settings) else self._signing(signed, _no_kms)
        cloud = open_cloud(self.root, self.settings, self.terminal.say, start=touch)
        signing = early or self._signing(signed, lambda: cloud.aws.client("kms"))
        watcher = self.terminal.watch(tuple(stages))
        try:
            yield Session(self, cloud, signing, watcher, _run_id())
        finally:
            watcher.close()

    def _signing(self, signed: Sequence[str], kms: Callable[[], Any]) -> Signing:
        signing = open_signing(self.root, self.settings, kms, self.terminal.say, records=bool(signed))
        if signed:
            signing.require(signed)
        return signing


@dataclass(frozen=True)
class Session:
    """One run of one command: everything it needs, made when it is first asked for."""

    project: Project
    cloud: Cloud
    signing: Signing
    watcher: Watcher
    run_id: str

    @property
    def directory(self) -> Path:
        """Where this run's records go."""
        return self.project.state / "runs" / self.run_id

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
        """The image that a person means, with the commit it was built from. The errors are `Records.image`'s."""
        image = self.records.image(text)
        return Candidate(Source(self.records.commit(image)), image)

    def glance(self, name: str) -> Glance:
        """What the environment looks like now, against what is on record of it."""
        place = make_place(self, name)

        def weighed(digest: Digest) -> Collected:
            return self.records.weighed(ImageRef(self.records.repository, digest))

        newest = self.records.newest(name)
        return glance(place.service, place.targets, place.own.container, weighed, newest)

    def preview(self, name: str, image: ImageRef | None) -> Preview:
        """What a rollout of the image would meet and do in the environment; None: what any would meet."""
        return make_place(self, name).preview(image)

    def between(self, older: str, newer: str) -> tuple[Sequence[str], Sequence[str]] | tuple[None, None]:
        """Commits that `newer` has and `older` has not, and the other way round; None where git does not know both."""
        git = Git(self.project.root, Processes())
        gained, lost = git.between(older, newer), git.between(newer, older)
        return (None, None) if gained is None or lost is None else (gained, lost)

    def log(self, name: str, task: str) -> ServiceLog:
        """The log of an environment's service; `task` the beginning of a task's id, or empty."""
        return ServiceLog(self.cloud.aws.client("logs"), make_place(self, name).service, SystemClock(), task)

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
    return StagingStage(make_environment(session, "staging"), plan, locust)


def make_place(session: Session, name: str) -> Place:
    """An environment as a place to roll out to."""
    project = session.project
    return Place(
        name, project.settings, session.cloud, session.records, project.state, f"run {session.run_id}"
    )


def make_environment(session: Session, name: str) -> Environment:
    """An environment as the stages take it."""
    place = make_place(session, name)
    return Environment(
        name=name,
        container=place.own.container,
        base_url=place.url,
        shape=place.shape,
        rollout=place.rollout,
        spec=place.spec,
        settled=place.settled,
        held=place.held,
        delivered=place.delivered,
        foreseen=place.foreseen,
    )


def _no_kms() -> Any:
    raise AssertionError("no key of KMS is named")


def _run_id() -> str:
    return f"{SystemClock().now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
