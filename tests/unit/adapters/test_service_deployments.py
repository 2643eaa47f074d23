"""Service deployments from the wire to the decision, for every state and strategy.

The bodies under `data/` are in the form of the examples in AWS's API reference and CLI documentation. Botocore's own
parser reads them and its validator checks what comes out against its model of the API.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.parsers import create_parser
from botocore.stub import Stubber
from botocore.validate import ParamValidator

from pipeline.adapters.ecs import EcsService
from pipeline.errors import ConfigurationError, UnavailableError
from pipeline.model.digest import Digest
from pipeline.model.rollout import Action, Aim, RolloutPolicy, Sight, Step, next_step, observe
from pipeline.model.service import DeploymentState, Previous, ServiceState, TargetState, TaskState
from pipeline.model.service_deployment import ServiceDeployment
from pipeline.model.strategy import UNDECLARED, Kind, Strategy, straight_back, wanted_configuration
from tests.fakes.clock import FakeClock

DATA = Path(__file__).parent / "data"
STATES = sorted(path.stem for path in (DATA / "service_deployments").glob("*.json"))
ARN = "arn:aws:ecs:us-east-1:123456789012"
OURS, BEFORE = f"{ARN}:task-definition/webserver:5", f"{ARN}:task-definition/webserver:4"
DEPLOYMENT, OLD = "ecs-svc/1485800978477494678", "ecs-svc/8137480978477494001"
MINE = f"{ARN}:service-deployment/example-cluster/example-service/ejGvqq2ilnbKT9qj0vLJe"
DIGEST = Digest("sha256:" + "a" * 64)
POLICY = RolloutPolicy(deadline=300.0, stay_up=0.0)


@functools.cache
def client() -> Any:
    return boto3.client("ecs", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


def operation(name: str) -> Any:
    return client().meta.service_model.operation_model(name)


def read(name: str, path: str) -> dict[str, Any]:
    """A body as botocore gives it to us."""
    body = (DATA / f"{path}.json").read_bytes()
    answer = {"body": body, "headers": {}, "status_code": 200}
    parsed: dict[str, Any] = create_parser("json").parse(answer, operation(name).output_shape)
    parsed.pop("ResponseMetadata")
    return parsed


def described(state: str) -> dict[str, Any]:
    return read("DescribeServiceDeployments", f"service_deployments/{state}")


class Stubbed:
    def __init__(self) -> None:
        self.stub = Stubber(client())
        self.service = EcsService(client(), None, "example-cluster", "example-service", "app", FakeClock())

    def tell(self, state: str) -> Any:
        self.stub.add_response(
            "list_service_deployments", read("ListServiceDeployments", "list_service_deployments")
        )
        self.stub.add_response(
            "describe_service_deployments", described(state), {"serviceDeploymentArns": [MINE]}
        )
        self.stub.add_response(
            "describe_service_revisions", read("DescribeServiceRevisions", "describe_service_revisions")
        )
        found = self.service.service_deployments()
        assert found is not None
        return found


@pytest.fixture
def stubbed() -> Iterator[Stubbed]:
    made = Stubbed()
    with made.stub:
        yield made
        made.stub.assert_no_pending_responses()


def names_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from names_in(inner)
    if isinstance(value, list):
        for inner in value:
            yield from names_in(inner)


@pytest.mark.parametrize("state", STATES)
def test_every_recorded_key_is_one_that_botocore_knows(state: str) -> None:
    raw = json.loads((DATA / "service_deployments" / f"{state}.json").read_text("utf-8"))
    assert sorted(names_in(described(state))) == sorted(names_in(raw))


def test_every_state_of_the_api_is_recorded_and_no_other() -> None:
    shape = client().meta.service_model.shape_for("ServiceDeploymentStatus")
    assert {described(state)["serviceDeployments"][0]["status"] for state in STATES} == set(shape.enum)


def test_every_strategy_of_the_api_is_recorded_and_known() -> None:
    shape = client().meta.service_model.shape_for("DeploymentStrategy")
    told = [described(state)["serviceDeployments"][0]["deploymentConfiguration"] for state in STATES]
    assert {configuration.get("strategy", "ROLLING") for configuration in told} == set(shape.enum)
    assert {kind.value for kind in Kind} == set(shape.enum)


# -- what is decided --------------------------------------------------------------------------------------------------

WAITS = Action.WAIT
DECIDED: dict[str, tuple[Action, str]] = {
    "pending": (WAITS, "ECS to start service deployment ejGvqq2ilnbKT9qj0vLJe (PENDING)"),
    "rolling_in_progress": (WAITS, "ECS to call the deployment complete"),
    "rolling_successful": (Action.DONE, "complete and healthy"),
    "stop_requested": (WAITS, "to stop: somebody asked for it"),
    "stopped_by_somebody": (Action.SUPERSEDED, "somebody stopped service deployment ejGvqq2ilnbKT9qj0vLJe"),
    "stopped_by_circuit_breaker": (Action.ROLL_BACK, "circuit breaker: 3 failed tasks of 3 tolerated"),
    "rollback_requested": (Action.ROLL_BACK, "rollback requested by user"),
    "rollback_in_progress": (Action.ROLL_BACK, "ECS went back to webserver:4"),
    "rollback_successful": (Action.ROLL_BACK, "circuit breaker threshold was exceeded"),
    "rollback_failed": (Action.STUCK, "No rollback candidate was found"),
    "blue_green_scale_up": (WAITS, "blue/green: 0 % of traffic on the new revision, starting the new tasks"),
    "blue_green_baking": (WAITS, "blue/green: 100 % of traffic on the new revision, baking, 5 min left"),
    "blue_green_paused": (
        WAITS,
        "somebody to continue the deployment: it is paused at hook ecs-pause-e7tK9G",
    ),
    "linear_shifting": (WAITS, "linear: 50 % of traffic on the new revision, baking, 2 min left"),
    "canary_shifting": (WAITS, "canary: 10 % of traffic on the new revision, baking, 10 min left"),
    "canary_alarm": (Action.ROLL_BACK, "alarms fired: prod-5xx"),
    "canary_successful": (Action.DONE, "complete and healthy"),
}


def sight(found: Any, *, rollout_state: str = "") -> Sight:
    """Both versions run, each in its own target group; ours is healthy."""
    ours = DeploymentState(DEPLOYMENT, "PRIMARY", OURS, rollout_state, "", 2, 2, 0)
    old = DeploymentState(OLD, "ACTIVE", BEFORE, rollout_state, "", 2, 2, 0)
    service = ServiceState(f"{ARN}:service/c/s", "ACTIVE", OURS, 2, 4, (ours, old), "blue")
    tasks = [
        TaskState(f"t{n}", OURS, "RUNNING", "RUNNING", "UNKNOWN", {"app": DIGEST.value}, f"10.0.0.{n}")
        for n in (1, 2)
    ]
    targets = [TargetState(f"10.0.0.{n}", 80, "healthy", group="green") for n in (1, 2)]
    targets += [TargetState(f"10.0.0.{n}", 80, "healthy", group="blue") for n in (8, 9)]
    return Sight(5.0, service, tasks, targets, found)


AIM = Aim(DEPLOYMENT, OURS, frozenset({DIGEST}), "app", Previous(BEFORE, OLD), frozenset({OLD}), tells=True)


def decided(found: Any, aim: Aim = AIM) -> Step:
    return next_step(observe(aim, sight(found), POLICY), POLICY)


def test_every_recorded_state_has_its_decision() -> None:
    assert sorted(DECIDED) == STATES


@pytest.mark.parametrize("state", DECIDED)
def test_from_the_wire_to_the_decision(stubbed: Stubbed, state: str) -> None:
    step = decided(stubbed.tell(state))
    action, text = DECIDED[state]
    assert step.action is action
    assert text in step.reason.text
    assert step.by_ecs is (state.startswith("rollback") or state == "canary_alarm")


@pytest.mark.parametrize("state", [s for s in DECIDED if DECIDED[s][0] is not Action.DONE])
def test_a_deployment_that_looks_complete_is_none_until_its_own_state_says_so(
    stubbed: Stubbed, state: str
) -> None:
    seen = sight(stubbed.tell(state), rollout_state="COMPLETED")
    assert next_step(observe(AIM, seen, POLICY), POLICY).action is not Action.DONE


def test_before_anything_is_listed_ours_is_waited_for() -> None:
    step = decided([])
    assert step.action is Action.WAIT
    assert step.reason.text == "the service deployment of webserver:5 to be listed"


# -- what is read -----------------------------------------------------------------------------------------------------


def test_everything_of_a_canary_is_read(stubbed: Stubbed) -> None:
    (found,) = stubbed.tell("canary_alarm")
    assert isinstance(found, ServiceDeployment)
    assert (found.arn, found.name, found.status) == (MINE, "ejGvqq2ilnbKT9qj0vLJe", "ROLLBACK_IN_PROGRESS")
    assert (found.task_definition, found.returns_to, found.replaces) == (OURS, BEFORE, frozenset({BEFORE}))
    assert (found.requested, found.running, found.pending, found.traffic) == (2, 2, 0, 0.0)
    assert found.strategy == Strategy(Kind.CANARY, 10.0, 600.0, 300.0, ("prod-5xx", "prod-latency"))
    assert (found.tripped, found.alarms, found.failures, found.threshold) == (True, ("prod-5xx",), 0, 3)
    assert found.created_at == datetime(2024, 10, 31, 12, 3, 30, 917000, tzinfo=UTC)
    assert found.stage == "PRODUCTION_TRAFFIC_SHIFT"
    assert found.revision.endswith("/1485800978477494678")


def test_revisions_are_asked_for_once(stubbed: Stubbed) -> None:
    stubbed.tell("rolling_in_progress")
    stubbed.stub.add_response(
        "list_service_deployments", read("ListServiceDeployments", "list_service_deployments")
    )
    stubbed.stub.add_response("describe_service_deployments", described("rolling_successful"))
    found = stubbed.service.service_deployments()
    assert found is not None
    assert (found[0].status, found[0].task_definition) == ("SUCCESSFUL", OURS)


def test_where_revisions_may_not_be_read_the_number_still_tells_which_is_ours(stubbed: Stubbed) -> None:
    stubbed.stub.add_response(
        "list_service_deployments", read("ListServiceDeployments", "list_service_deployments")
    )
    stubbed.stub.add_response("describe_service_deployments", described("rollback_in_progress"))
    stubbed.stub.add_client_error("describe_service_revisions", "AccessDeniedException", "no", 400)
    found = stubbed.service.service_deployments()
    assert found is not None
    assert (found[0].task_definition, found[0].returns_to, found[0].replaces) == ("", "", frozenset())
    assert decided(found).action is Action.ROLL_BACK


def brief(number: int, created: datetime | None) -> dict[str, Any]:
    dated = {"createdAt": created} if created else {}
    return {"serviceDeploymentArn": f"{MINE}{number}", "status": "SUCCESSFUL", **dated}


def entry(number: int, created: datetime | None) -> dict[str, Any]:
    dated = {"createdAt": created} if created else {}
    return {"serviceDeploymentArn": f"{MINE}{number}", "status": "SUCCESSFUL", **dated}


NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_lists_are_paged_to_the_end_and_the_newest_twenty_described(stubbed: Stubbed) -> None:
    """Neither the order of the list nor that of the answer is promised; one without a date is the newest."""
    dates = {n: NOW + timedelta(minutes=n) for n in range(130)}
    where = {"cluster": "example-cluster", "service": "example-service", "maxResults": 100}
    first = [brief(n, dates[n]) for n in range(100)]
    second = [brief(n, dates[n]) for n in range(100, 130)] + [brief(999, None)]
    stubbed.stub.add_response(
        "list_service_deployments", {"serviceDeployments": first, "nextToken": "more"}, where
    )
    stubbed.stub.add_response(
        "list_service_deployments", {"serviceDeployments": second}, {**where, "nextToken": "more"}
    )
    newest = [999, *range(129, 110, -1)]
    entries = [entry(n, dates.get(n)) for n in reversed(newest)]
    stubbed.stub.add_response(
        "describe_service_deployments",
        {"serviceDeployments": entries},
        {"serviceDeploymentArns": [f"{MINE}{n}" for n in newest]},
    )
    found = stubbed.service.service_deployments()
    assert found is not None
    assert [f.arn.removeprefix(MINE) for f in found] == [str(n) for n in newest]


def test_only_what_is_not_older_is_asked_for_when_told_so(stubbed: Stubbed) -> None:
    stubbed.stub.add_response(
        "list_service_deployments",
        {"serviceDeployments": []},
        {
            "cluster": "example-cluster",
            "service": "example-service",
            "maxResults": 100,
            "createdAt": {"after": NOW - timedelta(seconds=1)},
        },
    )
    assert stubbed.service.service_deployments(NOW) == []


@pytest.mark.parametrize("call", ["list_service_deployments", "describe_service_deployments"])
@pytest.mark.parametrize(
    "code", ["UnknownOperationException", "UnsupportedFeatureException", "AccessDeniedException"]
)
def test_an_api_that_does_not_tell_them_is_no_error(stubbed: Stubbed, call: str, code: str) -> None:
    if call != "list_service_deployments":
        stubbed.stub.add_response(
            "list_service_deployments", read("ListServiceDeployments", "list_service_deployments")
        )
    stubbed.stub.add_client_error(call, code, "no", 400)
    assert stubbed.service.service_deployments() is None


@pytest.mark.parametrize(
    ("code", "family"),
    [
        ("ThrottlingException", UnavailableError),
        ("ExpiredTokenException", UnavailableError),
        ("ServiceNotFoundException", ConfigurationError),
    ],
)
def test_any_other_refusal_is_one(stubbed: Stubbed, code: str, family: type[Exception]) -> None:
    stubbed.stub.add_client_error("list_service_deployments", code, "no", 400)
    with pytest.raises(family, match="ecs:ListServiceDeployments example-cluster/example-service"):
        stubbed.service.service_deployments()


def test_ecs_is_asked_to_roll_back_and_nothing_else(stubbed: Stubbed) -> None:
    stubbed.stub.add_response(
        "stop_service_deployment",
        {"serviceDeploymentArn": MINE},
        {"serviceDeploymentArn": MINE, "stopType": "ROLLBACK"},
    )
    stubbed.service.roll_back(MINE)
    stubbed.stub.add_client_error("stop_service_deployment", "ConflictException", "it has ended", 400)
    with pytest.raises(ConfigurationError, match="it has ended"):
        stubbed.service.roll_back(MINE)


# -- what is sent -----------------------------------------------------------------------------------------------------

LIVE = {
    "maximumPercent": 200,
    "minimumHealthyPercent": 100,
    "strategy": "ROLLING",
    "bakeTimeInMinutes": 0,
    "alarms": {"alarmNames": [], "rollback": False, "enable": False},
    "deploymentCircuitBreaker": {"enable": False, "rollback": False},
    "lifecycleHooks": [
        {
            "hookTargetArn": "arn:aws:lambda:us-east-1:123456789012:function:check",
            "roleArn": "arn:aws:iam::123456789012:role/hooks",
            "lifecycleStages": ["POST_SCALE_UP"],
        }
    ],
}


def sent() -> Iterator[tuple[str, Any]]:
    for kind in (None, *Kind):
        wanted = wanted_configuration(Strategy(kind, alarms=("prod-5xx",)), LIVE, 4)
        yield f"{kind}", wanted
        yield f"back from {kind}", straight_back(wanted) or wanted
    yield "undeclared", wanted_configuration(UNDECLARED, {}, 1)


@pytest.mark.parametrize(("name", "configuration"), list(sent()))
def test_what_is_sent_is_what_the_api_takes(stubbed: Stubbed, name: str, configuration: Any) -> None:
    request = {"service": "s", "deploymentConfiguration": configuration}
    report = ParamValidator().validate(request, operation("UpdateService").input_shape)
    assert not report.has_errors(), report.generate_report()
    known = client().meta.service_model.shape_for("DeploymentConfiguration").members
    assert set(configuration) <= set(known)
