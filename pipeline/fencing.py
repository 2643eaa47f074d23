"""A service that is changed only while a lease is ours, and a lease that one run holds from judging to recording."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from pipeline.errors import CredentialError, UnavailableError, UnfencedError
from pipeline.model.crossing import OneOff
from pipeline.model.lease import Claim, Tenure
from pipeline.model.service import ServiceState, TaskState
from pipeline.model.service_deployment import ServiceDeployment
from pipeline.ports import Held, Lease, Say, Service


class FencedService:
    """See `pipeline.ports.Service`. Before each call that changes something the lease is checked.

    Such a call then also raises what `Held.check` raises, and UnfencedError where that cannot be asked; nothing was
    sent where it does.
    """

    def __init__(self, service: Service, held: Held) -> None:
        self._service = service
        self._held = held

    def register(self, definition: Mapping[str, Any]) -> str:
        """See `pipeline.ports.Service.register`."""
        self._check()
        return self._service.register(definition)

    def update(
        self,
        task_definition: str,
        *,
        desired: int | None = None,
        configuration: Mapping[str, Any] | None = None,
    ) -> str:
        """See `pipeline.ports.Service.update`."""
        self._check()
        return self._service.update(task_definition, desired=desired, configuration=configuration)

    def roll_back(self, service_deployment: str) -> None:
        """See `pipeline.ports.Service.roll_back`."""
        self._check()
        self._service.roll_back(service_deployment)

    def run_once(self, task_definition: str, command: Sequence[str], name: str, say: Say) -> OneOff:
        """See `pipeline.ports.Service.run_once`."""
        self._check()
        return self._service.run_once(task_definition, command, name, say)

    def _check(self) -> None:
        try:
            self._held.check()
        except CredentialError:
            raise
        except UnavailableError as error:
            text = f"whether the lease is still ours is not known, nothing was sent: {error.message}"
            raise UnfencedError(text, hint=error.hint) from error

    def describe(self) -> ServiceState:
        """See `pipeline.ports.Service.describe`."""
        return self._service.describe()

    def service_deployments(self, since: datetime | None = None) -> Sequence[ServiceDeployment] | None:
        """See `pipeline.ports.Service.service_deployments`."""
        return self._service.service_deployments(since)

    def task_definition(self, arn: str) -> Mapping[str, Any]:
        """See `pipeline.ports.Service.task_definition`."""
        return self._service.task_definition(arn)

    def tasks(self) -> Sequence[TaskState]:
        """See `pipeline.ports.Service.tasks`."""
        return self._service.tasks()

    def log_lines(self, task_id: str, last: int) -> Sequence[str]:
        """See `pipeline.ports.Service.log_lines`."""
        return self._service.log_lines(task_id, last)


class RunLease:
    """See `pipeline.ports.Lease`, for one run: a block inside a block of the same environment has the same lease.

    So what is judged, changed and recorded under one lease may each ask for it.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._ours: dict[str, Held] = {}

    @contextmanager
    def hold(self, environment: str, claim: Claim, *, wait: float = 0.0) -> Iterator[Held]:
        """See `pipeline.ports.Lease.hold`. The claim of the outermost block is what others read."""
        if environment in self._ours:
            yield self._ours[environment]
            return
        with self._lease.hold(environment, claim, wait=wait) as held:
            self._ours[environment] = held
            try:
                yield held
            finally:
                del self._ours[environment]

    def tenure(self, environment: str) -> Tenure | None:
        """See `pipeline.ports.Lease.tenure`."""
        return self._lease.tenure(environment)

    def clear(self, environment: str, claim: Claim) -> Tenure | None:
        """See `pipeline.ports.Lease.clear`."""
        return self._lease.clear(environment, claim)
