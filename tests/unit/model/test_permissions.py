"""The roles of the templates and what `setup --print-iam` prints are the same permissions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.adapters.stack import template
from pipeline.adapters.template_file import parsed
from pipeline.model.permissions import Grounds, Scope, ci_policy, promotion_policy, setup_policy

SCOPE = Scope("shop", "eu-west-1", "shop-images", "shop-table", "shop-key")
AWAY = replace(SCOPE, home="eu-central-1", images="us-east-1")
GROUNDS = Grounds("prod", "shop-cluster", "shop-service")
VALUES = {
    "App": "shop",
    "Environment": "prod",
    "ClusterName": "shop-cluster",
    "ServiceName": "shop-service",
    "RepositoryName": "shop-images",
    "TableName": "shop-table",
    "SigningAlias": "shop-key",
    "HomeRegion": "eu-central-1",
    "RepositoryRegion": "us-east-1",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "*",
}


def filled(node: Any) -> Any:
    if isinstance(node, list):
        return [filled(one) for one in node]
    if isinstance(node, dict):
        if "Fn::Sub" in node:
            text = node["Fn::Sub"]
            for name, value in VALUES.items():
                text = text.replace("${" + name + "}", value)
            assert "${" not in text
            return text
        return {key: filled(value) for key, value in node.items()}
    return node


def role(name: str, logical: str) -> Any:
    properties = parsed(template(name))["Resources"][logical]["Properties"]
    return filled(properties["Policies"][0]["PolicyDocument"])


def normal(policy: Any) -> Any:
    """One and a list of one are the same to IAM."""
    return [
        {
            key: [value] if key in ("Action", "Resource") and isinstance(value, str) else value
            for key, value in statement.items()
        }
        for statement in policy["Statement"]
    ]


def test_the_role_for_ci_is_the_printed_policy() -> None:
    assert normal(role("shared", "CiRole")) == normal(ci_policy(SCOPE))


def test_the_role_for_promotion_is_the_printed_policy() -> None:
    assert normal(role("environment", "PromotionRole")) == normal(promotion_policy(AWAY, GROUNDS))


def actions(policy: Any) -> set[str]:
    return {action for statement in normal(policy) for action in statement["Action"]}


def test_ci_reaches_no_environment() -> None:
    assert {action.split(":")[0] for action in actions(ci_policy(SCOPE))} == {"ecr", "kms"}


def test_a_promotion_cannot_make_delete_or_change_anything_but_its_service_and_its_records() -> None:
    changing = {
        action
        for action in actions(promotion_policy(SCOPE, GROUNDS))
        if not action.split(":")[1].startswith(
            ("Describe", "Get", "List", "Filter", "Batch", "Simulate", "Query")
        )
    }

    assert changing == {
        *("dynamodb:PutItem", "ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage"),
        *(
            "ecr:UploadLayerPart",
            "ecs:RegisterTaskDefinition",
            "ecs:RunTask",
            "ecs:StopServiceDeployment",
            "ecs:StopTask",
        ),
        *("ecs:TagResource", "ecs:UpdateService", "iam:PassRole", "kms:Sign"),
    }


def test_a_promotion_to_one_environment_names_no_other() -> None:
    told = str(promotion_policy(SCOPE, GROUNDS))

    assert "service/shop-cluster/shop-service" in told
    assert "staging" not in told


@pytest.mark.parametrize(
    "policy",
    [ci_policy(SCOPE), promotion_policy(SCOPE, GROUNDS), setup_policy(SCOPE, [GROUNDS])],
    ids=["ci", "promotion", "setup"],
)
def test_a_policy_is_of_the_form_iam_takes_and_small_enough_for_a_role(policy: Any) -> None:
    sids = [statement["Sid"] for statement in policy["Statement"]]

    assert policy["Version"] == "2012-10-17"
    assert len(sids) == len(set(sids))
    assert all(sid.isalnum() for sid in sids)
    assert len(str(policy).replace(" ", "")) < 10_240
    assert all(statement["Action"] != "*" for statement in policy["Statement"])


def test_setup_may_pass_roles_to_what_runs_tasks_alone() -> None:
    passing = [one for one in setup_policy(SCOPE, [GROUNDS])["Statement"] if one["Action"] == "iam:PassRole"]

    assert [one["Condition"]["StringEquals"]["iam:PassedToService"] for one in passing] == [
        ["ecs-tasks.amazonaws.com", "ec2.amazonaws.com"]
    ]
