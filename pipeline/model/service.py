"""An ECS service, its deployments, tasks and targets as values, and questions about one look at them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pipeline.model.digest import Digest


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
    """A service as DescribeServices gives it. `events` newest first.

    `alternate_target_group` is the one that takes turns with `target_group` where ECS shifts traffic, else empty.
    """

    arn: str
    status: str
    task_definition: str
    desired: int
    running: int
    deployments: Sequence[DeploymentState]
    target_group: str
    events: Sequence[str] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)
    alternate_target_group: str = ""

    @property
    def configuration(self) -> Mapping[str, Any]:
        """Its `deploymentConfiguration`, empty where the API tells none."""
        return self.raw.get("deploymentConfiguration") or {}


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task: `image_digests` by container name as reported by ECS; `ip` the address it registered under.

    `exit_codes` and `container_reasons` are by container name; a container without one is not in them.
    """

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
    container_reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Running, and meant to."""
        return self.last_status == "RUNNING" and self.desired_status == "RUNNING"

    @property
    def ended(self) -> bool:
        """Stopped, or on the way there with the reason already known."""
        return self.last_status == "STOPPED" or (
            self.desired_status == "STOPPED" and bool(self.stopped_reason)
        )


@dataclass(frozen=True, slots=True)
class TargetState:
    """One registered target: `state` is initial, healthy, unhealthy, unused, draining or unavailable.

    `group` is its target group's ARN, empty where there is only one.
    """

    ip: str
    port: int
    state: str
    reason: str = ""
    description: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Previous:
    """What ran before us and can run again: its task definition, its deployment's id, its image digests."""

    task_definition: str
    deployment: str = ""
    digests: frozenset[Digest] = frozenset()


_ROLLBACK_WORDS = ("rolling back", "rollback", "rolled back")


def speaks_of_rollback(deployment: DeploymentState) -> bool:
    """Whether ECS says that it started this deployment to go back."""
    text = deployment.rollout_state_reason.lower()
    return any(word in text for word in _ROLLBACK_WORDS)


def digests_run(tasks: Sequence[TaskState], container: str) -> frozenset[Digest]:
    """The digests that running tasks report for `container`; one that reports none yet is left out."""
    found = (task.image_digests.get(container) for task in tasks if task.alive)
    return frozenset(Digest(digest) for digest in found if digest)


def short(arn: str) -> str:
    """`family:revision` out of a task definition's ARN."""
    return arn.rsplit("/", 1)[-1]


def primary_of(service: ServiceState) -> DeploymentState | None:
    """The deployment that ECS is working towards, or None when it lists none."""
    return next((d for d in service.deployments if d.status == "PRIMARY"), None)


def deployment_of(service: ServiceState, id_: str, task_definition: str) -> DeploymentState | None:
    """The deployment with this id; where `id_` is empty, one of the task definition, the primary one first."""
    if id_:
        return next((d for d in service.deployments if d.id == id_), None)
    named = [d for d in service.deployments if d.task_definition == task_definition]
    return min(named, key=lambda d: d.status != "PRIMARY", default=None)


def complete(service: ServiceState, deployment: DeploymentState) -> bool:
    """Whether ECS calls it complete; where the API tells no rollout state, whether the service is stable on it."""
    if deployment.rollout_state:
        return deployment.rollout_state == "COMPLETED"
    return len(service.deployments) == 1 and 0 < deployment.desired <= deployment.running


def previous_of(service: ServiceState, ours: str) -> Previous | None:
    """What to go back to: the newest deployment of something else than `ours` (a task definition) that has worked.

    A deployment that completed at zero tasks has never worked.
    """
    for deployment in service.deployments:
        if deployment.task_definition != ours and _has_worked(deployment):
            return Previous(deployment.task_definition, deployment.id)
    return None


def _has_worked(deployment: DeploymentState) -> bool:
    if deployment.rollout_state:
        return deployment.rollout_state == "COMPLETED" and max(deployment.running, deployment.desired) > 0
    return deployment.running >= max(1, deployment.desired)


def attachable(service: ServiceState, task_definition: str) -> DeploymentState | None:
    """The live deployment of exactly this task definition when there is one worth following, else None.

    A failed one or one scaled to zero is not: the same definition needs a new revision to be deployed again.
    """
    primary = primary_of(service)
    if primary is None or primary.task_definition != task_definition or primary.rollout_state == "FAILED":
        return None
    return primary if service.desired > 0 else None


class Busy(Enum):
    """What to do about somebody else's deployment that is in progress when ours is to start."""

    WAIT = "wait"
    SUPERSEDE = "supersede"
    REFUSE = "refuse"


def in_progress(service: ServiceState) -> DeploymentState | None:
    """A primary deployment that still changes and is not plainly failing, else None."""
    primary = primary_of(service)
    if primary is None or service.desired == 0 or complete(service, primary):
        return None
    hopeless = primary.rollout_state == "FAILED" or (primary.failed >= 2 and primary.running == 0)
    return None if hopeless else primary


def task_lacking(tasks: Sequence[TaskState], container: str, digests: Collection[Digest]) -> str:
    """What these running tasks still lack, in words; a digest of `container` only where there are `digests`."""
    for task in tasks:
        if task.health == "UNHEALTHY":
            return f"task {task.id} to pass its container health check"
        if digests and not task.image_digests.get(container):
            return f"ECS to report the image digest of task {task.id}"
    return ""


def target_lacking(tasks: Sequence[TaskState], targets: Sequence[TargetState] | None, needed: int) -> str:
    """What `needed` healthy targets that are these tasks still lack, in words; empty when nothing does.

    Only the groups that carry these tasks count: where ECS shifts traffic, the old ones stay healthy in another.
    """
    if targets is None:
        return ""
    ips = {task.ip for task in tasks}
    groups = {target.group for target in targets if target.ip in ips}
    healthy = {target.ip for target in targets if target.state == "healthy" and target.group in groups}
    if len(healthy & ips) < needed:
        found = f"{len(healthy & ips)} of {needed} new tasks"
        return f"the load balancer to find them healthy ({found}{_worst(targets, ips)})"
    if healthy - ips:
        return f"{len(healthy - ips)} old targets to leave the target group"
    return ""


def _worst(targets: Sequence[TargetState], ips: set[str]) -> str:
    reasons = sorted(
        {t.description or t.reason for t in targets if t.ip in ips and t.state == "unhealthy"} - {""}
    )
    return f"; {'; '.join(reasons)}" if reasons else ""
