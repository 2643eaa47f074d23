"""One ECS service in memory, on the fake clock: its answers lag, throttle and get lost."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pipeline.errors import ConfigurationError, DetachedError, UnavailableError
from pipeline.model.digest import ImageRef
from pipeline.model.service import DeploymentState, ServiceState, TargetState, TaskState
from pipeline.model.service_deployment import ServiceDeployment
from pipeline.ports import HttpAnswer, OneOff, Say
from tests.fakes.clock import FakeClock
from tests.fakes.ecs_deployments import ARN
from tests.fakes.ecs_scheduler import CONTAINER, REPOSITORY, Behaviour, Scheduler, _Deployment, image

__all__ = ["CONTAINER", "REPOSITORY", "Behaviour", "FakeEcs", "definition_of", "image"]


class FakeEcs(Scheduler):
    """`pipeline.ports.Service` and `TargetHealth` and `HttpProbe` of one service behind one target group, or two."""

    def __init__(
        self, clock: FakeClock, *, desired: int = 2, runs: ImageRef | None = None, name: str = "demo"
    ) -> None:
        super().__init__(clock, desired if runs else 0, name)
        self.tells_rollout_state = True
        self.lag, self.pending_for = 0.0, 0.0
        self.status = "ACTIVE"
        self.hosted: Mapping[str, Any] = {}
        self.updates: list[tuple[str, int | None]] = []
        self.configurations: list[Mapping[str, Any] | None] = []
        self.calls: list[str] = []
        self.loses_answers = 0
        self.once: dict[str, OneOff] = {}
        self.commands: list[str] = []
        self.loses_ends = 0
        self.refuses_updates = ""
        self._silent: list[tuple[float, float]] = []
        self._stale: tuple[float, ServiceState] | None = None
        self._asked = 0
        self._deploy(self.register(definition_of(runs or image("bootstrap"))))
        clock.advance(60)

    # -- what a test arranges -------------------------------------------------------------------------------------

    def behave(self, which: ImageRef, **what: Any) -> None:
        self.behaviours[str(which)] = Behaviour(**what)

    def silent(self, since: float, until: float) -> None:
        """The API throttles every call between these moments, in seconds from now."""
        now = self.clock.monotonic()
        self._silent.append((now + since, now + until))

    def someone_deploys(self, which: ImageRef) -> str:
        definition = self.register(definition_of(which))
        self._deploy(definition)
        return definition

    def someone_puts_back(self, definition: str) -> None:
        self._deploy(definition)

    def someone_stops(self, reason: str = "") -> None:
        """Somebody stops the service deployment in progress, without going back."""
        record = self.told.records[-1]
        record.become("STOP_REQUESTED")
        self.after(20.0, lambda: record.become("STOPPED", reason=reason))

    def alarm(self, name: str) -> None:
        """A CloudWatch alarm of the deployment fires: ECS goes back."""
        self.told.records[-1].become("IN_PROGRESS", tripped=True, alarms=(name,))
        self._go_back(self._deployments[0], f"alarm {name} is in ALARM")

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

    def update(
        self,
        task_definition: str,
        *,
        desired: int | None = None,
        configuration: Mapping[str, Any] | None = None,
    ) -> str:
        self._called("update")
        if self.refuses_updates:
            raise ConfigurationError(self.refuses_updates, hint="ask for the permission")
        self.updates.append((task_definition, desired))
        self.configurations.append(configuration)
        before = self._state()
        self.configuration = configuration or self.configuration
        if desired is not None:
            self.desired = desired
        if task_definition != self.current:
            self._deploy_when_its_turn_comes(task_definition)
            if self.lag:
                self._stale = (self.clock.monotonic() + self.lag, before)
        elif desired is not None:
            self._reconcile()
        if self.loses_answers:
            self.loses_answers -= 1
            raise UnavailableError("the connection broke", hint="try again")
        return self._deployments[0].state.id

    def _deploy_when_its_turn_comes(self, definition: str) -> None:
        if not self.pending_for:
            self._deploy(definition)
            return
        record = self.told.begun("", definition, self.configuration, self.current)
        record.become("PENDING")
        self.current = definition
        self.after(self.pending_for, lambda: self._deploy(definition, record=record))
        raise UnavailableError("UpdateService answered without a deployment of it", hint="look")

    def service_deployments(self, since: datetime | None = None) -> Sequence[ServiceDeployment] | None:
        self._called("service_deployments")
        return self.told.listed(since)

    def roll_back(self, service_deployment: str) -> None:
        self._called("roll_back")
        record = self.told.ongoing(service_deployment)
        record.become(
            "ROLLBACK_REQUESTED", rollback_reason="Service deployment rollback requested by a user."
        )
        self.after(1.0, lambda: self._go_back(self._deployments[0], ""))

    def tasks(self) -> Sequence[TaskState]:
        self._called("tasks")
        return [task.state for task in self._tasks.values()]

    def run_once(self, task_definition: str, command: Sequence[str], name: str, say: Say) -> OneOff:
        self._called(f"run_once {' '.join(command)}")
        end = self.once.get(name)
        if end is None or end.exit_code != 0:
            end = self.once[name] = self._behaviour(task_definition).once
            self.commands.append(name)
        if self.loses_ends:
            self.loses_ends -= 1
            raise DetachedError("no answer – detached: task 1 goes on without us", hint="try again")
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

    # -- what it answers ------------------------------------------------------------------------------------------

    def _called(self, name: str) -> None:
        self.calls.append(name)
        now = self.clock.monotonic()
        if any(since <= now < until for since, until in self._silent):
            raise UnavailableError("Rate exceeded (ThrottlingException)", hint="wait")

    def _state(self) -> ServiceState:
        deployments = tuple(self._with_counts(deployment) for deployment in self._deployments)
        running = sum(d.running for d in deployments)
        arn, group = f"{ARN}:service/cluster/{self.name}", self.group
        balancer = {"targetGroupArn": group, "advancedConfiguration": self.advanced}
        raw = {
            "serviceArn": arn,
            "deploymentConfiguration": self.configuration,
            "loadBalancers": [balancer],
            **self.hosted,
        }
        alternate = str(self.advanced.get("alternateTargetGroupArn", ""))
        state = ServiceState(arn, self.status, self.current, self.desired, running, deployments, group)
        return replace(state, raw=raw, alternate_target_group=alternate)

    def _with_counts(self, deployment: _Deployment) -> DeploymentState:
        state = deployment.state
        alive = [t for t in self._tasks.values() if t.deployment == state.id and t.state.alive]
        wanted = self.desired if state.status == "PRIMARY" else len(alive)
        state = replace(state, running=len(alive), failed=deployment.failed, desired=wanted)
        hidden = self._shifts or not self.tells_rollout_state
        return replace(state, rollout_state="", rollout_state_reason="") if hidden else state


def definition_of(which: ImageRef) -> dict[str, Any]:
    return {
        "family": "demo",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [
            {"name": CONTAINER, "image": str(which), "essential": True, "environment": []}
        ],
    }
