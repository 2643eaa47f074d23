"""The roles of the templates and what `setup --print-iam` prints are the same permissions."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pytest

from pipeline.adapters.stack import template
from pipeline.adapters.template_file import parsed
from pipeline.model.permissions import Grounds, Scope, ci_policy, promotion_policy, setup_policy

SCOPE = Scope("shop", "eu-west-1", "shop-images", "shop-table", "shop-key")
AWAY = replace(SCOPE, home="eu-central-1", images="us-east-1")
GROUNDS = Grounds("prod", "shop-cluster", "shop-service")
COMPARED = Grounds("prod", "shop-cluster", "shop-service", ("live-cluster", "live-service"), "shop-beside")
VALUES = {
    "App": "shop",
    "Environment": "prod",
    "ClusterName": "shop-cluster",
    "ServiceName": "shop-service",
    "BaselineService": "shop-beside",
    "ProductionCluster": "live-cluster",
    "ProductionService": "live-service",
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


def role(name: str, logical: str, *, compared: bool = False) -> Any:
    properties = parsed(template(name))["Resources"][logical]["Properties"]
    policy = properties["Policies"][0]["PolicyDocument"]
    return filled(chosen(policy, compared=compared))


def chosen(node: Any, *, compared: bool) -> Any:
    """Without what is there where a candidate is compared with production, or with it."""
    if isinstance(node, list):
        kept = [one for one in node if compared or not (isinstance(one, dict) and "Fn::If" in one)]
        return [chosen(one, compared=compared) for one in kept]
    if isinstance(node, dict):
        if "Fn::If" in node:
            assert node["Fn::If"][0] == "Compared"
            return chosen(node["Fn::If"][1], compared=compared)
        return {key: chosen(value, compared=compared) for key, value in node.items()}
    return node


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


def test_where_production_is_compared_with_the_role_may_ask_what_it_runs_and_nothing_more() -> None:
    policy = promotion_policy(SCOPE, COMPARED)

    away = promotion_policy(AWAY, COMPARED)
    assert normal(role("environment", "PromotionRole", compared=True)) == normal(away)
    assert actions(policy) == actions(promotion_policy(SCOPE, GROUNDS))
    there = "arn:aws:ecs:eu-west-1:1:"
    assert allows(policy, "ecs:DescribeServices", f"{there}service/live-cluster/live-service")
    assert allows(policy, "ecs:ListTasks", "*", f"{there}cluster/live-cluster")
    assert not allows(policy, "ecs:UpdateService", f"{there}service/live-cluster/live-service")
    assert not allows(policy, "ecs:StopTask", f"{there}task/live-cluster/1", f"{there}cluster/live-cluster")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        # Without a name, as the inventory asks, or without a type of resource: AWS judges these by all of them.
        ("cloudformation:DescribeStacks", "arn:aws:cloudformation:eu-west-1:1:stack/*/*"),
        ("ecs:ListServices", "*"),
        ("ecs:ListTasks", "*"),
        ("ecs:DeregisterTaskDefinition", "*"),
        ("cloudformation:ExecuteChangeSet", "arn:aws:cloudformation:eu-west-1:1:changeSet/onedigest-2026/1"),
        ("cloudformation:ExecuteChangeSet", "arn:aws:cloudformation:eu-west-1:1:stack/onedigest-shop-prod/1"),
        ("ecs:DeleteTaskDefinitions", "arn:aws:ecs:eu-west-1:1:task-definition/shop-prod:1"),
        ("ecs:DescribeClusters", "arn:aws:ecs:eu-west-1:1:cluster/shop-cluster"),
        ("logs:ListTagsForResource", "arn:aws:logs:eu-west-1:1:log-group:/ecs/shop/prod"),
        # Application Auto Scaling makes the alarms of its policies in the name of who makes these.
        (
            "cloudwatch:PutMetricAlarm",
            "arn:aws:cloudwatch:eu-west-1:1:alarm:TargetTracking-service/shop-prod/shop-AlarmHigh-1",
        ),
    ],
)
def test_setup_and_cleanup_may_do_what_they_do(action: str, resource: str) -> None:
    assert allows(setup_policy(SCOPE, [GROUNDS]), action, resource)


def test_setup_deletes_and_gives_away_no_key_without_our_tag() -> None:
    found = [
        one
        for one in setup_policy(SCOPE, [GROUNDS])["Statement"]
        if "kms:ScheduleKeyDeletion" in one["Action"]
    ]

    assert [one["Condition"] for one in found] == [
        {"StringEquals": {"aws:ResourceTag/onedigest:app": "shop"}}
    ]
    assert {"kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"} <= set(found[0]["Action"])


def allows(policy: Any, action: str, resource: str, cluster: str = "") -> bool:
    """What IAM would say; of conditions it knows that on the cluster."""
    return any(
        any(fnmatchcase(action, one) for one in statement["Action"])
        and any(fnmatchcase(resource, one) for one in statement["Resource"])
        and fnmatchcase(cluster, statement.get("Condition", {}).get("ArnLike", {}).get("ecs:cluster", "*"))
        for statement in normal(policy)
    )


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
