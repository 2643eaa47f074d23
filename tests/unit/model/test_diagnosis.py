"""Why tasks fail, in the words ECS uses for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.model.diagnosis import explain, failure_of, like_failures
from pipeline.model.service import TargetState, TaskState

STOPPED = TaskState(
    "t1", "demo:2", "STOPPED", "STOPPED", "UNKNOWN", {}, stopped_reason="Essential container in task exited"
)
EXITED = replace(STOPPED, stop_code="EssentialContainerExited", exit_codes={"app": 1})


def start_failure(reason: str) -> TaskState:
    return replace(STOPPED, stop_code="TaskFailedToStart", stopped_reason=reason)


SAID = {
    "CannotPullContainerError: pull image manifest has been retried 1 time(s): image Manifest does not contain "
    "descriptor matching platform 'linux/amd64'": "architecture",
    "CannotPullContainerError: inspect image has been retried 1 time(s): failed to resolve ref "
    "repo@sha256:aa: not found": "image missing",
    "CannotPullContainerError: manifest for demo not found: manifest unknown": "image missing",
    "CannotPullContainerError: Error response from daemon: pull access denied for demo, repository does not exist or "
    "may require 'docker login': denied: requested access to the resource is denied": "image pull denied",
    "CannotPullContainerError: ref pull has been retried 5 time(s): failed to copy: httpReadSeeker: dial tcp "
    "10.0.0.1:443: i/o timeout": "registry unreachable",
    "CannotPullContainerError: toomanyrequests: You have reached your pull rate limit": "pull throttled",
    "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable "
    "to retrieve secret from asm: ResourceNotFoundException: Secrets Manager can't find the secret": "secret",
    "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
    "ResourceNotFoundException: The specified log group does not exist.": "log group",
    "ResourceInitializationError: failed to create new container runtime task": "start-up",
    'CannotStartContainerError: Error response from daemon: OCI runtime create failed: exec: "nope": executable file '
    "not found in $PATH": "command",
    "Capacity is unavailable at this time. Please try again later or in a different availability zone": "capacity",
    "RESOURCE:MEMORY": "capacity",
}


@pytest.mark.parametrize("reason", SAID)
def test_what_ecs_says_at_the_start_of_a_task_names_the_rule(reason: str) -> None:
    failure = failure_of(start_failure(reason))
    assert failure is not None
    assert failure.rule == SAID[reason]
    assert failure.remedy
    assert reason in failure.text


@pytest.mark.parametrize(
    ("task", "rule"),
    [
        (EXITED, "exited"),
        (replace(EXITED, exit_codes={"app": 137}), "memory"),
        (
            replace(
                EXITED, container_reasons={"app": "OutOfMemoryError: Container killed due to memory usage"}
            ),
            "memory",
        ),
        (replace(EXITED, exit_codes={"app": 127}), "command"),
        (replace(EXITED, exit_codes={"app": 0}), "exited"),
        (replace(EXITED, exit_codes={"app": 1370}), "exited"),
        (
            replace(STOPPED, stop_code="SpotInterruption", stopped_reason="Your Spot Task was interrupted."),
            "capacity",
        ),
        (replace(STOPPED, stop_code="InfrastructureHealth", stopped_reason="host failed"), "capacity"),
        (
            replace(
                STOPPED,
                stop_code="ServiceSchedulerInitiated",
                stopped_reason="Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:x)",
            ),
            "health check",
        ),
        (
            replace(
                STOPPED,
                stop_code="ServiceSchedulerInitiated",
                stopped_reason="Task failed container health checks",
            ),
            "health check",
        ),
    ],
)
def test_how_a_task_ended_names_the_rule(task: TaskState, rule: str) -> None:
    failure = failure_of(task)
    assert failure is not None
    assert failure.rule == rule


@pytest.mark.parametrize(
    "task",
    [
        replace(EXITED, last_status="RUNNING", desired_status="RUNNING", stopped_reason=""),
        replace(STOPPED, stop_code="UserInitiated", stopped_reason="Task stopped by user"),
        replace(
            STOPPED,
            stop_code="ServiceSchedulerInitiated",
            stopped_reason="Scaling activity initiated by (d2)",
        ),
        replace(STOPPED, last_status="DEPROVISIONING", stopped_reason=""),
    ],
)
def test_a_task_that_runs_or_was_stopped_on_purpose_is_no_failure(task: TaskState) -> None:
    assert failure_of(task) is None


def test_a_task_on_its_way_out_counts_as_soon_as_the_reason_is_known() -> None:
    assert failure_of(replace(EXITED, last_status="DEPROVISIONING")) is not None


def test_the_log_tells_a_wrong_architecture_from_a_plain_exit() -> None:
    failure = failure_of(EXITED, ["exec /usr/local/bin/python: exec format error"])
    assert failure is not None
    assert failure.rule == "architecture"


def test_a_log_that_mentions_a_secret_does_not_make_it_the_cause() -> None:
    failure = failure_of(EXITED, ["reading parameter x", "secret rotated", "health check enabled"])
    assert failure is not None
    assert failure.rule == "exited"


def test_a_log_says_nothing_about_a_task_that_never_ran() -> None:
    failure = failure_of(start_failure("odd"), ["exec format error"])
    assert failure is not None
    assert failure.rule == "start-up"


def test_alike_are_same_rule_same_stop_code_same_exit_codes() -> None:
    found = [
        failure_of(replace(EXITED, id=f"t{n}", exit_codes={"app": code})) for n, code in enumerate((1, 2, 1))
    ]
    failure, count = like_failures([f for f in found if f])
    assert count == 2
    assert failure is not None
    assert failure.task.id == "t2"


def test_the_platforms_failures_never_count() -> None:
    failure = failure_of(start_failure("Capacity is unavailable at this time"))
    assert failure is not None
    assert like_failures([failure, failure]) == (None, 0)


SICK = TargetState("10.0.0.1", 8000, "unhealthy", "Target.ResponseCodeMismatch", "codes: [404]")


def test_an_explanation_holds_reason_exit_code_log_target_rule_and_fix() -> None:
    text = explain(
        failure_of(EXITED), ["Traceback", "KeyError"], [SICK, replace(SICK, state="healthy", ip="10.9.9.9")]
    )
    assert text.splitlines()[:3] == [
        "task t1 failed:",
        "  Essential container in task exited",
        "  app: exit 1",
    ]
    assert "  | KeyError" in text
    assert "target 10.0.0.1:8000 unhealthy codes: [404]" in text
    assert "10.9.9.9" not in text
    assert "rule: exited" in text
    assert "fix: " in text


def test_an_explanation_fits_one_screen() -> None:
    many = [replace(SICK, ip=f"10.0.0.{n}") for n in range(50)]
    task = replace(EXITED, stopped_reason="because " * 1000)
    text = explain(failure_of(task), ["x" * 1000] * 500, many)
    assert len(text.splitlines()) <= 24
    assert max(map(len, text.splitlines())) <= 130
    assert "app: exit 1" in text


def test_an_empty_log_is_said_to_be_empty() -> None:
    assert "(no log lines)" in explain(failure_of(EXITED), [], None)


def test_without_a_failed_task_log_and_targets_still_speak() -> None:
    text = explain(None, ["listening on 127.0.0.1"], [SICK])
    assert "listening on 127.0.0.1" in text
    assert "codes: [404]" in text


def test_with_nothing_to_show_there_is_no_explanation() -> None:
    assert explain(None, [], None) == ""


def test_a_task_that_stopped_without_any_word_still_reads() -> None:
    failure = failure_of(replace(STOPPED, stop_code="TaskFailedToStart", stopped_reason=""))
    assert failure is not None
    assert failure.text == "TaskFailedToStart"
