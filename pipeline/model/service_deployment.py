"""ECS's own record of one deployment (DescribeServiceDeployments): its state, and what it waits for, in words.

```
PENDING ─► IN_PROGRESS ─► SUCCESSFUL
                │
                ├─► STOP_REQUESTED ─► STOPPED
                └─► ROLLBACK_REQUESTED ─► ROLLBACK_IN_PROGRESS ─► ROLLBACK_SUCCESSFUL
                                                   └────────────► ROLLBACK_FAILED
```
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from pipeline.model.service import short
from pipeline.model.strategy import Kind, Strategy

_GOING_BACK = frozenset(
    {"ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"}
)
_ONGOING = frozenset(
    {"PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"}
)
_LEADING = frozenset({"PENDING", "IN_PROGRESS", "SUCCESSFUL"})
_STAGES: Mapping[str, str] = {
    "RECONCILE_SERVICE": "putting the service in order first",
    "PRE_SCALE_UP": "about to start the new tasks",
    "SCALE_UP": "starting the new tasks",
    "POST_SCALE_UP": "the new tasks have started",
    "TEST_TRAFFIC_SHIFT": "shifting test traffic",
    "POST_TEST_TRAFFIC_SHIFT": "test traffic has shifted",
    "PRE_PRODUCTION_TRAFFIC_SHIFT": "about to shift production traffic",
    "PRODUCTION_TRAFFIC_SHIFT": "shifting production traffic",
    "POST_PRODUCTION_TRAFFIC_SHIFT": "production traffic has shifted",
    "BAKE_TIME": "baking",
    "CLEAN_UP": "stopping the old tasks",
}


@dataclass(frozen=True, slots=True)
class ServiceDeployment:
    """One service deployment. `task_definition` is the target revision's, `replaces` those of the source revisions.

    `revision` is the target revision's ARN; it ends in the number after `ecs-svc/` of the deployment in the service's
    `deployments`. `returns_to` is the task definition ECS rolls back to, empty while it does not. `traffic` is the
    percentage of production traffic meant for the target revision, None where ECS does not tell. `failures` counts
    failed tasks towards the circuit breaker's `threshold`; `tripped`: it or an alarm made the deployment fail.
    `alarms` are those that fired, `paused` the hooks that wait for somebody to continue.
    """

    arn: str
    status: str
    task_definition: str = ""
    reason: str = ""
    created_at: datetime | None = None
    revision: str = ""
    stage: str = ""
    requested: int = 0
    running: int = 0
    pending: int = 0
    traffic: float | None = None
    strategy: Strategy = field(default_factory=Strategy)
    failures: int = 0
    threshold: int = 0
    tripped: bool = False
    alarms: tuple[str, ...] = ()
    rollback_reason: str = ""
    returns_to: str = ""
    replaces: frozenset[str] = frozenset()
    paused: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The last part of the ARN."""
        return self.arn.rsplit("/", 1)[-1]

    @property
    def ongoing(self) -> bool:
        """Whether ECS still works on it."""
        return self.status in _ONGOING

    @property
    def going_back(self) -> bool:
        """Whether ECS goes back by itself, or has, or has failed to."""
        return self.status in _GOING_BACK

    @property
    def shifts(self) -> bool:
        """Whether it moves traffic between two target groups."""
        return (self.strategy.kind or Kind.ROLLING).shifts

    @property
    def mark(self) -> tuple[object, ...]:
        """Changes whenever it gets on."""
        return (self.status, self.stage, self.traffic, self.paused)


def ours_among(
    found: Sequence[ServiceDeployment], deployment: str, task_definition: str, earlier: frozenset[str]
) -> ServiceDeployment | None:
    """The service deployment behind `deployment` (an id in the service's `deployments`), None when it is not listed.

    Its target revision bears the deployment's number. Where none does, it is the first of our task definition that
    was not there before us (`earlier`, ARNs). `found` is newest first.
    """
    number = deployment.rpartition("/")[2]
    numbered = [entry for entry in found if number and entry.revision.rpartition("/")[2] == number]
    fresh = [e for e in found if e.task_definition == task_definition and e.arn not in earlier]
    return next(iter(numbered), None) or next(reversed(fresh), None)


def newer_than(ours: ServiceDeployment, found: Sequence[ServiceDeployment]) -> ServiceDeployment | None:
    """A later service deployment that ECS works towards or has completed: somebody else's. The latest when several.

    One that goes back or was stopped is none: it leads to what was there before it.
    """
    later = [e for e in found if e.arn != ours.arn and _created_after(e, ours)]
    return next((e for e in later if e.status in _LEADING), None)


