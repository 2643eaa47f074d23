"""The local cloud's ECS, on real containers: it believes health, not running; it drains; it tells what failed."""

from __future__ import annotations

from functools import partial

import docker
import pytest

from pipeline.model.digest import ImageRef
from tests.system.cloud_in_hand import APP, CloudInHand
from tests.system.steady_load import Request, SteadyLoad

GOOD, OTHER = "good", "good-2"
MIX = (Request("GET", "/x"), Request("POST", "/x", b"x=1"))


def test_rollouts_back_and_forth_under_load_lose_no_request(local_cloud: CloudInHand) -> None:
    local_cloud.serving("prod", GOOD, 2)

    with SteadyLoad(local_cloud.endpoints.urls["prod"], rate=100, mix=MIX) as load:
        for mode in (OTHER, GOOD, OTHER):
            local_cloud.serving("prod", mode, 2)

    assert load.tally.failed == 0, load.tally.errors
    assert load.tally.sent > 300
    assert set(load.tally.kinds) == {"GET kept", "GET new", "POST kept", "POST new"}


def test_a_task_that_is_killed_without_draining_loses_requests(local_cloud: CloudInHand) -> None:
    """Else the test before could not fail."""
    local_cloud.serving("staging", GOOD)
    (task,) = running(local_cloud)

    with SteadyLoad(local_cloud.endpoints.urls["staging"], rate=100, mix=MIX) as load:
        local_cloud.wait(lambda: load.tally.sent, lambda sent: sent > 50)
        before = load.tally.failed
        local_cloud.engine.containers.get(task["containers"][0]["runtimeId"]).kill("SIGKILL")
        local_cloud.wait(lambda: load.tally.failed, bool)
        local_cloud.wait(
            lambda: running(local_cloud), lambda tasks: tasks and tasks[0]["taskArn"] != task["taskArn"]
        )

    assert before == 0
    assert load.tally.failed > 0
    local_cloud.wait(lambda: local_cloud.answer("staging"), lambda found: found["status"] == 200)


@pytest.mark.parametrize("mode", ["deaf", "ill"])
def test_an_image_that_never_gets_healthy_is_rolled_back_and_the_old_one_serves(
    local_cloud: CloudInHand, mode: str
) -> None:
    good = local_cloud.serving("staging", GOOD)
    arn = local_cloud.register("staging", local_cloud.image(mode))
    mine = local_cloud.begin("staging", arn, 1)

    failed = local_cloud.wait(
        lambda: next(d for d in local_cloud.service("staging")["deployments"] if d["id"] == mine),
        lambda d: d["rolloutState"] != "IN_PROGRESS",
    )

    assert failed["rolloutState"] == "FAILED"
    assert failed["failedTasks"] == 3
    assert local_cloud.answer("staging")["mode"] == "good"
    local_cloud.wait(lambda: local_cloud.service("staging"), lambda s: s["taskDefinition"] != arn)
    assert runs(local_cloud, good)
    task = local_cloud.wait(lambda: local_cloud.stopped("staging", arn), lambda tasks: len(tasks) > 0)[0]
    assert task["stoppedReason"].startswith("Task failed ELB health checks in (target-group arn:")
    assert task["stopCode"] == "ServiceSchedulerInitiated"
    messages = [event["message"] for event in local_cloud.service("staging")["events"]]
    assert any("is unhealthy in (target-group" in message for message in messages)


@pytest.mark.parametrize(
    ("mode", "code", "reason"),
    [
        ("exits", "EssentialContainerExited", "Essential container in task exited"),
        ("missing", "TaskFailedToStart", "CannotPullContainerError: manifest for "),
    ],
)
def test_an_image_that_does_not_stay_up_fails_its_deployment_with_the_reason(
    local_cloud: CloudInHand, mode: str, code: str, reason: str
) -> None:
    good = local_cloud.serving("staging", GOOD)
    image = local_cloud.releases.missing() if mode == "missing" else local_cloud.image(mode)

    assert not local_cloud.deploy("staging", image)

    arn = latest(local_cloud)
    tasks = local_cloud.wait(lambda: local_cloud.stopped("staging", arn), lambda found: len(found) == 3)
    assert {task["stopCode"] for task in tasks} == {code}
    assert all(task["stoppedReason"].startswith(reason) for task in tasks)
    assert runs(local_cloud, good)


