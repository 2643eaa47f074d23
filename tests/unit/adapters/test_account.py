"""Looking around a service: what AWS answers, what it says is missing, and what it does not tell."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from botocore.stub import Stubber

from pipeline.adapters import account_lookups as at
from pipeline.adapters.account import Account
from pipeline.adapters.aws import Access, Aws
from pipeline.adapters.target_group import target_group
from pipeline.errors import ConfigurationError, UndecidedError
from pipeline.model.surroundings import (
    Image,
    Permission,
    Questions,
    Role,
    Running,
    Secret,
    TargetGroup,
    Unknown,
)

ENDPOINT = Access("eu-central-1", endpoint="http://127.0.0.1:9", key="k", secret="s")  # nobody listens there
ROLE = "arn:aws:iam::123456789012:role/exec"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop/url-AbCdEf"
LOADS = "arn:aws:elasticloadbalancing:eu-central-1:123456789012"
GROUP, BALANCER, LISTENER = (
    f"{LOADS}:targetgroup/shop/1",
    f"{LOADS}:loadbalancer/app/shop/2",
    f"{LOADS}:listener/3",
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def aws() -> Aws:
    return Aws(ENDPOINT)


@contextmanager
def answering(aws: Aws, *services: str) -> Iterator[list[tuple[Any, Stubber]]]:
    with ExitStack() as stack:
        made = [(aws.client(name), stack.enter_context(Stubber(aws.client(name)))) for name in services]
        yield made
        for _, stub in made:
            stub.assert_no_pending_responses()


def role_answer(arn: str = ROLE, policy: object = None) -> dict[str, Any]:
    name = arn.rsplit("/", 1)[-1]
    told = {"Path": "/", "RoleName": name, "RoleId": "AROA" + "X" * 16, "Arn": arn, "CreateDate": NOW}
    return {"Role": told | ({"AssumeRolePolicyDocument": quote(json.dumps(policy))} if policy else {})}


def test_a_role_tells_which_services_it_trusts(aws: Aws) -> None:
    policy = {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": ["ecs-tasks.amazonaws.com", "x"]},
                "Action": ["sts:AssumeRole"],
            },
            {"Effect": "Deny", "Principal": {"Service": "denied"}, "Action": "sts:AssumeRole"},
            {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"},
            {"Effect": "Allow", "Principal": {"Service": "tagged"}, "Action": "sts:TagSession"},
        ]
    }
    with answering(aws, "iam") as [(iam, stub)]:
        stub.add_response("get_role", role_answer(policy=policy), {"RoleName": "exec"})
        assert at.role(iam, ROLE) == Role(frozenset({"ecs-tasks.amazonaws.com", "x"}))


def test_a_refusal_to_tell_is_not_an_absence(aws: Aws) -> None:
    with answering(aws, "iam") as [(iam, stub)]:
        stub.add_client_error("get_role", "AccessDenied", "not authorized to perform iam:GetRole")
        with pytest.raises(ConfigurationError, match="not authorized"):
            at.role(iam, ROLE)


def test_a_role_that_is_not_there_is_none_and_so_is_one_of_another_account(aws: Aws) -> None:
    with answering(aws, "iam") as [(iam, stub)]:
        stub.add_client_error("get_role", "NoSuchEntity", "no")
        assert at.role(iam, ROLE) is None
        stub.add_response("get_role", role_answer(ROLE.replace("1234", "9999")))
        assert at.role(iam, ROLE) is None


def test_a_sessions_permissions_are_its_roles(aws: Aws) -> None:
    session = "arn:aws:sts::123456789012:assumed-role/ci/run-7"
    with answering(aws, "iam") as [(iam, stub)]:
        path = "arn:aws:iam::123456789012:role/aws-reserved/sso/ci"
        stub.add_response("get_role", role_answer(path), {"RoleName": "ci"})
        assert at.principal(iam, session) == path
        assert at.principal(iam, "arn:aws:iam::123456789012:user/ann") == "arn:aws:iam::123456789012:user/ann"
        with pytest.raises(UndecidedError, match="root"):
            at.principal(iam, "arn:aws:iam::123456789012:root")


def evaluated(decision: str, **more: Any) -> dict[str, Any]:
    result = {"EvalActionName": "iam:PassRole", "EvalResourceName": ROLE, "EvalDecision": decision}
    return {"EvaluationResults": [result | more]}


def test_the_simulators_word_is_taken_only_where_it_decides(aws: Aws) -> None:
    with answering(aws, "iam") as [(iam, stub)]:
        entry = {"ContextKeyName": "aws:key", "ContextKeyValues": ["v"], "ContextKeyType": "string"}
        who = "arn:aws:iam::123456789012:user/ann"
        asked = {
            "PolicySourceArn": who,
            "ActionNames": ["iam:PassRole"],
            "ResourceArns": [ROLE],
            "ContextEntries": [entry],
        }
        stub.add_response("simulate_principal_policy", evaluated("allowed"), asked)
        assert at.simulated(iam, who, "iam:PassRole", ROLE, {"aws:key": "v"}) is Permission.ALLOWED
        stub.add_response("simulate_principal_policy", evaluated("explicitDeny"))
        assert at.simulated(iam, who, "iam:PassRole", ROLE, {}) is Permission.DENIED
        stub.add_response(
            "simulate_principal_policy", evaluated("implicitDeny", MissingContextValues=["aws:tag"])
        )
        with pytest.raises(UndecidedError, match="aws:tag"):
            at.simulated(iam, who, "iam:PassRole", ROLE, {})
        stub.add_response("simulate_principal_policy", {"EvaluationResults": []})
        with pytest.raises(UndecidedError, match="no result"):
            at.simulated(iam, who, "iam:PassRole", ROLE, {})


@pytest.mark.parametrize(
    ("more", "lacking"),
    [
        ({"VersionIdsToStages": {"v" * 32: ["AWSCURRENT"]}}, ""),
        ({"VersionIdsToStages": {"v" * 32: ["AWSPENDING"]}}, "has no value"),
        ({"VersionIdsToStages": {"v" * 32: ["AWSCURRENT"]}, "DeletedDate": NOW}, "is being deleted"),
    ],
)
def test_a_secret_is_looked_at_and_not_read(aws: Aws, more: dict[str, Any], lacking: str) -> None:
    with answering(aws, "secretsmanager") as [(secrets, stub)]:
        stub.add_response(
            "describe_secret", {"ARN": SECRET, "Name": "shop/url", **more}, {"SecretId": "shop/url"}
        )
        assert at.secret(secrets, "shop/url") == Secret(SECRET, lacking)
        stub.add_client_error("describe_secret", "ResourceNotFoundException", "no")
        assert at.secret(secrets, "gone") is None


def test_a_parameter_is_found_by_name_and_by_arn(aws: Aws) -> None:
    arn = "arn:aws:ssm:eu-central-1:123456789012:parameter/shop/flag"
    with answering(aws, "ssm") as [(ssm, stub)]:
        for name in ("/shop/flag", arn):
            wanted = {"ParameterFilters": [{"Key": "Name", "Option": "Equals", "Values": ["/shop/flag"]}]}
            stub.add_response(
                "describe_parameters", {"Parameters": [{"Name": "/shop/flag", "ARN": arn}]}, wanted
            )
            assert at.parameter(ssm, name) == Secret(arn)
        plain = {"ParameterFilters": [{"Key": "Name", "Option": "Equals", "Values": ["/flag", "flag"]}]}
        stub.add_response("describe_parameters", {"Parameters": []}, plain)
        assert at.parameter(ssm, arn.replace("/shop/flag", "/flag")) is None


def test_a_log_group_whose_name_only_begins_so_is_not_it(aws: Aws) -> None:
    with answering(aws, "logs") as [(logs, stub)]:
        stub.add_response("describe_log_groups", {"logGroups": [{"logGroupName": "/ecs/shop-old"}]})
        assert at.log_group(logs, "/ecs/shop") is None
        found = {"logGroups": [{"logGroupName": "/ecs/shop"}, {"logGroupName": "/ecs/shop-old"}]}
        stub.add_response("describe_log_groups", found, {"logGroupNamePrefix": "/ecs/shop"})
        assert at.log_group(logs, "/ecs/shop") == "/ecs/shop"


def test_alarms_of_both_kinds_and_those_that_are_not_there(aws: Aws) -> None:
    with answering(aws, "cloudwatch") as [(cloudwatch, stub)]:
        answer = {
            "MetricAlarms": [{"AlarmName": "errors", "StateValue": "ALARM"}],
            "CompositeAlarms": [{"AlarmName": "all", "StateValue": "OK"}],
        }
        stub.add_response("describe_alarms", answer)
        assert at.alarms(cloudwatch, ["errors", "all", "gone"]) == {
            "errors": "ALARM",
            "all": "OK",
            "gone": None,
        }


def test_the_slowest_start_and_the_digests_of_running_tasks(aws: Aws) -> None:
    def task(number: int, digest: str, seconds: float | None) -> dict[str, Any]:
        started = {} if seconds is None else {"startedAt": NOW + timedelta(seconds=seconds)}
        container = {"name": "app", "imageDigest": digest}
        return {
            "taskArn": str(number),
            "createdAt": NOW,
            **started,
            "containers": [container, {"name": "log"}],
        }

    with answering(aws, "ecs") as [(ecs, stub)]:
        stub.add_response("list_tasks", {"taskArns": ["1", "2", "3"]})
        stub.add_response(
            "describe_tasks", {"tasks": [task(1, "b", 4.0), task(2, "a", 9.0), task(3, "a", None)]}
        )
        assert at.running(ecs, "c", "s", "app") == Running(("a", "b"), 9.0)
        stub.add_response("list_tasks", {"taskArns": []})
        assert at.running(ecs, "c", "s", "app") == Running()


# -- target groups ----------------------------------------------------------------------------------------------------


def group_answer() -> dict[str, Any]:
    told = {
        "TargetGroupArn": GROUP,
        "TargetType": "ip",
        "HealthCheckIntervalSeconds": 30,
        "HealthyThresholdCount": 5,
        "LoadBalancerArns": [BALANCER],
    }
    return {"TargetGroups": [told]}


def forward(weight: int, arn: str = GROUP) -> dict[str, Any]:
    return {"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": arn, "Weight": weight}]}}


def listeners(*actions: dict[str, Any]) -> dict[str, Any]:
    return {"Listeners": [{"ListenerArn": LISTENER, "DefaultActions": list(actions)}]}


def test_a_target_group_with_the_weight_that_leads_to_it(aws: Aws) -> None:
    delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": "25"}]
    with answering(aws, "elbv2") as [(elbv2, stub)]:
        stub.add_response("describe_target_groups", group_answer(), {"TargetGroupArns": [GROUP]})
        stub.add_response("describe_target_group_attributes", {"Attributes": delay})
        stub.add_response(
            "describe_listeners", listeners(forward(0, "other"), {"Type": "forward", "TargetGroupArn": GROUP})
        )
        assert target_group(elbv2, GROUP) == TargetGroup("ip", 30.0, 5, 25.0, (1,))


def test_rules_are_asked_for_where_no_default_action_leads_to_it(aws: Aws) -> None:
    rules = {
        "Rules": [
            {"RuleArn": "r1", "Actions": [forward(0)], "IsDefault": False},
            {"RuleArn": "r2", "Actions": [forward(7)], "IsDefault": False},
            {"RuleArn": "r3", "Actions": [forward(0)], "IsDefault": True},
        ]
    }
    with answering(aws, "elbv2") as [(elbv2, stub)]:
        stub.add_response("describe_target_groups", group_answer())
        stub.add_response("describe_target_group_attributes", {"Attributes": []})
        stub.add_response("describe_listeners", listeners(forward(0)))
        stub.add_response("describe_rules", rules, {"ListenerArn": LISTENER})
        assert target_group(elbv2, GROUP) == TargetGroup("ip", 30.0, 5, 300.0, (0, 0, 7))


def test_rules_that_we_may_not_see_leave_the_weights_unknown(aws: Aws) -> None:
    with answering(aws, "elbv2") as [(elbv2, stub)]:
        stub.add_response("describe_target_groups", group_answer())
        stub.add_response("describe_target_group_attributes", {"Attributes": []})
        stub.add_client_error("describe_listeners", "AccessDenied", "not authorized")
        found = target_group(elbv2, GROUP)
    assert found is not None
    assert isinstance(found.weights, Unknown)
    assert "not authorized" in found.weights.why


def test_a_target_group_that_is_not_there_is_none(aws: Aws) -> None:
    with answering(aws, "elbv2") as [(elbv2, stub)]:
        stub.add_client_error("describe_target_groups", "TargetGroupNotFound", "no")
        assert target_group(elbv2, GROUP) is None


# -- all of it --------------------------------------------------------------------------------------------------------


SERVICES = ("ecs", "logs", "secretsmanager", "sts", "iam", "ssm", "elbv2", "cloudwatch")


def around(aws: Aws, *, patience: float = 60.0) -> Account:
    return Account(aws, "prod", "shop", "app", patience)


def test_everything_is_answered_under_what_was_asked(aws: Aws) -> None:
    asked = Questions(roles=(ROLE,), reader=ROLE, secrets=("shop/url",), log_groups=("/ecs/shop",))
    user = "arn:aws:iam::123456789012:user/ann"
    current = {"VersionIdsToStages": {"v" * 32: ["AWSCURRENT"]}}
    with answering(aws, "ecs", "logs", "secretsmanager", "sts", "iam") as [ecs, logs, secrets, sts, _]:
        ecs[1].add_response("list_tasks", {"taskArns": []})
        logs[1].add_response("describe_log_groups", {"logGroups": []})
        secrets[1].add_response("describe_secret", {"ARN": SECRET, **current})
        sts[1].add_response("get_caller_identity", {"Arn": user})
        seen = around(aws).look(asked, lambda: Image("r", ("linux/amd64",)))  # IAM answers nothing
    assert seen.image == Image("r", ("linux/amd64",))
    assert seen.secrets == {"shop/url": Secret(SECRET)}
    assert seen.log_groups == {"/ecs/shop": None}
    assert seen.running == Running()
    assert isinstance(seen.roles[ROLE], Unknown)
    assert isinstance(seen.passing[ROLE], Unknown)
    assert isinstance(seen.reading["shop/url"], Unknown)


def test_an_account_that_does_not_answer_leaves_everything_unknown(aws: Aws) -> None:
    asked = Questions(
        roles=(ROLE,),
        reader=ROLE,
        secrets=(SECRET,),
        parameters=("/flag",),
        log_groups=("/ecs/shop",),
        target_groups=(GROUP,),
        alarms=("errors",),
    )
    with answering(aws, *SERVICES):
        seen = around(aws).look(asked, lambda: None)
    unknown = [
        seen.roles[ROLE],
        seen.passing[ROLE],
        seen.secrets[SECRET],
        seen.secrets["/flag"],
        seen.reading[SECRET],
        seen.log_groups["/ecs/shop"],
        seen.target_groups[GROUP],
        seen.alarms["errors"],
        seen.running,
    ]
    assert all(isinstance(one, Unknown) for one in unknown)
    assert seen.image is None


def test_what_takes_too_long_is_unknown_and_not_waited_for(aws: Aws) -> None:
    hangs = threading.Event()
    try:
        with answering(aws, "ecs") as [(_, stub)]:
            stub.add_response("list_tasks", {"taskArns": []})
            seen = around(aws, patience=0.2).look(Questions(), lambda: (hangs.wait(60.0), None)[1])
    finally:
        hangs.set()
    assert isinstance(seen.image, Unknown)
    assert "no answer" in seen.image.why


@pytest.mark.parametrize(("policy", "told"), [("{}", Unknown), (None, Permission)])
def test_a_secret_with_a_policy_of_its_own_may_still_be_readable(
    aws: Aws, policy: str | None, told: type
) -> None:
    current = {"VersionIdsToStages": {"v" * 32: ["AWSCURRENT"]}}
    with answering(aws, "ecs", "secretsmanager", "iam") as [ecs, secrets, iam]:
        ecs[1].add_response("list_tasks", {"taskArns": []})
        secrets[1].add_response("describe_secret", {"ARN": SECRET, **current})
        iam[1].add_response("simulate_principal_policy", evaluated("implicitDeny"))
        secrets[1].add_response("get_resource_policy", {"ResourcePolicy": policy} if policy else {})
        found = (
            around(aws).look(Questions(reader=ROLE, secrets=("shop/url",)), lambda: None).reading["shop/url"]
        )
    assert isinstance(found, told)
