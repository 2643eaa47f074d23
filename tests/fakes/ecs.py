"""One ECS service in memory, on the fake clock: its tasks start, fail, flap and drain, its answers lag and throttle."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.errors import ConfigurationError, UnavailableError
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.service import DeploymentState, ServiceState, TargetState, TaskState
from pipeline.ports import HttpAnswer, OneOff, Say
from tests.fakes.clock import FakeClock

ARN = "arn:aws:ecs:eu-west-1:000000000000"
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


@dataclass
class _Task:
    state: TaskState
    deployment: str
    behaviour: Behaviour
    target: str = ""


class FakeEcs:
    """`pipeline.ports.Service` and `TargetHealth` and `HttpProbe` of one service behind one target group."""

    def __init__(self, clock: FakeClock, *, desired: int = 2, runs: ImageRef | None = None) -> None:
        self.clock = clock
        self.desired = desired if runs else 0
        self.behaviours: dict[str, Behaviour] = {}
        self.breaker, self.rollback, self.tells_rollout_state = True, True, True
        self.grace, self.drain_seconds, self.lag, self.retries_after = 30.0, 5.0, 0.0, 1.0
        self.status = "ACTIVE"
        self.updates: list[tuple[str, int | None]] = []
        self.calls: list[str] = []
        self.loses_answers = 0
        self.refuses_updates = ""
        self._silent: list[tuple[float, float]] = []
        self._definitions: dict[str, dict[str, Any]] = {}
        self._deployments: list[_Deployment] = []
        self._tasks: dict[str, _Task] = {}
        self._targets: dict[str, TargetState] = {}
        self._stale: tuple[float, ServiceState] | None = None
        self._number = 0
        self._asked = 0
        self.current = self.register(definition_of(runs or image("bootstrap")))
        self._deploy(self.current)
        clock.advance(60)

    # -- what a test arranges -------------------------------------------------------------------------------------

    def behave(self, which: ImageRef, **what: Any) -> None:
        self.behaviours[str(which)] = Behaviour(**what)

    def silent(self, since: float, until: float) -> None:
        """The API throttles every call between these moments, in seconds from now."""
        now = self.clock.monotonic()
        self._silent.append((now + since, now + until))

    def after(self, seconds: float, happens: Callable[[], object]) -> None:
        self.clock.at(self.clock.monotonic() + seconds, happens)

    def someone_deploys(self, which: ImageRef) -> str:
        definition = self.register(definition_of(which))
        self._deploy(definition)
        return definition

    def someone_puts_back(self, definition: str) -> None:
        self._deploy(definition)

    def running(self) -> set[str]:
        """The images that tasks run now."""
        return {self._image(t.state.task_definition) for t in self._tasks.values() if t.state.alive}

    # -- Service --------------------------------------------------------------------------------------------------

    def describe(self) -> ServiceState:
        self._called("describe")
        if self._stale and self.clock.monotonic() < self._stale[0]:
            return self._stale[1]
        return self._state()

    def task_definition(self, arn: str) -> Mapping[str, Any]:
        self._called("task_definition")
        if arn not in self._definitions:
            raise ConfigurationError(f"no task definition {arn}", hint="register it")
        return copy.deepcopy(self._definitions[arn])

    def register(self, definition: Mapping[str, Any]) -> str:
        self._called("register")
        revision = len(self._definitions) + 1
        arn = f"{ARN}:task-definition/{definition['family']}:{revision}"
        extra = {"taskDefinitionArn": arn, "revision": revision, "status": "ACTIVE"}
        self._definitions[arn] = {**copy.deepcopy(dict(definition)), **extra}
        return arn

    def update(self, task_definition: str, *, desired: int | None = None) -> str:
        self._called("update")
        if self.refuses_updates:
            raise ConfigurationError(self.refuses_updates, hint="ask for the permission")
        self.updates.append((task_definition, desired))
        before = self._state()
        if desired is not None:
            self.desired = desired
        if task_definition != self.current:
            self._deploy(task_definition)
            if self.lag:
                self._stale = (self.clock.monotonic() + self.lag, before)
        elif desired is not None:
            self._reconcile()
        if self.loses_answers:
            self.loses_answers -= 1
            raise UnavailableError("the connection broke", hint="try again")
        return self._deployments[0].state.id

    def tasks(self) -> Sequence[TaskState]:
        self._called("tasks")
        return [task.state for task in self._tasks.values()]

    def run_once(self, task_definition: str, command: Sequence[str], say: Say) -> OneOff:
        self._called(f"run_once {' '.join(command)}")
        end = self._behaviour(task_definition).once
        for line in end.log_lines:
            say(line)
        return end

    def log_lines(self, task_id: str, last: int) -> Sequence[str]:
        self._called("log_lines")
        task = self._tasks.get(task_id)
        return task.behaviour.log[-last:] if task else ()

    # -- TargetHealth, HttpProbe ----------------------------------------------------------------------------------

    def states(self) -> Sequence[TargetState]:
        self._called("states")
        return list(self._targets.values())

    def get(self, url: str, *, timeout: float) -> HttpAnswer:
        """One healthy task after the other answers: /version with its digest, anything else with its status."""
        healthy = sorted(ip for ip, target in self._targets.items() if target.state == "healthy")
        if not healthy:
            return HttpAnswer(0, "", 0.01, error="connection refused")
        self._asked += 1
        ip = healthy[self._asked % len(healthy)]
        task = next(t for t in self._tasks.values() if t.state.ip == ip)
        body = json.dumps({"digest": self._image(task.state.task_definition).partition("@")[2]})
        return HttpAnswer(task.behaviour.status, body if url.endswith("/version") else "", 0.01)

    # -- how it goes on -------------------------------------------------------------------------------------------

    def _called(self, name: str) -> None:
        self.calls.append(name)
        now = self.clock.monotonic()
        if any(since <= now < until for since, until in self._silent):
            raise UnavailableError("Rate exceeded (ThrottlingException)", hint="wait")

    def _image(self, definition: str) -> str:
        return str(self._definitions[definition]["containerDefinitions"][0]["image"])

    def _behaviour(self, definition: str) -> Behaviour:
        return self.behaviours.get(self._image(definition), Behaviour())

    def _state(self) -> ServiceState:
        deployments = tuple(self._with_counts(deployment) for deployment in self._deployments)
        running = sum(d.running for d in deployments)
        arn = f"{ARN}:service/cluster/demo"
        return ServiceState(arn, self.status, self.current, self.desired, running, deployments, f"{ARN}:tg")

    def _with_counts(self, deployment: _Deployment) -> DeploymentState:
        state = deployment.state
        alive = [t for t in self._tasks.values() if t.deployment == state.id and t.state.alive]
        wanted = self.desired if state.status == "PRIMARY" else len(alive)
        state = replace(state, running=len(alive), failed=deployment.failed, desired=wanted)
        return (
            state if self.tells_rollout_state else replace(state, rollout_state="", rollout_state_reason="")
        )

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _deploy(self, definition: str, reason: str = "") -> None:
        for deployment in self._deployments:
            deployment.state = replace(deployment.state, status="ACTIVE")
        name = f"ecs-svc/{self._next()}"
        state = DeploymentState(name, "PRIMARY", definition, "IN_PROGRESS", reason, 0, 0, 0)
        self._deployments.insert(0, _Deployment(state))
        self.current = definition
        self._reconcile()

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
            replace(state, started_by=deployment.state.id), deployment.state.id, self._behaviour(definition)
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
        self._targets[task.state.ip] = TargetState(
            task.state.ip, 8000, "initial", "Elb.InitialHealthChecking"
        )
        if does.exits_after is not None:
            self.after(does.exits_after, lambda: self._exit(task))
        if does.healthy_after is not None:
            self.after(does.healthy_after, lambda: self._healthy(task))
        else:
            self.after(self.grace, lambda: self._unhealthy(task))

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
        self._targets[task.state.ip] = TargetState(task.state.ip, 8000, "healthy")
        primary = self._deployments[0]
        if task.deployment == primary.state.id and primary.state.rollout_state == "IN_PROGRESS":
            primary.failed = 0
            mine = [t for t in self._tasks.values() if t.deployment == primary.state.id and t.state.alive]
            if sum(self._targets[t.state.ip].state == "healthy" for t in mine) >= self.desired:
                self._settle(primary)

    def _settle(self, primary: _Deployment) -> None:
        reason = "ECS deployment completed."
        primary.state = replace(primary.state, rollout_state="COMPLETED", rollout_state_reason=reason)
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
            self._targets[task.state.ip] = TargetState(task.state.ip, 8000, "draining")
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
        broken = self.breaker and deployment.failed >= max(3, -(-self.desired // 2))
        if broken and deployment.state.rollout_state == "IN_PROGRESS":
            self._break(deployment)
        elif deployment.state.rollout_state != "FAILED":
            self.after(self.retries_after, self._reconcile)

    def _break(self, deployment: _Deployment) -> None:
        why = "ECS deployment circuit breaker: tasks failed to start."
        deployment.state = replace(deployment.state, rollout_state="FAILED", rollout_state_reason=why)
        good = next((d for d in self._deployments[1:] if d.state.rollout_state == "COMPLETED"), None)
        if self.rollback and good:
            going = f"ECS deployment circuit breaker: rolling back to deploymentId {good.state.id}."
            self._deploy(good.state.task_definition, going)


def definition_of(which: ImageRef) -> dict[str, Any]:
    return {
        "family": "demo",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [
            {"name": CONTAINER, "image": str(which), "essential": True, "environment": []}
        ],
    }
