"""A local cloud for tests: two environments, images that behave well or badly, and the few ECS calls the tests make."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from botocore.exceptions import ClientError

from pipeline.adapters.aws import Access, Aws
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.stack import StackRequest, Stacks, template
from pipeline.local.base_images import BaseImages
from pipeline.local.cloud import Desired, Endpoints, LocalCloud, LocalEnvironment, LocalSpec, cloud_id
from pipeline.model.digest import ImageRef
from tests.releases import PYTHON, Releases

APP = "demo"
ENVIRONMENTS = ("staging", "prod")
PATIENCE = 120.0
_READ_ONLY = (
    *("taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities"),
    *("registeredAt", "registeredBy"),
)


def parameters(endpoints: Endpoints, environment: str) -> dict[str, str]:
    """What the environment's stack is made with."""
    return {
        "App": APP,
        "Environment": environment,
        "ClusterName": f"{APP}-{environment}",
        "ServiceName": APP,
        "RepositoryName": APP,
        "RepositoryRegion": endpoints.region,
        "ErrorAlarms": "no",
        "DatabaseSecret": "yes",
        "BootstrapImage": f"{endpoints.registry}/{APP}:none",
        "HealthCheckGracePeriod": "3",
        "DeregistrationDelay": "1",
        "StopTimeout": "3",
        "DatabaseUrl": endpoints.database_urls[environment],
    }


def aws(endpoints: Endpoints) -> Aws:
    """Clients of the cloud at the endpoints."""
    access = Access(
        endpoints.region, endpoint=endpoints.aws, key=endpoints.access_key, secret=endpoints.secret_key
    )
    return Aws(access)


def provision(endpoints: Endpoints, environment: LocalEnvironment) -> None:
    """The environment's stack, from the product's own template."""
    name = f"{APP}-{environment.name}"
    request = StackRequest(name, template("environment"), parameters(endpoints, environment.name))
    Stacks(aws(endpoints).client("cloudformation"), SystemClock()).ensure(request)


def at_rest(deployments: Sequence[Mapping[str, Any]]) -> bool:
    """True when nothing is rolled out and nothing drains; a failed deployment may still be listed."""
    states = [(d["status"], d["rolloutState"]) for d in deployments]
    return ("PRIMARY", "COMPLETED") in states and all(
        state == "FAILED" for status, state in states if status != "PRIMARY"
    )


