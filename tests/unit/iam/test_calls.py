"""What a call of ours asks of IAM, and that every call in the source is known, and allowed to whom it may concern."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.session import Session
from botocore.stub import Stubber

from pipeline.model.permissions import promotion_policy
from tests.iam.authorization import actions
from tests.iam.calls import KNOWN, PREFIX, Call, asked_by, read
from tests.iam.evaluator import action_matches, listed
from tests.iam.judging import of_command, refused
from tests.iam.recorder.sitecustomize import FILE, recorded
from tests.unit.iam.test_policies import PRINTED, PROD, SCOPE, SETUP

ROOT = Path(__file__).parents[3]
POLICIES = {
    "setup": SETUP,
    "ci": PRINTED["ci"],
    "promote": {"staging": PRINTED["promote"], "prod": promotion_policy(SCOPE, [PROD])},
}
REGION = "eu-west-1"


def ecs(operation: str, **parameters: Any) -> Call:
    return Call("ecs", operation, REGION, parameters)


def texts(call: Call) -> list[str]:
    return [
        f"{one.action} {one.resource.replace('arn:aws:ecs:eu-west-1:000000000000:', '')}"
        for one in asked_by(call)
    ]


def test_a_call_asks_for_its_action_on_what_it_names() -> None:
    (asked,) = asked_by(ecs("UpdateService", cluster="shop-prod", service="shop", desiredCount=1))

    assert asked.action == "ecs:UpdateService"
    assert asked.resource == "arn:aws:ecs:eu-west-1:000000000000:service/shop-prod/shop"
    assert asked.context == {"aws:RequestedRegion": [REGION]}


def test_a_task_is_asked_for_within_its_cluster_by_name_or_by_arn() -> None:
    arn = "arn:aws:ecs:eu-west-1:1:task/shop-prod/two"

    one, two = asked_by(ecs("DescribeTasks", cluster="shop-prod", tasks=["one", arn]))

    assert (one.resource.split(":")[5], two.resource) == ("task/shop-prod/one", arn)
    assert one.context["ecs:cluster"] == ["arn:aws:ecs:eu-west-1:000000000000:cluster/shop-prod"]


def test_a_deployment_is_asked_for_with_its_service() -> None:
    arn = "arn:aws:ecs:eu-west-1:000000000000:service-deployment/shop-prod/shop/1"

    assert texts(ecs("StopServiceDeployment", serviceDeploymentArn=arn)) == [
        "ecs:StopServiceDeployment service-deployment/shop-prod/shop/1",
        "ecs:StopServiceDeployment service/shop-prod/shop",
    ]


def test_to_register_a_definition_is_to_pass_its_roles_and_to_give_its_tags() -> None:
    role = "arn:aws:iam::1:role/onedigest-shop-prod-TaskRole-1"
    asked = asked_by(ecs("RegisterTaskDefinition", family="shop-prod", taskRoleArn=role, tags=[{"key": "a"}]))

    assert [(one.action, one.resource.split(":")[5]) for one in asked] == [
        ("ecs:RegisterTaskDefinition", "task-definition/shop-prod"),
        ("ecs:TagResource", "task-definition/shop-prod"),
        ("iam:PassRole", "role/onedigest-shop-prod-TaskRole-1"),
    ]
    assert asked[2].context["iam:PassedToService"] == ["ecs-tasks.amazonaws.com"]


def test_to_describe_all_stacks_is_to_list_them() -> None:
    named = Call("cloudformation", "DescribeStacks", REGION, {"StackName": "onedigest-shop-prod"})

    assert [one.action for one in asked_by(named)] == ["cloudformation:DescribeStacks"]
    assert [one.action for one in asked_by(Call("cloudformation", "DescribeStacks", REGION))] == [
        "cloudformation:DescribeStacks",
        "cloudformation:ListStacks",
    ]


def test_a_key_is_asked_for_by_its_alias_and_who_one_is_may_always_be_asked() -> None:
    (asked,) = asked_by(Call("kms", "Sign", REGION, {"KeyId": "alias/shop-key"}))

    assert asked.context["kms:ResourceAliases"] == ["alias/shop-key"]
    assert asked_by(Call("sts", "GetCallerIdentity", REGION)) == []


def test_a_call_that_is_not_known_is_not_passed_over() -> None:
    with pytest.raises(KeyError, match="ecs:ExecuteCommand"):
        asked_by(ecs("ExecuteCommand", cluster="shop-prod"))


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_known_call_is_an_action_of_aws(name: str) -> None:
    assert actions(name)


# -- whose policies a command has -----------------------------------------------------------------------------------


def test_each_command_is_judged_by_the_policies_of_who_gives_it() -> None:
    ours = ecs("UpdateService", cluster="shop-prod", service="shop")

    assert refused([ours], POLICIES, of_command(POLICIES, ["promote", "sha256:1", "prod"])) == []
    assert refused([ours], POLICIES, of_command(POLICIES, ["--json", "run"])) == []
    there = "arn:aws:ecs:eu-west-1:000000000000:service/shop-prod/shop"
    said = f"ecs:UpdateService on {there} (aws:RequestedRegion eu-west-1)"
    assert refused([ours, ours], POLICIES, of_command(POLICIES, ["stage", "staging", "x"])) == [said]
    assert refused([ours], POLICIES, of_command(POLICIES, ["stage", "build"])) == [said]
    assert refused([ours], POLICIES, of_command(POLICIES, ["run", "--until", "staging", "--fresh"])) == [said]
    assert refused([ours], POLICIES, of_command(POLICIES, ["run", "--until", "prod"])) == []


def test_set_up_within_a_command_has_a_policy_of_its_own_and_the_local_cloud_needs_none() -> None:
    made = Call("cloudformation", "DeleteStack", REGION, {"StackName": "onedigest-shop-prod"}, "set-up")
    strange = Call("cloudformation", "DeleteStack", REGION, {"StackName": "theirs"}, "set-up")
    local = Call("ecs", "ExecuteCommand", REGION, {}, "local cloud")

    assert refused([made, local], POLICIES, []) == []
    assert len(refused([strange], POLICIES, of_command(POLICIES, ["run"]))) == 1


# -- the recorder ---------------------------------------------------------------------------------------------------


def test_a_program_that_is_started_with_the_recorder_tells_its_calls(tmp_path: Path) -> None:
    program = (
        "import boto3; from botocore.stub import Stubber\n"
        "made = boto3.client('sts', region_name='eu-west-1', aws_access_key_id='a', aws_secret_access_key='b')\n"
        "stubber = Stubber(made); stubber.add_response('get_caller_identity', {}); stubber.activate()\n"
        "made.get_caller_identity()\n"
    )
    recorder = str(ROOT / "tests" / "iam" / "recorder")
    env = {**os.environ, "PYTHONPATH": recorder, FILE: str(tmp_path / "calls")}

    subprocess.run([sys.executable, "-c", program], env=env, check=True)

    assert read(tmp_path / "calls") == [Call("sts", "GetCallerIdentity", REGION)]


def test_a_call_of_set_up_is_told_from_others(tmp_path: Path) -> None:
    made = boto3.client("sts", region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b")
    program = compile("made.get_caller_identity()", "/somewhere/pipeline/foundation.py", "exec")
    with Stubber(made) as stubber, recorded(str(tmp_path / "calls")):
        for _ in range(2):
            stubber.add_response("get_caller_identity", {})
        made.get_caller_identity()
        exec(program, {"made": made})

    assert [call.whose for call in read(tmp_path / "calls")] == ["", "set-up"]
    assert json.loads((tmp_path / "calls").read_text().splitlines()[0])["parameters"] == {}


# -- every call in the source, whether a test makes it or not -------------------------------------------------------

OF_SET_UP = {"change_set", "inventory", "owned", "stack", "taking_down"}
"""Modules of set-up and clean-up; the calls of all others are made by who delivers."""

OF_OTHERS = {"hygiene": "scan", "locust": "list_users", "registry": "query", "signer": "verify"}
"""Methods of something else that are called as a method of boto3 is, by module."""


@lru_cache(maxsize=1)
def operations() -> dict[str, set[str]]:
    """The methods of boto3's clients of the services that we use, by name, with what IAM calls them."""
    session, found = Session(), dict[str, set[str]]()
    for prefix in {name.split(":")[0] for name in KNOWN}:
        service = next((own for own, other in PREFIX.items() if other == prefix), prefix)
        for name in session.get_service_model(service).operation_names:
            found.setdefault(xform_name(name), set()).add(f"{prefix}:{name}")
    return found


