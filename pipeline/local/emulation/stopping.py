"""Stopping a task as ECS does: withdraw, wait the deregistration delay, SIGTERM, stopTimeout, SIGKILL."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pipeline.local.emulation import events
from pipeline.local.emulation.ground import Emulator
from pipeline.local.emulation.targets import group_of, service_of
from pipeline.local.parts import ENGINE_ERRORS

STOP_TIMEOUT = 30
BY_PERSON = "UserInitiated"
BY_SCHEDULER = "ServiceSchedulerInitiated"


class Stopping:
    """StopTask and the scheduler's own stops. The call answers at once; the rest happens on a thread."""

    def __init__(self, emulator: Emulator) -> None:
        """Stands on the emulator's task records."""
        self._emulator = emulator

    def by_person(self, data: Mapping[str, Any]) -> Any:
        """The API's StopTask."""
        return self._answer(data, BY_PERSON)

    def by_scheduler(self, data: Mapping[str, Any]) -> Any:
        """The scheduler's stop: scaling, drained deployments, deleted services."""
        return self._answer(data, BY_SCHEDULER)

    def _answer(self, data: Mapping[str, Any], code: str) -> Any:
        ecs = self._emulator.ecs
        cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
        task = ecs._resolve_task(data.get("task", ""), cluster) if cluster else None
        if task is None:
            return ecs.error_response_json(
                "InvalidParameterException", "The referenced task was not found.", 400
            )
        self.stop(task, data.get("reason", "Task stopped by user"), code)
        return ecs.json_response({"task": ecs._sanitize(task)})

    def stop(self, task: Any, reason: str, code: str) -> bool:
        """Begins to stop the task. False when it is stopping or stopped already."""
        ecs = self._emulator.ecs
        if task["lastStatus"] != "RUNNING":
            stopped = bool(ecs._mark_task_stopped(task["taskArn"], task, reason, code))
            if stopped:
                self._emulator.background("discard", ecs._cleanup_task_resources, task, ecs._get_docker())
            return stopped
        found = service_of(self._emulator, task)
        service = found[1] if found else None
        if not self._deactivate(task, reason, code, service):
            return False
        delay = self._delay(service)
        if service is not None:
            what = (
                "draining connections on 1 tasks" if delay else f"stopped 1 running tasks: (task {_id(task)})"
            )
            events.say(self._emulator, service, f"has {'begun ' if delay else ''}{what}.")
        self._emulator.background(f"stop-{_id(task)[:8]}", self._finish, task, delay)
        return True

    def _deactivate(self, task: Any, reason: str, code: str, service: Any) -> bool:
        ecs = self._emulator.ecs
        with ecs.resource_lock("ecs-task", task["taskArn"]):
            if not ecs._task_is_active(task["taskArn"], task):
                return False
            ecs._bump_task_version(task)
            task.update(desiredStatus="STOPPED", lastStatus="DEACTIVATING", stoppingAt=ecs._iso())
            task.update(stoppedReason=reason, stopCode=code)
            task["_draining_deployment"] = ecs._deployment_for_task(service, task) if service else None
        self._refresh(task)
        return True

    def _delay(self, service: Any) -> float:
        group = group_of(service) if service else None
        if group is None:
            return 0.0
        for attribute in self._emulator.alb._tg_attrs.get(group[0]) or []:
            if attribute["Key"] == "deregistration_delay.timeout_seconds":
                return float(attribute["Value"])
        return 300.0

    def _finish(self, task: Any, delay: float) -> None:
        time.sleep(delay)
        ecs = self._emulator.ecs
        task["lastStatus"] = "STOPPING"
        self._stop_containers(task)
        now = ecs._iso()
        with ecs.resource_lock("ecs-task", task["taskArn"]):
            ecs._bump_task_version(task)
            task.update(lastStatus="DEPROVISIONING", executionStoppedAt=now)
        ecs._cleanup_task_resources(task, ecs._get_docker())
        with ecs.resource_lock("ecs-task", task["taskArn"]):
            ecs._bump_task_version(task)
            task.update(lastStatus="STOPPED", stoppedAt=ecs._iso())
            for container in task["containers"]:
                container["lastStatus"] = "STOPPED"
        self._refresh(task)

    def _stop_containers(self, task: Any) -> None:
        ecs = self._emulator.ecs
        definition = ecs._task_defs.get(ecs._resolve_td_key(task["taskDefinitionArn"])) or {}
        limits = [
            int(c.get("stopTimeout") or STOP_TIMEOUT) for c in definition.get("containerDefinitions", [])
        ]
        for index, docker_id in enumerate(list(task.get("_docker_ids") or [])):
            limit = limits[index] if index < len(limits) else STOP_TIMEOUT
            code = self._stop_container(docker_id, limit)
            if index < len(task["containers"]):
                task["containers"][index].update(exitCode=code, lastStatus="STOPPED")

    def _stop_container(self, docker_id: str, limit: int) -> int | None:
        try:
            container = self._emulator.ecs._get_docker().containers.get(docker_id)
            container.stop(timeout=limit)
            container.reload()
            return int(container.attrs["State"]["ExitCode"])
        except ENGINE_ERRORS as error:  # the exit code stays unknown; the clean-up follows anyway
            self._emulator.ecs.logger.warning("could not stop container %s: %s", docker_id[:12], error)
            return None

    def _refresh(self, task: Any) -> None:
        ecs = self._emulator.ecs
        cluster = ecs._cluster_name_from_arn(task.get("clusterArn", ""))
        if cluster:
            ecs._recount_cluster(cluster)
            ecs._refresh_service_state(cluster, task.get("group", ""))


def _id(task: Mapping[str, Any]) -> str:
    return events.short(str(task["taskArn"]))
