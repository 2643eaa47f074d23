"""The tasks that load staging, as pipeline.toml wants them: their image, where they run, and whether they can."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.adapters import account_lookups
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.docker_engine import DockerBuilder, connect
from pipeline.adapters.ecs_load import EcsLoad
from pipeline.adapters.load_image import Contents, LoadImage
from pipeline.adapters.load_tasks import LoadTasks
from pipeline.adapters.locust import Locust
from pipeline.adapters.process import Processes
from pipeline.clouds import named_images
from pipeline.errors import PipelineError
from pipeline.model.check import Check, State
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.load_definition import LoadSize, load_definition
from pipeline.model.surroundings import Permission
from pipeline.places import Place
from pipeline.ports import Say

_NAME = "load tasks"
_GRACE = 5.0
_NO_IMAGE = Digest("sha256:" + "0" * 64)


@dataclass(frozen=True)
class Workers:
    """Tasks of `load.workers` beside staging's service, of several the front. Nothing is asked beforehand."""

    root: Path
    staging: Place

    @property
    def family(self) -> str:
        """Their task definition's."""
        return f"{self.staging.settings.app.name}-staging-load"

    def generator(self, locust: Locust, say: Say) -> EcsLoad:
        """What drives the load. `locust` looks at the locustfile on this machine."""
        told, place = self.staging.settings.load, self.staging
        checked = locust.parse if told.workers.requirements else locust.check
        tasks = LoadTasks(place.service, self.family, self._size, _GRACE)
        return EcsLoad(
            tasks=tasks,
            count=told.workers.tasks,
            image=self.image,
            orders=place.cloud.orders,
            inside=place.cloud.inside,
            checked=checked,
            clock=SystemClock(),
            start_timeout=told.workers.start_timeout,
            say=say,
        )

    def image(self, say: Say) -> ImageRef:
        """Their image, where staging pulls from; built when there is none of the same contents."""
        place, image = self.staging, self._image.ensure(say)
        return place.records.delivered(place.name, place.region, image, say)

    @cached_property
    def _image(self) -> LoadImage:
        place, settings = self.staging, self.staging.settings
        base = settings.load.workers.base_image
        named = {"BUILD_IMAGE": base, "RUNTIME_IMAGE": base}
        return LoadImage(
            contents=self._contents,
            repository=place.records.repository,
            platform=settings.build.platform,
            bases=lambda: named_images(named, settings, place.cloud),
            builder=DockerBuilder(connect, Processes(), place.cloud.login),
            registry=place.records.registry,
        )

    @property
    def _contents(self) -> Contents:
        told = self.staging.settings.load
        own = told.workers
        return Contents(self.root, Path(told.locustfile), own.requirements, own.files)

    @property
    def _size(self) -> Callable[[], LoadSize]:
        own, aws = self.staging.settings.load.workers, self.staging.cloud.aws

        def size() -> LoadSize:
            secrets = {variable: aws.secret_arn(name) for variable, name in own.secrets.items()}
            return LoadSize(own.cpu, own.memory, own.environment, secrets)

        return size

    def checks(self) -> Sequence[Check]:
        """Whether they could be started, without changing anything; none where this machine loads."""
        if not self.staging.settings.load.workers.tasks:
            return ()
        try:
            return tuple(self._checks())
        except PipelineError as error:
            return (Check(_NAME, State.NG, error.message, error.hint),)

    def _checks(self) -> Iterator[Check]:
        service, told = self.staging.service, self.staging.settings.load.workers
        self._contents.require()
        live = service.task_definition(service.describe().task_definition)
        image = ImageRef(self.staging.records.repository, _NO_IMAGE)
        load_definition(self.family, live, service.container, image, self._size(), _GRACE)
        text = f"{told.tasks} of {told.cpu} CPU units and {told.memory} MiB in {service.cluster}"
        yield Check(_NAME, State.OK, text)
        if self.staging.settings.cloud.provider == "aws":
            yield from self._permissions(
                str(live.get("executionRoleArn", "")), _log_group(live, service.container)
            )

    def _permissions(self, role: str, group: str) -> Iterator[Check]:
        aws, service = self.staging.cloud.aws, self.staging.service
        asked = calls_made(service.describe().arn, service.cluster, self.family, group)
        passed = ("iam:PassRole", role, {"iam:PassedToService": "ecs-tasks.amazonaws.com"})
        for action, resource, context in (*asked, *([passed] if role else [])):
            name = f"{_NAME}: {action}"
            try:
                iam = aws.client("iam")
                who = account_lookups.principal(iam, aws.who())
                found = account_lookups.simulated(iam, who, action, resource, context)
            except PipelineError as error:
                yield Check(name, State.SKIP, error.message)
                continue
            if found is Permission.ALLOWED:
                yield Check(name, State.OK, "allowed")
            else:
                yield Check(name, State.NG, "denied", f"allow {action} to {who}")


def calls_made(
    service: str, cluster: str, family: str, group: str
) -> Sequence[tuple[str, str, Mapping[str, str]]]:
    """What starting, ending and hearing the tasks takes: action, a resource it is done to, and IAM's context of it.

    `service` is the ARN of the service beside which they run, `group` that of its lines by name.
    """
    head, partition, _, region, account, *_ = service.split(":")
    there = f"{head}:{partition}:ecs:{region}:{account}"
    lines = f"{head}:{partition}:logs:{region}:{account}:log-group:{group}:log-stream:any"
    within = {"ecs:cluster": f"{there}:cluster/{cluster}"}
    return (
        ("ecs:RegisterTaskDefinition", f"{there}:task-definition/{family}:1", {}),
        ("ecs:RunTask", f"{there}:task-definition/{family}:1", within),
        ("ecs:StopTask", f"{there}:task/{cluster}/any", within),
        ("logs:GetLogEvents", lines, {}),
    )


def _log_group(definition: Mapping[str, Any], container: str) -> str:
    entry = next(one for one in definition["containerDefinitions"] if one["name"] == container)
    return str(entry["logConfiguration"]["options"]["awslogs-group"])
