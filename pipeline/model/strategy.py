"""How ECS replaces a service's tasks: rolling, blue/green, linear or canary, and what of it is sent to ECS.

Shapes and bounds are those of `DeploymentConfiguration` in the ECS API (2014-11-13). ECS counts bake times in whole
minutes; here they are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pipeline.errors import ConfigurationError

_LONGEST_BAKE = 1440 * 60.0
_DEFAULT_BAKE = 5 * 60.0
"""Baking after the shift where nobody says how long; ECS itself asks for the number with blue/green."""

_BREAKER_BOUNDS = (3, 200)
_ADVANCED = ("alternateTargetGroupArn", "productionListenerRule", "roleArn")


class Kind(Enum):
    """The strategies by ECS's names for them."""

    ROLLING = "ROLLING"
    BLUE_GREEN = "BLUE_GREEN"
    LINEAR = "LINEAR"
    CANARY = "CANARY"

    @property
    def shifts(self) -> bool:
        """Whether ECS moves traffic from one target group to the other."""
        return self is not Kind.ROLLING

    @property
    def word(self) -> str:
        """The strategy as pipeline.toml writes it."""
        return self.value.lower()


@dataclass(frozen=True, slots=True)
class _Steps:
    """Where a strategy with steps keeps them, ECS's own defaults, and the least percentage it takes."""

    table: str
    percent_key: str
    bake_key: str
    percent: float
    bake: float
    least: float


_STEPS = {
    Kind.LINEAR: _Steps("linearConfiguration", "stepPercent", "stepBakeTimeInMinutes", 10.0, 360.0, 3.0),
    Kind.CANARY: _Steps("canaryConfiguration", "canaryPercent", "canaryBakeTimeInMinutes", 5.0, 600.0, 0.1),
}


@dataclass(frozen=True, slots=True)
class Strategy:
    """What is declared of a strategy; None and empty: not declared, so what the service has stays.

    `step_percent` is the share of traffic of one step (linear) or of the first one (canary), 0 to 100; `step_bake` the
    wait after it. `shift_bake` is the wait after all traffic has shifted. `alarms` are CloudWatch alarms that make ECS
    roll back.
    """

    kind: Kind | None = None
    step_percent: float | None = None
    step_bake: float | None = None
    shift_bake: float | None = None
    alarms: tuple[str, ...] = ()


UNDECLARED = Strategy()
"""Nothing declared: the service's own strategy stays."""


def mistake_in(strategy: Strategy) -> str:
    """What ECS would not take, beginning with the key as pipeline.toml writes it; empty when there is nothing."""
    return _misplaced(strategy) or _out_of_bounds(strategy)


def _misplaced(strategy: Strategy) -> str:
    word = f'strategy = "{strategy.kind.word}"' if strategy.kind else "no strategy"
    for key in ("step_percent", "step_bake"):
        if getattr(strategy, key) is not None and strategy.kind not in _STEPS:
            return f'{key} is for strategy = "linear" and "canary"; here is {word}'
    if strategy.shift_bake is not None and not (strategy.kind and strategy.kind.shifts):
        return f'shift_bake is for strategy = "blue_green", "linear" and "canary"; here is {word}'
    return ""


def _out_of_bounds(strategy: Strategy) -> str:
    for key in ("step_bake", "shift_bake"):
        seconds = getattr(strategy, key)
        if seconds is not None and (seconds % 60 or not 0 <= seconds <= _LONGEST_BAKE):
            return f"{key} must be whole minutes from 0 to 24 h: ECS counts in minutes"
    steps, percent = _STEPS.get(strategy.kind or Kind.ROLLING), strategy.step_percent
    if steps is None or percent is None:
        return ""
    tenths = math.isclose(percent * 10, round(percent * 10), abs_tol=1e-9)
    if not (steps.least <= percent <= 100 and tenths):
        word = strategy.kind.word if strategy.kind else ""
        return f"step_percent must be {steps.least:g} to 100 with at most one decimal for {word}"
    return ""


def strategy_of(configuration: Mapping[str, Any]) -> Strategy:
    """The strategy a `deploymentConfiguration` describes. One that we do not know reads as rolling."""
    name = str(configuration.get("strategy") or Kind.ROLLING.value)
    kind = Kind(name) if name in Kind.__members__ else Kind.ROLLING
    alarms = configuration.get("alarms") or {}
    names = tuple(map(str, alarms.get("alarmNames", ()))) if alarms.get("enable") else ()
    steps = _STEPS.get(kind)
    told = (configuration.get(steps.table) or {}) if steps else {}
    return Strategy(
        kind,
        float(told.get(steps.percent_key, steps.percent)) if steps else None,
        _seconds(told.get(steps.bake_key), steps.bake) if steps else None,
        _seconds(configuration.get("bakeTimeInMinutes"), 0.0) if kind.shifts else None,
        names,
    )


def _seconds(minutes: Any, otherwise: float) -> float:
    return otherwise if minutes is None else float(minutes) * 60


