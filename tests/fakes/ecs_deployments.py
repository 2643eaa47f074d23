"""The service deployments of the fake service: their states, and the stages through which ECS shifts traffic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pipeline.errors import ConfigurationError
from pipeline.model.service_deployment import ServiceDeployment
from pipeline.model.strategy import Kind, Strategy, strategy_of
from tests.fakes.clock import FakeClock

ARN = "arn:aws:ecs:eu-west-1:000000000000"
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
CONFIGURATION: Mapping[str, Any] = {**BREAKER, "maximumPercent": 200, "minimumHealthyPercent": 100}
ADVANCED = {
    "alternateTargetGroupArn": f"{ARN}:tg-alternate",
    "productionListenerRule": f"{ARN}:rule",
    "roleArn": "arn:aws:iam::000000000000:role/ecs",
}


@dataclass
class Record:
    """One service deployment. `deployment` is the id in the service's list, `undone_by` the one that leads back."""

    state: ServiceDeployment
    deployment: str
    undone_by: str = ""

    def become(self, status: str, **changes: Any) -> None:
        self.state = replace(self.state, status=status, **changes)


class ServiceDeployments:
    """What the API tells of them. `lag`: seconds until a new one is listed; `tells` False: always an empty list."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.tells: bool | None = True
        self.lag = 0.0
        self.records: list[Record] = []

    def begun(
        self, deployment: str, definition: str, configuration: Mapping[str, Any], replaces: str
    ) -> Record:
        name = f"{ARN}:service-deployment/cluster/demo/sd{len(self.records):03d}"
        for record in self.records:
            if record.state.ongoing:
                record.become("STOPPED", reason="a newer deployment was started")
        state = ServiceDeployment(
            arn=name,
            status="IN_PROGRESS",
            task_definition=definition,
            created_at=self.clock.now(),
            strategy=strategy_of(configuration),
            threshold=3,
            replaces=frozenset({replaces} - {""}),
        )
        record = Record(state, "")
        self.numbered(record, deployment)
        self.records.append(record)
        return record

    def numbered(self, record: Record, deployment: str) -> None:
        """The target revision bears the deployment's number."""
        number = deployment.rpartition("/")[2]
        revision = f"{ARN}:service-revision/cluster/demo/{number}" if number else ""
        record.deployment, record.state = deployment, replace(record.state, revision=revision)

    def listed(self, since: datetime | None) -> Sequence[ServiceDeployment] | None:
        if not self.tells:
            return () if self.tells is False else None
        now = self.clock.now()
        states = [record.state for record in reversed(self.records)]
        return [
            state
            for state in states[:20]
            if state.created_at
            and (now - state.created_at).total_seconds() >= self.lag
            and (since is None or state.created_at >= since)
        ]

    def of(self, deployment: str) -> Record | None:
        """The record whose deployment, or whose way back, has this id."""
        return next((r for r in reversed(self.records) if deployment in (r.deployment, r.undone_by)), None)

    def settled(self, deployment: str) -> None:
        record = self.of(deployment)
        if record is not None and record.state.ongoing:
            back = record.undone_by == deployment
            record.become("ROLLBACK_SUCCESSFUL" if back else "SUCCESSFUL")

    def failed_task(self, deployment: str, count: int) -> None:
        record = self.of(deployment)
        if record is not None and record.deployment == deployment:
            record.state = replace(record.state, failures=count)

    def ongoing(self, arn: str) -> Record:
        """Raises ConfigurationError, as ECS does, when it has ended."""
        record = next((r for r in self.records if r.state.arn == arn), None)
        if record is None or not record.state.ongoing:
            raise ConfigurationError(
                "ecs:StopServiceDeployment: it has ended (ConflictException)", hint="look"
            )
        return record


def stages(strategy: Strategy) -> Iterator[tuple[str, float, float]]:
    """Stage, traffic on the new revision in percent, and for how many seconds it stands so."""
    shift, percent, wait = (
        "PRODUCTION_TRAFFIC_SHIFT",
        strategy.step_percent or 100.0,
        strategy.step_bake or 0.0,
    )
    yield "POST_SCALE_UP", 0.0, 1.0
    if strategy.kind is Kind.CANARY:
        yield shift, percent, wait
    if strategy.kind is Kind.LINEAR:
        step = percent
        while step < 100:
            yield shift, step, wait
            step += percent
    yield shift, 100.0, 1.0
    yield "BAKE_TIME", 100.0, strategy.shift_bake or 0.0
    yield "CLEAN_UP", 100.0, 30.0
