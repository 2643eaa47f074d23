"""Deciding how a rollout stands. (Skeleton: the values other modules rely on.)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """One entry of a service's `deployments`. `rollout_state` is empty where the API leaves it out."""

    id: str
    status: str
    task_definition: str
    rollout_state: str
    rollout_state_reason: str
    desired: int
    running: int
    failed: int


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service as DescribeServices gives it. `events` newest first."""

    arn: str
    status: str
    task_definition: str
    desired: int
    running: int
    deployments: Sequence[DeploymentState]
    target_group: str
    events: Sequence[str] = ()
    raw: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task: `image_digests` by container name as reported by ECS; `ip` the address it registered under."""

    id: str
    task_definition: str
    last_status: str
    desired_status: str
    health: str
    image_digests: Mapping[str, str]
    ip: str = ""
    stopped_reason: str = ""
    stop_code: str = ""
    exit_codes: Mapping[str, int] = field(default_factory=dict)
    started_by: str = ""


@dataclass(frozen=True, slots=True)
class TargetState:
    """One registered target: `state` is initial, healthy, unhealthy, unused, draining or unavailable."""

    ip: str
    port: int
    state: str
    reason: str = ""
    description: str = ""
