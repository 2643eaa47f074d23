"""How the fake service goes on: its tasks start, fail and drain, its deployments complete, shift traffic or go back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from pipeline.model.digest import Digest, ImageRef
from pipeline.model.service import DeploymentState, TargetState, TaskState
from pipeline.model.strategy import Kind, strategy_of
from pipeline.ports import OneOff
from tests.fakes.clock import FakeClock
from tests.fakes.ecs_deployments import ARN, CONFIGURATION, Record, ServiceDeployments, stages

CONTAINER = "app"
REPOSITORY = "registry.test/demo"


def image(name: str) -> ImageRef:
    """An image whose digest is made of its name's bytes."""
    return ImageRef(REPOSITORY, Digest("sha256:" + name.encode().hex().ljust(64, "0")))


@dataclass
class Behaviour:
    """What an image does. Seconds count from RUNNING; None: never."""

    starts_after: float = 1.0
    healthy_after: float | None = 2.0
    exits_after: float | None = None
    exit_code: int = 1
    refused: str = ""
    stop_code: str = "TaskFailedToStart"
    reason: str = ""
    runs_digest: str = ""
    reports_digest: bool = True
    status: int = 200
    once: OneOff = field(default_factory=lambda: OneOff(0, "Essential container in task exited"))
    log: tuple[str, ...] = ()
    health: str = "UNKNOWN"


@dataclass
class _Deployment:
    state: DeploymentState
    failed: int = 0
    group: str = ""


@dataclass
class _Task:
    state: TaskState
    deployment: str
    behaviour: Behaviour
    target: str = ""


