"""Protocols of what a rollout deals with: the service, its traffic and alarms, the lease, and the deployment log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from pipeline.model.crossing import (
    HttpAnswer,
    OneOff,
)
from pipeline.model.deployment_log import LogEntry
from pipeline.model.lease import Claim, Tenure
from pipeline.model.probe import Log
from pipeline.model.rollout import ServiceState, TargetState, TaskState
from pipeline.model.service_deployment import ServiceDeployment

Say = Callable[[str], None]
"""Takes one line of progress for people."""


class Service(Protocol):
    """One ECS service. Every method raises UnavailableError when the API cannot be reached."""

    def describe(self) -> ServiceState:
        """The service as it stands. Raises ConfigurationError when there is none."""
        ...

    def task_definition(self, arn: str) -> Mapping[str, Any]:
        """A task definition as DescribeTaskDefinition gives it."""
        ...

    def register(self, definition: Mapping[str, Any]) -> str:
        """Registers a revision (keys as RegisterTaskDefinition takes them) and returns its ARN."""
        ...

    def update(
        self,
        task_definition: str,
        *,
        desired: int | None = None,
        configuration: Mapping[str, Any] | None = None,
    ) -> str:
        """One UpdateService call; returns our deployment's id.

        `desired` and `configuration` (a whole `deploymentConfiguration`) are sent only when they are given.
        """
        ...

    def service_deployments(self, since: datetime | None = None) -> Sequence[ServiceDeployment] | None:
        """The newest service deployments, newest first; with `since` those created then or later, by ECS's clock.

        Empty: none is listed (yet). None: the API does not tell them to us.
        """
        ...

    def roll_back(self, service_deployment: str) -> None:
        """Has ECS stop an ongoing service deployment (its ARN) and put back what it replaces.

        Raises ConfigurationError when ECS refuses, as it does once the deployment has ended.
        """
        ...

    def tasks(self) -> Sequence[TaskState]:
        """Running and recently stopped tasks of the service, paged to the end."""
        ...

    def run_once(self, task_definition: str, command: Sequence[str], name: str, say: Say) -> OneOff:
        """Runs one task with the service's network and `command`, waits for its end, reads its log.

        `name` (at most 36 letters, digits and hyphens) is what it is known by: one that was begun under it and still
        runs, or has ended with exit code 0 and is listed still, is taken instead of another. Raises DetachedError where
        one was begun, or may have been, and its end is not seen.
        """
        ...

    def log_lines(self, task_id: str, last: int) -> Sequence[str]:
        """The last lines a task wrote; empty where there are none."""
        ...


class TargetHealth(Protocol):
    """The service's target group."""

    def states(self) -> Sequence[TargetState]:
        """Every registered target with its health."""
        ...


class HttpProbe(Protocol):
    """Asks a URL once."""

    def get(self, url: str, *, timeout: float) -> HttpAnswer:
        """Never raises for what the network or the server does."""
        ...


class RunningProbe(Protocol):
    """Requests that are being sent at a steady rate."""

    def log(self) -> Log:
        """What has ended so far. Moments are of the clock that the rollout goes by."""
        ...

    def stop(self) -> Log:
        """Plans no more, waits for those under way within their time-out; all there was. Once more changes nothing."""
        ...


class TrafficProbe(Protocol):
    """Sends light steady requests through a load balancer, to see what its users see."""

    def start(self, base_url: str) -> RunningProbe:
        """Begins at once, beside the caller. Nothing is sent twice: what fails has failed."""
        ...


class Alarms(Protocol):
    """CloudWatch alarms."""

    def firing(self, names: Sequence[str]) -> Sequence[str]:
        """Those of `names` that are in state ALARM.

        Raises UndecidedError when one is not there, UnavailableError when they cannot be asked now.
        """
        ...


class Held(Protocol):
    """A lease that was won. It keeps itself alive; it can be lost all the same (a paused process, `unlock`)."""

    @property
    def fence(self) -> int:
        """Grows with every holder of the environment: of two who think they hold it, the higher one does."""
        ...

    def check(self) -> None:
        """Asked before every call that changes something. Raises BusyError, naming who has it now, when it is lost.

        It is lost for good when another took it, when it was cleared, and when this process stood still for longer
        than a lease lasts. Raises UnavailableError while nobody can tell.
        """
        ...


class Lease(Protocol):
    """Who may change an environment now."""

    def hold(self, environment: str, claim: Claim, *, wait: float = 0.0) -> AbstractContextManager[Held]:
        """Holds the environment until the block ends, waiting up to `wait` seconds for whoever has it.

        Raises BusyError naming the holder when somebody else still has it then.
        """
        ...

    def tenure(self, environment: str) -> Tenure | None:
        """Who holds it now, None when nobody does."""
        ...

    def clear(self, environment: str, claim: Claim) -> Tenure | None:
        """Takes the lease from whoever has it, and gives what was taken; None when nobody had it.

        The fence goes up, so that the former holder changes nothing any more. `claim` says who does it and why.
        """
        ...


class DeploymentLog(Protocol):
    """What was begun in each environment and how it ended. Entries are added and completed, never changed or removed.

    Every method raises UnavailableError when the log cannot be reached.
    """

    def begin(self, entry: LogEntry) -> None:
        """Writes an entry that has no end yet; one that is there already stays as it is."""
        ...

    def complete(self, entry: LogEntry) -> None:
        """Writes the end of an entry, or all of it where its beginning was not kept. An end that is there stays."""
        ...

    def entries(self, environment: str, limit: int) -> Sequence[LogEntry]:
        """At most `limit` entries of the environment, the newest first."""
        ...
