"""Deployments: in progress until stable, back-off between failing tasks, and what DescribeServices lists of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

from pipeline.local.emulation import events
from pipeline.local.emulation.ground import Emulator
from pipeline.local.emulation.targets import STOPPING, monotonic, service_of

FAILED_SHOWN_SECONDS = 20.0
LONGEST_BACK_OFF = 15.0


def back_off(failures: int) -> float:
    """Seconds before the next task after so many failures in a row: 1, 2, 4, 8, then 15."""
    return 0.0 if failures < 1 else min(LONGEST_BACK_OFF, 2.0 ** (failures - 1))


class Deployments:
    """The scheduler's view of a service's deployments."""

    def __init__(self, emulator: Emulator) -> None:
        """Keeps the emulator's own functions, which it goes on to call."""
        ecs = emulator.ecs
        self._emulator = emulator
        self._make = ecs._make_deployment
        self._reconcile = ecs._reconcile_service_tasks
        self._complete = ecs._complete_service_deployment
        self._fail = ecs._record_service_task_failure
        self._heal = ecs._record_service_task_healthy
        self._start = ecs._run_task
        self._describe = ecs._describe_services
        self._lock = threading.Lock()
        self._scheduling: dict[str, threading.RLock] = {}

    def make(self, task_definition: str, desired: int, status: str = "PRIMARY") -> Any:
        """A deployment that is in progress until it is stable, at a service's birth too."""
        deployment = self._make(task_definition, desired, status)
        deployment["rolloutState"] = "IN_PROGRESS"
        deployment["rolloutStateReason"] = f"ECS deployment {deployment['id']} in progress."
        return deployment

    def reconcile(self, cluster: str, key: str) -> None:
        """One scheduling pass at a time for each service, so that two threads never start the same task twice."""
        with self._lock:
            turn = self._scheduling.setdefault(key, threading.RLock())
        with turn:
            self._reconcile(cluster, key)

    def complete(self, cluster: str, key: str, expected_deployment_id: str | None = None) -> None:
        """Completes a stable deployment, and says so."""
        service = self._emulator.ecs._services.get(key)
        primary = (self._emulator.ecs._primary_deployment(service) if service else None) or {}
        pending = primary.get("rolloutState") == "IN_PROGRESS"
        self._complete(cluster, key, expected_deployment_id=expected_deployment_id)
        if pending and primary.get("rolloutState") == "COMPLETED":
            primary["_completed"] = monotonic()
            primary["rolloutStateReason"] = f"ECS deployment {primary['id']} completed."
            events.say(self._emulator, service, f"(deployment {primary['id']}) deployment completed.")
            events.say(self._emulator, service, "has reached a steady state.")

    def failed(self, task: Any, *, digest_resolution_failed: bool = False) -> None:
        """Counts a failed task: towards the circuit breaker, and towards the wait before the next one."""
        found = service_of(self._emulator, task)
        deployment = self._emulator.ecs._deployment_for_task(found[1], task) if found else None
        if deployment is not None and not task.get("_startup_stable"):
            deployment["_failures"] = int(deployment.get("_failures", 0)) + 1
            deployment["_not_before"] = monotonic() + back_off(deployment["_failures"])
            keep_for_return(found[1]["deployments"] if found else [], deployment)
        self._fail(task, digest_resolution_failed=digest_resolution_failed)
        if deployment is not None and deployment.get("rolloutState") == "FAILED":
            deployment.setdefault("_failed", monotonic())
            deployment["rolloutStateReason"] = "ECS deployment circuit breaker: tasks failed to start."

    def healthy(self, key: str, task: Any) -> None:
        """A healthy task ends the back-off."""
        found = service_of(self._emulator, task)
        deployment = self._emulator.ecs._deployment_for_task(found[1], task) if found else None
        if deployment is not None:
            deployment["_failures"] = 0
        self._heal(key, task)

    def start(self, data: Mapping[str, Any]) -> Any:
        """Starts tasks for the scheduler, or comes back when the deployment's back-off is over."""
        ecs = self._emulator.ecs
        name = str(data.get("group", "")).removeprefix("service:")
        key = f"{data.get('cluster')}/{name}"
        service = ecs._services.get(key)
        deployment = ecs._primary_deployment(service) if service else None
        if deployment is None or deployment.get("id") != data.get("_deploymentId"):
            return self._start(data)
        wait = float(deployment.get("_not_before", 0.0)) - monotonic()
        if wait > 0:
            self._later(deployment, wait, str(data.get("cluster")), key)
            return ecs.json_response({"tasks": [], "failures": []})
        answer = self._start(data)
        for task in json.loads(answer[2]).get("tasks", []):
            events.say(
                self._emulator, service, f"has started 1 tasks: (task {events.short(task['taskArn'])})."
            )
        return answer

    def _later(self, deployment: Any, wait: float, cluster: str, key: str) -> None:
        if deployment.get("_waiting"):
            return
        deployment["_waiting"] = True
        account, region = self._emulator.responses.get_account_id(), self._emulator.responses.get_region()

        def again() -> None:
            deployment["_waiting"] = False
            with self._emulator.scope(account, region):
                self._emulator.ecs._reconcile_service_tasks(cluster, key)

        timer = threading.Timer(wait, again)
        timer.daemon = True
        timer.start()

    def describe(self, data: Mapping[str, Any]) -> Any:
        """DescribeServices: draining deployments are listed until their tasks are gone, failed ones for a while."""
        ecs = self._emulator.ecs
        for service in ecs._services.values():
            with ecs.resource_lock(
                "ecs-service", f"{events.short(service['clusterArn'])}/{service['serviceName']}"
            ):
                service["deployments"] = shown(service["deployments"], monotonic())
        status, headers, body = self._describe(data)
        answer = json.loads(body)
        for view in answer.get("services", []):
            view["deployments"] = view.get("deployments", []) + self._draining(view)
        return status, headers, json.dumps(answer).encode() if isinstance(body, bytes) else json.dumps(answer)

    def _draining(self, view: Mapping[str, Any]) -> list[Any]:
        listed = {deployment["id"] for deployment in view.get("deployments", [])}
        found: dict[str, Any] = {}
        for task in self._emulator.ecs._tasks.values():
            deployment = task.get("_draining_deployment")
            if not deployment or deployment["id"] in listed or task["lastStatus"] not in STOPPING:
                continue
            if (
                task.get("clusterArn") != view["clusterArn"]
                or task.get("group") != f"service:{view['serviceName']}"
            ):
                continue
            record = self._emulator.ecs._sanitize(deployment)
            found[record["id"]] = {**record, "status": "ACTIVE", "desiredCount": 0, "runningCount": 0}
        return list(found.values())


def keep_for_return(deployments: list[Any], failing: Any) -> None:
    """Lets ECS go back, from a primary deployment that fails, to what has completed once.

    The emulator looks for deployments that are completed, and calls one that it has just gone back to "in progress"
    again: a second bad release on the heels of the first would find nothing, and stop the tasks that serve.
    """
    if failing.get("status") != "PRIMARY":
        return
    for deployment in deployments:
        worked = deployment is not failing and deployment.get("_completed") is not None
        if worked and deployment.get("rolloutState") == "IN_PROGRESS":
            deployment["rolloutState"] = "COMPLETED"


def shown(deployments: list[Any], now: float) -> list[Any]:
    """The deployments that stay listed: a failed one leaves after 20 s, or when a later one has completed."""
    kept: list[Any] = []
    later_completed = False
    for deployment in deployments:
        failed_at = deployment.get("_failed")
        gone = (
            deployment.get("status") != "PRIMARY"
            and deployment.get("rolloutState") == "FAILED"
            and (later_completed or (failed_at is not None and now - failed_at > FAILED_SHOWN_SECONDS))
        )
        if not gone:
            kept.append(deployment)
        later_completed = later_completed or deployment.get("_completed") is not None
    return kept
