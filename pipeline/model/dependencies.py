"""What a task definition and a service depend on: roles, secrets, logs, load balancer, alarms; is it there and fit?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pipeline.model.check import Finding, ng, ok, skip
from pipeline.model.digest import ImageRef
from pipeline.model.service import ServiceState
from pipeline.model.surroundings import (
    NOT_LOOKED,
    Lookup,
    Permission,
    Questions,
    Role,
    Surroundings,
    TargetGroup,
    Unknown,
    address,
    balancers,
    log_groups,
    references,
)

_SLOW_HEALTH, _SLOW_DRAINING, _SHORTEST = 30.0, 60.0, 10.0
"""Seconds beyond, and below, which something is said about a target group's times."""

_T = TypeVar("_T")

ECS_TASKS = "ecs-tasks.amazonaws.com"
"""The service that takes on the roles of tasks."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A rollout that is to begin: on which service, with which definition, and until when it needs the credential.

    `image` None: no image is asked about. `asked` is what was to be looked up, `declared` the secrets of pipeline.toml
    by variable; `lasts` is the predicted time in seconds.
    """

    service: ServiceState
    definition: Mapping[str, Any]
    container: str
    image: ImageRef | None
    declared: Mapping[str, str]
    asked: Questions
    now: datetime
    lasts: float


def roles(intent: Intent, seen: Surroundings) -> Iterable[Finding]:
    """The roles exist, ECS may take them on, and there is an execution role where one is needed."""
    fargate = "FARGATE" in (intent.definition.get("requiresCompatibilities") or ())
    needed = references(intent.definition) or (fargate and log_groups(intent.definition))
    if needed and not intent.asked.reader:
        yield ng(
            "the task definition has no execution role, and ECS needs one to read its secrets and write its log",
            "give it one (executionRoleArn)",
        )
    for arn, found in _answers(intent.asked.roles, seen.roles):
        yield _role(arn, found)


def _role(arn: str, found: Lookup[Role]) -> Finding:
    if isinstance(found, Unknown):
        return skip(found.why)
    if found is None:
        return ng(f"there is no role {arn}", "create it, or mend the task definition's role")
    if ECS_TASKS not in found.trusts:
        return ng(
            f"{arn} cannot be taken on by {ECS_TASKS}",
            f"let its trust policy allow sts:AssumeRole to {ECS_TASKS}",
        )
    return ok(_name(arn))


def passing(intent: Intent, seen: Surroundings) -> Iterable[Finding]:
    """We may give ECS the roles."""
    for arn, found in _answers(intent.asked.roles, seen.passing):
        fix = f"allow iam:PassRole on it, to the service {ECS_TASKS}"
        yield _permission(found, _name(arn), ng(f"iam:PassRole on {arn} is not allowed to us", fix))


def reading(intent: Intent, seen: Surroundings) -> Iterable[Finding]:
    """The execution role may read every secret and parameter."""
    sources = (*intent.asked.secrets, *intent.asked.parameters)
    for name, found in _answers(sources, seen.reading):
        fix = "allow it secretsmanager:GetSecretValue (ssm:GetParameters for a parameter) on it"
        yield _permission(found, _last(name), ng(f"the execution role may not read {name}", fix))


def _permission(found: Lookup[Permission], fine: str, denied: Finding) -> Finding:
    if isinstance(found, Unknown):
        return skip(found.why)
    return ok(fine) if found is Permission.ALLOWED else denied


def secrets(intent: Intent, seen: Surroundings) -> Iterable[Finding]:
    """Every secret and parameter exists and has a value; none is read."""
    for name, found in _answers((*intent.asked.secrets, *intent.asked.parameters), seen.secrets):
        told = sorted(variable for variable, source in intent.declared.items() if source == name)
        where = f" ({', '.join(told)} in pipeline.toml)" if told else ""
        if isinstance(found, Unknown):
            yield skip(found.why)
        elif found is None:
            yield ng(f"there is no secret {name}{where}", "create it, or mend the name where it is told")
        elif found.lacking:
            yield ng(f"secret {name}{where} {found.lacking}", "restore it, or give it a value")
        else:
            yield ok(_last(name))


def log_group(intent: Intent, seen: Surroundings) -> Iterable[Finding]:
    """Every log group exists, or ECS is told to create it."""
    created = {group for group, create in log_groups(intent.definition) if create}
    for group, found in _answers(intent.asked.log_groups, seen.log_groups):
        if isinstance(found, Unknown):
            yield skip(found.why)
        elif found is None and group not in created:
            yield ng(
                f"there is no log group {group}: no task would start",
                f"create it: aws logs create-log-group --log-group-name {group}",
            )
        else:
            yield ok(group if found else f"{group}, which ECS creates")


