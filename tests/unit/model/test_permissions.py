"""The roles of the templates and what `setup --print-iam` prints are the same permissions."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pytest

from pipeline.adapters.stack import template
from pipeline.adapters.template_file import parsed
from pipeline.model.permissions import (
    Grounds,
    Scope,
    ci_policy,
    deputy_policy,
    in_portions,
    promotion_policy,
    size,
)
from pipeline.model.setup_permissions import setup_policy

SCOPE = Scope("shop", "eu-west-1", "shop-images", "shop-table", "shop-key")
AWAY = replace(
    SCOPE,
    region="*",
    home="eu-central-1",
    images=("eu-central-1", "us-east-1"),
    regions=("eu-west-1", "us-east-1"),
)
GROUNDS = Grounds("shop", "prod", "shop-cluster", "shop-service")
COMPARED = replace(GROUNDS, loaded=True, beside="beside", asks=("live-cluster", "live-service"))
WEB = Grounds("shop-web", "prod", "shop-web-prod", "shop-web")
API = Grounds("shop-api", "prod", "their-cluster", "their-api")
VALUES = {
    "RepositoryName": "shop-images",
    "SigningAlias": "shop-key",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "*",
}


TRUSTED = ["alias/release", "alias/security"]


def filled(node: Any, trusted: list[str]) -> Any:
    if isinstance(node, list):
        told = [one["Fn::If"][1 if trusted else 2] if "Fn::If" in one else one for one in node]
        return [filled(one, trusted) for one in told if one != {"Ref": "AWS::NoValue"}]
    if isinstance(node, dict):
        if node == {"Ref": "TrustedAliases"}:
            return trusted
        if "Fn::Sub" in node:
            text = node["Fn::Sub"]
            for name, value in VALUES.items():
                text = text.replace("${" + name + "}", value)
            assert "${" not in text
            return text
        return {key: filled(value, trusted) for key, value in node.items()}
    return node


def role_for_ci(trusted: list[str]) -> Any:
    properties = parsed(template("shared"))["Resources"]["CiRole"]["Properties"]
    return filled(properties["Policies"][0]["PolicyDocument"], trusted)


def normal(policy: Any) -> Any:
    """One and a list of one are the same to IAM."""
    return [
        {
            key: [value] if key in ("Action", "Resource") and isinstance(value, str) else value
            for key, value in statement.items()
        }
        for statement in policy["Statement"]
    ]


@pytest.mark.parametrize("trusted", [[], TRUSTED])
def test_the_role_for_ci_is_the_printed_policy(trusted: list[str]) -> None:
    scope = replace(SCOPE, trusted=tuple(name.removeprefix("alias/") for name in trusted))

    assert normal(role_for_ci(trusted)) == normal(ci_policy(scope))


def test_where_production_is_compared_with_the_role_may_ask_what_it_runs_and_nothing_more() -> None:
    policy = promotion_policy(SCOPE, [COMPARED])

    assert actions(policy) == actions(promotion_policy(SCOPE, [GROUNDS]))
    there = "arn:aws:ecs:eu-west-1:1:"
    assert allows(policy, "ecs:DescribeServices", f"{there}service/live-cluster/live-service")
    assert allows(policy, "ecs:ListTasks", "*", f"{there}cluster/live-cluster")
    assert not allows(policy, "ecs:UpdateService", f"{there}service/live-cluster/live-service")
    assert not allows(policy, "ecs:StopTask", f"{there}task/live-cluster/1", f"{there}cluster/live-cluster")


def test_the_service_beside_it_is_rolled_out_to_by_the_name_it_has() -> None:
    there = "arn:aws:ecs:eu-west-1:1:service/shop-cluster/"
    assert allows(promotion_policy(SCOPE, [COMPARED]), "ecs:UpdateService", f"{there}beside")
    assert not allows(
        promotion_policy(SCOPE, [COMPARED]), "ecs:UpdateService", f"{there}shop-service-baseline"
    )
    assert not allows(promotion_policy(SCOPE, [GROUNDS]), "ecs:UpdateService", f"{there}beside")


@pytest.mark.parametrize("region", ["eu-west-1", "us-east-1"])
def test_one_promotion_reaches_the_environment_in_all_of_its_regions_and_in_no_other(region: str) -> None:
    policy = promotion_policy(AWAY, [GROUNDS])
    service = "arn:aws:ecs:{}:1:service/shop-cluster/shop-service"

    assert allows(policy, "ecs:UpdateService", service.format(region), region=region)
    assert not allows(policy, "ecs:UpdateService", service.format("ap-south-1"), region="ap-south-1")
    assert allows(policy, "dynamodb:PutItem", "arn:aws:dynamodb:eu-central-1:1:table/shop-table")
    images = "arn:aws:ecr:{}:1:repository/shop-images"
    assert allows(policy, "ecr:PutImage", images.format("us-east-1"))
    assert not allows(policy, "ecr:PutImage", images.format("eu-west-1")), "nothing is pulled from there"


def test_one_promotion_reaches_every_service_of_a_release_and_nothing_of_another_app() -> None:
    policy = promotion_policy(SCOPE, [WEB, API])
    there = "arn:aws:ecs:eu-west-1:1:"
    cluster = f"{there}cluster/shop-web-prod"

    for path in ("shop-web-prod/shop-web", "their-cluster/their-api"):
        assert allows(policy, "ecs:UpdateService", f"{there}service/{path}")
        assert allows(policy, "ecs:StopServiceDeployment", f"{there}service-deployment/{path}/1")
    assert allows(policy, "ecs:RunTask", f"{there}task-definition/shop-api-prod:3", cluster)
    assert allows(policy, "iam:PassRole", "arn:aws:iam::1:role/onedigest-shop-web-prod-TaskRole-A")
    assert allows(policy, "iam:GetRole", "arn:aws:iam::1:role/onedigest-shop-prod-promotion-PromotionRole-A")
    assert not allows(
        policy, "iam:PassRole", "arn:aws:iam::1:role/onedigest-shop-prod-promotion-PromotionRole-A"
    )
    assert not allows(policy, "ecs:UpdateService", f"{there}service/shop-mail-prod/shop-mail")
    assert not allows(policy, "ecs:RunTask", f"{there}task-definition/shop-web-prod-load:3", cluster)
    assert not allows(policy, "ecs:UpdateService", f"{there}service/shop-prod/shop")


@pytest.mark.parametrize("count", [1, 7, 18])
def test_what_one_role_cannot_hold_is_told_in_policies_of_their_own_and_nothing_is_lost(count: int) -> None:
    services = [
        Grounds(
            f"shop-{n}", "staging", f"shop-{n}-staging", f"shop-{n}", asks=(f"shop-{n}-prod", f"shop-{n}")
        )
        for n in range(count)
    ]

    scope = replace(SCOPE, account="123456789012")
    inline, *others = in_portions(scope, services)

    short = in_portions(replace(SCOPE, account="A", partition="P"), services)
    assert len(short) == len((inline, *others)), "what it is told now may be longer in the account"
    assert size(inline) <= 10_240
    assert all(size(one) <= 6_144 for one in others)
    assert (len(others) > 0) == (count > 1)
    told = {(action, resource) for one in (inline, *others) for action, resource in pairs(one)}
    assert told == set(pairs(promotion_policy(scope, services)))


def pairs(policy: Any) -> list[tuple[str, str]]:
    return [
        (action, resource)
        for statement in normal(policy)
        for action in statement["Action"]
        for resource in statement["Resource"]
    ]


def test_who_rolls_out_by_assuming_a_role_keeps_the_records_and_reaches_no_service() -> None:
    policy = deputy_policy(SCOPE, ["arn:aws:iam::2:role/deploy"])

    assert allows(policy, "sts:AssumeRole", "arn:aws:iam::2:role/deploy")
    assert allows(policy, "dynamodb:PutItem", "arn:aws:dynamodb:eu-west-1:1:table/shop-table")
    assert {action.split(":")[0] for action in actions(policy)} == {"dynamodb", "ecr", "kms", "sts"}


@pytest.mark.parametrize("services", [[GROUNDS], [WEB, API]], ids=["one", "several"])
def test_setup_assumes_the_roles_by_which_it_reaches_other_accounts_and_no_others(
    services: list[Grounds],
) -> None:
    assert "sts:AssumeRole" not in actions(setup_policy(SCOPE, services))
    policy = setup_policy(SCOPE, services, ["arn:aws:iam::2:role/deploy"])
    assert allows(policy, "sts:AssumeRole", "arn:aws:iam::2:role/deploy")
    assert not allows(policy, "sts:AssumeRole", "arn:aws:iam::2:role/admin")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("ecs:CreateService", "arn:aws:ecs:eu-west-1:1:service/shop-web-prod/shop-web"),
        ("logs:CreateLogGroup", "arn:aws:logs:eu-west-1:1:log-group:/ecs/shop-web/prod"),
        (
            "secretsmanager:CreateSecret",
            "arn:aws:secretsmanager:eu-west-1:1:secret:shop-web/prod/database-url-1",
        ),
        ("iam:CreatePolicy", "arn:aws:iam::1:policy/onedigest-shop-prod-promotion-Services2-A"),
        ("iam:AttachRolePolicy", "arn:aws:iam::1:role/onedigest-shop-prod-promotion-PromotionRole-A"),
    ],
)
def test_setup_of_several_services_reaches_each_ones_and_of_one_only_its_own(
    action: str, resource: str
) -> None:
    assert allows(setup_policy(SCOPE, [WEB, API]), action, resource)
    assert not allows(setup_policy(SCOPE, [GROUNDS]), action, resource)


def test_setup_attaches_no_policies_but_its_own() -> None:
    (attaching,) = (one for one in setup_policy(SCOPE, [WEB])["Statement"] if one["Sid"] == "Attach")
    assert attaching["Condition"] == {"ArnLike": {"iam:PolicyARN": "arn:aws:iam::*:policy/onedigest-shop-*"}}


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


def allows(policy: Any, action: str, resource: str, cluster: str = "", region: str = "eu-west-1") -> bool:
    """What IAM would say; of conditions it knows those on the cluster and on the region."""

    def holds(condition: Any) -> bool:
        clusters = condition.get("ArnLike", {}).get("ecs:cluster", ["*"])
        regions = condition.get("StringEquals", {}).get("aws:RequestedRegion", [region])
        return any(fnmatchcase(cluster, one) for one in clusters) and region in regions

    return any(
        any(fnmatchcase(action, one) for one in statement["Action"])
        and any(fnmatchcase(resource, one) for one in statement["Resource"])
        and holds(statement.get("Condition", {}))
        for statement in normal(policy)
    )


def actions(policy: Any) -> set[str]:
    return {action for statement in normal(policy) for action in statement["Action"]}


def test_ci_reaches_no_environment() -> None:
    assert {action.split(":")[0] for action in actions(ci_policy(SCOPE))} == {"ecr", "kms"}


def test_a_promotion_cannot_make_delete_or_change_anything_but_its_service_and_its_records() -> None:
    changing = {
        action
        for action in actions(promotion_policy(SCOPE, [GROUNDS]))
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
    told = str(promotion_policy(SCOPE, [GROUNDS]))

    assert "service/shop-cluster/shop-service" in told
    assert "staging" not in told


@pytest.mark.parametrize(
    "policy",
    [
        ci_policy(SCOPE),
        promotion_policy(SCOPE, [GROUNDS]),
        promotion_policy(AWAY, [WEB, API], ["arn:aws:iam::2:role/deploy"]),
        setup_policy(SCOPE, [GROUNDS]),
        setup_policy(SCOPE, [WEB, API], ["arn:aws:iam::2:role/deploy"]),
        deputy_policy(SCOPE, ["arn:aws:iam::2:role/deploy"]),
    ],
    ids=["ci", "promotion", "promotion of several", "setup", "setup of several", "deputy"],
)
def test_a_policy_is_of_the_form_iam_takes_and_small_enough_for_a_role(policy: Any) -> None:
    sids = [statement["Sid"] for statement in policy["Statement"]]

    assert policy["Version"] == "2012-10-17"
    assert len(sids) == len(set(sids))
    assert all(sid.isalnum() for sid in sids)
    assert size(policy) < 10_240
    assert all(statement["Action"] != "*" for statement in policy["Statement"])


def test_setup_may_pass_roles_to_what_runs_tasks_alone() -> None:
    passing = [one for one in setup_policy(SCOPE, [GROUNDS])["Statement"] if one["Action"] == "iam:PassRole"]

    assert [one["Condition"]["StringEquals"]["iam:PassedToService"] for one in passing] == [
        ["ecs-tasks.amazonaws.com", "ec2.amazonaws.com"]
    ]
