"""Calls that boto3 lets pass and AWS does not are told, by the parameter."""

from __future__ import annotations

from typing import Any

import pytest

from tests.iam.calls import Call
from tests.iam.parameters import faults

REGION = "eu-west-1"
ARN = "arn:aws:ecs:eu-west-1:1:task/shop-prod/1"


def change_set(**more: Any) -> Call:
    told = {"StackName": "onedigest-shop-prod", "ChangeSetName": "onedigest-20261128T000000-1a2b3c4d", **more}
    return Call("cloudformation", "CreateChangeSet", REGION, told)


def test_what_aws_takes_has_no_faults() -> None:
    tags = [{"key": "onedigest:app", "value": "shop"}]

    assert faults(change_set(ChangeSetType="UPDATE", TemplateBody="x" * 51_200)) == []
    assert faults(Call("ecs", "DescribeTasks", REGION, {"tasks": [ARN] * 100})) == []
    assert faults(Call("ecs", "RegisterTaskDefinition", REGION, {"family": "shop-prod", "tags": tags})) == []
    assert (
        faults(Call("ecs", "RunTask", REGION, {"clientToken": "a" * 64, "startedBy": "onedigest-load"})) == []
    )


@pytest.mark.parametrize(
    ("call", "key"),
    [
        (change_set(ChangeSetName="2026-11-28"), "ChangeSetName"),
        (change_set(ChangeSetType="IMPORTED"), "ChangeSetType"),
        (change_set(ClientToken="a" * 129), "ClientToken"),
        (change_set(Tags=[{"Key": "a", "Value": "b" * 257}]), "Tags[].Value"),
        (Call("logs", "GetLogEvents", REGION, {"logGroupName": "a b", "logStreamName": "c"}), "logGroupName"),
        (Call("logs", "GetLogEvents", REGION, {"logGroupName": "a", "limit": 10_001}), "limit"),
        (Call("ecr", "BatchDeleteImage", REGION, {"imageIds": [{"imageTag": "a"}] * 101}), "imageIds"),
        (Call("ecr", "DescribeRepositories", REGION, {"repositoryNames": ["a b"]}), "repositoryNames[]"),
        (Call("ecs", "DescribeServices", REGION, {"services": ["a"] * 11}), "services"),
        (Call("ecs", "DescribeTasks", REGION, {"tasks": [ARN] * 101}), "tasks"),
        (Call("ecs", "RunTask", REGION, {"clientToken": "a" * 65}), "clientToken"),
        (Call("ecs", "RunTask", REGION, {"startedBy": "somebody else"}), "startedBy"),
        (Call("ecs", "RunTask", REGION, {"overrides": {"cpu": "1" * 8192}}), "overrides"),
        (Call("ecs", "StopTask", REGION, {"reason": "a" * 1025}), "reason"),
        (Call("ecs", "RegisterTaskDefinition", REGION, {"family": "shop/prod"}), "family"),
        (Call("ecs", "RegisterTaskDefinition", REGION, {"tags": [{"key": "aws:a", "value": ""}]}), "tags"),
    ],
    ids=lambda told: told if isinstance(told, str) else told.operation,
)
def test_a_fault_is_told_by_its_parameter(call: Call, key: str) -> None:
    assert [fault.split(":")[0] for fault in faults(call)] == [key]
