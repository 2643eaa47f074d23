"""Set-up and clean-up on the emulator alone: from nothing and back, killed at every step, twice at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.adapters.change_set import StackRequest
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.stack import Stacks, template
from pipeline.errors import BusyError, StuckError
from pipeline.iam import policies
from pipeline.model.inventory import Presence, left
from pipeline.model.stack_plan import Action, ResourceChange
from pipeline.provisioning import Step
from tests.foundations import NOWHERE, SHOP, Grounds, counted, empty_account, in_parallel, killed_at
from tests.iam.calls import read
from tests.iam.judging import refused
from tests.iam.parameters import faults


@pytest.fixture
def grounds(port: int) -> Iterator[Grounds]:
    """An empty account, and empty again afterwards."""
    with empty_account(port, SHOP) as found:
        yield found


def test_an_empty_account_gets_everything_and_gives_it_all_back(grounds: Grounds, calls: Path) -> None:
    """And nothing is asked of AWS that the printed policy does not allow, or with what AWS does not take."""
    plan = grounds.plan("staging", "prod")
    assert [step.plan.new for step in plan.steps] == [True] * 6
    assert left(grounds.there("staging", "prod")) == (), "a plan makes nothing"

    did = grounds.set_up("staging", "prod")

    assert did == dict.fromkeys(
        [
            *("onedigest-shop-shared", "onedigest-shop-staging", "onedigest-shop-staging-baseline"),
            *("onedigest-shop-staging-promotion", "onedigest-shop-prod", "onedigest-shop-prod-promotion"),
        ],
        "created",
    )
    kinds = {one.kind for one in grounds.there("staging", "prod")}
    assert kinds >= {"stack", "cluster", "service", "network", "load balancer", "repository", "table", "role"}
    after = grounds.clean_up("staging", "prod")
    assert left(after) == ()
    assert {one.presence for one in after} <= {Presence.GOING}
    assert grounds.gone == ["staging", "prod"]
    made = read(calls)
    assert {call.whose for call in made} == {"set-up"}
    assert {"ExecuteChangeSet", "DeleteTable", "DeleteTaskDefinitions"} <= {call.operation for call in made}
    printed = policies(grounds.settings, [("staging", grounds.region), ("prod", grounds.region)])
    assert refused(made, printed, []) == []
    assert [fault for call in made for fault in faults(call)] == []


def test_the_second_time_nothing_is_done(grounds: Grounds) -> None:
    grounds.set_up("staging", "prod")
    with counted() as calls:
        did = grounds.set_up("staging", "prod")

    assert set(did.values()) == {"unchanged"}
    assert "ExecuteChangeSet" not in calls
    assert grounds.plan("staging", "prod").empty


def test_the_plan_of_a_change_tells_it_and_leaves_no_change_set(grounds: Grounds) -> None:
    grounds.set_up("prod")
    grounds.text = SHOP.replace("[environments.prod]", "[environments.prod]\nsetup = { log_days = 7 }")

    plan = grounds.plan("prod")

    lines = [line for step in plan.steps for line in step.plan.lines if line != "nothing to do"]
    assert lines == [
        "change log group /ecs/shop/prod (RetentionInDays)",
        "may change with it: role, service, task definition",
    ]
    sets = grounds.client("cloudformation").list_change_sets(StackName="onedigest-shop-prod")["Summaries"]
    assert [one for one in sets if one["ExecutionStatus"] == "AVAILABLE"] == []
    assert grounds.set_up("prod")["onedigest-shop-prod"] == "changed"
    group = grounds.client("logs").describe_log_groups(logGroupNamePrefix="/ecs/shop/prod")["logGroups"][0]
    assert group["retentionInDays"] == 7


def rolled_out(grounds: Grounds) -> tuple[str, int]:
    """A revision that a rollout made, with the tags of the one before, and two tasks of it."""
    ecs = grounds.client("ecs")
    tags = [{"key": "onedigest:app", "value": "shop"}]
    revision = ecs.register_task_definition(
        family="shop-prod",
        containerDefinitions=[{"name": "app", "image": NOWHERE, "memory": 64}],
        tags=tags,
    )["taskDefinition"]["taskDefinitionArn"]
    never = {"deploymentCircuitBreaker": {"enable": False, "rollback": False}}
    ecs.update_service(
        cluster="shop-prod",
        service="shop",
        taskDefinition=revision,
        desiredCount=2,
        deploymentConfiguration=never,
    )
    ecs.register_task_definition(
        family="shop-prod",
        containerDefinitions=[{"name": "app", "image": "failed:1", "memory": 64}],
        tags=tags,
    )
    return runs(grounds)


def revision_of(grounds: Grounds) -> str:
    """The revision that runs the image, found among all of the family."""
    ecs = grounds.client("ecs")
    arns = ecs.list_task_definitions(familyPrefix="shop-prod")["taskDefinitionArns"]
    told = [ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"] for arn in arns]
    return next(
        str(one["taskDefinitionArn"]) for one in told if one["containerDefinitions"][0]["image"] == NOWHERE
    )


def runs(grounds: Grounds) -> tuple[str, int]:
    found = grounds.client("ecs").describe_services(cluster="shop-prod", services=["shop"])["services"][0]
    return found["taskDefinition"], found["desiredCount"]


def test_what_the_service_runs_is_not_touched_by_a_changed_template(grounds: Grounds) -> None:
    grounds.set_up("prod")
    before = rolled_out(grounds)
    grounds.text = SHOP.replace(
        "[environments.prod]", '[environments.prod]\nmemory = 1024\nhealth_grace = "44s"'
    )

    assert grounds.set_up("prod")["onedigest-shop-prod"] == "changed"

    assert runs(grounds) == before
    assert before == (revision_of(grounds), 2)


def test_nor_by_an_update_that_fails_and_is_put_back(grounds: Grounds) -> None:
    """CloudFormation puts back what it last knew of the service: it must know of the rollout by then."""
    grounds.set_up("prod")
    before = rolled_out(grounds)
    stacks = Stacks(grounds.client("cloudformation"), SystemClock())
    grounds.text = SHOP.replace("[environments.prod]", '[environments.prod]\nhealth_grace = "44s"')
    make = grounds.foundation().provisioning
    plan = make.plan(["prod"])
    broken = replace(plan, steps=tuple(broken_step(step) for step in plan.steps))

    with pytest.raises(StuckError, match="Odd"):
        make.apply(broken)

    assert runs(grounds) == before
    standing = stacks.standing("onedigest-shop-prod")
    assert standing is not None
    assert standing.status == "UPDATE_ROLLBACK_COMPLETE"
    assert grounds.set_up("prod")["onedigest-shop-prod"] == "changed"
    assert runs(grounds) == before


ODD = """  Odd:
    Type: AWS::CloudWatch::Alarm
    Properties:
      ComparisonOperator: GreaterThanThreshold
      EvaluationPeriods: 1
      Threshold: 1
      Metrics: [{Id: a, Expression: 1 + 1}]
