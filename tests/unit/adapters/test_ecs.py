"""Reading ECS's answers: shapes as botocore's own models know them, every page, every error with its next step."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError, ParamValidationError
from botocore.parsers import ResponseParserError
from botocore.stub import ANY, Stubber

from pipeline.adapters.ecs import EcsService, log_stream
from pipeline.adapters.elb import ElbTargets
from pipeline.errors import (
    ConfigurationError,
    CredentialError,
    DeniedError,
    DetachedError,
    PipelineError,
    UnavailableError,
)
from pipeline.ports import OneOff
from tests.fakes.clock import FakeClock

ACCOUNT = "arn:aws:ecs:eu-west-1:123456789012"
OURS, BEFORE = f"{ACCOUNT}:task-definition/demo:8", f"{ACCOUNT}:task-definition/demo:7"
DIGEST = "sha256:" + "a" * 64
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@functools.cache
def client(name: str) -> Any:
    return boto3.client(name, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")


class Stubbed:
    def __init__(self) -> None:
        self.ecs, self.logs, self.clock = client("ecs"), client("logs"), FakeClock()
        self.stub, self.log_stub = Stubber(self.ecs), Stubber(self.logs)
        self.service = EcsService(self.ecs, self.logs, "prod", "demo", "app", self.clock)


@pytest.fixture
def stubbed() -> Iterator[Stubbed]:
    made = Stubbed()
    with made.stub, made.log_stub:
        yield made
        made.stub.assert_no_pending_responses()
        made.log_stub.assert_no_pending_responses()


def deployment(number: int, status: str, definition: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"ecs-svc/{number}",
        "status": status,
        "taskDefinition": definition,
        "desiredCount": 2,
        "pendingCount": 1,
        "runningCount": 1,
        "failedTasks": 0,
        "createdAt": NOW,
        "updatedAt": NOW,
        "launchType": "FARGATE",
        "platformVersion": "1.4.0",
        "platformFamily": "Linux",
        "networkConfiguration": NETWORK,
        "rolloutState": "IN_PROGRESS",
        "rolloutStateReason": f"ECS deployment ecs-svc/{number} in progress.",
        **more,
    }


NETWORK = {
    "awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}
}
SERVICE: dict[str, Any] = {
    "serviceArn": f"{ACCOUNT}:service/prod/demo",
    "serviceName": "demo",
    "clusterArn": f"{ACCOUNT}:cluster/prod",
    "loadBalancers": [
        {
            "targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/demo/1",
            "containerName": "app",
            "containerPort": 8000,
        }
    ],
    "status": "ACTIVE",
    "desiredCount": 2,
    "runningCount": 3,
    "pendingCount": 1,
    "launchType": "FARGATE",
    "platformVersion": "LATEST",
    "taskDefinition": OURS,
    "deploymentConfiguration": {
        "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        "maximumPercent": 200,
        "minimumHealthyPercent": 100,
    },
    "deployments": [
        deployment(3, "PRIMARY", OURS),
        deployment(
            2, "ACTIVE", BEFORE, rolloutState="COMPLETED", rolloutStateReason="ECS deployment completed."
        ),
        deployment(1, "ACTIVE", BEFORE, rolloutState="FAILED", failedTasks=3),
    ],
    "events": [
        {"id": "e2", "createdAt": NOW, "message": "(service demo) has started 1 tasks: (task 1)."},
        {"id": "e1", "createdAt": NOW, "message": "(service demo) has reached a steady state."},
    ],
    "networkConfiguration": NETWORK,
    "createdAt": NOW,
}


def task(number: int, **more: Any) -> dict[str, Any]:
    return {
        "taskArn": f"{ACCOUNT}:task/prod/{number:032x}",
        "clusterArn": f"{ACCOUNT}:cluster/prod",
        "taskDefinitionArn": OURS,
        "lastStatus": "RUNNING",
        "desiredStatus": "RUNNING",
        "healthStatus": "UNKNOWN",
        "startedBy": "ecs-svc/3",
        "group": "service:demo",
        "attachments": [
            {
                "id": "1",
                "type": "ElasticNetworkInterface",
                "status": "ATTACHED",
                "details": [
                    {"name": "subnetId", "value": "subnet-1"},
                    {"name": "privateIPv4Address", "value": f"10.0.0.{number}"},
                ],
            }
        ],
        "containers": [
            {
                "name": "app",
                "image": f"registry.test/demo@{DIGEST}",
                "imageDigest": DIGEST,
                "runtimeId": "abc-1",
                "lastStatus": "RUNNING",
                "networkInterfaces": [{"attachmentId": "1", "privateIpv4Address": f"10.0.0.{number}"}],
            }
        ],
        **more,
    }


def described(service: dict[str, Any] = SERVICE) -> dict[str, Any]:
    return {"services": [service], "failures": []}


def test_a_service_with_several_deployments_is_read_whole(stubbed: Stubbed) -> None:
    stubbed.stub.add_response("describe_services", described(), {"cluster": "prod", "services": ["demo"]})
    state = stubbed.service.describe()
    assert [(d.id, d.status, d.rollout_state, d.failed) for d in state.deployments] == [
        ("ecs-svc/3", "PRIMARY", "IN_PROGRESS", 0),
        ("ecs-svc/2", "ACTIVE", "COMPLETED", 0),
        ("ecs-svc/1", "ACTIVE", "FAILED", 3),
    ]
    assert (state.desired, state.running, state.status) == (2, 3, "ACTIVE")
    assert state.target_group.endswith("targetgroup/demo/1")
    assert state.events[0].endswith("(task 1).")
    assert state.task_definition == OURS


def test_a_deployment_without_a_rollout_state_reads_as_empty(stubbed: Stubbed) -> None:
    bare = {k: v for k, v in deployment(3, "PRIMARY", OURS).items() if not k.startswith("rolloutState")}
    service = {k: v for k, v in SERVICE.items() if k not in ("loadBalancers", "events")}
    stubbed.stub.add_response("describe_services", described({**service, "deployments": [bare]}))
    state = stubbed.service.describe()
    assert (state.deployments[0].rollout_state, state.target_group) == ("", "")


@pytest.mark.parametrize(
    "answer",
    [
        {"services": [], "failures": [{"arn": f"{ACCOUNT}:service/prod/demo", "reason": "MISSING"}]},
        {"services": [{**SERVICE, "status": "INACTIVE"}], "failures": []},
    ],
)
def test_a_service_that_is_not_there_is_a_configuration_error(
    stubbed: Stubbed, answer: dict[str, Any]
) -> None:
    stubbed.stub.add_response("describe_services", answer)
    with pytest.raises(ConfigurationError, match="cluster prod has no service demo"):
        stubbed.service.describe()


def test_a_hundred_and_fifty_tasks_are_listed_and_described_to_the_end(stubbed: Stubbed) -> None:
    running, stopped = [task(n) for n in range(120)], [task(n) for n in range(120, 150)]
    arns = [t["taskArn"] for t in running]
    base = {"cluster": "prod", "serviceName": "demo"}
    on, off = {**base, "desiredStatus": "RUNNING"}, {**base, "desiredStatus": "STOPPED"}
    stubbed.stub.add_response("list_tasks", {"taskArns": arns[:100], "nextToken": "more"}, on)
    stubbed.stub.add_response("list_tasks", {"taskArns": arns[100:]}, {**on, "nextToken": "more"})
    stubbed.stub.add_response("list_tasks", {"taskArns": [t["taskArn"] for t in stopped] + arns[:1]}, off)
    every = [*running, *stopped]
    for page in (every[:100], every[100:]):
        wanted = {"cluster": "prod", "tasks": [t["taskArn"] for t in page]}
        stubbed.stub.add_response("describe_tasks", {"tasks": page, "failures": []}, wanted)
    assert len(stubbed.service.tasks()) == 150


def test_no_tasks_need_no_describe(stubbed: Stubbed) -> None:
    stubbed.stub.add_response("list_tasks", {"taskArns": []})
    stubbed.stub.add_response("list_tasks", {"taskArns": []})
    assert list(stubbed.service.tasks()) == []


def one_task(stubbed: Stubbed, entry: dict[str, Any]) -> Any:
    stubbed.stub.add_response("list_tasks", {"taskArns": [entry["taskArn"]]})
    stubbed.stub.add_response("list_tasks", {"taskArns": []})
    stubbed.stub.add_response("describe_tasks", {"tasks": [entry], "failures": []})
    return stubbed.service.tasks()[0]


def test_a_running_task_tells_its_digest_address_and_deployment(stubbed: Stubbed) -> None:
    state = one_task(stubbed, task(5))
    assert state.id == f"{5:032x}"
    assert state.image_digests == {"app": DIGEST}
    assert (state.ip, state.started_by, state.alive) == ("10.0.0.5", "ecs-svc/3", True)
    assert state.exit_codes == {}


def test_a_stopped_task_tells_why(stubbed: Stubbed) -> None:
    container = {"name": "app", "lastStatus": "STOPPED", "exitCode": 0, "reason": "OutOfMemoryError: killed"}
    entry = task(
        5,
        lastStatus="STOPPED",
        desiredStatus="STOPPED",
        stopCode="EssentialContainerExited",
        stoppedReason="Essential container in task exited",
        containers=[container, {"name": "sidecar", "lastStatus": "STOPPED"}],
        attachments=[],
    )
    state = one_task(stubbed, entry)
    assert state.exit_codes == {"app": 0}
    assert state.container_reasons == {"app": "OutOfMemoryError: killed"}
    assert (state.stop_code, state.ip, state.ended) == ("EssentialContainerExited", "", True)


def test_the_address_is_found_on_the_container_too(stubbed: Stubbed) -> None:
    assert one_task(stubbed, task(5, attachments=[])).ip == "10.0.0.5"


def test_a_task_that_vanished_between_list_and_describe_is_left_out(stubbed: Stubbed) -> None:
    stubbed.stub.add_response("list_tasks", {"taskArns": [task(1)["taskArn"]]})
    stubbed.stub.add_response("list_tasks", {"taskArns": []})
    gone = {"tasks": [], "failures": [{"arn": task(1)["taskArn"], "reason": "MISSING"}]}
    stubbed.stub.add_response("describe_tasks", gone)
    assert list(stubbed.service.tasks()) == []


def test_update_sends_no_desired_count_unless_told_to(stubbed: Stubbed) -> None:
    sent = {"cluster": "prod", "service": "demo", "taskDefinition": OURS}
    stubbed.stub.add_response("update_service", {"service": SERVICE}, sent)
    assert stubbed.service.update(OURS) == "ecs-svc/3"
    stubbed.stub.add_response("update_service", {"service": SERVICE}, {**sent, "desiredCount": 0})
    assert stubbed.service.update(OURS, desired=0) == "ecs-svc/3"


def test_update_sends_a_configuration_whole_in_the_same_call(stubbed: Stubbed) -> None:
    configuration = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5, "maximumPercent": 200}
    sent = {
        "cluster": "prod",
        "service": "demo",
        "taskDefinition": OURS,
        "deploymentConfiguration": configuration,
    }
    stubbed.stub.add_response("update_service", {"service": SERVICE}, sent)
    assert stubbed.service.update(OURS, configuration=configuration) == "ecs-svc/3"


def test_the_second_target_group_of_a_service_that_shifts_traffic_is_read(stubbed: Stubbed) -> None:
    (balancer,) = SERVICE["loadBalancers"]
    advanced = {
        "alternateTargetGroupArn": "arn:tg/2",
        "productionListenerRule": "arn:rule",
        "roleArn": "arn:r",
    }
    service = {**SERVICE, "loadBalancers": [{**balancer, "advancedConfiguration": advanced}]}
    stubbed.stub.add_response("describe_services", described(service))
    state = stubbed.service.describe()
    assert (state.target_group, state.alternate_target_group) == (balancer["targetGroupArn"], "arn:tg/2")
    assert state.configuration == SERVICE["deploymentConfiguration"]


def test_an_update_that_answers_with_another_definition_is_not_ours(stubbed: Stubbed) -> None:
    stubbed.stub.add_response("update_service", {"service": SERVICE})
    with pytest.raises(UnavailableError, match="without a deployment of demo:7"):
        stubbed.service.update(BEFORE)


def test_a_definition_comes_with_its_tags_and_registers_without_complaint(stubbed: Stubbed) -> None:
    body = {"family": "demo", "containerDefinitions": [{"name": "app", "image": "x"}]}
    tags = [{"key": "team", "value": "x"}]
    stubbed.stub.add_response(
        "describe_task_definition",
        {"taskDefinition": {**body, "taskDefinitionArn": OURS, "revision": 8}, "tags": tags},
        {"taskDefinition": OURS, "include": ["TAGS"]},
    )
    assert stubbed.service.task_definition(OURS)["tags"] == tags
    stubbed.stub.add_response(
        "register_task_definition", {"taskDefinition": {"taskDefinitionArn": OURS}}, {**body, "tags": tags}
    )
    assert stubbed.service.register({**body, "tags": tags}) == OURS


def test_a_definition_without_tags_has_no_tags_key(stubbed: Stubbed) -> None:
    stubbed.stub.add_response("describe_task_definition", {"taskDefinition": {"family": "demo"}, "tags": []})
    assert stubbed.service.task_definition(OURS) == {"family": "demo"}


LOGGED = {
    "family": "demo",
    "containerDefinitions": [
        {
            "name": "app",
            "image": "x",
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": "/demo",
                    "awslogs-stream-prefix": "web",
                    "awslogs-region": "eu-west-1",
                },
            },
        }
    ],
}


def add_log(stubbed: Stubbed, *lines: str) -> None:
    stubbed.stub.add_response("describe_task_definition", {"taskDefinition": LOGGED})
    stream = f"web/app/{1:032x}"
    wanted = {"logGroupName": "/demo", "logStreamName": stream, "limit": ANY}
    stubbed.log_stub.add_response(
        "get_log_events", {"events": [{"message": f"{line}\n"} for line in lines]}, wanted
    )


FAMILY = {"cluster": "prod", "family": "demo", "desiredStatus": "STOPPED", "maxResults": 100}


def none_begun(stubbed: Stubbed, name: str = "x") -> None:
    for filters in ({"cluster": "prod", "startedBy": name, "maxResults": 100}, FAMILY):
        stubbed.stub.add_response("list_tasks", {"taskArns": []}, filters)


def test_one_off_runs_as_the_service_would_and_says_its_log(stubbed: Stubbed) -> None:
    none_begun(stubbed, "migration-1")
    stopped = task(
        1,
        lastStatus="STOPPED",
        desiredStatus="STOPPED",
        stopCode="EssentialContainerExited",
        stoppedReason="Essential container in task exited",
        containers=[{"name": "app", "exitCode": 3}],
    )
    stubbed.stub.add_response("describe_services", described())
    stubbed.stub.add_response(
        "run_task",
        {"tasks": [task(1, lastStatus="PROVISIONING")], "failures": []},
        {
            "cluster": "prod",
            "taskDefinition": OURS,
            "count": 1,
            "startedBy": "migration-1",
            "overrides": {
                "containerOverrides": [{"name": "app", "command": ["python", "-m", "app.migrate"]}]
            },
            "clientToken": ANY,
            "launchType": "FARGATE",
            "platformVersion": "LATEST",
            "networkConfiguration": NETWORK,
        },
    )
    stubbed.stub.add_response("describe_tasks", {"tasks": [task(1)], "failures": []})
    stubbed.stub.add_client_error("describe_tasks", "ThrottlingException", "Rate exceeded", 400)
    stubbed.stub.add_response("describe_tasks", {"tasks": [stopped], "failures": []})
    add_log(stubbed, "migrating", "no such column")
    said: list[str] = []
    end = stubbed.service.run_once(OURS, ["python", "-m", "app.migrate"], "migration-1", said.append)
    assert end == OneOff(3, "Essential container in task exited", ("migrating", "no such column"))
    assert said[1:] == ["migrating", "no such column"]


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (
            {"capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]},
            {
                "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
                "platformVersion": "LATEST",
            },
        ),
        ({"launchType": "EC2", "platformVersion": "LATEST"}, {"launchType": "EC2"}),
        ({"launchType": "EC2", "platformVersion": ""}, {"launchType": "EC2"}),
    ],
)
def test_one_off_uses_the_services_own_capacity(
    stubbed: Stubbed, service: dict[str, Any], expected: dict[str, Any]
) -> None:
    none_begun(stubbed)
    stubbed.stub.add_response("describe_services", described({**SERVICE, **service}))
    fixed = dict.fromkeys(
        ("cluster", "taskDefinition", "count", "startedBy", "overrides", "clientToken"), ANY
    )
    stubbed.stub.add_response(
        "run_task",
        {"tasks": [], "failures": [{"reason": "RESOURCE:MEMORY", "detail": "no room"}]},
        {**fixed, **expected, "networkConfiguration": NETWORK},
    )
    assert stubbed.service.run_once(OURS, ["x"], "x", print) == OneOff(None, "RESOURCE:MEMORY no room")


def start_one_off(stubbed: Stubbed) -> None:
    none_begun(stubbed)
    stubbed.stub.add_response("describe_services", described({**SERVICE, "launchType": ""}))
    stubbed.stub.add_response("run_task", {"tasks": [task(1)], "failures": []})


def test_one_off_that_could_not_start_has_no_exit_code(stubbed: Stubbed) -> None:
    start_one_off(stubbed)
    reason = "CannotPullContainerError: manifest unknown"
    stopped = task(
        1, lastStatus="STOPPED", stoppedReason=reason, containers=[{"name": "app", "reason": "pull"}]
    )
    stubbed.stub.add_response("describe_tasks", {"tasks": [stopped], "failures": []})
    for _ in range(11):
        add_log(stubbed)
    assert stubbed.service.run_once(OURS, ["x"], "x", print) == OneOff(None, f"{reason}; pull")


def test_one_off_that_never_ends_is_left_with_the_command_to_look(stubbed: Stubbed) -> None:
    service = EcsService(stubbed.ecs, stubbed.logs, "prod", "demo", "app", stubbed.clock, one_off_timeout=2.0)
    start_one_off(stubbed)
    for _ in range(3):
        stubbed.stub.add_response("describe_tasks", {"tasks": [task(1)], "failures": []})
    with pytest.raises(DetachedError, match="still runs after 2 s") as caught:
        service.run_once(OURS, ["x"], "x", print)
    assert "aws ecs describe-tasks --cluster prod" in caught.value.hint


def test_one_off_gives_up_on_an_api_that_stays_silent(stubbed: Stubbed) -> None:
    service = EcsService(stubbed.ecs, stubbed.logs, "prod", "demo", "app", stubbed.clock, silence=1.0)
    start_one_off(stubbed)
    for _ in range(3):
        stubbed.stub.add_client_error("describe_tasks", "ServerException", "down", 500)
    with pytest.raises(DetachedError, match=r"down .* – detached: one-off task 0+1 goes on without us"):
        service.run_once(OURS, ["x"], "x", print)


def test_one_off_whose_start_is_not_answered_perhaps_runs(stubbed: Stubbed) -> None:
    none_begun(stubbed)
    stubbed.stub.add_response("describe_services", described({**SERVICE, "launchType": ""}))
    stubbed.stub.add_client_error("run_task", "ServerException", "down", 500)
    with pytest.raises(DetachedError, match="perhaps runs") as caught:
        stubbed.service.run_once(OURS, ["x"], "x", print)
    assert "run the same command again" in caught.value.hint


def test_one_off_that_still_runs_is_waited_for_and_no_other_is_started(stubbed: Stubbed) -> None:
    ours = {**task(1), "startedBy": "x"}
    stopped = {**ours, "lastStatus": "STOPPED", "containers": [{"name": "app", "exitCode": 0}]}
    stubbed.stub.add_response("list_tasks", {"taskArns": [ours["taskArn"]]})
    for seen in (ours, ours, stopped):
        stubbed.stub.add_response("describe_tasks", {"tasks": [seen], "failures": []})
    add_log(stubbed, "migrated")
    said: list[str] = []
    end = stubbed.service.run_once(OURS, ["x"], "x", said.append)
    assert (end.exit_code, end.log_lines) == (0, ("migrated",))
    assert "was begun by an earlier run" in said[0]
    stubbed.stub.assert_no_pending_responses()


@pytest.mark.parametrize(("code", "by", "taken"), [(0, "x", True), (1, "x", False), (0, "y", False)])
def test_one_off_that_has_ended_is_taken_where_it_is_ours_and_ended_well(
    stubbed: Stubbed, code: int, by: str, taken: bool
) -> None:
    ended = {
        **task(1),
        "startedBy": by,
        "lastStatus": "STOPPED",
        "containers": [{"name": "app", "exitCode": code}],
    }
    stubbed.stub.add_response("list_tasks", {"taskArns": []})
    stubbed.stub.add_response("list_tasks", {"taskArns": [], "nextToken": "more"}, FAMILY)
    stubbed.stub.add_response("list_tasks", {"taskArns": [ended["taskArn"]]}, {**FAMILY, "nextToken": "more"})
    stubbed.stub.add_response("describe_tasks", {"tasks": [ended], "failures": []})
    if taken:
        stubbed.stub.add_response("describe_tasks", {"tasks": [ended], "failures": []})
        add_log(stubbed, "migrated")
    else:
        stubbed.stub.add_response("describe_services", described({**SERVICE, "launchType": ""}))
        stubbed.stub.add_response("run_task", {"tasks": [], "failures": [{"reason": "RESOURCE:MEMORY"}]})
    assert stubbed.service.run_once(OURS, ["x"], "x", print).exit_code == (0 if taken else None)
    stubbed.stub.assert_no_pending_responses()


def test_one_off_whose_log_cannot_be_read_has_ended_as_it_did(stubbed: Stubbed) -> None:
    start_one_off(stubbed)
    stopped = task(1, lastStatus="STOPPED", containers=[{"name": "app", "exitCode": 0}])
    stubbed.stub.add_response("describe_tasks", {"tasks": [stopped], "failures": []})
    stubbed.stub.add_client_error("describe_task_definition", "ServerException", "down", 500)
    end = stubbed.service.run_once(OURS, ["x"], "x", print)
    assert end.exit_code == 0
    assert "the log cannot be read" in end.log_lines[0]


def test_one_off_gives_up_at_once_when_the_credential_expires(stubbed: Stubbed) -> None:
    start_one_off(stubbed)
    stubbed.stub.add_client_error("describe_tasks", "ExpiredTokenException", "expired", 400)
    with pytest.raises(DetachedError, match="expired"):
        stubbed.service.run_once(OURS, ["x"], "x", print)


def test_the_last_log_lines_of_a_task(stubbed: Stubbed) -> None:
    stubbed.stub.add_response("describe_tasks", {"tasks": [task(1)], "failures": []})
    add_log(stubbed, "a", "b")
    assert list(stubbed.service.log_lines(f"{1:032x}", 2)) == ["a", "b"]


def test_a_log_stream_that_is_not_there_yet_is_empty(stubbed: Stubbed) -> None:
    stubbed.stub.add_response("describe_tasks", {"tasks": [task(1)], "failures": []})
    stubbed.stub.add_response("describe_task_definition", {"taskDefinition": LOGGED})
    stubbed.log_stub.add_client_error("get_log_events", "ResourceNotFoundException", "no stream", 400)
    assert list(stubbed.service.log_lines(f"{1:032x}", 2)) == []


def test_a_task_that_is_forgotten_or_logs_elsewhere_has_no_lines(stubbed: Stubbed) -> None:
    stubbed.stub.add_response("describe_tasks", {"tasks": [], "failures": []})
    assert list(stubbed.service.log_lines("gone", 2)) == []
    stubbed.stub.add_response("describe_tasks", {"tasks": [task(1)], "failures": []})
    stubbed.stub.add_response("describe_task_definition", {"taskDefinition": {"containerDefinitions": []}})
    assert list(stubbed.service.log_lines("1", 2)) == []


def test_without_a_prefix_the_stream_is_the_containers_runtime_id() -> None:
    options = {"awslogs-group": "/demo"}
    container = {"name": "app", "logConfiguration": {"logDriver": "awslogs", "options": options}}
    definition = {"containerDefinitions": [container]}
    assert log_stream(definition, "app", task(1)) == ("/demo", "abc-1")
    assert log_stream(definition, "app", {**task(1), "containers": []}) is None


ERRORS = {
    "ThrottlingException": (UnavailableError, "throttles"),
    "ProvisionedThroughputExceededException": (UnavailableError, "throttles"),
    "ServerException": (UnavailableError, "busy"),
    "ExpiredTokenException": (CredentialError, "renew the credential"),
    "UnrecognizedClientException": (CredentialError, "renew the credential"),
    "AccessDeniedException": (DeniedError, "allow this action"),
    "ClusterNotFoundException": (ConfigurationError, "check the names"),
    "InvalidParameterException": (ConfigurationError, "mend what the message names"),
}


@pytest.mark.parametrize("code", ERRORS)
def test_every_refusal_says_the_call_the_reason_and_the_next_step(stubbed: Stubbed, code: str) -> None:
    family, hint = ERRORS[code]
    stubbed.stub.add_client_error("describe_services", code, "because", 400)
    with pytest.raises(PipelineError) as caught:
        stubbed.service.describe()
    assert type(caught.value) is family
    assert caught.value.message == f"ecs:DescribeServices prod/demo: because ({code})"
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("error", "family"),
    [
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), UnavailableError),
        (NoCredentialsError(), UnavailableError),
        (ResponseParserError("not well-formed: <html>"), UnavailableError),
        (ParamValidationError(report="bad"), ConfigurationError),
    ],
)
def test_what_never_reached_aws_is_told_too(error: Exception, family: type[PipelineError]) -> None:
    def fail(**_: Any) -> None:
        raise error

    service = EcsService(_Failing(fail), None, "prod", "demo", "app", FakeClock())
    with pytest.raises(family):
        service.describe()


class _Failing:
    def __init__(self, call: Callable[..., None]) -> None:
        self.describe_services = call


def test_every_target_is_read_with_its_reason() -> None:
    elbv2 = client("elbv2")
    arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/demo/1"
    descriptions = [
        {
            "Target": {"Id": "10.0.0.1", "Port": 8000, "AvailabilityZone": "eu-west-1a"},
            "HealthCheckPort": "8000",
            "TargetHealth": {"State": "healthy"},
        },
        {
            "Target": {"Id": "10.0.0.2", "Port": 8000},
            "TargetHealth": {
                "State": "unhealthy",
                "Reason": "Target.ResponseCodeMismatch",
                "Description": "Health checks failed with these codes: [500]",
            },
        },
    ]
    with Stubber(elbv2) as stub:
        stub.add_response(
            "describe_target_health", {"TargetHealthDescriptions": descriptions}, {"TargetGroupArn": arn}
        )
        states = ElbTargets(elbv2, arn).states()
    assert [(s.ip, s.port, s.state, s.reason) for s in states] == [
        ("10.0.0.1", 8000, "healthy", ""),
        ("10.0.0.2", 8000, "unhealthy", "Target.ResponseCodeMismatch"),
    ]
    assert "[500]" in states[1].description


def test_both_target_groups_are_read_and_told_apart() -> None:
    elbv2 = client("elbv2")
    with Stubber(elbv2) as stub:
        for group, ip in (("arn:tg/blue", "10.0.0.1"), ("arn:tg/green", "10.0.0.2")):
            target = {"Target": {"Id": ip, "Port": 80}, "TargetHealth": {"State": "healthy"}}
            stub.add_response(
                "describe_target_health", {"TargetHealthDescriptions": [target]}, {"TargetGroupArn": group}
            )
        states = ElbTargets(elbv2, "arn:tg/blue", "arn:tg/green").states()
    assert [(s.ip, s.group) for s in states] == [("10.0.0.1", "arn:tg/blue"), ("10.0.0.2", "arn:tg/green")]
