"""An environment in one region, as a place to roll out to: its service, its rollout, and what is told to whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from pipeline.adapters.account import Account
from pipeline.adapters.alarms import CloudWatchAlarms
from pipeline.adapters.aws import Aws
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.ecs import EcsService
from pipeline.adapters.elb import ElbTargets
from pipeline.adapters.http_probe import FreshConnectionProbe
from pipeline.adapters.traffic_probe import SteadyProbe
from pipeline.clouds import Cloud
from pipeline.config import AppSettings, EnvironmentSettings, RolloutSettings, Settings
from pipeline.config_reach import AccountSettings, RegionSettings
from pipeline.errors import ConfigurationError, DeniedError, PipelineError
from pipeline.fencing import FencedService
from pipeline.local.cloud import Desired
from pipeline.model.calls import with_addresses
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import Evidence
from pipeline.model.lease import Claim
from pipeline.model.order import Ancestry, Order, Origin, judge_order
from pipeline.model.policy import Override
from pipeline.model.probe import ProbeLimits
from pipeline.model.rollback import leaving
from pipeline.model.rollout import Busy, RolloutPolicy
from pipeline.model.service import Previous, digests_run
from pipeline.model.task_definition import digest_in
from pipeline.model.verdict import Outcome, Verdict
from pipeline.model.waves import deployment_in
from pipeline.names import BASELINE, cluster_name, service_name
from pipeline.ports import Candidate, Clock, Held, Lease, Say
from pipeline.preflight import Preflight, Preview, Wish
from pipeline.reach import Site, local_name
from pipeline.records import Records
from pipeline.rollout import Check, DeploySpec, Rollout, RolloutResult
from pipeline.shares import Shares

_IN_ORDER = frozenset({"prod"})
"""Where nothing older comes after something newer. On staging an older digest may be tried again."""

_GROUND = {"setup", "scaling", "certificates"}
"""What an environment is made of, which makes no other plan."""

_REGIONS = set(RegionSettings.model_fields) - _GROUND
_REACH = _REGIONS | set(AccountSettings.model_fields)
"""What says where an environment is. In whose name it is reached makes no other plan either."""

_REVISION = "org.opencontainers.image.revision"


@dataclass(frozen=True)
class Place:
    """An environment by `name`, at one of its sites. Whoever holds its lease is waited for, for `wait` seconds.

    `ancestry` compares commits; `older` is somebody's decision to let an older image in. A rollout waits by `clock`,
    and is watched for `lingers` seconds beyond its bake. Of the release's services those in `beside` are called where
    they stand beside staging. Nothing is asked of the cloud beforehand.
    """

    name: str
    site: Site
    settings: Settings
    cloud: Cloud
    records: Records
    lease: Callable[[], Lease]
    ancestry: Callable[[str, str], Ancestry]
    wait: float = 0.0
    older: Override | None = None
    clock: Clock = field(default_factory=SystemClock)
    lingers: float = 0.0
    beside: frozenset[str] = frozenset()

    @property
    def region(self) -> str:
        """The region it is in."""
        return self.site.region

    @cached_property
    def shares(self) -> Shares:
        """Which image of a release runs here."""
        return Shares(self.records, self.name, self.site.service)

    @cached_property
    def aws(self) -> Aws:
        """The API of the environment's account and region."""
        return self.cloud.at(self.name, self.region)

    @property
    def own(self) -> EnvironmentSettings:
        """What pipeline.toml says of this environment."""
        return self.settings.environments[self.name]

    @cached_property
    def service(self) -> EcsService:
        """The environment's ECS service."""
        return EcsService(
            ecs=self.aws.client("ecs"),
            logs=self.aws.client("logs"),
            cluster=cluster_name(self.settings, self.name),
            service=service_name(self.settings, self.name),
            container=self.own.container,
            clock=self.clock,
        )

    @property
    def shape(self) -> Mapping[str, Any]:
        """What of the settings makes another plan, as JSON values."""
        return {
            **_shape(self.own),
            "app": self.settings.app.model_dump(
                mode="json", include={"environment", "port", "live", "version"}
            ),
            "cluster": cluster_name(self.settings, self.name),
            "service": service_name(self.settings, self.name),
        }

    def url(self) -> str:
        """The load balancer's front."""
        return self.cloud.url(self.name, self.region, self.site.service)

    def targets(self, group: str, alternate: str) -> ElbTargets:
        """The health of a target group, and of the one that takes turns with it where there is one."""
        return ElbTargets(self.aws.client("elbv2"), group, alternate)

    def rollout(self, held: Held | None = None) -> Rollout:
        """How to roll out here, changing things only while `held` is ours; without it, for looking."""
        state = self.service.describe()
        group, told = state.target_group, self.own.rollout
        return Rollout(
            service=FencedService(self.service, held) if held else self.service,
            targets=self.targets(group, state.alternate_target_group) if group else None,
            probe=FreshConnectionProbe(),
            clock=self.clock,
            policy=_policy(told, self.lingers),
            traffic=_traffic_probe(self.own, self.settings.app),
            alarms=CloudWatchAlarms(self.aws.client("cloudwatch")) if told.alarms else None,
        )

    def spec(self, candidate: Candidate) -> DeploySpec:
        """What to roll out of a candidate. The commit is the image's own, whatever is checked out now."""
        image = self.shares.image(candidate.ref)
        facts = self.records.registry.image_facts(image)
        return DeploySpec(
            container=self.own.container,
            desired=self.own.desired,
            environment=_variables(self, image, facts.labels),
            secrets={key: self.aws.secret_arn(secret) for key, secret in self.own.secrets.items()},
            before=self.own.before.command if self.own.before else (),
            base_url=self.url(),
            checks=_checks(self.own, self.settings.app.version),
            platform_digests=(image.digest, *facts.platform_digests),
            alarms=self.own.rollout.alarms,
            probe_limits=_probe_limits(self.own.rollout),
        )

    def preview(self, image: ImageRef | None) -> Preview:
        """What a rollout of the image would meet and do; None: what any would meet. See `Preflight.look`."""
        service, wish = self.service, _wish(self.own, partial(_variables, self), self.lingers)
        account = Account(self.aws, service.cluster, service.service, service.container)
        look = Preflight(service, account, wish, SystemClock().now).look
        if image is None:
            return look(None, lambda: None)
        image, records, where = self.shares.image(image), self.records, (self.name, self.region)
        return look(records.destined(*where, image), lambda: records.found(*where, image))

    def running(self) -> frozenset[Digest]:
        """The digests that run here now."""
        return self.shares.releases(digests_run(self.service.tasks(), self.own.container))

    def leaving(self) -> frozenset[Digest]:
        """What a rollback leaves. See `pipeline.model.rollback.leaving`."""
        return leaving(self.pinned(), self.running())

    def pinned(self) -> Digest | None:
        """The digest that the service is told to run, None where its task definition names a tag."""
        told = self.service.describe().task_definition
        found = digest_in(self.service.task_definition(told), self.own.container)
        return self.shares.release(found) if found else None

    def order(self, candidate: Candidate, running: frozenset[Digest]) -> Order:
        """Whether the candidate may replace what runs. Of a work tree only the commit counts: it is released now."""
        if self.name not in _IN_ORDER:
            return Order(Verdict(self.name, Outcome.PASSED), {"order": "not asked for here"})
        # What is pinned as well: tasks may report a platform's digest, of which nothing is on record.
        pinned = self.pinned() if running else None
        seen = self.shares.releases(running) | ({pinned} if pinned else set())
        return _order(self, candidate, [self.records.origin(digest) for digest in sorted(seen, key=str)])

    def last_good(self) -> Previous | None:
        """What the last good deployment on record ran, as far as its task definition is still what it was."""
        found = self.records.last_good(self.name, self.pinned())
        definition = self.definition_of(found) if found else ""
        if found is None or not definition:
            return None
        return Previous(definition, digests=frozenset({self._image_of(found).digest}))

    def _image_of(self, deployment: Evidence) -> ImageRef:
        return self.shares.image(ImageRef(self.records.repository, deployment.subject))

    def definition_of(self, deployment: Evidence) -> str:
        """The ARN of the task definition that a recorded deployment ran; empty where it is gone, or runs another image.

        A cluster that was made anew counts its revisions from one again.
        """
        told = deployment_in(deployment.statement.facts, self.site.key)
        arn = str(told.get("task_definition", ""))
        return _definition_of(self.service, self._image_of(deployment).digest, arn) if arn else ""

    def settled(self, image: ImageRef, result: RolloutResult, say: Say) -> None:
        """Tells the cloud what runs here from now on, and keeps the image from expiring."""
        _protect(self.records, self.name, image, say)
        try:
            _keep(self, result)
        except PipelineError as error:
            say(f"the cloud was not told that {image.digest.short} runs on {self.name} now: {error.message}")

    def held(self, why: str, digest: str = "") -> AbstractContextManager[Held]:
        """Holds the environment's lease, saying why and for which digest."""
        claim = Claim(self.records.person, self.records.run_id, why, digest)
        return self.lease().hold(self.name, claim, wait=self.wait)

    def recorded(self) -> Digest | None:
        """The digest of the newest good rollout on record here, None where there is none."""
        newest = self.records.newest(self.name)
        return newest.subject if newest else None

    def delivered(self, image: ImageRef, say: Say) -> ImageRef:
        """The image in this environment's own registry, copied there with its evidence when it is another one."""
        return self.shares.image(self.records.delivered(self.name, self.region, image, say))