def called(path: Path) -> set[str]:
    """The methods of boto3 that a module calls, or hands on by name, as to a paginator."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    named = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    said = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return (named | said) & set(operations()) - {OF_OTHERS.get(path.stem, "")}


MODULES = sorted((ROOT / "pipeline" / "adapters").glob("*.py"))
"""Where boto3 may be, the local cloud aside, which needs no permission of anybody: import-linter sees to that."""


def test_the_calls_in_the_source_are_seen() -> None:
    seen = {path.stem: called(path) for path in MODULES}

    assert {"list_stack_resources"} <= seen["stack"], "by a paginator"
    assert {"describe_vpcs"} <= seen["inventory"], "by a table"
    assert "update_service" in seen["ecs"]
    assert "run_task" in seen["one_off"]
    assert sum(map(len, seen.values())) > 80


@pytest.mark.parametrize("path", [one for one in MODULES if called(one)], ids=lambda path: path.stem)
def test_every_call_in_the_source_is_known_and_allowed_to_who_makes_it(path: Path) -> None:
    """By its action alone: the resource is judged where a test makes the call."""
    policy = SETUP if path.stem in OF_SET_UP else PRINTED["promote"]
    patterns = [one for statement in policy["Statement"] for one in listed(statement["Action"])]
    told = {method: operations()[method] & set(KNOWN) for method in called(path)}

    assert [method for method, names in told.items() if not names] == [], (
        "say in tests/iam/calls.py what it asks"
    )
    needed = set().union(*told.values()) - {"sts:GetCallerIdentity"}
    assert [n for n in sorted(needed) if not any(action_matches(one, n) for one in patterns)] == []