"""
"""A resource that the emulator cannot make, as it finds when it tries."""


def broken_step(step: Step) -> Step:
    """The same with an odd resource, which fails after the service was changed."""
    if step.plan.name != "onedigest-shop-prod":
        return step
    assert step.spec is not None
    text = step.spec.request.template.replace(
        "\nOutputs:\n", "\n" + ODD.replace("    Prop", "    DependsOn: Service\n    Prop") + "\nOutputs:\n", 1
    )
    odd = ResourceChange(Action.ADD, "Odd", "AWS::CloudWatch::Alarm")
    request = replace(step.spec.request, template=text)
    plan = replace(step.plan, changes=(*step.plan.changes, odd))
    return replace(step, plan=plan, spec=replace(step.spec, request=request))


def test_a_set_up_killed_again_and_again_a_call_later_each_time_comes_to_its_end(grounds: Grounds) -> None:
    number = 1
    while killed_at(number, lambda: grounds.set_up("prod")):
        number += 1

    assert number > 4, "it was hardly ever killed"
    assert grounds.plan("prod").empty
    states = {one.name: one.why for one in grounds.there("prod") if one.kind == "stack"}
    assert states == {
        "onedigest-shop-shared": "CREATE_COMPLETE",
        "onedigest-shop-prod": "CREATE_COMPLETE",
        "onedigest-shop-prod-promotion": "CREATE_COMPLETE",
    }


def test_a_change_killed_again_and_again_comes_to_its_end_and_leaves_what_runs(grounds: Grounds) -> None:
    grounds.set_up("prod")
    before = rolled_out(grounds)
    grounds.text = SHOP.replace("[environments.prod]", '[environments.prod]\nhealth_grace = "44s"')
    number = 1
    while killed_at(number, lambda: grounds.set_up("prod")):
        assert runs(grounds) == before
        number += 2

    assert number > 4, "it was hardly ever killed"
    assert runs(grounds) == before
    assert grounds.plan("prod").empty


def test_a_clean_up_killed_again_and_again_a_call_later_each_time_comes_to_its_end(grounds: Grounds) -> None:
    grounds.set_up("prod")
    rolled_out(grounds)
    number = 1
    while killed_at(number, lambda: grounds.clean_up("prod")):
        number += 1

    assert number > 2, "it was hardly ever killed"
    assert left(grounds.there("prod")) == ()


def test_two_set_ups_at_once_end_alike(grounds: Grounds) -> None:
    codes = in_parallel(*[lambda: grounds.set_up("staging", "prod")] * 3)

    assert codes == [0, 0, 0]
    assert grounds.plan("staging", "prod").empty
    stacks = [one for one in grounds.there("staging", "prod") if one.kind == "stack"]
    assert sorted((one.name, one.why) for one in stacks) == [
        (name, "CREATE_COMPLETE")
        for name in sorted(
            f"onedigest-shop-{what}"
            for what in (
                "shared",
                "staging",
                "staging-baseline",
                "staging-promotion",
                "prod",
                "prod-promotion",
            )
        )
    ]


def test_a_stack_that_was_never_whole_is_made_anew(grounds: Grounds) -> None:
    client = grounds.client("cloudformation")
    request = StackRequest("onedigest-shop-prod", "Resources:\n" + ODD, {}, {"onedigest:app": "shop"})
    with pytest.raises(StuckError, match="ROLLBACK_COMPLETE"):
        Stacks(client, SystemClock()).ensure(request)

    plan = grounds.plan("prod")

    assert "never whole: deleted first" in plan.steps[1].plan.lines[0]
    assert grounds.set_up("prod")["onedigest-shop-prod"] == "created"
    assert (
        "stack onedigest-shop-prod is ROLLBACK_COMPLETE, it was never whole: deleted, and made anew"
        in grounds.said
    )


def test_what_somebody_else_made_is_neither_changed_nor_deleted(grounds: Grounds) -> None:
    client = grounds.client("cloudformation")
    foreign = "Resources:\n  Topic:\n    Type: AWS::SNS::Topic\n"
    Stacks(client, SystemClock()).ensure(StackRequest("onedigest-shop-prod", foreign, {}))
    try:
        made = grounds.plan("prod").reasons
        deleted = grounds.foundation().dismantling.plan(["prod"], keep_images=False).reasons
    finally:
        client.delete_stack(StackName="onedigest-shop-prod")

    assert [reason.text for reason in made] == [
        "stack onedigest-shop-prod has no tag onedigest:app = shop: it was not made by onedigest"
    ]
    assert len(deleted) == 1


def test_a_cluster_of_our_name_that_somebody_else_made_is_refused_and_nothing_in_it_touched(
    grounds: Grounds,
) -> None:
    ecs, logs = grounds.client("ecs"), grounds.client("logs")
    ecs.create_cluster(clusterName="shop-prod")
    container = {"name": "app", "image": NOWHERE, "memory": 64}
    theirs = ecs.register_task_definition(family="shop-prod", containerDefinitions=[container])
    arn = theirs["taskDefinition"]["taskDefinitionArn"]
    logs.create_log_group(logGroupName="/ecs/shop/prod")
    try:
        refused = grounds.foundation().dismantling.plan(["prod"], keep_images=False).reasons
        ecs.delete_cluster(cluster="shop-prod")
        after = grounds.clean_up("prod")
        lines = logs.describe_log_groups(logGroupNamePrefix="/ecs/shop/prod")["logGroups"]
        status = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]["status"]
    finally:
        logs.delete_log_group(logGroupName="/ecs/shop/prod")
        ecs.deregister_task_definition(taskDefinition=arn)
        ecs.delete_task_definitions(taskDefinitions=[arn])

    assert [reason.text for reason in refused] == [
        "cluster shop-prod has no tag onedigest:app = shop: it was not made by onedigest"
    ]
    assert "environments.prod.cluster" in refused[0].remedy
    assert len(lines) == 1
    assert status == "ACTIVE"
    assert [one.kind for one in left(after)] == ["task definition"]
    assert "prod: left task definitions shop-prod, which have no tag onedigest:app = shop" in grounds.said


def test_a_table_under_a_name_of_before_is_not_called_gone(grounds: Grounds) -> None:
    grounds.set_up("prod")
    grounds.text = SHOP.replace("[load]", 'table = "another"\n\n[load]')

    there = grounds.there("prod")

    grounds.text = SHOP
    assert [(one.name, "names another now" in one.why) for one in there if one.kind == "table"] == [
        ("onedigest-shop", True)
    ]


def test_a_foreign_table_of_our_name_is_refused_until_it_is_named(grounds: Grounds) -> None:
    dynamodb = grounds.client("dynamodb")
    dynamodb.create_table(
        TableName="onedigest-shop",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    )
    try:
        refused = grounds.plan("prod").reasons
        grounds.text = SHOP.replace("[load]", 'table = "onedigest-shop"\n\n[load]')
        grounds.set_up("prod")
        assert left(grounds.clean_up("prod")) == ()
        assert dynamodb.describe_table(TableName="onedigest-shop")["Table"]["TableStatus"] == "ACTIVE"
    finally:
        dynamodb.delete_table(TableName="onedigest-shop")

    assert "was not made" in refused[0].text or "not made by onedigest" in refused[0].text
    assert "cloud.table" in refused[0].remedy


def test_a_replaced_table_is_refused_unless_its_loss_is_accepted(grounds: Grounds) -> None:
    grounds.set_up("prod")
    grounds.text = SHOP.replace("[load]", 'table = "another"\n\n[load]')

    plan = grounds.plan("prod")

    assert any("table" in reason.text and "--accept-loss" in reason.remedy for reason in plan.reasons)
    assert grounds.plan("prod", accept_loss=True).reasons == ()


def test_images_are_kept_on_request_and_taken_into_the_next_stack(grounds: Grounds) -> None:
    grounds.set_up("prod")

    after = grounds.clean_up("prod", keep_images=True)

    assert left(after) == ()
    assert [one.name for one in after if one.presence is Presence.KEPT] == ["shop"]
    assert "repository shop is there from before: taken into the stack" in grounds.plan("prod").notes
    assert grounds.set_up("prod")["onedigest-shop-shared"] == "created"
    resources = Stacks(grounds.client("cloudformation"), SystemClock()).resources("onedigest-shop-shared")
    assert resources["ImageRepository"] == "shop"


def test_what_staging_shares_with_production_outlives_it(grounds: Grounds) -> None:
    grounds.set_up("staging", "prod")

    plan = grounds.foundation().dismantling.plan(["staging"], keep_images=False)
    after = grounds.clean_up("staging")

    assert not plan.last
    assert plan.lost == ()
    assert left(after) == ()
    assert {one.kind for one in grounds.there("prod")} >= {"repository", "table", "cluster"}


def test_what_all_share_outlives_a_clean_up_during_which_another_environment_is_set_up(
    grounds: Grounds,
) -> None:
    grounds.set_up("staging")
    take = grounds.foundation().dismantling
    plan = take.plan(["staging"], keep_images=False)
    assert plan.last
    grounds.set_up("prod")

    with pytest.raises(BusyError, match="prod was set up since"):
        take.apply(plan, keep_images=False)

    assert {one.kind for one in grounds.there("prod")} >= {"repository", "table", "cluster"}


def test_a_stack_that_is_asked_for_no_more_is_removed(grounds: Grounds) -> None:
    grounds.set_up("staging")
    grounds.text = SHOP.replace('baseline = "prod"', 'baseline = "none"')

    assert grounds.set_up("staging")["onedigest-shop-staging-baseline"] == "removed"

    assert (
        Stacks(grounds.client("cloudformation"), SystemClock()).standing("onedigest-shop-staging-baseline")
        is None
    )


def test_the_emulator_knows_no_autoscaling_types(port: int) -> None:
    """Why the local cloud has no autoscaling stack; when this fails it can have one."""
    names = ("App", "Environment", "ClusterName", "ServiceName")
    told = {**dict.fromkeys(names, "shop"), "MinTasks": "1", "MaxTasks": "2"}
    request = StackRequest("scaling", template("autoscaling"), told)
    with pytest.raises(StuckError, match="Unrecognized resource types"):
        Stacks(Grounds(port).client("cloudformation"), SystemClock()).ensure(request)
