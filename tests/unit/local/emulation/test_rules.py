from __future__ import annotations

from typing import Any

from pipeline.local.emulation.deployments import back_off, keep_for_return, shown
from pipeline.local.emulation.stability import Patience, Watch, overdue, patience


def deployment(state: str, status: str = "ACTIVE", **more: Any) -> dict[str, Any]:
    return {"rolloutState": state, "status": status, **more}


def test_crash_loops_back_off_up_to_fifteen_seconds() -> None:
    assert [back_off(n) for n in range(7)] == [0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


def test_patience_is_the_grace_period_and_the_groups_threshold() -> None:
    group = {"UnhealthyThresholdCount": 4, "HealthCheckIntervalSeconds": 5}

    assert patience({"healthCheckGracePeriodSeconds": 10}, group).grace == 12.0


def test_a_task_that_served_is_left_as_long_as_the_groups_interval_says() -> None:
    assert patience({}, {"UnhealthyThresholdCount": 2, "HealthCheckIntervalSeconds": 5}).late == 10.0
    assert patience({}, {}).late == 60.0


def test_a_task_that_was_never_healthy_is_overdue_after_the_grace_only() -> None:
    limits = Patience(grace=10.0, late=1.0)

    assert not overdue(Watch(started=0.0, bad_since=0.1), 9.9, limits)
    assert overdue(Watch(started=0.0, bad_since=0.1), 10.0, limits)


def test_a_stable_task_that_turns_unhealthy_is_overdue_after_the_threshold() -> None:
    limits = Patience(grace=10.0, late=1.0)

    assert not overdue(Watch(0.0, stable=True, bad_since=49.5), 50.0, limits)
    assert overdue(Watch(0.0, stable=True, bad_since=49.0), 50.0, limits)
    assert not overdue(Watch(0.0, stable=True, bad_since=None), 50.0, limits)


def test_a_failed_deployment_is_shown_for_a_while_and_then_leaves() -> None:
    failed = deployment("FAILED", _failed=100.0)
    good = deployment("COMPLETED", "PRIMARY", _completed=90.0)

    assert shown([failed, good], 119.0) == [failed, good]
    assert shown([failed, good], 121.0) == [good]


def test_a_failed_deployment_leaves_when_a_later_one_has_completed() -> None:
    later = deployment("COMPLETED", "PRIMARY", _completed=101.0)

    assert shown([later, deployment("FAILED", _failed=100.0)], 102.0) == [later]


def test_a_failed_first_deployment_stays_because_it_is_the_services_own() -> None:
    first = deployment("FAILED", "PRIMARY", _failed=0.0)

    assert shown([first], 9999.0) == [first]


def test_what_was_just_gone_back_to_can_be_gone_back_to_again() -> None:
    failing = deployment("IN_PROGRESS", "PRIMARY")
    returned = deployment("IN_PROGRESS", _completed=90.0)
    never = deployment("IN_PROGRESS")
    keep_for_return([failing, returned, never], failing)
    assert [d["rolloutState"] for d in (failing, returned, never)] == [
        "IN_PROGRESS",
        "COMPLETED",
        "IN_PROGRESS",
    ]


def test_a_way_back_is_not_over_because_of_what_it_leads_away_from() -> None:
    failing = deployment("FAILED", "ACTIVE")
    returning = deployment("IN_PROGRESS", "PRIMARY", _completed=90.0)
    keep_for_return([returning, failing], failing)
    assert returning["rolloutState"] == "IN_PROGRESS"