def _created_after(one: ServiceDeployment, other: ServiceDeployment) -> bool:
    return bool(one.created_at and other.created_at and one.created_at > other.created_at)


class End(Enum):
    """How a service deployment ends otherwise than wanted.

    WENT_BACK: ECS goes back, or has. COULD_NOT: it failed to. FAILED: ECS stopped it and does not go back. STOPPED:
    somebody stopped it. REPLACED: somebody started a later one.
    """

    WENT_BACK = "went_back"
    COULD_NOT = "could_not"
    FAILED = "failed"
    STOPPED = "stopped"
    REPLACED = "replaced"


def ending(
    ours: ServiceDeployment, found: Sequence[ServiceDeployment], *, undoing: bool
) -> tuple[End, str] | None:
    """How it ends otherwise than wanted, and that in words; None while it goes on or has gone well.

    `undoing`: going back is what is wanted of it.
    """
    if (other := newer_than(ours, found)) is not None:
        return End.REPLACED, f"{described(other)} replaced ours, {ours.name}"
    if ours.status == "ROLLBACK_FAILED":
        return End.COULD_NOT, f"ECS tried to go back from {described(ours)} and could not: {why(ours)}"
    if undoing:
        return None
    if ours.going_back:
        target = f" to {short(ours.returns_to)}" if ours.returns_to else ""
        return End.WENT_BACK, f"ECS went back{target}, {described(ours)}: {why(ours)}"
    if ours.status != "STOPPED":
        return None
    if ours.tripped:
        return End.FAILED, f"ECS stopped {described(ours)} and did not go back: {why(ours)}"
    return End.STOPPED, f"somebody stopped {described(ours)} before it had completed: {why(ours)}"


def why(found: ServiceDeployment) -> str:
    """What ECS says of how it ended: reasons, the circuit breaker's count, the alarms that fired."""
    said = list(dict.fromkeys(filter(None, (found.reason, found.rollback_reason))))
    if found.threshold and found.failures >= found.threshold:
        said.append(f"circuit breaker: {found.failures} failed tasks of {found.threshold} tolerated")
    if found.alarms:
        said.append(f"alarms fired: {', '.join(found.alarms)}")
    return "; ".join(said) or "no reason given"


def waits_for(found: ServiceDeployment, seconds: float) -> str:
    """What has to happen until ECS has ended it. `seconds`: how long it has stood as it does."""
    if found.paused:
        return f"somebody to continue the deployment: it is paused at hook {', '.join(found.paused)}"
    if found.status == "PENDING":
        return f"ECS to start service deployment {found.name} (PENDING)"
    if found.status == "STOP_REQUESTED":
        return f"service deployment {found.name} to stop: somebody asked for it"
    if found.status != "IN_PROGRESS":
        return f"service deployment {found.name} ({found.status})"
    if not found.shifts:
        return "ECS to call the deployment complete"
    return _shifting(found, seconds)


def _shifting(found: ServiceDeployment, seconds: float) -> str:
    """`canary: 10 % of traffic on the new revision, baking, 3 min left`."""
    word = (found.strategy.kind or Kind.ROLLING).word.replace("_", "/")
    traffic = found.traffic
    parts = [] if traffic is None else [f"{traffic:g} % of traffic on the new revision"]
    bake = _bake_of(found)
    if bake is None:
        parts.append(_STAGES.get(found.stage, found.stage or "working"))
    else:
        parts += ["baking", _left(bake - seconds)]
    return f"{word}: {', '.join(parts)}"


def _bake_of(found: ServiceDeployment) -> float | None:
    """How long ECS bakes where it stands, None when it does something else."""
    if found.stage == "BAKE_TIME":
        return found.strategy.shift_bake or 0.0
    between = found.traffic is not None and 0 < found.traffic < 100
    return found.strategy.step_bake if between and found.stage.endswith("PRODUCTION_TRAFFIC_SHIFT") else None


def _left(seconds: float) -> str:
    if seconds <= 0:
        return "about to end"
    return f"{math.ceil(seconds / 60)} min left" if seconds > 60 else f"{math.ceil(seconds)} s left"


def described(found: ServiceDeployment) -> str:
    """Name, task definition and state, to tell one from another."""
    return f"service deployment {found.name} of {short(found.task_definition) or 'something else'} ({found.status})"
