"""The judge of our policies is judged: each rule by a policy that allows and one that does not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.iam.evaluator import Asked, allowed

SERVICE = "arn:aws:ecs:eu-west-1:1:service/shop-prod/shop"
CLUSTER = "arn:aws:ecs:eu-west-1:1:cluster/shop-prod"


def says(asked: Asked, *statements: dict[str, Any]) -> bool:
    return allowed([{"Version": "2012-10-17", "Statement": list(statements)}], asked)


def statement(action: Any, resource: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("action", "resource", "expected"),
    [
        ("ecs:UpdateService", SERVICE, True),
        (["ecs:StopTask", "ecs:updateservice"], ["arn:aws:s3:::x", SERVICE], True),
        ("ecs:Update*", "*", True),
        ("*", "arn:aws:ecs:*:*:service/shop-prod/*", True),
        ("ecs:UpdateServic?", "arn:aws:ecs:eu-west-1:1:service/shop-prod/sho?", True),
        ("ecs:StopTask", SERVICE, False),
        ("ecs:UpdateService", "arn:aws:ecs:eu-west-1:1:service/shop-staging/*", False),
        ("ecs:UpdateService", "arn:aws:ecs:eu-west-1:1:Service/shop-prod/shop", False),
        ("ecs:UpdateService", "arn:aws:ecs:*:service/shop-prod/shop", False),
    ],
)
def test_action_and_resource_are_compared(action: Any, resource: Any, expected: bool) -> None:
    assert says(Asked("ecs:UpdateService", SERVICE), statement(action, resource)) is expected


def test_a_wildcard_at_the_end_reaches_over_colons_and_one_before_does_not() -> None:
    stream = Asked("logs:GetLogEvents", "arn:aws:logs:eu-west-1:1:log-group:/ecs/shop/prod:log-stream:a:b")

    assert says(stream, statement("logs:GetLogEvents", "arn:aws:logs:*:*:log-group:/ecs/shop/prod:*"))
    assert not says(stream, statement("logs:GetLogEvents", "arn:aws:*:log-group:/ecs/shop/prod:*"))
    assert not says(stream, statement("logs:GetLogEvents", "arn:aws:logs:*:*:log-group:/ecs/shop/prod"))


def test_nothing_is_allowed_unless_said_and_a_denial_is_the_last_word() -> None:
    asked = Asked("ecs:UpdateService", SERVICE)

    assert not says(asked)
    assert not says(asked, statement("ecs:*", "*"), {**statement("ecs:Update*", "*"), "Effect": "Deny"})
    assert says(asked, statement("ecs:*", "*"), {**statement("ecs:Delete*", "*"), "Effect": "Deny"})


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ({"ArnLike": {"ecs:cluster": "arn:aws:ecs:*:*:cluster/shop-prod"}}, {"ecs:cluster": [CLUSTER]}, True),
        ({"ArnLike": {"ECS:Cluster": CLUSTER}}, {"ecs:cluster": [CLUSTER]}, True),
        ({"ArnLike": {"ecs:cluster": "arn:aws:ecs:*:*:cluster/shop"}}, {"ecs:cluster": [CLUSTER]}, False),
        ({"ArnLike": {"ecs:cluster": "*"}}, {}, False),
        ({"StringEquals": {"a": ["x", "y"]}}, {"a": ["y"]}, True),
        ({"StringEquals": {"a": "*"}}, {"a": ["y"]}, False),
        ({"StringLike": {"a": "y*"}}, {"a": ["yes"]}, True),
        ({"StringEquals": {"a": "x"}, "StringLike": {"b": "y"}}, {"a": ["x"], "b": ["z"]}, False),
        ({"ForAnyValue:StringEquals": {"a": "x"}}, {"a": ["w", "x"]}, True),
        ({"ForAnyValue:StringEquals": {"a": "x"}}, {"a": []}, False),
    ],
)
def test_conditions_are_compared(condition: Any, context: Any, expected: bool) -> None:
    asked = Asked("ecs:RunTask", "*", context)

    assert says(asked, statement("ecs:RunTask", "*", Condition=condition)) is expected


@pytest.mark.parametrize(
    ("told", "context", "what"),
    [
        ({"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}, {}, "IpAddress"),
        ({"Condition": {"ForAllValues:StringEquals": {"a": "x"}}}, {}, "ForAllValues"),
        ({"Condition": {"StringEquals": {"a": "x"}}}, {"a": ["x", "y"]}, "ForAnyValue"),
        ({"NotAction": "ecs:*"}, {}, "NotAction"),
    ],
)
def test_what_it_does_not_know_it_does_not_judge(told: Any, context: Any, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        says(Asked("ecs:RunTask", "*", context), statement("ecs:RunTask", "*", **told))