def test_after_a_failed_deployment_the_service_is_called_stable_again(local_cloud: CloudInHand) -> None:
    local_cloud.serving("staging", GOOD)
    assert not local_cloud.deploy("staging", local_cloud.releases.missing())

    waiter = local_cloud.client("ecs").get_waiter("services_stable")
    waiter.wait(cluster=f"{APP}-staging", services=[APP], WaiterConfig={"Delay": 1, "MaxAttempts": 90})

    assert len(local_cloud.service("staging")["deployments"]) == 1


def test_a_first_deployment_whose_tasks_crash_is_never_called_complete(local_cloud: CloudInHand) -> None:
    ecs = local_cloud.client("ecs")
    arn = local_cloud.register("staging", local_cloud.image("exits"))
    network = local_cloud.service("staging")["networkConfiguration"]
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    cluster = f"{APP}-staging"
    born = ecs.create_service(
        cluster=cluster,
        serviceName="newborn",
        taskDefinition=arn,
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration=network,
        deploymentConfiguration=breaker,
    )["service"]
    try:
        assert born["deployments"][0]["rolloutState"] == "IN_PROGRESS"
        end = local_cloud.wait(
            lambda: ecs.describe_services(cluster=cluster, services=["newborn"])["services"][0][
                "deployments"
            ][0],
            lambda d: d["rolloutState"] != "IN_PROGRESS",
        )
        assert end["rolloutState"] == "FAILED"
    finally:
        ecs.delete_service(cluster=cluster, service="newborn", force=True)


def test_targets_are_initial_then_healthy_and_the_old_ones_drain(local_cloud: CloudInHand) -> None:
    local_cloud.serving("staging", GOOD)
    local_cloud.begin("staging", local_cloud.register("staging", local_cloud.image("late")), 1)
    seen: set[str] = set()

    def look() -> set[str]:
        seen.update(local_cloud.health("staging"))
        return seen

    local_cloud.wait(look, lambda s: {"healthy", "draining:Target.DeregistrationInProgress"} <= s)

    assert "initial:Elb.InitialHealthChecking" in seen
    local_cloud.wait(lambda: local_cloud.health("staging"), lambda states: states == ["healthy"])


def test_a_running_task_that_stops_answering_is_told_unhealthy_and_replaced(local_cloud: CloudInHand) -> None:
    local_cloud.serving("staging", GOOD)
    (task,) = running(local_cloud)
    container = local_cloud.engine.containers.get(task["containers"][0]["runtimeId"])
    container.pause()
    try:
        local_cloud.wait(
            lambda: running(local_cloud), lambda tasks: tasks and tasks[0]["taskArn"] != task["taskArn"]
        )
    finally:
        unpause(container)

    local_cloud.wait(lambda: local_cloud.answer("staging"), lambda found: found["status"] == 200)
    ended = local_cloud.ended("staging", task["taskArn"])
    assert ended["stoppedReason"].startswith("Task failed ELB health checks")


def test_a_stopped_task_gets_sigterm_then_sigkill_and_its_real_exit_code_is_recorded(
    local_cloud: CloudInHand,
) -> None:
    ecs = local_cloud.client("ecs")
    codes = {}
    for mode in (GOOD, "deaf"):
        arn = local_cloud.register("staging", local_cloud.image(mode), stopTimeout=2)
        network = local_cloud.service("staging")["networkConfiguration"]
        begun = ecs.run_task(cluster=f"{APP}-staging", taskDefinition=arn, networkConfiguration=network)[
            "tasks"
        ][0]
        local_cloud.wait(partial(began, local_cloud, begun["taskArn"]), bool)
        answer = ecs.stop_task(cluster=f"{APP}-staging", task=begun["taskArn"], reason="enough")["task"]
        assert answer["desiredStatus"] == "STOPPED"
        assert answer["lastStatus"] in ("DEACTIVATING", "STOPPING")
        codes[mode] = local_cloud.ended("staging", begun["taskArn"])["containers"][0]["exitCode"]

    assert codes == {GOOD: 0, "deaf": 137}


