"""When a service's task counts as stable, and when it is stopped as failed: by real health, not by running."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.local.emulation import events
from pipeline.local.emulation.ground import Emulator
from pipeline.local.emulation.stopping import BY_SCHEDULER, Stopping
from pipeline.local.emulation.targets import (
    Health,
    HealthBoard,
    monotonic,
    service_of,
    target_of,
)

CHECK_SECONDS = 0.5
STARTUP_SECONDS = 1.0
TICK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a task may be unhealthy, in seconds: `grace` after its start until it is healthy for the first time,
    `late` at any later time.
    """

    grace: float
    late: float


def patience(service: Mapping[str, Any], group: Mapping[str, Any]) -> Patience:
    """From the service's grace period and the target group's threshold.

    What never got healthy is given up at the balancer's own pace of checks. What served is left as long as the
    group's interval says, as in ECS: a machine that stalls for a second must not cost every task at once.
    """
    threshold = float(group.get("UnhealthyThresholdCount") or 2)
    interval = float(group.get("HealthCheckIntervalSeconds") or 30)
    grace = float(service.get("healthCheckGracePeriodSeconds") or 0)
    return Patience(grace + threshold * CHECK_SECONDS, threshold * interval)


@dataclass(frozen=True, slots=True)
class Watch:
    """One task under watch. `started` and `bad_since` are monotonic seconds."""

    started: float
    stable: bool = False
    bad_since: float | None = None


def overdue(watch: Watch, now: float, limits: Patience) -> bool:
    """True when the task has been unhealthy for longer than it may."""
    if now - watch.started < limits.grace:
        return False
    if not watch.stable:
        return True
    return watch.bad_since is not None and now - watch.bad_since >= limits.late


class Stability:
    """Decides over every service task with a target group or a container health check."""

    def __init__(self, emulator: Emulator, board: HealthBoard, stopping: Stopping) -> None:
        """`board` holds the balancer's view; `stopping` ends what failed."""
        self._emulator = emulator
        self._board = board
        self._stopping = stopping
        self._schedule = emulator.ecs._schedule_service_deployment_completion

    def schedule(
        self, cluster_name: str, svc_key: str, account_id: str, region: str, healthy_task: Any = None
    ) -> None:
        """Follows a new task until it is stable, and on; other calls go to the emulator's own function."""
        service = self._emulator.ecs._services.get(svc_key)
        if healthy_task is None or service is None or not self._judged(service, healthy_task):
            self._schedule(cluster_name, svc_key, account_id, region, healthy_task=healthy_task)
            return
        arguments = (cluster_name, svc_key, healthy_task)
        self._emulator.background(
            f"health-{events.short(healthy_task['taskArn'])[:8]}", self._follow, *arguments
        )

    def _judged(self, service: Any, task: Any) -> bool:
        return bool(task.get("_health_checked")) or target_of(self._emulator, service, task) is not None

    def _follow(self, cluster: str, key: str, task: Any) -> None:
        ecs = self._emulator.ecs
        watch = Watch(monotonic())
        registered = False
        while ecs._task_is_active(task["taskArn"], task):
            time.sleep(TICK_SECONDS)
            found = service_of(self._emulator, task)
            if found is None:
                return
            health = self._health(found[1], task)
            now = monotonic()
            good = health.state == "healthy"
            if good and not watch.stable and now - watch.started >= STARTUP_SECONDS:
                self._settle(cluster, key, task)
                watch = Watch(watch.started, stable=True)
            if not registered:
                registered = True
                events.say(self._emulator, found[1], f"registered 1 targets in ({_group(found[1])})")
            bad_since = None if good else (watch.bad_since or now)
            watch = Watch(watch.started, watch.stable, bad_since)
            if not good and overdue(watch, now, self._limits(found[1])):
                self._give_up(found[1], task, health)
                return

    def _limits(self, service: Any) -> Patience:
        return patience(service, self._emulator.alb._tgs.get(_group_arn(service)) or {})

    def _health(self, service: Any, task: Any) -> Health:
        checked = task.get("healthStatus") if task.get("_health_checked") else "HEALTHY"
        if checked == "UNHEALTHY":
            return Health("unhealthy", "container", "Task failed container health checks")
        target = target_of(self._emulator, service, task)
        seen = self._board.health(target) if target else Health("healthy")
        return Health("initial") if seen.state == "healthy" and checked != "HEALTHY" else seen

    def _settle(self, cluster: str, key: str, task: Any) -> None:
        ecs = self._emulator.ecs
        ecs._record_service_task_healthy(key, task)
        ecs._refresh_service_state(cluster, task.get("group", ""))
        ecs._reconcile_service_tasks(cluster, key)
        ecs._complete_service_deployment(cluster, key, expected_deployment_id=task.get("_deployment_id"))

    def _give_up(self, service: Any, task: Any, health: Health) -> None:
        name = events.short(task["taskArn"])
        reason = health.description
        if health.reason != "container":
            group = _group(service)
            reason = f"Task failed ELB health checks in ({group})"
            why = health.description or "Health checks failed"
            event = f"(task {name}) (port {_port(service)}) is unhealthy in ({group}) due to (reason {why})."
            events.say(self._emulator, service, event)
        else:
            events.say(self._emulator, service, f"(task {name}) failed container health checks.")
        if self._stopping.stop(task, reason, BY_SCHEDULER):
            self._emulator.ecs._record_service_task_failure(task)


def _group_arn(service: Mapping[str, Any]) -> str:
    return next(
        (b["targetGroupArn"] for b in service.get("loadBalancers") or [] if b.get("targetGroupArn")), ""
    )


def _group(service: Mapping[str, Any]) -> str:
    return f"target-group {_group_arn(service)}"


def _port(service: Mapping[str, Any]) -> int:
    return next((int(b.get("containerPort") or 80) for b in service.get("loadBalancers") or []), 80)
