"""The decision alone: one observation in, one step out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.model.diagnosis import failure_of
from pipeline.model.digest import Digest
from pipeline.model.rollout import (
    Action,
    Aim,
    DeploymentState,
    Observation,
    RolloutPolicy,
    ServiceState,
    Sight,
    Step,
    TargetState,
    TaskState,
    drained,
    next_step,
    observe,
)
from pipeline.model.service import Previous, attachable, in_progress, previous_of
from pipeline.model.service_deployment import ServiceDeployment

OURS, BEFORE = "arn:aws:ecs:r:a:task-definition/demo:2", "arn:aws:ecs:r:a:task-definition/demo:1"
DIGEST = Digest("sha256:" + "a" * 64)
OTHER = Digest("sha256:" + "b" * 64)
AIM = Aim("d2", OURS, frozenset({DIGEST}), "app", Previous(BEFORE, "d1"), frozenset({"d1"}))
POLICY = RolloutPolicy(deadline=300.0, stay_up=10.0, appear=60.0)


def deployment(name: str, status: str, definition: str, **changes: object) -> DeploymentState:
    made = DeploymentState(name, status, definition, "COMPLETED", "", 2, 2, 0)
    return replace(made, **changes)  # type: ignore[arg-type]


OUR_DEPLOYMENT = deployment("d2", "PRIMARY", OURS)
OLD_DEPLOYMENT = deployment("d1", "ACTIVE", BEFORE)


def service(*deployments: DeploymentState, desired: int = 2, status: str = "ACTIVE") -> ServiceState:
    primary = deployments[0].task_definition if deployments else ""
    return ServiceState("arn:aws:ecs:r:a:service/c/s", status, primary, desired, 2, deployments, "tg")


def task(number: int, definition: str = OURS, **changes: object) -> TaskState:
    made = TaskState(
        f"t{number}", definition, "RUNNING", "RUNNING", "UNKNOWN", {"app": DIGEST.value}, f"10.0.0.{number}"
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def failed(number: int, reason: str = "Essential container in task exited") -> TaskState:
    return task(
        number,
        last_status="STOPPED",
        desired_status="STOPPED",
        stop_code="EssentialContainerExited",
        stopped_reason=reason,
        exit_codes={"app": 1},
    )


def healthy(number: int) -> TargetState:
    return TargetState(f"10.0.0.{number}", 8000, "healthy")


GOOD = Sight(20.0, service(OUR_DEPLOYMENT), [task(1), task(2)], [healthy(1), healthy(2)])


def step_for(
    sight: Sight, aim: Aim = AIM, policy: RolloutPolicy = POLICY, earlier: Observation | None = None
) -> Step:
    return next_step(observe(aim, sight, policy, earlier), policy)


def after_staying_up(sight: Sight, aim: Aim = AIM, policy: RolloutPolicy = POLICY) -> Step:
    first = observe(aim, sight, policy)
    return next_step(
        observe(aim, replace(sight, elapsed=sight.elapsed + policy.stay_up), policy, first), policy
    )


def test_done_needs_everything_for_as_long_as_the_policy_says() -> None:
    assert step_for(GOOD).action is Action.WAIT
    assert step_for(GOOD).reason.text == "them to stay up"
    assert after_staying_up(GOOD).action is Action.DONE


def test_staying_up_starts_again_after_a_break() -> None:
    first = observe(AIM, GOOD, POLICY)
    broken = observe(AIM, replace(GOOD, elapsed=25.0, tasks=[task(1)]), POLICY, first)
    again = observe(AIM, replace(GOOD, elapsed=31.0), POLICY, broken)
    assert next_step(again, POLICY).action is Action.WAIT
    assert next_step(observe(AIM, replace(GOOD, elapsed=41.0), POLICY, again), POLICY).action is Action.DONE


def changed(**changes: object) -> Sight:
    return replace(GOOD, **changes)  # type: ignore[arg-type]


INCOMPLETE = {
    "not listed": changed(service=service(deployment("d1", "PRIMARY", BEFORE))),
    "no deployments at all": changed(service=service()),
    "still in progress": changed(service=service(replace(OUR_DEPLOYMENT, rollout_state="IN_PROGRESS"))),
    "too few tasks": changed(tasks=[task(1)]),
    "no task": changed(tasks=[]),
    "too few tasks without a target group": changed(tasks=[task(1)], targets=None),
    "tasks of the old definition": changed(tasks=[task(1, BEFORE), task(2, BEFORE)]),
    "a task on its way out": changed(tasks=[task(1), task(2, desired_status="STOPPED")]),
    "digest not reported": changed(tasks=[task(1), task(2, image_digests={})]),
    "digest of another container": changed(tasks=[task(1), task(2, image_digests={"sidecar": DIGEST.value})]),
    "container unhealthy": changed(tasks=[task(1), task(2, health="UNHEALTHY")]),
    "one target unhealthy": changed(
        targets=[healthy(1), replace(healthy(2), state="unhealthy", description="500")]
    ),
    "one target missing": changed(targets=[healthy(1)]),
    "no targets": changed(targets=[]),
    "healthy targets of others": changed(targets=[healthy(8), healthy(9)]),
    "an old target still healthy": changed(targets=[healthy(1), healthy(2), healthy(9)]),
    "desired zero": changed(service=service(OUR_DEPLOYMENT, desired=0), tasks=[], targets=[]),
    "more desired meanwhile": changed(service=service(OUR_DEPLOYMENT, desired=3)),
    "no rollout state and not alone": changed(
        service=service(replace(OUR_DEPLOYMENT, rollout_state=""), OLD_DEPLOYMENT)
    ),
    "no rollout state and short": changed(
        service=service(replace(OUR_DEPLOYMENT, rollout_state="", running=1))
    ),
}


@pytest.mark.parametrize("what", INCOMPLETE)
def test_nothing_missing_passes_for_success(what: str) -> None:
    step = after_staying_up(INCOMPLETE[what])
    assert step.action is Action.WAIT
    assert step.reason.text


@pytest.mark.parametrize("what", [what for what in INCOMPLETE if "not listed" not in what])
def test_what_is_missing_for_too_long_is_rolled_back(what: str) -> None:
    step = step_for(replace(INCOMPLETE[what], elapsed=300.0))
    assert step.action is Action.ROLL_BACK
    assert "not complete and healthy within 300 s" in step.reason.text


def test_a_lower_share_needs_fewer_healthy_tasks() -> None:
    sight = changed(targets=[healthy(1), replace(healthy(2), state="unhealthy")])
    assert after_staying_up(sight, policy=replace(POLICY, healthy_share=0.5)).action is Action.DONE


def test_a_share_never_rounds_down_to_none() -> None:
    sight = changed(tasks=[], targets=[])
    assert after_staying_up(sight, policy=replace(POLICY, healthy_share=0.0)).action is Action.WAIT


def test_without_a_target_group_tasks_decide() -> None:
    assert after_staying_up(changed(targets=None)).action is Action.DONE


def test_where_no_rollout_state_is_told_a_stable_service_counts() -> None:
    assert (
        after_staying_up(changed(service=service(replace(OUR_DEPLOYMENT, rollout_state="")))).action
        is Action.DONE
    )


def test_going_back_to_an_unknown_digest_asks_for_none() -> None:
    sight = changed(tasks=[task(1, image_digests={}), task(2, image_digests={})])
    assert after_staying_up(sight, replace(AIM, digests=frozenset())).action is Action.DONE


def test_another_digest_is_never_waited_out() -> None:
    step = step_for(changed(tasks=[task(1), task(2, image_digests={"app": OTHER.value})]))
    assert step.action is Action.ROLL_BACK
    assert OTHER.value in step.reason.text


def test_failed_is_rolled_back_with_ecs_own_reason() -> None:
    ours = replace(OUR_DEPLOYMENT, rollout_state="FAILED", rollout_state_reason="tasks failed to start")
    step = step_for(changed(service=service(ours, OLD_DEPLOYMENT), tasks=[failed(1)]))
    assert (step.action, step.by_ecs) == (Action.ROLL_BACK, False)
    assert "tasks failed to start" in step.reason.text
    assert step.failure is not None


def test_failed_without_a_reason_says_so() -> None:
    step = step_for(changed(service=service(replace(OUR_DEPLOYMENT, rollout_state="FAILED"))))
    assert "no reason given" in step.reason.text
    assert step.reason.remedy


def test_two_like_failures_are_enough_while_nothing_of_ours_serves() -> None:
    assert step_for(changed(tasks=[failed(1)], targets=[])).action is Action.WAIT
    step = step_for(changed(tasks=[failed(1), failed(2)], targets=[]))
    assert step.action is Action.ROLL_BACK
    assert "2 tasks failed alike (exited)" in step.reason.text


def test_two_unlike_failures_are_not_enough() -> None:
    other = replace(failed(2), exit_codes={"app": 3})
    assert step_for(changed(tasks=[failed(1), other], targets=[])).action is Action.WAIT


def test_failures_are_remembered_after_ecs_forgot_the_tasks() -> None:
    first = observe(AIM, changed(tasks=[failed(1)], targets=[]), POLICY)
    assert step_for(changed(tasks=[failed(2)], targets=[]), earlier=first).action is Action.ROLL_BACK


def test_the_same_failed_task_counts_once() -> None:
    first = observe(AIM, changed(tasks=[failed(1)], targets=[]), POLICY)
    assert len(observe(AIM, changed(tasks=[failed(1)], targets=[]), POLICY, first).failures) == 1


def test_failures_of_other_definitions_and_of_before_do_not_count() -> None:
    old = [replace(failed(n), task_definition=BEFORE) for n in (1, 2)]
    earlier = [failed(3), failed(4)]
    aim = replace(AIM, ended=frozenset({"t3", "t4"}))
    assert observe(aim, changed(tasks=[*old, *earlier]), POLICY).failures == ()


@pytest.mark.parametrize(("failures", "action"), [(4, Action.WAIT), (5, Action.ROLL_BACK)])
def test_while_some_task_serves_half_of_desired_may_fail(failures: int, action: Action) -> None:
    tasks = [task(1), *(failed(n) for n in range(2, 2 + failures))]
    sight = changed(service=service(OUR_DEPLOYMENT, desired=10), tasks=tasks, targets=[healthy(1)])
    assert step_for(sight).action is action


def primary(**changes: object) -> ServiceState:
    """A service whose primary deployment is not ours, which is still listed."""
    other = deployment("d3", "PRIMARY", "demo:3", rollout_state="IN_PROGRESS")
    ours = replace(OUR_DEPLOYMENT, status="ACTIVE", rollout_state="IN_PROGRESS")
    return service(replace(other, **changes), ours)  # type: ignore[arg-type]


def test_a_newer_deployment_of_something_else_supersedes() -> None:
    step = step_for(changed(service=primary()))
    assert step.action is Action.SUPERSEDED
    assert step.other is not None
    assert step.other.id == "d3"
    assert "demo:3" in step.reason.text


def test_a_newer_deployment_supersedes_even_when_ours_had_failed() -> None:
    state = primary()
    ours = replace(state.deployments[1], rollout_state="FAILED")
    assert (
        step_for(changed(service=replace(state, deployments=(state.deployments[0], ours)))).action
        is Action.SUPERSEDED
    )


def test_the_old_definition_put_back_by_somebody_supersedes() -> None:
    assert step_for(changed(service=primary(task_definition=BEFORE))).action is Action.SUPERSEDED


@pytest.mark.parametrize(
    "state",
    [
        primary(
            task_definition=BEFORE, rollout_state_reason="ECS deployment circuit breaker: rolling back to d1."
        ),
        primary(task_definition="demo:0", rollout_state_reason="ECS deployment rollback in progress."),
        service(
            deployment("d3", "PRIMARY", BEFORE),
            replace(OUR_DEPLOYMENT, status="ACTIVE", rollout_state="FAILED"),
        ),
        service(deployment("d3", "PRIMARY", BEFORE), replace(OUR_DEPLOYMENT, status="ACTIVE", failed=3)),
    ],
    ids=["breaker's words", "words alone", "ours failed", "ours had failing tasks"],
)
def test_ecs_going_back_is_told_from_superseding(state: ServiceState) -> None:
    step = step_for(changed(service=state))
    assert (step.action, step.by_ecs) == (Action.ROLL_BACK, True)
    assert "ECS went back" in step.reason.text


def test_the_old_deployment_as_primary_again_is_ecs_going_back() -> None:
    seen = observe(AIM, changed(service=service(OUR_DEPLOYMENT, OLD_DEPLOYMENT), tasks=[failed(1)]), POLICY)
    step = step_for(changed(service=service(replace(OLD_DEPLOYMENT, status="PRIMARY"))), earlier=seen)
    assert (step.action, step.by_ecs) == (Action.ROLL_BACK, True)
    assert step.failure is not None
    assert "no reason given" in step.reason.text


def test_the_old_deployment_as_primary_again_needs_no_other_sign() -> None:
    seen = observe(AIM, changed(service=service(OUR_DEPLOYMENT, OLD_DEPLOYMENT)), POLICY)
    back = service(replace(OLD_DEPLOYMENT, status="PRIMARY"), replace(RUNNING, status="ACTIVE"))
    assert step_for(changed(service=back), earlier=seen).by_ecs


def test_an_id_that_is_not_listed_yet_is_waited_for_within_a_bound() -> None:
    lagging = changed(service=service(deployment("d1", "PRIMARY", BEFORE)))
    assert step_for(replace(lagging, elapsed=59.0)).action is Action.WAIT
    step = step_for(replace(lagging, elapsed=60.0))
    assert (step.action, step.by_ecs) == (Action.ROLL_BACK, True)
    assert "never listed" in step.reason.text


@pytest.mark.parametrize("status", ["DRAINING", "INACTIVE", ""])
def test_a_service_that_is_being_deleted_is_not_fought_over(status: str) -> None:
    assert step_for(changed(service=service(OUR_DEPLOYMENT, status=status))).action is Action.SUPERSEDED


def test_with_nothing_to_go_back_to_we_give_up() -> None:
    first = replace(AIM, previous=None, known=frozenset())
    step = step_for(changed(tasks=[failed(1), failed(2)], targets=[]), first)
    assert step.action is Action.GIVE_UP
    assert step.failure is not None


@pytest.mark.parametrize(
    ("sight", "gone"),
    [
        (GOOD, True),
        (changed(service=service(OUR_DEPLOYMENT, OLD_DEPLOYMENT)), False),
        (changed(tasks=[task(1), task(2), task(3, BEFORE)]), False),
        (changed(service=service(OUR_DEPLOYMENT, replace(OLD_DEPLOYMENT, rollout_state="FAILED"))), True),
        (changed(service=service()), False),
    ],
    ids=["alone", "old deployment", "old task", "failed one lingers", "nothing listed"],
)
def test_drained_means_that_only_ours_is_left(sight: Sight, *, gone: bool) -> None:
    assert drained(observe(AIM, sight, POLICY)) is gone


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (service(OUR_DEPLOYMENT, OLD_DEPLOYMENT), "d1"),
        (service(replace(OLD_DEPLOYMENT, status="PRIMARY")), "d1"),
        (service(OUR_DEPLOYMENT), None),
        (service(OUR_DEPLOYMENT, replace(OLD_DEPLOYMENT, rollout_state="IN_PROGRESS")), None),
        (service(OUR_DEPLOYMENT, replace(OLD_DEPLOYMENT, running=0, desired=0)), None),
        (service(OUR_DEPLOYMENT, replace(OLD_DEPLOYMENT, running=0)), "d1"),
        (service(OUR_DEPLOYMENT, replace(OLD_DEPLOYMENT, rollout_state="")), "d1"),
        (service(OUR_DEPLOYMENT, replace(OLD_DEPLOYMENT, rollout_state="", running=0, desired=0)), None),
    ],
)
def test_only_what_has_worked_can_be_gone_back_to(found: ServiceState, expected: str | None) -> None:
    previous = previous_of(found, OURS)
    assert (previous.deployment if previous else None) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (service(OUR_DEPLOYMENT), "d2"),
        (service(replace(OUR_DEPLOYMENT, rollout_state="IN_PROGRESS")), "d2"),
        (service(replace(OUR_DEPLOYMENT, rollout_state="FAILED")), None),
        (service(OUR_DEPLOYMENT, desired=0), None),
        (service(replace(OLD_DEPLOYMENT, status="PRIMARY"), OUR_DEPLOYMENT), None),
        (service(), None),
    ],
)
def test_only_a_living_deployment_of_exactly_ours_is_followed(
    found: ServiceState, expected: str | None
) -> None:
    followed = attachable(found, OURS)
    assert (followed.id if followed else None) == expected


RUNNING = replace(OUR_DEPLOYMENT, rollout_state="IN_PROGRESS")


@pytest.mark.parametrize(
    ("found", "busy"),
    [
        (service(RUNNING), True),
        (service(replace(RUNNING, failed=1, running=0)), True),
        (service(replace(RUNNING, failed=2, running=1)), True),
        (service(replace(RUNNING, failed=2, running=0)), False),
        (service(replace(RUNNING, rollout_state="FAILED")), False),
        (service(OUR_DEPLOYMENT), False),
        (service(RUNNING, desired=0), False),
        (service(), False),
    ],
)
def test_a_deployment_in_progress_is_one_that_can_still_end_well(found: ServiceState, *, busy: bool) -> None:
    assert (in_progress(found) is not None) is busy


def in_group(number: int, group: str) -> TargetState:
    return replace(healthy(number), group=group)


def test_healthy_targets_are_looked_for_in_the_group_that_carries_our_tasks() -> None:
    both = [in_group(1, "green"), in_group(2, "green"), in_group(8, "blue"), in_group(9, "blue")]
    assert after_staying_up(changed(targets=both)).action is Action.DONE
    stray = [in_group(1, "green"), in_group(2, "green"), in_group(9, "green")]
    assert "1 old targets to leave" in after_staying_up(changed(targets=stray)).reason.text
    elsewhere = [in_group(8, "blue"), in_group(9, "blue")]
    assert "healthy (0 of 2 new tasks)" in after_staying_up(changed(targets=elsewhere)).reason.text


def test_a_rollback_that_is_wanted_is_done_when_ecs_says_so() -> None:
    undone = ServiceDeployment(
        "sd", "ROLLBACK_IN_PROGRESS", "demo:3", created_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    aim = replace(AIM, deployment="", previous=None, known=frozenset({"d3"}), undoing="sd")
    failed_one = deployment("d3", "PRIMARY", "demo:3", rollout_state="FAILED")
    still = changed(
        service=service(failed_one, replace(OUR_DEPLOYMENT, status="ACTIVE")), service_deployments=[undone]
    )
    assert after_staying_up(still, aim).action is Action.WAIT
    done = changed(service_deployments=[replace(undone, status="ROLLBACK_SUCCESSFUL")])
    assert after_staying_up(done, aim).action is Action.DONE
    step = after_staying_up(changed(service_deployments=[replace(undone, status="ROLLBACK_FAILED")]), aim)
    assert step.action is Action.STUCK


def test_an_unhealthy_target_says_why_in_what_is_waited_for() -> None:
    sick = replace(healthy(2), state="unhealthy", description="Health checks failed with these codes: [500]")
    step = step_for(
        changed(targets=[healthy(1), sick, replace(sick, ip="10.0.0.77", description="not ours")])
    )
    assert "(1 of 2 new tasks; Health checks failed with these codes: [500])" in step.reason.text
    assert "not ours" not in step.reason.text


def test_a_failure_knows_its_task() -> None:
    failure = failure_of(failed(7))
    assert failure is not None
    assert failure.task.id == "t7"
