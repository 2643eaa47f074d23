"""What the environments ran, kept on disk, and rolled out again in an emulator that began empty."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.local.launch import replace_text
from pipeline.local.spec import Desired, Endpoints

WAIT_SECONDS = 120.0
_NOT_REGISTERED = frozenset(
    ("taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities", "registeredAt")
    + ("registeredBy", "deregisteredAt")
)


class Record:
    """The last good rollout of each environment, one file each."""

    def __init__(self, state: Path) -> None:
        """Files lie in `desired/` under the state directory."""
        self._directory = state / "desired"

    def keep(self, desired: Desired) -> None:
        """Replaces the environment's record, whole or not at all."""
        replace_text(self._file(desired.environment), json.dumps(asdict(desired), indent=1, default=str))

    def of(self, environment: str) -> Desired | None:
        """The environment's record. An unreadable one counts as none: what runs is then said to be unknown."""
        try:
            return Desired(**json.loads(self._file(environment).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def _file(self, environment: str) -> Path:
        return self._directory / f"{environment}.json"


def client(service: str, endpoints: Endpoints) -> Any:
    """A boto3 client of the local cloud."""
    return boto3.client(
        service,
        endpoint_url=endpoints.aws,
        region_name=endpoints.region,
        aws_access_key_id=endpoints.access_key,
        aws_secret_access_key=endpoints.secret_key,
        config=Config(retries={"max_attempts": 3, "mode": "standard"}, proxies={}),
    )


def merged(live: Mapping[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The recorded definition with what belongs to the new stack (roles, secrets' ARNs, log group) taken from `live`."""
    definition = {k: v for k, v in recorded.items() if k not in _NOT_REGISTERED and v not in (None, "", [], {})}
    for key in ("executionRoleArn", "taskRoleArn"):
        if live.get(key):
            definition[key] = live[key]
    fresh = {c["name"]: c for c in live.get("containerDefinitions", [])}
    definition["containerDefinitions"] = [
        _merged_container(fresh.get(c["name"], {}), c) for c in recorded["containerDefinitions"]
    ]
    return definition


def _merged_container(live: Mapping[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
    sources = {secret["name"]: secret["valueFrom"] for secret in live.get("secrets", [])}
    container = dict(recorded)
    if "secrets" in container:
        container["secrets"] = [{**s, "valueFrom": sources.get(s["name"], s["valueFrom"])} for s in container["secrets"]]
    if live.get("logConfiguration"):
        container["logConfiguration"] = live["logConfiguration"]
    return container


class Restore:
    """Brings back one environment's recorded rollout."""

    def __init__(self, endpoints: Endpoints, say: Callable[[str], None]) -> None:
        """Talks to the emulator at the endpoints and tells through `say` what came of it."""
        self._ecs = client("ecs", endpoints)
        self._say = say

    def begin(self, desired: Desired) -> str | None:
        """Registers and rolls out; returns the task definition to wait for, None when that could not be asked for."""
        try:
            live = self._service(desired)
            definition = self._ecs.describe_task_definition(taskDefinition=live["taskDefinition"])["taskDefinition"]
            arn = self._ecs.register_task_definition(**merged(definition, desired.definition))
            name = str(arn["taskDefinition"]["taskDefinitionArn"])
            self._ecs.update_service(
                cluster=desired.cluster, service=desired.service, taskDefinition=name, desiredCount=desired.count
            )
        except (ClientError, BotoCoreError, LookupError) as error:
            self._say(f"{desired.environment}: does NOT run {desired.image} again: {error}")
            return None
        return name

    def finish(self, desired: Desired, arn: str) -> bool:
        """Waits until it runs or has failed, and says which."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            service = self._service(desired)
            primary = next(d for d in service["deployments"] if d["status"] == "PRIMARY")
            if primary["taskDefinition"] != arn or primary["rolloutState"] == "FAILED":
                break
            if primary["rolloutState"] == "COMPLETED" and service["runningCount"] >= desired.count:
                self._say(f"{desired.environment}: runs {desired.image} again ({service['runningCount']} tasks)")
                return True
            time.sleep(0.2)
        self._say(f"{desired.environment}: does NOT run {desired.image} again: {self._why(desired)}")
        return False

    def _service(self, desired: Desired) -> Mapping[str, Any]:
        answer = self._ecs.describe_services(cluster=desired.cluster, services=[desired.service])
        if not answer["services"]:
            raise LookupError(f"there is no service {desired.service} in cluster {desired.cluster}")
        found: Mapping[str, Any] = answer["services"][0]
        return found

    def _why(self, desired: Desired) -> str:
        arns = self._ecs.list_tasks(cluster=desired.cluster, serviceName=desired.service, desiredStatus="STOPPED")
        if not arns["taskArns"]:
            return f"not healthy within {WAIT_SECONDS:.0f} s; `python -m pipeline status` shows how far it is"
        tasks = self._ecs.describe_tasks(cluster=desired.cluster, tasks=arns["taskArns"][-1:])["tasks"]
        return str(tasks[0].get("stoppedReason") or "its tasks stopped without a reason")
