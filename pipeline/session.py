"""One run of one command: its cloud, its records, its lease and log, and the runner over its stages."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.adapters.build_index import FileBuildIndex
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.deployment_log import DynamoDeploymentLog
from pipeline.adapters.git import Git
from pipeline.adapters.lease import DynamoLease
from pipeline.adapters.log_lines import ServiceLog
from pipeline.adapters.machine import machine
from pipeline.adapters.process import Processes
from pipeline.adapters.table import Table
from pipeline.baseline import BaselineService, Left
from pipeline.clouds import Cloud
from pipeline.config import FILE, RequirementSettings, Settings
from pipeline.errors import PipelineError
from pipeline.fencing import RunLease
from pipeline.gates import load_limits
from pipeline.glance import Glance, Known, glance
from pipeline.logbook import Logbook
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import Collected
from pipeline.model.gate import barred_for
from pipeline.model.history import HistoryLine, merge
from pipeline.model.order import Order
from pipeline.model.policy import Override
from pipeline.model.rollback import leaving_all
from pipeline.model.run import RunReport
from pipeline.model.verdict import Outcome, Reason
from pipeline.names import table_name
from pipeline.places import Place
from pipeline.ports import Candidate, Source, Stage
from pipeline.preflight import Preview
from pipeline.production import Production
from pipeline.reach import Site, kind_of, load_path, sites_of
from pipeline.records import Records
from pipeline.release_beside import ReleaseBeside
from pipeline.run_files import RunFiles
from pipeline.runner import Runner
from pipeline.terminal import Terminal, Watcher
from pipeline.trust import Signing
from pipeline.workers import Workers


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
    """One run of one command: everything it needs, made when it is first asked for. `stages` makes the runner's."""

    root: Path
    settings: Settings
    terminal: Terminal
    cloud: Cloud
    signing: Signing
    watcher: Watcher
    run_id: str
    asked: Asked
    stages: Callable[[Session], tuple[Stage, ...]]

    @property
    def state(self) -> Path:
        """What the tool keeps: `.pipeline`."""
        return self.root / ".pipeline"

    @property
    def directory(self) -> Path:
        """Where this run's records go."""
        return self.state / "runs" / self.run_id

    def override(self, *, given: bool) -> Override | None:
        """The person's decision to go past something, where one was `given`."""
        return Override(self.asked.reason, self.records.person) if given else None

    @cached_property
    def source(self) -> Source:
        """The work tree."""
        return Git(self.root, Processes()).source()

    @cached_property
    def records(self) -> Records:
        """Images, and what is recorded of them."""
        cloud = self.cloud
        return Records(self.settings, self.signing, cloud.registry, cloud.logins, self.state, self.run_id)

    @cached_property
    def lease(self) -> RunLease:
        """Who may change an environment."""
        return RunLease(DynamoLease(self._table, SystemClock(), say=self.terminal.say))

    @cached_property
    def log(self) -> DynamoDeploymentLog:
        """What was deployed where, as far as it was kept."""
        return DynamoDeploymentLog(self._table)

    @cached_property
    def _table(self) -> Table:
        settings = self.settings
        client = self.cloud.aws.client("dynamodb", prompt=True)
        return Table(client, table_name(settings), settings.app.name)

    @cached_property
    def runner(self) -> Runner:
        """The loop over all four stages."""
        return Runner(
            stages=self.stages(self),
            rules=self.records.rules,
            evidence=self.records.evidence,
            builds=FileBuildIndex(self.state / "builds"),
            clock=SystemClock(),
            observer=self.watcher,
            app=self.settings.app.name,
            run_id=self.run_id,
        )

    def candidate(self, text: str) -> Candidate:
        """The image that a person means, with what it was built from and when. The errors are `Records.image`'s."""
        image = self.records.image(text)
        origin = self.records.origin(image.digest)
        return Candidate(Source(origin.commit, built_at=origin.built), image)

    def sites(self, name: str) -> Mapping[str, Site]:
        """Where an environment is, by key, in the order of its waves: regions, services, or both."""
        return {site.key: site for wave in sites_of(self.settings, name) for site in wave}

    def kind(self, name: str) -> str:
        """What the sites of an environment are called together: `regions`, `services` or `parts`."""
        return f"{kind_of(self.settings, name)}s"

    def url(self, name: str, key: str = "") -> str:
        """The front of an environment at a site, by default its first."""
        return make_place(self, name, key).url()

    def glance(self, name: str, key: str = "") -> Glance:
        """What the environment looks like now at a site, against what is on record of it."""
        place, records = make_place(self, name, key), self.records
        policy = records.rules.gates[name]

        def weighed(digest: Digest) -> Collected:
            return records.weighed(ImageRef(records.repository, digest))

        def barred(digest: Digest) -> Sequence[Reason]:
            found = records.evidence.collect(ImageRef(records.repository, digest))
            return barred_for(digest, found, policy, SystemClock().now())

        known = Known(weighed, barred, place.shares.release, records.newest(name))
        return glance(place.service, place.targets, place.own.container, known)

    def order(self, name: str, candidate: Candidate) -> Order:
        """Whether the candidate may replace what runs in the environment now; of several regions, one that refuses."""
        places = make_places(self, name)
        orders = [place.order(candidate, place.running()) for place in places]
        return next((order for order in orders if not order.verdict.passed), orders[0])

    def leaving(self, name: str) -> frozenset[Digest]:
        """What a rollback of an environment leaves. See `pipeline.model.rollback.leaving_all`."""
        newest = self.records.newest(name)
        left = [place.leaving() for place in make_places(self, name)]
        return leaving_all(left, newest.subject if newest else None)

    def preview(self, name: str, image: ImageRef | None, key: str) -> Preview:
        """What a rollout of the image would meet and do in the environment at a site; None: what any would meet."""
        preview = make_place(self, name, key).preview(image)
        if name != "staging":
            return preview
        more = [*make_baseline(self, key).checks()]
        if self.sites(name)[key].service == self.settings.front:
            more += make_workers(self).checks()
        return replace(preview, checks=(*preview.checks, *more))

    def previews(self, name: str, image: ImageRef) -> Mapping[str, Preview]:
        """What a rollout of the image would meet and do at each site of the environment."""
        return {key: self.preview(name, image, key) for key in self.sites(name)}

    def beside(self, key: str) -> Left | None:
        """What runs beside staging now at a site, None where nothing does."""
        return make_baseline(self, key).left()

    def between(self, older: str, newer: str) -> tuple[Sequence[str], Sequence[str]] | tuple[None, None]:
        """Commits that `newer` has and `older` has not, and the other way round; None where git does not know both."""
        git = Git(self.root, Processes())
        gained, lost = git.between(older, newer), git.between(newer, older)
        return (None, None) if gained is None or lost is None else (gained, lost)

    def service_log(self, name: str, task: str, key: str = "") -> ServiceLog:
        """The log of an environment's service at a site; `task` the beginning of a task's id, or empty."""
        place = make_place(self, name, key)
        return ServiceLog(place.aws.client("logs"), place.service, SystemClock(), task)

    def history(self, name: str, limit: int) -> Sequence[HistoryLine]:
        """What was deployed to an environment, newest first. Without the log, which is said, what is on record."""
        try:
            entries = self.log.entries(name, limit)
        except PipelineError as error:
            self.terminal.tell(f"only what left a record, without the log: {error.message}")
            entries = ()
        signers = {trust.key_id: trust.name for trust in self.signing.trust}
        return merge(entries, self.records.deployments(name), signers, limit)

    def keep(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Writes the run's records; returns the document as they hold it: with machine, settings and report.

        `report` is empty where none could be made, which is said and changes nothing else. In GitHub Actions, the
        step's outputs and summary too. Raises UnavailableError when run.json cannot be written.
        """
        files = RunFiles(self.directory)
        known = {"machine": machine(), "settings": _described(self.settings)}
        kept = {**document, **known, "report": str(files.report)}
        files.write_document(kept)
        try:
            files.write_report(kept)
        except Exception as error:  # noqa: BLE001 – how the run went stands; a report can be made again
            expected = isinstance(error, PipelineError)
            why = str(error) if expected else f"a mistake in onedigest, {type(error).__name__}: {error}"
            self.terminal.tell(f"no report: {why}; to try again: python -m pipeline report {self.run_id}")
            kept["report"] = ""
        files.write_summary(kept, os.environ)
        return kept

    def closing_lines(self, report: RunReport, path: str) -> list[str]:
        """What a person wants to know at the end: the image, where it serves now, where the report (`path`) or else the
        records are.
        """
        lines = [f"image       {report.image}"] if report.image else []
        for stage in report.stages:
            served = stage.environment if stage.outcome is Outcome.PASSED else ""
            keys = tuple(self.sites(served)) if served else ()
            lines += [
                f"{served:<12}{self.url(stage.environment, key)}" + (f"  {key}" if len(keys) > 1 else "")
                for key in keys
            ]
        return [*lines, f"report      {path}" if path else f"records     {self.directory}"]


def _described(settings: Settings) -> dict[str, Any]:
    """The settings as JSON, as far as a report of the run tells of them; `digest` is over all of them as read."""
    required = settings.gate.prod.staging or RequirementSettings()
    whole = json.dumps(settings.model_dump(mode="json"), sort_keys=True).encode()
    return {
        "file": FILE,
        "digest": f"sha256:{hashlib.sha256(whole).hexdigest()}",
        "app": settings.app.name,
        "provider": settings.cloud.provider,
        "region": settings.cloud.region,
        "generator": settings.load.generator.model_dump(),
        "limits": {name: asdict(limit) for name, limit in load_limits(required).flat.items()},
    }


def make_place(session: Session, name: str, key: str = "", **more: Any) -> Place:
    """An environment at a site, by default its first, as a place to roll out to. `more` are fields of the place."""
    sites = session.sites(name)
    site = sites[key] if key else next(iter(sites.values()))
    return Place(
        name,
        site,
        session.settings.of(site.service),
        session.cloud,
        session.records,
        lambda: session.lease,
        Git(session.root, Processes()).ancestry,
        session.asked.wait,
        session.override(given=session.asked.older),
        **more,
    )


def make_places(session: Session, name: str) -> Sequence[Place]:
    """An environment at each of its sites."""
    return [make_place(session, name, key) for key in session.sites(name)]


def make_baseline(session: Session, key: str) -> BaselineService:
    """The service beside staging's at a site."""
    place, settings = make_place(session, "staging", key), session.settings
    path, unused = load_path(settings), ""
    if not settings.load.compares:
        unused = 'load.baseline is "none"'
    elif place.site.service and place.site.service not in path.reached:
        unused = f"the load does not reach it: no variable on the way from {path.front} names it"
    return BaselineService(place, unused)


def make_opponent(session: Session) -> ReleaseBeside:
    """What a candidate on staging is compared with."""
    sites, path = session.sites("staging"), load_path(session.settings)
    services = {site.service: make_baseline(session, key) for key, site in sites.items()}
    production = Production(
        session.records,
        make_places(session, "prod"),
        path,
        lambda service: services[service].described(),
    )
    return ReleaseBeside(
        tuple(services),
        lambda service, others: services[service].beside(others),
        production.choose,
        services[path.front].url,
    )


def make_workers(session: Session) -> Workers:
    """The tasks that load staging: beside the service that the load is sent to."""
    (front,) = (
        key for key, site in session.sites("staging").items() if site.service == session.settings.front
    )
    return Workers(session.root, make_place(session, "staging", front))


def make_logbook(session: Session, name: str) -> Logbook:
    """The deployment log of an environment, as this run writes it."""
    forced = session.asked.reason if session.asked.force else ""
    return Logbook(session.log, SystemClock(), name, session.run_id, session.records.person, forced)
