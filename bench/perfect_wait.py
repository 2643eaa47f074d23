"""A rollout as one writes it by hand with boto3, which waits without a moment lost: what ours is measured against.

`python -m bench.perfect_wait JSON` registers the service's definition with another image, updates the service, and
looks every tenth of a second until the new tasks are all healthy in the target group, the deployment is complete, and
the bake is over; then until the old tasks are gone. It trusts what it sees, asks no smoke checks, never goes back.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config

EVERY = 0.1
READ_ONLY = (
    *("taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities"),
    *("registeredAt", "registeredBy"),
)


class PerfectWait:
    """One rollout of `told["image"]`."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.told = told
        self.calls: list[tuple[float, str]] = []
        self.ecs, self.elb = self._client("ecs"), self._client("elbv2")
        self.service = {"cluster": told["cluster"], "services": [told["service"]]}

    def _client(self, name: str) -> Any:
        made = boto3.client(
            name,
            endpoint_url=self.told["endpoint"],
            region_name=self.told["region"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(proxies={}),
        )
        made.meta.events.register(
            "before-call", lambda model, **_: self.calls.append((time.time(), model.name))
        )
        return made

    def roll(self) -> Mapping[str, Any]:
        """When it began, updated, was healthy and ended, as seconds since 1970, and the calls made since the update."""
        began = time.time()
        arn = self._register()
        answer = self.ecs.update_service(
            cluster=self.told["cluster"], service=self.told["service"], taskDefinition=arn
        )
        updated = time.time()
        mine = next(d["id"] for d in answer["service"]["deployments"] if d["status"] == "PRIMARY")
        while not self._good(mine, arn):
            time.sleep(EVERY)
        healthy = time.time()
        time.sleep(self.told["bake"])
        while not self._alone(arn):
            time.sleep(EVERY)
        waiting = [name for at, name in self.calls if at > updated]
        times = {"began": began, "updated": updated, "healthy": healthy, "ended": time.time()}
        return {**times, "waiting_calls": len(waiting)}

    def _register(self) -> str:
        live = self.ecs.describe_services(**self.service)["services"][0]["taskDefinition"]
        found = self.ecs.describe_task_definition(taskDefinition=live)["taskDefinition"]
        definition = {key: value for key, value in found.items() if key not in READ_ONLY and value}
        container = definition["containerDefinitions"][0]
        container["image"] = self.told["image"]
        for entry in container.get("environment", ()):
            if entry["name"] == "APP_DIGEST":
                entry["value"] = self.told["image"].partition("@")[2]
        return str(self.ecs.register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"])

    def _good(self, mine: str, arn: str) -> bool:
        service = self.ecs.describe_services(**self.service)["services"][0]
        state = next((d["rolloutState"] for d in service["deployments"] if d["id"] == mine), "")
        if state == "FAILED":
            raise SystemExit("the deployment failed")
        tasks = [t for t in self._tasks() if t["taskDefinitionArn"] == arn and t["lastStatus"] == "RUNNING"]
        group = service["loadBalancers"][0]["targetGroupArn"]
        targets = self.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        healthy = sum(target["TargetHealth"]["State"] == "healthy" for target in targets)
        return state == "COMPLETED" and len(tasks) == healthy == service["desiredCount"]

    def _alone(self, arn: str) -> bool:
        service = self.ecs.describe_services(**self.service)["services"][0]
        return len(service["deployments"]) == 1 and all(t["taskDefinitionArn"] == arn for t in self._tasks())

    def _tasks(self) -> list[Any]:
        where = {"cluster": self.told["cluster"]}
        arns = self.ecs.list_tasks(**where, serviceName=self.told["service"])["taskArns"]
        return list(self.ecs.describe_tasks(**where, tasks=arns)["tasks"]) if arns else []


if __name__ == "__main__":
    print(json.dumps(PerfectWait(json.loads(sys.argv[1])).roll()))
