"""What is declared of a strategy, what ECS is sent for it, and how long it takes."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import ConfigurationError
from pipeline.model.strategy import (
    UNDECLARED,
    Kind,
    Strategy,
    check_traffic_can_shift,
    mistake_in,
    shift_seconds,
    straight_back,
    strategy_of,
    to_send,
    wanted_configuration,
)

BREAKER = {
    "enable": True,
    "rollback": True,
    "resetOnHealthyTask": False,
    "thresholdConfiguration": {"type": "COUNT", "value": 3},
}
LIVE: dict[str, Any] = {
    "maximumPercent": 150,
    "minimumHealthyPercent": 50,
    "lifecycleHooks": [{"hookTargetArn": "f", "roleArn": "r", "lifecycleStages": ["POST_SCALE_UP"]}],
    "alarms": {"alarmNames": [], "enable": False, "rollback": False},
    "deploymentCircuitBreaker": {"enable": False, "rollback": False},
}
CANARY_LIVE: dict[str, Any] = {
    **LIVE,
    "strategy": "CANARY",
    "bakeTimeInMinutes": 7,
    "canaryConfiguration": {"canaryPercent": 20.0, "canaryBakeTimeInMinutes": 3},
}


@pytest.mark.parametrize(
    ("declared", "key"),
    [
        (Strategy(Kind.ROLLING, step_percent=10.0), "step_percent is for"),
        (Strategy(Kind.BLUE_GREEN, step_bake=60.0), "step_bake is for"),
        (Strategy(step_percent=10.0), "step_percent is for"),
        (Strategy(Kind.ROLLING, shift_bake=60.0), "shift_bake is for"),
        (Strategy(shift_bake=60.0), "shift_bake is for"),
        (Strategy(Kind.CANARY, step_bake=90.0), "step_bake must be whole minutes"),
        (Strategy(Kind.CANARY, shift_bake=86460.0), "shift_bake must be whole minutes"),
        (Strategy(Kind.CANARY, shift_bake=-60.0), "shift_bake must be whole minutes"),
        (Strategy(Kind.CANARY, step_percent=0.0), "step_percent must be 0.1 to 100"),
        (Strategy(Kind.CANARY, step_percent=100.1), "step_percent must be 0.1 to 100"),
        (Strategy(Kind.CANARY, step_percent=0.15), "step_percent must be 0.1 to 100"),
        (Strategy(Kind.LINEAR, step_percent=2.9), "step_percent must be 3 to 100"),
    ],
)
def test_what_ecs_would_not_take_is_a_mistake_with_its_key(declared: Strategy, key: str) -> None:
    assert mistake_in(declared).startswith(key)


@pytest.mark.parametrize(
    "declared",
    [
        UNDECLARED,
        Strategy(alarms=("a",)),
        Strategy(Kind.ROLLING),
        Strategy(Kind.BLUE_GREEN, shift_bake=0.0),
        Strategy(Kind.LINEAR, 3.0, 0.0, 86400.0),
        Strategy(Kind.CANARY, 0.1, 600.0, 60.0),
        Strategy(Kind.CANARY, 99.9),
        Strategy(Kind.CANARY, step_bake=60.0),
    ],
)
def test_what_ecs_takes_is_no_mistake(declared: Strategy) -> None:
    assert mistake_in(declared) == ""


def test_rolling_gets_a_breaker_that_counts_and_keeps_everything_else() -> None:
    wanted = wanted_configuration(UNDECLARED, LIVE, 2)
    assert wanted == {**LIVE, "strategy": "ROLLING", "deploymentCircuitBreaker": BREAKER}


@pytest.mark.parametrize(
    ("desired", "count"), [(0, 3), (1, 3), (6, 3), (7, 4), (150, 75), (400, 200), (1000, 200)]
)
def test_the_breaker_tolerates_half_of_the_tasks_within_ecs_bounds(desired: int, count: int) -> None:
    breaker = wanted_configuration(UNDECLARED, LIVE, desired)["deploymentCircuitBreaker"]
    assert breaker["thresholdConfiguration"] == {"type": "COUNT", "value": count}


def test_a_shift_gets_the_breakers_switch_alone() -> None:
    wanted = wanted_configuration(Strategy(Kind.CANARY), LIVE, 2)
    assert wanted["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
    bare = wanted_configuration(Strategy(Kind.CANARY), {}, 2)
    assert bare["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}


def test_steps_and_bake_are_declared_live_or_ecs_own_in_this_order() -> None:
    declared = wanted_configuration(Strategy(Kind.CANARY, 5.5, 120.0, 60.0), CANARY_LIVE, 2)
    assert declared["canaryConfiguration"] == {"canaryPercent": 5.5, "canaryBakeTimeInMinutes": 2}
    assert declared["bakeTimeInMinutes"] == 1
    live = wanted_configuration(UNDECLARED, CANARY_LIVE, 2)
    assert live["canaryConfiguration"] == CANARY_LIVE["canaryConfiguration"]
    assert live["bakeTimeInMinutes"] == 7
    own = wanted_configuration(Strategy(Kind.LINEAR), LIVE, 2)
    assert own["linearConfiguration"] == {"stepPercent": 10.0, "stepBakeTimeInMinutes": 6}
    assert own["bakeTimeInMinutes"] == 5


def test_another_strategys_steps_are_not_carried_over() -> None:
    wanted = wanted_configuration(Strategy(Kind.LINEAR), CANARY_LIVE, 2)
    assert "canaryConfiguration" not in wanted
    assert wanted["linearConfiguration"]["stepPercent"] == 10.0
    assert wanted["bakeTimeInMinutes"] == 7


def test_back_to_rolling_leaves_the_bake_behind_and_a_rolling_one_keeps_its_own() -> None:
    assert "bakeTimeInMinutes" not in wanted_configuration(Strategy(Kind.ROLLING), CANARY_LIVE, 2)
    kept = wanted_configuration(Strategy(Kind.ROLLING), {**LIVE, "bakeTimeInMinutes": 2}, 2)
    assert kept["bakeTimeInMinutes"] == 2


def test_early_success_is_for_rolling_only() -> None:
    live = {**LIVE, "earlySuccessCriteria": {"enable": True}}
    assert "earlySuccessCriteria" in wanted_configuration(UNDECLARED, live, 2)
    assert "earlySuccessCriteria" not in wanted_configuration(Strategy(Kind.BLUE_GREEN), live, 2)


def test_declared_alarms_replace_those_of_the_service_and_none_declared_keeps_them() -> None:
    live = {**LIVE, "alarms": {"alarmNames": ["theirs"], "enable": True, "rollback": True}}
    assert wanted_configuration(UNDECLARED, live, 2)["alarms"] == live["alarms"]
    ours = wanted_configuration(Strategy(alarms=("a", "b")), live, 2)["alarms"]
    assert ours == {"alarmNames": ["a", "b"], "enable": True, "rollback": True}


def test_what_the_service_has_already_is_not_sent() -> None:
    wanted = wanted_configuration(UNDECLARED, LIVE, 2)
    assert to_send(wanted, LIVE) == wanted
    assert to_send(wanted, wanted) is None
    without_name = {key: value for key, value in wanted.items() if key != "strategy"}
    assert to_send(wanted, without_name) is None


def test_the_way_back_is_one_shift_without_steps_and_bake() -> None:
    back = straight_back(CANARY_LIVE)
    assert back == {**LIVE, "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0}
    assert straight_back(back) is None
    assert straight_back(LIVE) is None
    assert straight_back({}) is None


@pytest.mark.parametrize(
    ("strategy", "seconds"),
    [
        (UNDECLARED, 0.0),
        (Strategy(Kind.ROLLING, shift_bake=60.0), 0.0),
        (Strategy(Kind.BLUE_GREEN, shift_bake=300.0), 300.0),
        (Strategy(Kind.CANARY, 10.0, 600.0, 300.0), 900.0),
        (Strategy(Kind.CANARY), 600.0),
        (Strategy(Kind.LINEAR, 25.0, 120.0, 60.0), 3 * 120.0 + 60.0),
        (Strategy(Kind.LINEAR, 30.0, 60.0, 0.0), 3 * 60.0),
        (Strategy(Kind.LINEAR), 9 * 360.0),
    ],
)
def test_ecs_own_steps_and_bakes_are_foreseen(strategy: Strategy, seconds: float) -> None:
    assert shift_seconds(strategy) == seconds


def test_a_live_configuration_reads_as_what_it_is() -> None:
    assert strategy_of({}) == Strategy(Kind.ROLLING)
    assert strategy_of({"strategy": "SOMETHING_NEW"}) == Strategy(Kind.ROLLING)
    assert strategy_of(CANARY_LIVE) == Strategy(Kind.CANARY, 20.0, 180.0, 420.0)
    told = strategy_of({"strategy": "LINEAR", "alarms": {"alarmNames": ["a"], "enable": True}})
    assert told == Strategy(Kind.LINEAR, 10.0, 360.0, 0.0, ("a",))


ADVANCED = {"alternateTargetGroupArn": "tg2", "productionListenerRule": "rule", "roleArn": "role"}


@pytest.mark.parametrize(
    "balancers",
    [
        [],
        None,
        [{}],
        [{"advancedConfiguration": {**ADVANCED, "roleArn": ""}}],
        [{"advancedConfiguration": ADVANCED}, {}],
    ],
)
def test_traffic_shifts_only_with_all_that_ecs_needs_for_it(balancers: list[dict[str, Any]] | None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_traffic_can_shift(Kind.CANARY, {"serviceArn": "arn:s", "loadBalancers": balancers})
    assert "roleArn" in caught.value.message
    assert "arn:s" in caught.value.message
    assert 'strategy = "rolling"' in caught.value.hint


def test_rolling_needs_nothing_of_the_balancer() -> None:
    check_traffic_can_shift(Kind.ROLLING, {})
    check_traffic_can_shift(Kind.CANARY, {"loadBalancers": [{"advancedConfiguration": ADVANCED}]})
