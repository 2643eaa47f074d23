"""Target health as the balancer sees it, and the targets it should know: the bridge between ECS and HAProxy."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from pipeline.local.balancer import Seating, Slot, Target
from pipeline.local.emulation.ground import Emulator
from pipeline.local.launch import APP_TAG, ENVIRONMENT_TAG

STOPPING = ("DEACTIVATING", "STOPPING", "DEPROVISIONING")
INITIAL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Health:
    """A target's state as DescribeTargetHealth words it."""

    state: str
    reason: str = ""
    description: str = ""


INITIAL = Health("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
DRAINING = Health("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
HEALTHY = Health("healthy")


class HealthBoard:
    """What the balancer last said of each target. Readers and the one writer may be on any thread."""

    def __init__(self) -> None:
        """Nothing is known yet: every target is `initial`."""
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str, int, str], Health] = {}
        self._since: dict[tuple[str, str, int, str], float] = {}

    def publish(
        self, slots: Mapping[str, Slot], seated: Seating, wanted: Iterable[Target], now: float
    ) -> None:
        """Takes over what the slots say of the targets in them; targets without a slot stay `initial`."""
        places = {target.key: slots.get(name) for name, target in seated.items()}
        with self._lock:
            for target in wanted:
                since = self._since.setdefault(target.key, now)
                slot = places.get(target.key)
                self._known[target.key] = judge_slot(target, slot, self._known.get(target.key), now - since)

    def forget(self, wanted: Iterable[Target]) -> None:
        """Drops what is known of every target but these."""
        keep = {target.key for target in wanted}
        with self._lock:
            for table in (self._known, self._since):
                for key in [key for key in table if key not in keep]:
                    del table[key]

    def health(self, target: Target) -> Health:
        """What is known of the target now."""
        if target.draining:
            return DRAINING
        with self._lock:
            return self._known.get(target.key, INITIAL)


def judge_slot(target: Target, slot: Slot | None, before: Health | None, seconds: float) -> Health:
    """A slot's words as target health. `seconds` is how long the target has been wanted."""
    if target.draining:
        return DRAINING
    if slot is None or slot.free or slot.address != f"{target.address}:{target.port}":
        return INITIAL if before is None else before
    if slot.status.startswith("UP"):
        return HEALTHY
    if (before is None or before.state == "initial") and seconds < INITIAL_SECONDS:
        return INITIAL
    return _unhealthy(slot)


def _unhealthy(slot: Slot) -> Health:
    if slot.check == "L7STS":
        return Health(
            "unhealthy",
            "Target.ResponseCodeMismatch",
            f"Health checks failed with these codes: [{slot.code or 'none'}]",
        )
    if slot.check in ("L4TOUT", "L6TOUT", "L7TOUT"):
        return Health("unhealthy", "Target.Timeout", "Request timed out")
    return Health("unhealthy", "Target.FailedHealthChecks", "Health checks failed")


def group_of(service: Mapping[str, Any]) -> tuple[str, int] | None:
    """The service's target group and container port, if it has a target group."""
    for balancer in service.get("loadBalancers") or []:
        if balancer.get("targetGroupArn"):
            return str(balancer["targetGroupArn"]), int(balancer.get("containerPort") or 80)
    return None


def target_of(emulator: Emulator, service: Mapping[str, Any], task: Mapping[str, Any]) -> Target | None:
    """The task as a target of its service's group; None before it has an address, or without a group."""
    group = group_of(service)
    address = emulator.ecs._task_ip(task)
    if group is None or not address:
        return None
    return Target(group[0], address, group[1], str(task["taskArn"]), task.get("lastStatus") in STOPPING)


def service_of(emulator: Emulator, task: Mapping[str, Any]) -> tuple[str, Any] | None:
    """The key and record of the service that runs the task, if one does."""
    group = str(task.get("group", ""))
    cluster = emulator.ecs._cluster_name_from_arn(task.get("clusterArn", ""))
    if not group.startswith("service:") or not cluster:
        return None
    key = f"{cluster}/{group.split(':', 1)[1]}"
    service = emulator.ecs._services.get(key)
    return None if service is None else (key, service)


def wanted_targets(emulator: Emulator, arn: str) -> list[Target]:
    """Every target of the group in this account and region: registered, or draining until its task is stopped."""
    owners = {}
    draining = []
    for task in emulator.ecs._tasks.values():
        found = service_of(emulator, task)
        target = target_of(emulator, found[1], task) if found else None
        if target is None or target.group != arn:
            continue
        if task.get("lastStatus") == "RUNNING":
            owners[target.address] = target.owner
        elif task.get("lastStatus") == "DEACTIVATING":
            draining.append(target)
    default = int(emulator.alb._tgs.get(arn, {}).get("Port", 80))
    registered = [
        Target(arn, entry["Id"], int(entry.get("Port") or default), owners.get(entry["Id"], ""))
        for entry in emulator.alb._targets.get(arn, [])
    ]
    return registered + draining


def groups_by_place(emulator: Emulator) -> dict[str, tuple[str, str, str]]:
    """`app/environment@region` → account, region and ARN of the target group that is tagged for both there."""
    found = {}
    for (account, region, arn), _group in emulator.alb._tgs.all_items():
        with emulator.scope(account, region):
            tags = {tag.get("Key"): tag.get("Value") for tag in emulator.alb._tags.get(arn) or []}
        if ENVIRONMENT_TAG in tags:
            found[f"{tags.get(APP_TAG)}/{tags[ENVIRONMENT_TAG]}@{region}"] = (account, region, arn)
    return found


class TargetHealthAnswer:
    """DescribeTargetHealth from the board, in place of the emulator's constant `healthy`."""

    def __init__(self, emulator: Emulator, board: HealthBoard) -> None:
        """`board` is what the sync loop fills."""
        self._emulator = emulator
        self._board = board

    def describe(self, parameters: Mapping[str, Any]) -> Any:
        """Answers the call."""
        alb = self._emulator.alb
        arn = alb._p(parameters, "TargetGroupArn")
        if arn not in alb._tgs:
            return alb._error("TargetGroupNotFound", f"Target group '{arn}' not found.")
        asked = {entry["Id"] for entry in alb._parse_targets_param(parameters)}
        targets = [t for t in wanted_targets(self._emulator, arn) if not asked or t.address in asked]
        return alb._xml(
            200,
            "DescribeTargetHealth",
            f"<TargetHealthDescriptions>{''.join(map(self._member, targets))}</TargetHealthDescriptions>",
        )

    def _member(self, target: Target) -> str:
        health = self._board.health(target)
        words = f"<State>{health.state}</State>"
        if health.reason:
            words += f"<Reason>{escape(health.reason)}</Reason>"
            words += f"<Description>{escape(health.description)}</Description>"
        return (
            f"<member><Target><Id>{target.address}</Id><Port>{target.port}</Port></Target>"
            f"<HealthCheckPort>{target.port}</HealthCheckPort><TargetHealth>{words}</TargetHealth></member>"
        )


def monotonic() -> float:
    """Seconds that never go back."""
    return time.monotonic()
