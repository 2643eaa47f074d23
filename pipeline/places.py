"""One environment of pipeline.toml as a place to roll out to: its service, its rollout, and what is told to whom."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.adapters.alarms import CloudWatchAlarms
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.ecs import EcsService
from pipeline.adapters.elb import ElbTargets
from pipeline.adapters.file_lease import FileLease
from pipeline.adapters.http_probe import FreshConnectionProbe
from pipeline.adapters.traffic_probe import SteadyProbe
from pipeline.clouds import CONTAINER, Cloud, cluster_name, service_name
from pipeline.config import EnvironmentSettings, Settings
from pipeline.local.cloud import Desired
from pipeline.model.digest import ImageRef
from pipeline.model.probe import ProbeLimits
from pipeline.model.rollout import RolloutPolicy
from pipeline.ports import Candidate, Say
from pipeline.records import Records
from pipeline.rollout import Check, DeploySpec, Rollout, RolloutResult

_REVISION = "org.opencontainers.image.revision"


@dataclass(frozen=True)
class Place:
    """An environment by `name`. `state` is `.pipeline`, `holder` who holds the lease. Nothing is asked beforehand."""

    name: str
    settings: Settings
    cloud: Cloud
    records: Records
    state: Path
    holder: str

    @property
    def own(self) -> EnvironmentSettings:
        """What pipeline.toml says of this environment."""
        return self.settings.environments[self.name]

    @cached_property
    def service(self) -> EcsService:
        """The environment's ECS service."""
        return EcsService(
            ecs=self.cloud.aws.client("ecs"),
            logs=self.cloud.aws.client("logs"),
            cluster=cluster_name(self.settings, self.name),
            service=service_name(self.settings, self.name),
            container=CONTAINER,
            clock=SystemClock(),
        )

    @property
    def shape(self) -> Mapping[str, Any]:
        """What of the settings makes another plan, as JSON values."""
        return {
            **self.own.model_dump(mode="json"),
            "app": self.settings.app.model_dump(
                mode="json", include={"environment", "port", "live", "version"}
            ),
            "cluster": cluster_name(self.settings, self.name),
            "service": service_name(self.settings, self.name),
        }

    def url(self) -> str:
        """The load balancer's front."""
        return self.cloud.url(self.name)

    def targets(self, group: str) -> ElbTargets:
        """The health of a target group."""
        return ElbTargets(self.cloud.aws.client("elbv2"), group)

    def rollout(self) -> Rollout:
        """How to roll out here."""
        group = self.service.describe().target_group
        told = self.own.rollout
        return Rollout(
            service=self.service,
            targets=self.targets(group) if group else None,
            probe=FreshConnectionProbe(),
            clock=SystemClock(),
            policy=RolloutPolicy(
                deadline=told.timeout,
                drain=told.drain_timeout,
                stay_up=told.bake,
                healthy_share=told.healthy_share,
            ),
            traffic=self._traffic_probe(),
            alarms=CloudWatchAlarms(self.cloud.aws.client("cloudwatch")) if told.alarms else None,
        )

    def _traffic_probe(self) -> SteadyProbe | None:
        """Asks what a user would: the smoke paths but the readiness one, which is the app's own opinion of itself under
        load; without any, those that always answer. Or what is named.
        """
        told, app = self.own.rollout, self.settings.app
        smoke = tuple(
            smoke.path for smoke in self.own.smoke if smoke.status < 500 and smoke.path != app.ready
        )
        paths = told.probe_paths or smoke or (app.live, app.version)
        return SteadyProbe(SystemClock(), told.probe_rate, paths) if told.probe_rate else None

    def spec(self, candidate: Candidate) -> DeploySpec:
        """What to roll out of a candidate. The commit is the image's own, whatever is checked out now."""
        facts = self.records.registry.image_facts(candidate.ref)
        words = {"digest": str(candidate.ref.digest), "commit": facts.labels.get(_REVISION, "")}
        told = {**self.settings.app.environment, **self.own.environment}
        return DeploySpec(
            container=CONTAINER,
            desired=self.own.desired,
            environment={key: _filled(value, words) for key, value in told.items()},
            secrets={key: self.cloud.aws.secret_arn(secret) for key, secret in self.own.secrets.items()},
            before=self.own.before.command if self.own.before else (),
            base_url=self.url(),
            checks=self._checks(),
            platform_digests=facts.platform_digests,
            alarms=self.own.rollout.alarms,
            probe_limits=self._probe_limits(),
        )

    def _probe_limits(self) -> ProbeLimits:
        told = self.own.rollout
        return ProbeLimits(told.max_failed_requests, told.max_error_share, told.max_slowdown)

    def _checks(self) -> tuple[Check, ...]:
        version = Check(self.settings.app.version, expect_digest=True)
        return (version, *(Check(smoke.path, smoke.status) for smoke in self.own.smoke))

    def settled(self, result: RolloutResult) -> None:
        """Tells the cloud what runs here from now on."""
        definition = self.service.task_definition(result.task_definition)
        count = self.service.describe().desired
        self.cloud.settled(Desired(self.name, self.service.cluster, self.service.service, definition, count))

    def held(self, why: str) -> AbstractContextManager[None]:
        """Holds the environment's lease."""
        return FileLease(self.state / "leases").hold(self.name, self.holder, why)

    def delivered(self, image: ImageRef, say: Say) -> ImageRef:
        """The image in this environment's own registry, copied there with its evidence when it is another one."""
        return self.records.delivered(self.name, image, say)


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace("{" + word + "}", value)
    return text