@dataclass
class CloudInHand:
    """The cloud, what it said, and what one does with it."""

    state: Path
    said: list[str] = field(default_factory=list)
    clients: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.engine = docker.from_env()
        bases = BaseImages(self.engine, print)
        self.label = f"dev.onedigest.cloud={cloud_id(self.state)}"
        environments = tuple(LocalEnvironment(name, provision_key="1") for name in ENVIRONMENTS)
        self._make: Callable[[], LocalCloud] = lambda: LocalCloud(
            self.state, LocalSpec(APP, environments), bases.ensure, provision, self.said.append
        )
        self.cloud = self._make()
        try:
            self.endpoints = self.cloud.up()
        except BaseException:
            self.cloud.reset()
            raise
        self.releases = Releases(
            self.endpoints, aws(self.endpoints), self.engine, bases.ensure([PYTHON])[PYTHON]
        )

    def another_caller(self) -> LocalCloud:
        """The same cloud as a second process would open it."""
        return self._make()

    def client(self, service: str) -> Any:
        if service not in self.clients:
            self.clients[service] = aws(self.endpoints).client(service)
        return self.clients[service]

    def image(self, mode: str) -> ImageRef:
        return self.releases.image(mode)

    def service(self, environment: str) -> Mapping[str, Any]:
        ecs = self.client("ecs")
        found: Mapping[str, Any] = ecs.describe_services(cluster=f"{APP}-{environment}", services=[APP])[
            "services"
        ][0]
        return found

    def register(self, environment: str, image: ImageRef, **container: Any) -> str:
        """A new revision of what the service runs, with another image."""
        ecs = self.client("ecs")
        live = ecs.describe_task_definition(taskDefinition=self.service(environment)["taskDefinition"])
        definition = {k: v for k, v in live["taskDefinition"].items() if k not in _READ_ONLY and v}
        definition["containerDefinitions"][0] |= {"image": str(image), **container}
        return str(ecs.register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"])

    def deploy(self, environment: str, image: ImageRef, count: int = 1, **container: Any) -> bool:
        """Rolls out and waits for our own deployment's end; True when it is complete."""
        arn = self.register(environment, image, **container)
        mine = self.begin(environment, arn, count)
        found = self.wait(
            lambda: next((d for d in self.service(environment)["deployments"] if d["id"] == mine), None),
            lambda d: d is None or d["rolloutState"] != "IN_PROGRESS",
        )
        return found is not None and found["rolloutState"] == "COMPLETED"

    def begin(self, environment: str, arn: str, count: int) -> str:
        """One UpdateService; our deployment's id."""
        answer = self.client("ecs").update_service(
            cluster=f"{APP}-{environment}", service=APP, taskDefinition=arn, desiredCount=count
        )
        return next(str(d["id"]) for d in answer["service"]["deployments"] if d["status"] == "PRIMARY")

    def serving(self, environment: str, mode: str, count: int = 1) -> ImageRef:
        """Makes sure that the environment runs a good image, and that nothing else is going on in it."""
        image = self.image(mode)
        service = self.service(environment)
        live = self.client("ecs").describe_task_definition(taskDefinition=service["taskDefinition"])
        runs = live["taskDefinition"]["containerDefinitions"][0]["image"]
        if runs != str(image) or service["runningCount"] != count:
            assert self.deploy(environment, image, count)
        self.wait(lambda: self.service(environment)["deployments"], at_rest)
        return image

    def record(self, environment: str, image: ImageRef, count: int) -> None:
        """What the product does after a good rollout."""
        live = self.client("ecs").describe_task_definition(
            taskDefinition=self.service(environment)["taskDefinition"]
        )
        assert live["taskDefinition"]["containerDefinitions"][0]["image"] == str(image)
        self.cloud.record(Desired(environment, f"{APP}-{environment}", APP, live["taskDefinition"], count))

    def health(self, environment: str) -> list[str]:
        """`state` or `state:reason` of every target."""
        group = self.service(environment)["loadBalancers"][0]["targetGroupArn"]
        found = self.client("elbv2").describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        words = [(t["TargetHealth"]["State"], t["TargetHealth"].get("Reason", "")) for t in found]
        return [f"{state}:{reason}" if reason else state for state, reason in words]

    def stopped(self, environment: str, definition: str) -> list[Mapping[str, Any]]:
        """Stopped tasks of one task definition."""
        ecs = self.client("ecs")
        arns = ecs.list_tasks(cluster=f"{APP}-{environment}", desiredStatus="STOPPED")["taskArns"]
        tasks = ecs.describe_tasks(cluster=f"{APP}-{environment}", tasks=arns)["tasks"] if arns else []
        return [t for t in tasks if t["taskDefinitionArn"] == definition and t["lastStatus"] == "STOPPED"]

    def run_once(self, environment: str, arn: str, command: Sequence[str] = ()) -> Mapping[str, Any]:
        """One task, to its end."""
        ecs = self.client("ecs")
        overrides = {"containerOverrides": [{"name": "app", "command": list(command)}]} if command else {}
        network = self.service(environment)["networkConfiguration"]
        begun = ecs.run_task(
            cluster=f"{APP}-{environment}",
            taskDefinition=arn,
            overrides=overrides,
            networkConfiguration=network,
            launchType="FARGATE",
        )
        return self.ended(environment, begun["tasks"][0]["taskArn"])

    def ended(self, environment: str, task: str) -> Mapping[str, Any]:
        ecs = self.client("ecs")
        found: Mapping[str, Any] = self.wait(
            lambda: ecs.describe_tasks(cluster=f"{APP}-{environment}", tasks=[task])["tasks"][0],
            lambda seen: seen["lastStatus"] == "STOPPED",
        )
        return found

    def log_lines(self, environment: str, task: str) -> list[str]:
        stream = f"{environment}/app/{task.rsplit('/', 1)[-1]}"
        events = self.client("logs").get_log_events(
            logGroupName=f"/ecs/{APP}/{environment}", logStreamName=stream, startFromHead=True
        )
        return [event["message"] for event in events["events"]]

    def log_lines_or_none(self, environment: str, task: str) -> list[str]:
        """Like `log_lines`, and empty before the first line."""
        try:
            return self.log_lines(environment, task)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return []

    def answer(self, environment: str) -> Mapping[str, Any]:
        """What the front end answers; `status` 0 when it does not."""
        try:
            with urllib.request.urlopen(self.endpoints.urls[environment] + "/x", timeout=5.0) as found:
                return {"status": found.status, **json.load(found)}
        except urllib.error.HTTPError as error:
            return {"status": error.code}
        except OSError as error:
            return {"status": 0, "error": str(error)}

    def containers(self, part: str = "") -> list[Any]:
        """Containers of this cloud."""
        labels = [self.label] + ([f"dev.onedigest.part={part}"] if part else [])
        return list(self.engine.containers.list(all=True, filters={"label": labels}))

    def wait(self, ask: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
        """What `ask` gives as soon as it is good; the test fails with the last answer when time is up."""
        deadline = time.monotonic() + PATIENCE
        while not good(found := ask()):
            assert time.monotonic() < deadline, f"still {found}"
            time.sleep(0.15)
        return found