def _variables(place: Place, image: ImageRef, labels: Mapping[str, str]) -> Mapping[str, str]:
    """The variables with all words filled in; the services of a release are told as tasks reach them."""
    words = {"digest": str(image.digest), "commit": labels.get(_REVISION, ""), "region": place.region}

    def address(service: str) -> str:
        where = BASELINE if service in place.beside else place.name
        return place.cloud.inside(place.cloud.url(where, place.region, service))

    told = {**place.settings.app.environment, **place.own.environment}
    return {key: with_addresses(_filled(value, words), address) for key, value in told.items()}


def _order(place: Place, candidate: Candidate, others: Sequence[Origin]) -> Order:
    ours = Origin(candidate.ref.digest, candidate.source.commit, candidate.source.built_at)
    known = [(other, place.ancestry(ours.commit, other.commit)) for other in others]
    return judge_order(place.name, ours, known, place.older)


def _protect(records: Records, name: str, image: ImageRef, say: Say) -> None:
    try:
        records.protect(name, image)
    except PipelineError as error:
        say(
            f"{image.digest.short} got no promoted-{name} tag, a lifecycle rule may expire it: {error.message}"
        )


def _keep(place: Place, result: RolloutResult) -> None:
    service = place.service
    definition, count = service.task_definition(result.task_definition), service.describe().desired
    name = local_name(place.settings, place.name, place.region, place.site.service)
    where = (name, service.cluster, service.service)
    place.cloud.settled(Desired(*where, definition, count, place.region))


