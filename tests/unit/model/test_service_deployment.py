"""A service deployment alone: which is ours, how it ended, and what it waits for, in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.model.service_deployment import (
    End,
    ServiceDeployment,
    ending,
    newer_than,
    ours_among,
    waits_for,
    why,
)
from pipeline.model.strategy import Kind, Strategy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OURS = ServiceDeployment(
    "arn:aws:ecs:r:a:service-deployment/c/s/two",
    "IN_PROGRESS",
    "arn:aws:ecs:r:a:task-definition/demo:2",
    created_at=NOW,
    revision="arn:aws:ecs:r:a:service-revision/c/s/222",
)
LATER = replace(
    OURS,
    arn="arn:aws:ecs:r:a:service-deployment/c/s/three",
    task_definition="arn:aws:ecs:r:a:task-definition/demo:3",
    revision="arn:aws:ecs:r:a:service-revision/c/s/333",
    created_at=NOW + timedelta(minutes=1),
)
EARLIER = replace(LATER, arn="arn:aws:ecs:r:a:service-deployment/c/s/one", created_at=NOW - timedelta(days=1))
ENDED_OTHERWISE = ["ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL"]


def test_ours_bears_the_number_of_our_deployment() -> None:
    found = [LATER, OURS, EARLIER]
    assert ours_among(found, "ecs-svc/222", "", frozenset()) is OURS
    assert ours_among(found, "ecs-svc/999", "", frozenset()) is None


def test_without_a_number_it_is_the_first_of_our_definition_that_was_not_there_before() -> None:
    again = replace(OURS, arn="arn:…/again", created_at=NOW + timedelta(minutes=2))
    before = replace(OURS, arn="arn:…/before", created_at=NOW - timedelta(minutes=2))
    found = [again, LATER, OURS, before]
    assert ours_among(found, "", OURS.task_definition, frozenset({before.arn})) is OURS
    assert ours_among([], "", OURS.task_definition, frozenset()) is None


@pytest.mark.parametrize("status", ["PENDING", "IN_PROGRESS", "SUCCESSFUL"])
def test_a_later_one_that_leads_somewhere_else_replaces_ours(status: str) -> None:
    other = replace(LATER, status=status)
    assert newer_than(OURS, [other, OURS, EARLIER]) is other
    ended = ending(OURS, [other, OURS], undoing=False)
    assert ended is not None
    assert ended[0] is End.REPLACED
    assert ended[1] == f"service deployment three of demo:3 ({status}) replaced ours, two"


@pytest.mark.parametrize("status", [*ENDED_OTHERWISE, "ROLLBACK_FAILED", "STOPPED", "STOP_REQUESTED"])
def test_a_later_one_that_leads_nowhere_replaces_nothing(status: str) -> None:
    assert newer_than(OURS, [replace(LATER, status=status), OURS]) is None


def test_without_a_date_none_is_called_later() -> None:
    assert newer_than(OURS, [replace(LATER, created_at=None)]) is None
    assert newer_than(replace(OURS, created_at=None), [LATER]) is None


def ended(status: str, *, undoing: bool = False, **changes: object) -> tuple[End, str] | None:
    mine = replace(OURS, status=status, **changes)  # type: ignore[arg-type]
    return ending(mine, [mine, EARLIER], undoing=undoing)


@pytest.mark.parametrize(
    "status", ["PENDING", "IN_PROGRESS", "STOP_REQUESTED", "SUCCESSFUL", "SOMETHING_NEW"]
)
def test_what_goes_on_or_went_well_has_no_other_ending(status: str) -> None:
    assert ended(status) is None


@pytest.mark.parametrize("status", ENDED_OTHERWISE)
def test_going_back_is_an_ending_unless_it_is_what_is_wanted(status: str) -> None:
    found = ended(status, returns_to="arn:aws:ecs:r:a:task-definition/demo:1", reason="breaker")
    assert found is not None
    assert found[0] is End.WENT_BACK
    assert found[1] == f"ECS went back to demo:1, service deployment two of demo:2 ({status}): breaker"
    assert ended(status, undoing=True) is None


@pytest.mark.parametrize("undoing", [False, True])
def test_a_rollback_that_failed_is_one_always(undoing: bool) -> None:
    found = ended("ROLLBACK_FAILED", undoing=undoing, reason="no candidate")
    assert found is not None
    assert found[0] is End.COULD_NOT


def test_stopped_by_somebody_is_told_from_stopped_by_ecs() -> None:
    theirs, ecs = ended("STOPPED"), ended("STOPPED", tripped=True)
    assert theirs is not None
    assert ecs is not None
    assert (theirs[0], ecs[0]) == (End.STOPPED, End.FAILED)
    assert ended("STOPPED", undoing=True) is None


def test_why_tells_everything_that_ecs_tells_once() -> None:
    assert why(OURS) == "no reason given"
    told = replace(
        OURS, reason="failed", rollback_reason="failed", failures=4, threshold=3, alarms=("5xx", "slow")
    )
    assert why(told) == "failed; circuit breaker: 4 failed tasks of 3 tolerated; alarms fired: 5xx, slow"
    assert why(replace(OURS, failures=2, threshold=3)) == "no reason given"


CANARY = replace(OURS, strategy=Strategy(Kind.CANARY, 10.0, 600.0, 120.0), traffic=10.0)
SHIFT = "PRODUCTION_TRAFFIC_SHIFT"


@pytest.mark.parametrize(
    ("found", "seconds", "text"),
    [
        (replace(OURS, status="PENDING"), 0, "ECS to start service deployment two (PENDING)"),
        (replace(OURS, status="STOP_REQUESTED"), 0, "service deployment two to stop: somebody asked for it"),
        (replace(OURS, status="ROLLBACK_IN_PROGRESS"), 0, "service deployment two (ROLLBACK_IN_PROGRESS)"),
        (OURS, 0, "ECS to call the deployment complete"),
        (
            replace(OURS, paused=("hook-1",)),
            0,
            "somebody to continue the deployment: it is paused at hook hook-1",
        ),
        (
            replace(CANARY, stage=SHIFT),
            420,
            "canary: 10 % of traffic on the new revision, baking, 3 min left",
        ),
        (
            replace(CANARY, stage=SHIFT),
            570,
            "canary: 10 % of traffic on the new revision, baking, 30 s left",
        ),
        (
            replace(CANARY, stage=SHIFT),
            700,
            "canary: 10 % of traffic on the new revision, baking, about to end",
        ),
        (
            replace(CANARY, stage=SHIFT, traffic=100.0),
            5,
            "canary: 100 % of traffic on the new revision, shifting production traffic",
        ),
        (
            replace(CANARY, stage="BAKE_TIME", traffic=100.0),
            0,
            "canary: 100 % of traffic on the new revision, baking, 2 min left",
        ),
        (replace(CANARY, stage="SCALE_UP", traffic=None), 0, "canary: starting the new tasks"),
        (replace(CANARY, stage="SOMETHING_NEW", traffic=None), 0, "canary: SOMETHING_NEW"),
        (replace(CANARY, stage="", traffic=None), 0, "canary: working"),
        (
            replace(OURS, strategy=Strategy(Kind.BLUE_GREEN), stage="BAKE_TIME"),
            0,
            "blue/green: baking, about to end",
        ),
    ],
)
def test_what_is_waited_for_is_said_in_words(found: ServiceDeployment, seconds: float, text: str) -> None:
    assert waits_for(found, seconds) == text
