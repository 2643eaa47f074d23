from __future__ import annotations

from typing import Any

import pytest

from pipeline.adapters.stack import template
from pipeline.adapters.template_file import parsed
from pipeline.model.template import resources_made

MINE = {"App": "shop", "Environment": "prod"}


def kinds(name: str, **told: str) -> list[str]:
    return [change.kind for change in resources_made(parsed(template(name)), {**MINE, **told})]


def test_fargate_needs_no_instances_and_ec2_does() -> None:
    instances = {
        "AWS::AutoScaling::AutoScalingGroup",
        "AWS::ECS::CapacityProvider",
        "AWS::EC2::LaunchTemplate",
    }

    assert not instances & set(kinds("environment"))
    assert instances <= set(kinds("environment", Capacity="ec2"))


def test_a_certificate_brings_a_second_listener() -> None:
    listener = "AWS::ElasticLoadBalancingV2::Listener"

    assert kinds("environment").count(listener) == 1
    assert kinds("environment", CertificateArn="arn:aws:acm:x").count(listener) == 2


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"Repository": "no"}, "AWS::ECR::Repository"),
        ({"Table": "no"}, "AWS::DynamoDB::Table"),
        ({}, "AWS::KMS::Key"),
    ],
)
def test_what_somebody_else_has_or_nobody_wants_is_not_made(told: dict[str, str], kind: str) -> None:
    assert kind not in kinds("shared", **told)


def test_scaling_by_requests_is_a_policy_of_its_own() -> None:
    assert kinds("autoscaling").count("AWS::ApplicationAutoScaling::ScalingPolicy") == 1
    assert kinds("autoscaling", Requests="100").count("AWS::ApplicationAutoScaling::ScalingPolicy") == 2


def made(conditions: dict[str, Any], **told: str) -> bool:
    document = {
        "Parameters": {"A": {"Default": "1"}, "List": {"Default": ""}},
        "Conditions": conditions,
        "Resources": {"R": {"Type": "T", "Condition": "C"}},
    }
    return bool(resources_made(document, told))


ONE = {"Fn::Equals": [{"Ref": "A"}, "1"]}
TWO = {"Fn::Equals": [{"Ref": "A"}, "2"]}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (ONE, True),
        ({"Fn::Not": [ONE]}, False),
        ({"Fn::And": [ONE, TWO]}, False),
        ({"Fn::Or": [ONE, TWO]}, True),
        ({"Fn::Not": [{"Condition": "Other"}]}, True),
        ({"Fn::Equals": [{"Fn::Join": ["-", [{"Ref": "A"}, "x"]]}, "1-x"]}, True),
        ({"Fn::Equals": [{"Fn::Join": ["", {"Ref": "List"}]}, ""]}, True),
    ],
)
def test_a_condition_is_evaluated_as_cloudformation_does(
    condition: dict[str, Any], *, expected: bool
) -> None:
    assert made({"C": condition, "Other": TWO}) is expected


@pytest.mark.parametrize(
    "condition", [{"Fn::Contains": [["a"], "a"]}, {"Fn::Equals": [{"Fn::FindInMap": ["a"]}, "b"]}]
)
def test_what_is_not_known_is_an_error_and_no_guess(condition: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a condition with Fn::"):
        made({"C": condition})


def test_a_given_parameter_goes_before_its_default() -> None:
    assert not made({"C": ONE}, A="2")


def test_functions_are_read_in_their_long_form() -> None:
    text = (
        "Resources:\n  A:\n    Type: !Sub '${B}'\n    B: !GetAtt C.D.E\n    F: !Ref G\n"
        "    H: !If [I, {J: 1}, 2]\n    K: !Transform {L: 1}"
    )

    assert parsed(text)["Resources"]["A"] == {
        "Type": {"Fn::Sub": "${B}"},
        "B": {"Fn::GetAtt": ["C", "D.E"]},
        "F": {"Ref": "G"},
        "H": {"Fn::If": ["I", {"J": 1}, 2]},
        "K": {"Fn::Transform": {"L": 1}},
    }
