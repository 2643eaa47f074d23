from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.model.stack_plan import (
    Action,
    ResourceChange,
    StackPlan,
    changes_of,
    losses,
    rests,
    unforeseen,
)


def entry(action: str, kind: str, replacement: str = "", **more: Any) -> Mapping[str, Any]:
    change = {
        "Action": action,
        "LogicalResourceId": kind.rsplit(":", 1)[-1],
        "ResourceType": kind,
        "PhysicalResourceId": "" if action == "Add" else f"the-{kind.rsplit(':', 1)[-1].lower()}",
        **({"Replacement": replacement} if replacement else {}),
        **more,
    }
    return {"Type": "Resource", "ResourceChange": change}


def details(*names: str, source: str = "DirectModification") -> list[Mapping[str, Any]]:
    return [{"Target": {"Attribute": "Properties", "Name": name}, "ChangeSource": source} for name in names]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (entry("Add", "AWS::ECS::Cluster"), Action.ADD),
        (entry("Remove", "AWS::ECS::Cluster"), Action.REMOVE),
        (entry("Import", "AWS::ECR::Repository"), Action.IMPORT),
        (entry("Dynamic", "AWS::ECS::Cluster"), Action.CHANGE),
        (entry("Modify", "AWS::ECS::Cluster"), Action.CHANGE),
        (entry("Modify", "AWS::ECS::Cluster", "False"), Action.CHANGE),
        (entry("Modify", "AWS::ECS::Cluster", "True"), Action.REPLACE),
        (entry("Modify", "AWS::ECS::Cluster", "Conditional"), Action.MAY_REPLACE),
    ],
)
def test_what_a_change_set_says_becomes_what_happens(told: Mapping[str, Any], expected: Action) -> None:
    assert [change.action for change in changes_of([told])] == [expected]


def test_what_is_no_change_of_a_resource_is_none() -> None:
    nowhere = entry("Modify", "AWS::AutoScaling::AutoScalingGroup", PhysicalResourceId="")

    assert changes_of([{"Type": "Hook"}, nowhere]) == ()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("RetentionInDays",), Action.CHANGE),
        (("RetentionInDays", "LogGroupName"), Action.MAY_REPLACE),
        ((), Action.MAY_REPLACE),
    ],
)
def test_a_possible_loss_is_none_only_when_every_property_is_known_to_be_harmless(
    names: tuple[str, ...], expected: Action
) -> None:
    (change,) = changes_of([entry("Modify", "AWS::Logs::LogGroup", "Conditional", Details=details(*names))])

    assert change.action is expected
    assert change.properties == names


def test_what_a_service_is_told_again_is_not_told_as_a_change() -> None:
    told = details("TaskDefinition", "DesiredCount", "HealthCheckGracePeriodSeconds")
    (change,) = changes_of([entry("Modify", "AWS::ECS::Service", "False", Details=told)])

    assert change.text == "change service the-service (HealthCheckGracePeriodSeconds)"


def test_a_replacement_says_what_it_costs() -> None:
    (change,) = changes_of([entry("Modify", "AWS::ElasticLoadBalancingV2::LoadBalancer", "True")])

    assert change.text == (
        "replace load balancer the-loadbalancer – its address changes, some minutes without traffic"
    )


def test_a_kind_without_a_word_of_ours_keeps_its_own() -> None:
    assert ResourceChange(Action.REPLACE, "A", "AWS::SNS::Topic").text == "replace AWS::SNS::Topic"


@pytest.mark.parametrize(
    ("source", "replacement", "follows"),
    [
        ("ResourceReference", "Conditional", True),
        ("ResourceAttribute", "False", True),
        ("ResourceAttribute", "True", False),
        ("ParameterReference", "Conditional", False),
    ],
)
def test_what_only_names_something_that_changes_follows_it(
    source: str, replacement: str, *, follows: bool
) -> None:
    told = entry("Modify", "AWS::IAM::Role", replacement, Details=details("Policies", source=source))
    (change,) = changes_of([told])

    assert change.follows is follows


def test_a_plan_counts_what_is_new_names_what_changes_and_sums_up_what_follows() -> None:
    follower = entry(
        "Modify", "AWS::IAM::Role", "Conditional", Details=details("P", source="ResourceReference")
    )
    changes = changes_of(
        [
            entry("Add", "AWS::EC2::Subnet"),
            entry("Add", "AWS::EC2::Subnet"),
            entry("Add", "AWS::EC2::VPC"),
            entry("Remove", "AWS::CloudWatch::Alarm"),
            follower,
        ]
    )

    assert StackPlan("s", changes).lines == (
        "add 2 × subnet, network",
        "remove alarm the-alarm",
        "may change with it: role",
    )


def test_an_empty_plan_says_so_and_a_new_stack_is_never_empty() -> None:
    assert StackPlan("s", ()).lines == ("nothing to do",)
    assert StackPlan("s", ()).empty
    assert not StackPlan("s", (), new=True).empty
    assert StackPlan("s", (), new=True, why="deleted first").lines == ("deleted first",)


@pytest.mark.parametrize("replacement", ["True", "Conditional"])
@pytest.mark.parametrize(
    "kind",
    [
        *("AWS::DynamoDB::Table", "AWS::ECR::Repository", "AWS::KMS::Key", "AWS::Logs::LogGroup"),
        "AWS::SecretsManager::Secret",
    ],
)
def test_what_cannot_be_made_again_is_not_replaced_unasked(kind: str, replacement: str) -> None:
    plan = StackPlan("shop", changes_of([entry("Modify", kind, replacement, Details=details("Name"))]))
    (loss,) = losses([plan])

    assert "stack shop: would" in loss.reason.text
    assert "left behind" in loss.reason.text or "kept public key" in loss.reason.text
    assert "--accept-loss" in loss.reason.remedy


def test_nor_removed_while_a_harmless_change_and_a_lost_alarm_are_no_loss() -> None:
    plan = StackPlan(
        "shop",
        changes_of(
            [
                entry("Remove", "AWS::DynamoDB::Table"),
                entry("Remove", "AWS::CloudWatch::Alarm"),
                entry("Modify", "AWS::Logs::LogGroup", "False", Details=details("RetentionInDays")),
            ]
        ),
    )

    assert [loss.change.kind for loss in losses([plan])] == ["AWS::DynamoDB::Table"]


def test_what_was_not_shown_is_noticed_by_name_and_by_action() -> None:
    shown = StackPlan("s", changes_of([entry("Modify", "AWS::ECS::Service", "False")]))

    assert unforeseen(shown, shown.changes) == ()
    (worse,) = unforeseen(shown, changes_of([entry("Modify", "AWS::ECS::Service", "True")]))
    assert worse.action is Action.REPLACE


def test_details_without_a_name_are_told_by_their_attribute() -> None:
    told = [{"Target": {"Attribute": "Tags"}}, {"Target": {}}, {}]
    (change,) = changes_of([entry("Modify", "AWS::ECS::Cluster", "False", Details=told)])

    assert change.properties == ("Tags",)


def test_the_rest_of_a_half_deleted_stack_is_not_deleted_unasked() -> None:
    never_whole = StackPlan("shop-staging", (), new=True, remade=True)
    half = StackPlan("shop-prod", (), new=True, remade=True, rest=True)

    (found,) = rests([never_whole, half])

    assert "shop-prod is half deleted" in found.text
    assert "cleanup" in found.remedy
    assert "--accept-loss" in found.remedy