class Scheduler:
    """What runs of one service, on the fake clock."""

    def __init__(self, clock: FakeClock, desired: int, name: str) -> None:
        self.clock = clock
        self.name, self.group = name, f"{ARN}:{name}-tg"
        self.desired = desired
        self.behaviours: dict[str, Behaviour] = {}
        self.breaker, self.rollback, self.rollback_fails = True, True, False
        self.grace, self.drain_seconds, self.retries_after = 30.0, 5.0, 1.0
        self.told = ServiceDeployments(clock)
        self.configuration: Mapping[str, Any] = CONFIGURATION
        self.advanced: Mapping[str, Any] = {}
        self.current = ""
        self._definitions: dict[str, dict[str, Any]] = {}
        self._deployments: list[_Deployment] = []
        self._tasks: dict[str, _Task] = {}
        self._targets: dict[str, TargetState] = {}
        self._number = 0

    def after(self, seconds: float, happens: Callable[[], object]) -> None:
        self.clock.at(self.clock.monotonic() + seconds, happens)

    def _image(self, definition: str) -> str:
        return str(self._definitions[definition]["containerDefinitions"][0]["image"])

    def _behaviour(self, definition: str) -> Behaviour:
        return self.behaviours.get(self._image(definition), Behaviour())

    @property
    def _shifts(self) -> bool:
        kind = strategy_of(self.configuration).kind
        return bool(self.told.tells and self.advanced and kind is not Kind.ROLLING)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _deploy(self, definition: str, reason: str = "", record: Record | None = None) -> str:
        """`record`: the service deployment this belongs to; without one it begins its own."""
        before = self._deployments[0] if self._deployments else None
        for deployment in self._deployments:
            deployment.state = replace(deployment.state, status="ACTIVE")
        name = f"ecs-svc/{self._next()}"
        state = DeploymentState(name, "PRIMARY", definition, "IN_PROGRESS", reason, 0, 0, 0)
        other = self.advanced.get("alternateTargetGroupArn", "") if self._shifts else ""
        group = other if other and before and before.group != other else self.group
        self._deployments.insert(0, _Deployment(state, group=group))
        if record is None:
            self.told.begun(name, definition, self.configuration, self.current if before else "")
        elif not reason:
            self.told.numbered(record, name)
            record.become("IN_PROGRESS")
        else:
            record.undone_by = name
        self.current = definition
        self._reconcile()
        return name

    def _reconcile(self) -> None:
        """Starts what the primary deployment lacks; at zero, stops everything."""
        if self.desired == 0:
            for task in list(self._tasks.values()):
                self._drain(task)
            self._settle(self._deployments[0])
            return
        primary = self._deployments[0]
        mine = [t for t in self._tasks.values() if t.deployment == primary.state.id and not t.state.ended]
        for _ in range(self.desired - len(mine)):
            self._start(primary)

    def _start(self, deployment: _Deployment) -> None:
        number = self._next()
        definition = deployment.state.task_definition
        ip = f"10.0.{number // 250}.{number % 250}"
        state = TaskState(f"task{number:04d}", definition, "PENDING", "RUNNING", "UNKNOWN", {}, ip)
        task = _Task(
            replace(state, started_by=deployment.state.id),
            deployment.state.id,
            self._behaviour(definition),
            deployment.group,
        )
        self._tasks[state.id] = task
        self.after(task.behaviour.starts_after, lambda: self._started(task))

    def _started(self, task: _Task) -> None:
        does = task.behaviour
        if task.state.ended:
            return
        if does.refused:
            self._fail(task, does.refused, does.stop_code)
            return
        digest = does.runs_digest or self._image(task.state.task_definition).partition("@")[2]
        digests = {CONTAINER: digest} if does.reports_digest else {}
        task.state = replace(task.state, last_status="RUNNING", image_digests=digests, health=does.health)
        self._register_target(task, "initial", "Elb.InitialHealthChecking")
        if does.exits_after is not None:
            self.after(does.exits_after, lambda: self._exit(task))
        if does.healthy_after is not None:
            self.after(does.healthy_after, lambda: self._healthy(task))
        else:
            self.after(self.grace, lambda: self._unhealthy(task))

    def _register_target(self, task: _Task, state: str, reason: str = "") -> None:
        self._targets[task.state.ip] = TargetState(task.state.ip, 8000, state, reason, group=task.target)

    def _exit(self, task: _Task) -> None:
        if task.state.alive:
            codes, reasons = {CONTAINER: task.behaviour.exit_code}, {}
            if task.behaviour.reason:
                reasons = {CONTAINER: task.behaviour.reason}
            task.state = replace(task.state, exit_codes=codes, container_reasons=reasons)
            self._fail(task, "Essential container in task exited", "EssentialContainerExited")

    def _unhealthy(self, task: _Task) -> None:
        if task.state.alive:
            reason = "Task failed ELB health checks in (target-group demo)"
            self._fail(task, reason, "ServiceSchedulerInitiated")

    def _healthy(self, task: _Task) -> None:
        if not task.state.alive:
            return
        self._register_target(task, "healthy")
        primary = self._deployments[0]
        if task.deployment == primary.state.id and primary.state.rollout_state == "IN_PROGRESS":
            primary.failed = 0
            mine = [t for t in self._tasks.values() if t.deployment == primary.state.id and t.state.alive]
            if sum(self._targets[t.state.ip].state == "healthy" for t in mine) >= self.desired:
                self._shift(primary) if self._shifts else self._settle(primary)

    def _shift(self, primary: _Deployment) -> None:
        """Moves traffic to the new tasks stage by stage, as long as nothing comes between."""
        record, moment = self.told.of(primary.state.id), 0.0
        if record is None or record.state.stage:
            return

        def enter(stage: str, traffic: float) -> None:
            if record.state.status == "IN_PROGRESS":
                record.become("IN_PROGRESS", stage=stage, traffic=traffic)

        def end() -> None:
            if record.state.status == "IN_PROGRESS":
                self._settle(primary)

        for stage, traffic, seconds in stages(record.state.strategy):
            self.after(moment, partial(enter, stage, traffic))
            moment += seconds
        self.after(moment, end)

    def _settle(self, primary: _Deployment) -> None:
        reason = "ECS deployment completed."
        primary.state = replace(primary.state, rollout_state="COMPLETED", rollout_state_reason=reason)
        self.told.settled(primary.state.id)
        for task in list(self._tasks.values()):
            if task.deployment != primary.state.id:
                self._drain(task)
        self._forget_empty()

    def _drain(self, task: _Task) -> None:
        if task.state.ended:
            return
        reason = "Scaling activity initiated by deployment"
        task.state = replace(
            task.state, desired_status="STOPPED", stopped_reason=reason, stop_code="ServiceSchedulerInitiated"
        )
        if task.state.ip in self._targets:
            self._register_target(task, "draining")
        self.after(self.drain_seconds, lambda: self._stopped(task))

    def _stopped(self, task: _Task) -> None:
        task.state = replace(task.state, last_status="STOPPED", desired_status="STOPPED")
        self._targets.pop(task.state.ip, None)
        self._forget_empty()

    def _forget_empty(self) -> None:
        left = {t.deployment for t in self._tasks.values() if t.state.last_status != "STOPPED"}
        first, *others = self._deployments
        self._deployments = [first] + [
            d for d in others if d.state.id in left or d.state.rollout_state == "FAILED"
        ]

    def _fail(self, task: _Task, reason: str, code: str) -> None:
        task.state = replace(task.state, stopped_reason=reason, stop_code=code)
        self._stopped(task)
        deployment = next((d for d in self._deployments if d.state.id == task.deployment), None)
        if deployment is None or deployment is not self._deployments[0]:
            return
        deployment.failed += 1
        self.told.failed_task(deployment.state.id, deployment.failed)
        broken = self.breaker and deployment.failed >= max(3, -(-self.desired // 2))
        if broken and deployment.state.rollout_state == "IN_PROGRESS":
            self._break(deployment)
        elif deployment.state.rollout_state != "FAILED":
            self.after(self.retries_after, self._reconcile)

    def _break(self, deployment: _Deployment) -> None:
        why = "ECS deployment circuit breaker: tasks failed to start."
        deployment.state = replace(deployment.state, rollout_state="FAILED", rollout_state_reason=why)
        record = self.told.of(deployment.state.id)
        if record is not None and record.state.ongoing:
            record.become(record.state.status, tripped=True)
        self._go_back(deployment, why)

    def _go_back(self, deployment: _Deployment, why: str) -> None:
        """ECS goes back from a deployment, if it may and there is something that has completed."""
        record = self.told.of(deployment.state.id)
        good = next((d for d in self._deployments[1:] if d.state.rollout_state == "COMPLETED"), None)
        if record is None or record.undone_by == deployment.state.id:
            return
        if not (self.rollback and good):
            record.become("STOPPED", reason=why)
            return
        definition = good.state.task_definition
        record.become("ROLLBACK_IN_PROGRESS", reason=why, returns_to=definition)
        if self.rollback_fails:
            self.after(
                2.0, lambda: record.become("ROLLBACK_FAILED", reason="No rollback candidate was found.")
            )
        elif record.state.shifts:
            self._keep_blue(record, good)
        else:
            going = f"ECS deployment circuit breaker: rolling back to deploymentId {good.state.id}."
            self._deploy(definition, going, record)

    def _keep_blue(self, record: Record, blue: _Deployment) -> None:
        """The old tasks are still there: traffic returns to them, the new ones go."""
        record.undone_by = blue.state.id
        green = self._deployments[0]
        green.state = replace(green.state, status="ACTIVE")
        blue.state = replace(blue.state, status="PRIMARY")
        self._deployments.remove(blue)
        self._deployments.insert(0, blue)
        self.current = blue.state.task_definition
        self.after(3.0, lambda: self._settle(blue))
