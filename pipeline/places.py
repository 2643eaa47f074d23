"""One environment of pipeline.toml as a place to roll out to: its service, its rollout, and what is told to whom."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.adapters.account import Account
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.ecs import EcsService
from pipeline.adapters.elb import ElbTargets
from pipeline.adapters.file_lease import FileLease
from pipeline.adapters.http_probe import FreshConnectionProbe
from pipeline.clouds import Cloud, cluster_name, service_name
from pipeline.config import EnvironmentSettings, Settings
from pipeline.local.cloud import Desired
from pipeline.model.digest import ImageRef
from pipeline.model.rollout import RolloutPolicy
from pipeline.ports import Candidate, Say
from pipeline.preflight import Preflight, Preview, Wish
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
            container=self.own.container,
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
        )

    def spec(self, candidate: Candidate) -> DeploySpec:
        """What to roll out of a candidate. The commit is the image's own, whatever is checked out now."""
        facts = self.records.registry.image_facts(candidate.ref)
        return DeploySpec(
            container=self.own.container,
            desired=self.own.desired,
            environment=self._environment(candidate.ref, facts.labels),
            secrets={key: self.cloud.aws.secret_arn(secret) for key, secret in self.own.secrets.items()},
            before=self.own.before.command if self.own.before else (),
            base_url=self.url(),
            checks=self._checks(),
            platform_digests=facts.platform_digests,
        )

    def _environment(self, image: ImageRef, labels: Mapping[str, str]) -> Mapping[str, str]:
        words = {"digest": str(image.digest), "commit": labels.get(_REVISION, "")}
        told = {**self.settings.app.environment, **self.own.environment}
        return {key: _filled(value, words) for key, value in told.items()}

    def preview(self, image: ImageRef | None) -> Preview:
        """What a rollout of the image would meet and do; None: what any would meet. See `Preflight.look`."""
        service, before = self.service, self.own.before
        wish = Wish(
            environment=self._environment,
            secrets=self.own.secrets,
            alarms=self.own.rollout.alarms,
            stay_up=self.own.rollout.bake,
            first=self.own.desired,
            before=" ".join(before.command) if before else "",
        )
        account = Account(self.cloud.aws, service.cluster, service.service, service.container)
        look = Preflight(service, account, wish, SystemClock().now).look
        if image is None:
            return look(None, lambda: None)
        return look(self.records.destined(self.name, image), lambda: self.records.found(self.name, image))

    def foreseen(self, candidate: Candidate, say: Say) -> Mapping[str, Any]:
        """Looks at what a rollout needs, and says how long it should take; returns that for the record.

        Raises UnfitError with everything that is wrong, UnavailableError when only the credential is. Where the service
        has or gets the image already, nothing is begun and nothing is asked.
        """
        preview = self.preview(candidate.ref)
        if preview.underway:
            return {}
        if error := preview.error:
            raise error
        say(preview.summary)
        expected = preview.prediction
        say(f"expected: {expected.text}" + (f" – {expected.slow}" if expected.slow else ""))
        return preview.facts

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