def _definition_of(service: EcsService, subject: Digest, arn: str) -> str:
    try:
        definition = service.task_definition(arn) if arn else {}
    except DeniedError:
        raise
    except ConfigurationError:
        return ""
    return arn if digest_in(definition, service.container) == subject else ""


def _shape(own: EnvironmentSettings) -> dict[str, Any]:
    regions = own.model_dump(mode="json", include=_REGIONS, exclude_defaults=True)
    return {**own.model_dump(mode="json", exclude=_REACH | _GROUND), **regions}


def _wish(
    own: EnvironmentSettings,
    environment: Callable[[ImageRef, Mapping[str, str]], Mapping[str, str]],
    lingers: float,
) -> Wish:
    return Wish(
        environment=environment,
        secrets=own.secrets,
        alarms=own.rollout.alarms,
        strategy=own.rollout.declared,
        stay_up=own.rollout.bake + lingers,
        first=own.desired,
        before=" ".join(own.before.command) if own.before else "",
    )


def _policy(told: RolloutSettings, lingers: float) -> RolloutPolicy:
    return RolloutPolicy(
        deadline=told.timeout,
        drain=told.drain_timeout,
        stay_up=told.bake + lingers,
        healthy_share=told.healthy_share,
        busy=Busy(told.busy),
        strategy=told.declared,
    )


def _checks(own: EnvironmentSettings, version: str) -> tuple[Check, ...]:
    return (Check(version, expect_digest=True), *(Check(smoke.path, smoke.status) for smoke in own.smoke))


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace("{" + word + "}", value)
    return text


def _traffic_probe(own: EnvironmentSettings, app: AppSettings) -> SteadyProbe | None:
    """Asks what a user would: the smoke paths but the readiness one, the app's own opinion of itself under load.

    Without any, those that always answer; or what is named.
    """
    told = own.rollout
    smoke = tuple(smoke.path for smoke in own.smoke if smoke.status < 500 and smoke.path != app.ready)
    paths = told.probe_paths or smoke or (app.live, app.version)
    return SteadyProbe(SystemClock(), told.probe_rate, paths) if told.probe_rate else None


def _probe_limits(told: RolloutSettings) -> ProbeLimits:
    return ProbeLimits(told.max_failed_requests, told.max_error_share, told.max_slowdown)
