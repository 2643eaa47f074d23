"""How long a rollout should take, and what makes it slow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.model.prediction import Term, Timing, predict, rounds, shift_terms, timing_of
from pipeline.model.strategy import Kind, Strategy, as_planned
from pipeline.model.surroundings import Running, Surroundings, TargetGroup, Unknown

QUICK = Timing(start=4.0, checks=(5.0, 2), delay=15.0, stop=20.0, stay_up=10.0, tasks=2, old=2)


def test_healthy_and_drained_are_two_times() -> None:
    found = predict(QUICK)
    assert (found.healthy, found.drained, found.at_most) == (24.0, 29.0, 49.0)
    assert found.text == "healthy in about 24 s, drained 5 s later"
    assert found.slow == ""
    assert found.facts == {
        "healthy_s": 24.0,
        "drained_s": 29.0,
        "at_most_s": 49.0,
        "terms": {"task start": 4.0, "health checks": 10.0, "bake": 10.0, "deregistration delay": 15.0},
        "unknown": [],
        "slow": "",
    }


def test_old_tasks_drain_while_the_new_ones_bake() -> None:
    found = predict(replace(QUICK, stay_up=60.0))
    assert found.drained == found.healthy
    assert found.text == "healthy in about 74 s, old tasks drained by then"


def test_where_nothing_runs_nothing_drains() -> None:
    found = predict(replace(QUICK, old=0))
    assert found.at_most == found.healthy == 24.0


@pytest.mark.parametrize(
    ("tasks", "least", "most", "count"),
    [
        (2, 100, 200, 1),
        (1, 100, 200, 1),
        (4, 100, 150, 2),
        (4, 50, 100, 2),
        (10, 100, 110, 10),
        (3, 0, 100, 1),
        (2, 100, 100, None),
        (1, 50, 150, None),
    ],
)
def test_rounds_follow_from_what_ecs_may_stop_and_start(
    tasks: int, least: int, most: int, count: int | None
) -> None:
    assert rounds(tasks, tasks, least, most) == count


def test_a_first_rollout_is_one_round_whatever_the_percentages() -> None:
    assert rounds(3, 0, 100, 100) == 1


SLOW = {
    "drain": (replace(QUICK, delay=300.0), "deregistration delay 300 s is most of it; 30 s is enough"),
    "checks": (replace(QUICK, checks=(30.0, 5)), "asks 5 times, 30 s apart; twice, 5 s apart, is enough"),
    "rounds": (replace(QUICK, tasks=10, old=10, most=110), "10 rounds, since maximumPercent is 110"),
    "bake": (replace(QUICK, stay_up=600.0), "`rollout.bake`"),
    "start": (replace(QUICK, start=90.0), "a smaller image"),
    "two of a size": (replace(QUICK, delay=60.0, stay_up=50.0, start=50.0), "the longest part of it"),
    "ECS": (replace(QUICK, shift=(Term("canary", 600.0),)), "canary 600 s is most of it"),
}


@pytest.mark.parametrize("case", SLOW)
def test_what_makes_it_slow_is_named_with_a_figure_that_would_do(case: str) -> None:
    timing, words = SLOW[case]
    assert words in predict(timing).slow


def test_what_is_not_known_is_not_counted_and_said() -> None:
    found = predict(replace(QUICK, start=None, checks=None, delay=None, before="migrate"))
    assert found.healthy == 10.0
    assert found.unknown == (
        "the time of migrate",
        "the start of a task",
        "the health checks",
        "the deregistration delay",
    )
    assert found.text.startswith("healthy in about 10 s and the time of migrate and the start of a task")


def test_the_figures_come_from_service_definition_and_surroundings() -> None:
    service: dict[str, Any] = {
        "desiredCount": 3,
        "deploymentConfiguration": {"minimumHealthyPercent": 50, "maximumPercent": 150},
    }
    container = {"name": "app", "stopTimeout": 5, "healthCheck": {"command": ["x"], "interval": 40}}
    seen = Surroundings(
        target_groups={"a": TargetGroup("ip", 5.0, 2, 15.0), "b": TargetGroup("ip", 10.0, 3, 5.0)},
        running=Running((), 7.5),
    )
    found = timing_of(service, {"containerDefinitions": [container]}, seen, stay_up=1.0, first=9, before="m")
    assert found == Timing(
        start=7.5,
        checks=(10.0, 3),
        delay=15.0,
        container=40.0,
        stop=5.0,
        stay_up=1.0,
        tasks=3,
        old=3,
        least=50,
        most=150,
        before="m",
    )
    assert predict(replace(found, before="")).terms[1] == Term("health checks", 2 * 40.0)


def test_a_target_group_that_was_not_seen_leaves_its_figures_unknown() -> None:
    seen = Surroundings(target_groups={"a": TargetGroup("ip", 5.0, 2, 15.0), "b": Unknown("denied")})
    found = timing_of({"desiredCount": 0}, {}, seen, stay_up=0.0, first=2)
    assert (found.checks, found.delay, found.start, found.tasks, found.old) == (None, None, None, 2, 0)


def test_a_service_without_a_target_group_waits_for_none() -> None:
    found = timing_of({"desiredCount": 1}, {}, Surroundings(), stay_up=0.0, first=1)
    assert (found.checks, found.delay) == ((0.0, 0), 0.0)


@pytest.mark.parametrize(
    ("configuration", "seconds"),
    [
        ({}, []),
        ({"strategy": "ROLLING", "bakeTimeInMinutes": 5}, []),
        ({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5}, [300.0]),
        (
            {
                "strategy": "LINEAR",
                "bakeTimeInMinutes": 1,
                "linearConfiguration": {"stepPercent": 25.0, "stepBakeTimeInMinutes": 2},
            },
            [360.0, 60.0],
        ),
        ({"strategy": "LINEAR"}, [9 * 360.0, 0.0]),
        ({"strategy": "CANARY", "canaryConfiguration": {"canaryBakeTimeInMinutes": 3}}, [180.0, 0.0]),
    ],
)
def test_what_a_strategy_adds(configuration: dict[str, Any], seconds: list[float]) -> None:
    assert [term.seconds for term in shift_terms(configuration)] == seconds


def test_a_strategy_that_shifts_traffic_starts_all_tasks_at_once() -> None:
    service = {
        "desiredCount": 4,
        "deploymentConfiguration": {"strategy": "BLUE_GREEN", "maximumPercent": 100},
    }
    found = timing_of(service, {}, Surroundings(), stay_up=0.0, first=1)
    assert rounds(found.tasks, found.old, found.least, found.most) == 1


def test_a_strategy_that_is_declared_and_not_live_yet_takes_its_time_too() -> None:
    service = {"desiredCount": 2, "currentServiceDeployment": "arn"}
    declared = Strategy(Kind.CANARY, step_bake=300.0, shift_bake=120.0)
    steady = predict(timing_of(service, {}, Surroundings(), stay_up=0.0, first=1))
    found = predict(timing_of(as_planned(service, declared, 2), {}, Surroundings(), stay_up=0.0, first=1))
    assert found.healthy - steady.healthy == 420.0
    untold = as_planned({"desiredCount": 2}, declared, 2)
    assert predict(timing_of(untold, {}, Surroundings(), stay_up=0.0, first=1)).healthy == steady.healthy
