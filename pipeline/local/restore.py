"""What the environments ran, kept on disk, and rolled out again in an emulator that began empty."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.local.launch import replace_text
from pipeline.local.spec import Desired, Endpoints

WAIT_SECONDS = 120.0
_READ_ONLY = frozenset(
    (
        *("taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities"),
        *("registeredAt", "registeredBy", "deregisteredAt"),
    )
)


class Record:
    """The last good rollout of each environment, one file each."""

    def __init__(self, state: Path) -> None:
        """Files lie in `desired/` under the state directory."""
        self._directory = state / "desired"

    def keep(self, desired: Desired) -> None:
        """Replaces the environment's record, whole or not at all."""
        replace_text(self._file(desired.environment), json.dumps(asdict(desired), indent=1, default=str))

    def drop(self, environment: str) -> None:
        """Nothing is to be brought back there."""
        self._file(environment).unlink(missing_ok=True)

    def of(self, environment: str) -> Desired | None:
        """The environment's record. An unreadable one counts as none: what runs is then said to be unknown."""
        try:
            return Desired(**json.loads(self._file(environment).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def _file(self, environment: str) -> Path:
        return self._directory / f"{environment}.json"


def client(service: str, endpoints: Endpoints, region: str = "") -> Any:
    """A boto3 client of the local cloud in a region; empty: the cloud's own."""
    import boto3  # noqa: PLC0415 – nothing is restored in most runs, and the import is slow
    from botocore.config import Config  # noqa: PLC0415 – likewise

    return boto3.client(
        service,
        endpoint_url=endpoints.aws,
        region_name=region or endpoints.region,
        aws_access_key_id=endpoints.access_key,
        aws_secret_access_key=endpoints.secret_key,
        config=Config(retries={"max_attempts": 3, "mode": "standard"}, proxies={}),
    )


def merged(live: Mapping[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The recorded definition, with roles, secrets' ARNs and log group as the new stack has them (`live`)."""
    definition = {k: v for k, v in recorded.items() if k not in _READ_ONLY and v not in (None, "", [], {})}
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
        container["secrets"] = [
            {"name": secret["name"], "valueFrom": sources.get(secret["name"], secret["valueFrom"])}
            for secret in container["secrets"]
        ]
    if live.get("logConfiguration"):
        container["logConfiguration"] = live["logConfiguration"]
    return container


class Restore:
    """Brings back one environment's recorded rollout."""

    def __init__(self, endpoints: Endpoints, say: Callable[[str], None], region: str = "") -> None:
        """Talks to the emulator at the endpoints, in a region, and tells through `say` what came of it."""
        self._ecs = client("ecs", endpoints, region)
        self._say = say

    def bring_back(self, desired: Desired) -> bool:
        """Rolls the record out unless it runs already; waits until it runs or has failed, and says which."""
        try:
            if self._runs(desired):
                return True
            arn = self._roll_out(desired)
            why = self._failure(desired, arn)
        except (ClientError, BotoCoreError, LookupError) as error:
            why = str(error)
        if why:
            self._say(f"{desired.environment}: does NOT run {desired.image} again: {why}")
        else:
            self._say(f"{desired.environment}: runs {desired.image} again ({desired.count} tasks)")
        return not why

    def _runs(self, desired: Desired) -> bool:
        service = self._service(desired)
        image = self._definition(service)["containerDefinitions"][0]["image"]
        return bool(image == desired.image and service["runningCount"] >= desired.count)

    def _roll_out(self, desired: Desired) -> str:
        live = self._definition(self._service(desired))
        answer = self._ecs.register_task_definition(**merged(live, desired.definition))
        arn = str(answer["taskDefinition"]["taskDefinitionArn"])
        self._ecs.update_service(
            cluster=desired.cluster, service=desired.service, taskDefinition=arn, desiredCount=desired.count
        )
        return arn

    def _failure(self, desired: Desired, arn: str) -> str:
        """Why it does not run; the empty string once it does."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            service = self._service(desired)
            primary = next(d for d in service["deployments"] if d["status"] == "PRIMARY")
            if primary["taskDefinition"] != arn or primary["rolloutState"] == "FAILED":
                return self._why_stopped(desired)
            if primary["rolloutState"] == "COMPLETED" and service["runningCount"] >= desired.count:
                return ""
            time.sleep(0.2)
        return f"not healthy within {WAIT_SECONDS:.0f} s; `python -m pipeline status` shows how far it is"

    def _definition(self, service: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = self._ecs.describe_task_definition(taskDefinition=service["taskDefinition"])
        found: Mapping[str, Any] = answer["taskDefinition"]
        return found

    def _service(self, desired: Desired) -> Mapping[str, Any]:
        answer = self._ecs.describe_services(cluster=desired.cluster, services=[desired.service])
        if not answer["services"]:
            raise LookupError(f"there is no service {desired.service} in cluster {desired.cluster}")
        found: Mapping[str, Any] = answer["services"][0]
        return found

    def _why_stopped(self, desired: Desired) -> str:
        listed = self._ecs.list_tasks(
            cluster=desired.cluster, serviceName=desired.service, desiredStatus="STOPPED"
        )
        if not listed["taskArns"]:
            return "its deployment failed before a task was started"
        tasks = self._ecs.describe_tasks(cluster=desired.cluster, tasks=listed["taskArns"][-1:])["tasks"]
        return str(tasks[0].get("stoppedReason") or "its tasks stopped without a reason")