def test_a_task_over_its_memory_is_told_as_out_of_memory(local_cloud: CloudInHand) -> None:
    greedy = ["python3", "-c", "x = [bytearray(1 << 20) for _ in range(512)]"]
    arn = local_cloud.register("staging", local_cloud.image(GOOD), memory=48, entryPoint=greedy)

    task = local_cloud.run_once("staging", arn)

    assert task["containers"][0]["exitCode"] == 137
    assert task["containers"][0]["reason"] == "OutOfMemoryError: Container killed due to memory usage"


def test_a_one_off_task_has_secret_user_and_read_only_root_and_no_credentials(
    local_cloud: CloudInHand,
) -> None:
    script = (
        # One stream: an engine reads a container's two in no order.
        "import os, sys; sys.stderr = sys.stdout; print(os.environ['DATABASE_URL']); print(os.getuid());"
        "print(sorted(k for k in os.environ if k.startswith(('AWS_', 'ECS_')))); open('/written', 'w')"
    )
    arn = local_cloud.register(
        "staging", local_cloud.image(GOOD), user="10001", entryPoint=["python3", "-u", "-c", script]
    )

    task = local_cloud.run_once("staging", arn)

    lines = local_cloud.log_lines("staging", task["taskArn"])
    assert task["containers"][0]["exitCode"] == 1
    assert lines[:3] == [local_cloud.endpoints.database_urls["staging"], "10001", "[]"]
    assert "Read-only file system" in lines[-1]


def test_a_failing_tasks_last_words_reach_the_log(local_cloud: CloudInHand) -> None:
    arn = local_cloud.register("staging", local_cloud.image("exits"))

    task = local_cloud.run_once("staging", arn)

    assert local_cloud.log_lines("staging", task["taskArn"]) == ["began as exits", "no licence file"]


def test_a_task_says_which_digest_it_runs(local_cloud: CloudInHand) -> None:
    image = local_cloud.serving("staging", GOOD)

    (task,) = running(local_cloud)

    assert task["containers"][0]["imageDigest"] == str(image.digest)
    container = local_cloud.engine.containers.get(task["containers"][0]["runtimeId"])
    assert container.attrs["Config"]["Image"] == str(image)


def running(local_cloud: CloudInHand) -> list[dict]:  # type: ignore[type-arg]
    ecs = local_cloud.client("ecs")
    arns = ecs.list_tasks(cluster=f"{APP}-staging", serviceName=APP)["taskArns"]
    tasks = ecs.describe_tasks(cluster=f"{APP}-staging", tasks=arns)["tasks"] if arns else []
    return [task for task in tasks if task["lastStatus"] == "RUNNING"]


def began(local_cloud: CloudInHand, task: str) -> bool:
    """True once the task is running and its program has said its first line."""
    found = local_cloud.client("ecs").describe_tasks(cluster=f"{APP}-staging", tasks=[task])["tasks"][0]
    return found["lastStatus"] == "RUNNING" and bool(local_cloud.log_lines_or_none("staging", task))


def runs(local_cloud: CloudInHand, image: ImageRef) -> bool:
    return [task["containers"][0]["image"] for task in running(local_cloud)] == [str(image)]


def latest(local_cloud: CloudInHand) -> str:
    arns = local_cloud.client("ecs").list_task_definitions(familyPrefix=f"{APP}-staging")[
        "taskDefinitionArns"
    ]
    return str(max(arns, key=lambda arn: int(arn.rsplit(":", 1)[1])))


def unpause(container: docker.models.containers.Container) -> None:
    try:
        container.unpause()
    except docker.errors.APIError:  # removed meanwhile
        return


def test_a_task_definitions_health_check_decides_too(local_cloud: CloudInHand) -> None:
    local_cloud.serving("staging", GOOD)
    often = {"interval": 1, "timeout": 2, "retries": 1}
    passes = {"command": ["CMD-SHELL", "exit 0"], **often}
    fails = {"command": ["CMD-SHELL", "exit 1"], **often}

    assert local_cloud.deploy("staging", local_cloud.image(GOOD), healthCheck=passes)
    (task,) = running(local_cloud)
    assert task["healthStatus"] == "HEALTHY"

    arn = local_cloud.register("staging", local_cloud.image(GOOD), healthCheck=fails)
    local_cloud.begin("staging", arn, 1)
    ended = local_cloud.wait(lambda: local_cloud.stopped("staging", arn), lambda tasks: len(tasks) > 0)[0]
    assert ended["stoppedReason"] == "Task failed container health checks"