def wanted_configuration(declared: Strategy, live: Mapping[str, Any], desired: int) -> Mapping[str, Any]:
    """The service's `deploymentConfiguration` with what is declared in it, and a circuit breaker that rolls back.

    Everything else stays as it is live, but for what ECS takes with another strategy only. With the rolling strategy
    the breaker counts every failed task, to half of `desired` within ECS's default bounds; no healthy task resets it.
    """
    before = strategy_of(live)
    kind = declared.kind or before.kind or Kind.ROLLING
    wanted = _without_other_kinds(live, kind)
    if kind.shifts:
        wanted["bakeTimeInMinutes"] = _minutes(_first(declared.shift_bake, before.shift_bake, _DEFAULT_BAKE))
    if steps := _STEPS.get(kind):
        same = before if before.kind is kind else Strategy()
        wanted[steps.table] = {
            steps.percent_key: _first(declared.step_percent, same.step_percent, steps.percent),
            steps.bake_key: _minutes(_first(declared.step_bake, same.step_bake, steps.bake)),
        }
    if declared.alarms:
        wanted["alarms"] = {"alarmNames": list(declared.alarms), "enable": True, "rollback": True}
    return {**wanted, "strategy": kind.value, "deploymentCircuitBreaker": _breaker(live, kind, desired)}


def _without_other_kinds(live: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """Steps belong to one strategy, early success to rolling; a bake time stays unless its strategy goes."""
    foreign = {steps.table for steps in _STEPS.values()}
    if kind.shifts:
        foreign.add("earlySuccessCriteria")
    elif _shifts(live):
        foreign.add("bakeTimeInMinutes")
    return {key: value for key, value in live.items() if key not in foreign}


def _shifts(live: Mapping[str, Any]) -> bool:
    return (strategy_of(live).kind or Kind.ROLLING).shifts


def _breaker(live: Mapping[str, Any], kind: Kind, desired: int) -> Mapping[str, Any]:
    """The threshold is the rolling strategy's; of the others ECS promises no more than the switch."""
    switched = {"enable": True, "rollback": True}
    if kind.shifts:
        return {**(live.get("deploymentCircuitBreaker") or {}), **switched}
    least, most = _BREAKER_BOUNDS
    threshold = {"type": "COUNT", "value": max(least, min(most, math.ceil(desired / 2)))}
    return {**switched, "resetOnHealthyTask": False, "thresholdConfiguration": threshold}


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _minutes(seconds: float) -> int:
    return round(seconds / 60)


def to_send(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """`wanted` whole, or None when the service has it already.

    Whole, because it is nowhere promised that what UpdateService is not told of a configuration stays.
    """
    return None if {"strategy": Kind.ROLLING.value, **live} == wanted else wanted


def tells(service: Mapping[str, Any]) -> bool:
    """Whether the API has service deployments of this service (as DescribeServices gives it)."""
    return bool(service.get("currentServiceDeployment"))


def as_planned(service: Mapping[str, Any], declared: Strategy, desired: int) -> Mapping[str, Any]:
    """The service (as DescribeServices gives it) with the `deploymentConfiguration` that a rollout gives it.

    Where the API tells no service deployments, what is declared shifts no traffic and takes no time.
    """
    live = service.get("deploymentConfiguration") or {}
    wanted = wanted_configuration(declared if tells(service) else UNDECLARED, live, desired)
    return {**service, "deploymentConfiguration": wanted}


def straight_back(live: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The configuration for going back without steps and baking; None where the service rolls anyway."""
    if not _shifts(live):
        return None
    kept = _without_other_kinds(live, Kind.BLUE_GREEN)
    return to_send({**kept, "strategy": Kind.BLUE_GREEN.value, "bakeTimeInMinutes": 0}, live)


def shift_seconds(strategy: Strategy) -> float:
    """How long ECS itself steps and bakes, beside starting, checking and stopping tasks."""
    if strategy.kind is None or not strategy.kind.shifts:
        return 0.0
    count, seconds = steps_of(strategy)
    return (strategy.shift_bake or 0.0) + count * seconds


def steps_of(strategy: Strategy) -> tuple[int, float]:
    """How many waits lie between the steps of a traffic shift, and how many seconds each lasts."""
    if strategy.kind is Kind.LINEAR:
        # No bake follows the step that reaches 100 %; shift_bake does.
        count = math.ceil(100 / _first(strategy.step_percent, 10.0) - 1e-9) - 1
        return count, _first(strategy.step_bake, 360.0)
    return (1, _first(strategy.step_bake, 600.0)) if strategy.kind is Kind.CANARY else (0, 0.0)


def check_traffic_can_shift(kind: Kind, service: Mapping[str, Any]) -> None:
    """Raises ConfigurationError when `service` (as DescribeServices gives it) lacks what a traffic shift needs.

    That is, on each of its load balancers, an `advancedConfiguration` with the other target group, the listener rule
    that sends production traffic, and a role with which ECS may change it.
    """
    if not kind.shifts:
        return
    balancers = service.get("loadBalancers") or ()
    told = [balancer.get("advancedConfiguration") or {} for balancer in balancers]
    missing = [key for key in _ADVANCED if not told or any(not entry.get(key) for entry in told)]
    if missing:
        where = "its load balancer's advancedConfiguration lacks" if told else "it has no load balancer with"
        raise ConfigurationError(
            f"strategy {kind.word}: ECS cannot shift traffic of {service.get('serviceArn', 'the service')}: {where} "
            f"{', '.join(missing)}",
            hint="add a second target group, the production listener rule and a role for ECS to the service's load "
            'balancer (LoadBalancers[].AdvancedConfiguration), or set strategy = "rolling" in pipeline.toml',
        )