def target_group(intent: Intent, seen: Surroundings) -> Iterable[Finding]:
    """Every target group exists, and its targets can be told apart."""
    for arn, found in _answers(intent.asked.target_groups, seen.target_groups):
        if isinstance(found, Unknown):
            yield skip(found.why)
        elif found is None:
            yield ng(f"there is no target group {arn}", "mend the service's load balancer")
        elif found.kind != "ip":
            yield ng(
                f"{_name(arn)} is of type {found.kind}: its targets cannot be told apart by task",
                "use awsvpc networking and a target group of type ip",
            )
        else:
            yield ok(_name(arn))


def listener(intent: Intent, seen: Surroundings) -> Iterable[Finding]:
    """Some rule leads to the target group with a weight above 0; for blue/green, to one of the two."""
    for arns in balancers(intent.service.raw):
        found = [group for _, group in _answers(arns, seen.target_groups)]
        weights = [group.weights for group in found if isinstance(group, TargetGroup)]
        unknown = [why.why for why in (*found, *weights) if isinstance(why, Unknown)]
        if unknown or len(weights) < len(found):
            yield skip("; ".join(unknown) or f"{_name(arns[0])} was not seen")
        else:
            yield _weighed(_name(arns[0]), [w for one in weights if isinstance(one, tuple) for w in one])


def _weighed(name: str, weights: Sequence[int]) -> Finding:
    if not weights:
        return ng(
            f"no listener forwards to {name}: nobody would reach the tasks",
            "add a listener, or a rule to one",
        )
    if not any(weights):
        return ng(
            f"every rule that leads to {name} has weight 0", "give it a weight, or shift the traffic back"
        )
    rules = "one rule leads" if len(weights) == 1 else f"{len(weights)} rules lead"
    return ok(f"{rules} to {name}, weight {', '.join(map(str, weights))}")


def health(intent: Intent, seen: Surroundings) -> Iterable[Finding]:
    """How long the load balancer takes to find a task healthy."""
    for arn, found in _answers(intent.asked.target_groups, seen.target_groups):
        if isinstance(found, TargetGroup):
            total = found.interval * found.threshold
            slow = total > _SLOW_HEALTH
            advice = "; 5 s × 2 is enough for most (aws elbv2 modify-target-group)" if slow else ""
            yield ok(
                f"healthy after {found.threshold} good answers {found.interval:.0f} s apart: {total:.0f} s{advice}"
            )
        else:
            yield skip(f"{_name(arn)} was not seen")


def draining(intent: Intent, seen: Surroundings) -> Iterable[Finding]:
    """How long a task that leaves is given."""
    containers = intent.definition.get("containerDefinitions", ())
    stop = max((int(entry.get("stopTimeout") or 30) for entry in containers), default=30)
    for arn, found in _answers(intent.asked.target_groups, seen.target_groups):
        if isinstance(found, TargetGroup):
            yield ok(
                f"deregistration delay {found.delay:.0f} s, then up to {stop} s to stop{_advice(found.delay, stop)}"
            )
        else:
            yield skip(f"{_name(arn)} was not seen")


def _advice(delay: float, stop: int) -> str:
    """What would make a task leave sooner, or safer."""
    if delay > _SLOW_DRAINING:
        return "; a little more than the slowest request is enough (aws elbv2 modify-target-group-attributes)"
    if delay < _SHORTEST and stop < _SHORTEST:
        return "; requests that take longer than both are cut: raise one of them"
    return ""


def alarms(intent: Intent, seen: Surroundings) -> Iterable[Finding]:
    """The alarms of `rollout.alarms` exist and are quiet: one that fires already could say nothing of this rollout."""
    for name, found in _answers(intent.asked.alarms, seen.alarms):
        if isinstance(found, Unknown):
            yield skip(found.why)
        elif found is None:
            yield ng(f"there is no alarm {name}", "create it, or take it out of rollout.alarms")
        elif found == "ALARM":
            yield ng(
                f"alarm {name} is firing already: it could not speak against this rollout",
                "mend what it says first, or take it out of rollout.alarms",
            )
        elif found != "OK":
            yield skip(f"alarm {name} is {found}: it says nothing now")
        else:
            yield ok(f"{name} is OK")


def _answers(names: Iterable[str], found: Mapping[str, _T]) -> Iterable[tuple[str, _T | Unknown]]:
    """What was found under each name that was asked about; what is not among the answers is unknown."""
    return ((name, found.get(name, NOT_LOOKED)) for name in names)


def _name(arn: str) -> str:
    """The readable part of a role's or target group's ARN."""
    return arn.rsplit(":", 1)[-1].split("/")[1] if "/" in arn else arn


def _last(source: str) -> str:
    """The name in a secret's or parameter's ARN, or the name as it is."""
    return address(source).split(":")[-1]
