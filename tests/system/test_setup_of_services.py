"""Set-up and clean-up of a release of two services on the emulator alone: from nothing and back, killed midway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from pipeline.adapters.change_set import StackRequest
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.stack import Stacks
from pipeline.iam import policies
from pipeline.model.inventory import Presence, left
from pipeline.stacks import stacks_of
from tests.foundations import NOWHERE, Grounds, counted, empty_account, killed_at
from tests.iam.calls import read
from tests.iam.judging import refused
from tests.iam.parameters import faults

ONE = """
[app]
name = "shop"

[cloud]
provider = "local"
region = "us-east-1"

[load]
baseline = "prod"

[environments.staging]
[environments.prod]
"""
SHOP = f"""{ONE}
[services.web]
[services.api]
port = 9000
"""


@pytest.fixture
def grounds(port: int) -> Iterator[Grounds]:
    """An empty account, and empty again afterwards."""
    with empty_account(port, SHOP) as found:
        yield found


def rolled_out(grounds: Grounds, service: str = "shop-api") -> tuple[str, int]:
    """A revision that a rollout made of production's service, and two tasks of it."""
    ecs = grounds.client("ecs")
    revision = ecs.register_task_definition(
        family=f"{service}-prod",
        containerDefinitions=[{"name": "app", "image": NOWHERE, "memory": 64}],
        tags=[{"key": "onedigest:app", "value": service}],
    )["taskDefinition"]["taskDefinitionArn"]
    ecs.update_service(
        cluster=f"{service}-prod",
        service=service,
        taskDefinition=revision,
        desiredCount=2,
        deploymentConfiguration={"deploymentCircuitBreaker": {"enable": False, "rollback": False}},
    )
    return runs(grounds, service)


def runs(grounds: Grounds, service: str = "shop-api") -> tuple[str, int]:
    ecs = grounds.client("ecs")
    found = ecs.describe_services(cluster=f"{service}-prod", services=[service])["services"][0]
    return found["taskDefinition"], found["desiredCount"]


def states(grounds: Grounds) -> dict[str, str]:
    """Every stack that stands, by its name without what all begin with."""
    listed = grounds.client("cloudformation").describe_stacks()["Stacks"]
    return {
        one["StackName"].removeprefix("onedigest-shop-"): one["StackStatus"]
        for one in listed
        if one["StackStatus"] != "DELETE_COMPLETE"
    }


def test_an_empty_account_gets_each_service_and_gives_it_all_back(grounds: Grounds, calls: Path) -> None:
    """And nothing is asked of AWS that the printed policy does not allow, or with what AWS does not take."""
    assert left(grounds.there("staging", "prod")) == ()

    did = grounds.set_up("staging", "prod")

    assert list(did) == [
        "onedigest-shop-shared",
        *(f"onedigest-shop-{one}" for one in ("web-staging", "web-staging-baseline")),
        *(f"onedigest-shop-{one}" for one in ("api-staging", "api-staging-baseline", "staging-promotion")),
        *(f"onedigest-shop-{one}" for one in ("web-prod", "api-prod", "prod-promotion")),
    ]
    assert {*did.values()} == {"created"}
    found = grounds.there("staging", "prod")
    assert {one.name for one in found if one.kind == "cluster"} == {
        *("shop-web-staging", "shop-api-staging", "shop-web-prod", "shop-api-prod")
    }
    assert [one.name for one in found if one.kind in ("repository", "table")] == ["shop", "onedigest-shop"]
    with counted() as again:
        assert {*grounds.set_up("staging", "prod").values()} == {"unchanged"}
    assert "ExecuteChangeSet" not in again
    one_role_rolls_out_all_services_of_an_environment_and_none_of_another(grounds)

    assert left(grounds.clean_up("staging")) == ()
    assert sorted(states(grounds)) == ["api-prod", "prod-promotion", "shared", "web-prod"]
    after = grounds.clean_up("prod")

    assert left(after) == ()
    assert {one.presence for one in after} <= {Presence.GOING}
    assert grounds.gone == ["staging web", "staging api", "prod web", "prod api"]
    assert states(grounds) == {}
    made = [call for call in read(calls) if call.whose == "set-up"]
    assert {"ExecuteChangeSet", "DeleteTable", "DeleteTaskDefinitions"} <= {call.operation for call in made}
    printed = policies(grounds.settings, [("staging", grounds.region), ("prod", grounds.region)])
    assert refused(made, printed, []) == []
    assert [fault for call in made for fault in faults(call)] == []


def one_role_rolls_out_all_services_of_an_environment_and_none_of_another(grounds: Grounds) -> None:
    iam = grounds.client("iam")
    roles = [one["RoleName"] for one in iam.list_roles()["Roles"] if "PromotionRole" in one["RoleName"]]

    assert sorted(name.split("-PromotionRole")[0] for name in roles) == [
        "onedigest-shop-prod-promotion",
        "onedigest-shop-staging-promotion",
    ]
    prod = next(name for name in roles if "prod" in name)
    told = policy_of(iam.get_role_policy(RoleName=prod, PolicyName="promote")["PolicyDocument"])
    allowed = {one["Sid"]: one["Resource"] for one in told["Statement"]}
    services = "arn:aws:ecs:us-east-1:000000000000:service"
    assert allowed["RollOut"] == [
        f"{services}/shop-web-prod/shop-web",
        f"{services}/shop-api-prod/shop-api",
    ]
    assert "staging" not in str(told)


def policy_of(document: Any) -> Any:
    return json.loads(unquote(document)) if isinstance(document, str) else document


def test_what_services_run_is_not_touched_by_a_change_and_only_the_service_that_changes_is(
    grounds: Grounds,
) -> None:
    grounds.set_up("prod")
    before = rolled_out(grounds)
    grounds.text = SHOP.replace("port = 9000", "port = 9000\nmemory = 1024")

    did = grounds.set_up("prod")

    assert [name for name, what in did.items() if what == "changed"] == ["onedigest-shop-api-prod"]
    assert runs(grounds) == before
    assert before[1] == 2


def test_killed_again_and_again_both_come_to_their_ends(grounds: Grounds) -> None:
    number = 1
    while killed_at(number, lambda: grounds.set_up("prod")):
        number += 6

    assert number > 6, "it was hardly ever killed"
    assert grounds.plan("prod").empty
    assert states(grounds) == dict.fromkeys(
        ["shared", "web-prod", "api-prod", "prod-promotion"], "CREATE_COMPLETE"
    )
    rolled_out(grounds)
    number = 1
    while killed_at(number, lambda: grounds.clean_up("prod")):
        number += 6

    assert number > 6, "it was hardly ever killed"
    assert left(grounds.there("prod")) == ()
    assert states(grounds) == {}


def test_what_was_in_pipeline_toml_before_is_left_by_set_up_and_taken_by_clean_up(grounds: Grounds) -> None:
    """The app was one service once, then it had a third."""
    grounds.text = ONE
    grounds.set_up("prod")
    grounds.text = SHOP + "[services.mail]\n"
    grounds.set_up("prod")
    running = rolled_out(grounds, "shop-mail")
    grounds.text = SHOP

    plan = grounds.plan("prod")

    assert [step.plan.name for step in plan.steps if not step.plan.empty] == ["onedigest-shop-prod-promotion"]
    assert plan.notes == (
        "prod mail is not in pipeline.toml any more: it is left as it is, cleanup deletes it",
        "prod has onedigest-shop-prod from when the app was one service: it is left as it is, cleanup deletes it",
    )
    grounds.set_up("prod")
    assert runs(grounds, "shop-mail") == running
    assert {"prod", "mail-prod"} < states(grounds).keys()
    assert left(grounds.clean_up("prod")) == ()
    assert states(grounds) == {}
    families = grounds.client("ecs").list_task_definition_families(familyPrefix="shop", status="ACTIVE")
    assert families["families"] == []


def test_what_a_killed_clean_up_left_of_a_former_service_is_found_again_and_not_what_another_app_has(
    grounds: Grounds,
) -> None:
    """Its stack is gone, and pipeline.toml does not name it: its task definitions still tell of it."""
    ecs = grounds.client("ecs")

    def defined(app: str, **tags: str) -> None:
        told = [{"key": f"onedigest:{key}", "value": value} for key, value in {"app": app, **tags}.items()]
        containers = [{"name": "app", "image": NOWHERE, "memory": 64}]
        ecs.register_task_definition(family=f"{app}-prod", containerDefinitions=containers, tags=told)

    def there() -> list[str]:
        return [*ecs.list_task_definition_families(familyPrefix="shop", status="ACTIVE")["families"]]

    defined("shop-mail", release="shop")
    defined("shop")
    defined("shop-desk")
    try:
        assert grounds.foundation().dismantling.in_use("prod")
        assert left(grounds.clean_up("prod")) == ()
        assert there() == ["shop-desk-prod"], "the app shop-desk is no service of shop"
    finally:
        ecs.deregister_task_definition(taskDefinition="shop-desk-prod:1")


@pytest.mark.parametrize(
    ("tags", "lacks"),
    [({}, "onedigest:app = shop-api"), ({"onedigest:app": "shop-api"}, "onedigest:release = shop")],
    ids=["another tool", "the app shop-api"],
)
def test_what_somebody_else_made_in_a_services_name_is_refused_for_all(
    grounds: Grounds, tags: dict[str, str], lacks: str
) -> None:
    client = grounds.client("cloudformation")
    foreign = "Resources:\n  Topic:\n    Type: AWS::SNS::Topic\n"
    Stacks(client, SystemClock()).ensure(StackRequest("onedigest-shop-api-prod", foreign, {}, tags))
    try:
        made = grounds.plan("prod").reasons
        deleted = grounds.foundation().dismantling.plan(["prod"], keep_images=False).reasons
    finally:
        client.delete_stack(StackName="onedigest-shop-api-prod")

    assert [reason.text.split(": ")[0] for reason in made] == [
        f"stack onedigest-shop-api-prod has no tag {lacks}"
    ]
    assert len(deleted) == 1


def test_a_role_about_many_services_has_policies_of_their_own_which_go_with_it(grounds: Grounds) -> None:
    grounds.text = ONE + "".join(f"[services.part{number:02}]\n" for number in range(12))
    (spec,) = stacks_of(grounds.foundation().location, "prod")
    stacks, iam = Stacks(grounds.client("cloudformation"), SystemClock()), grounds.client("iam")
    stacks.ensure(spec.request)

    def there() -> list[str]:
        return [one.environment for one in grounds.there("prod") if one.kind == "policy"]

    (role,) = (one["RoleName"] for one in iam.list_roles()["Roles"])
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert attached
    assert there() == ["prod"] * len(attached)
    assert grounds.foundation().dismantling.in_use("prod"), "the role is still there"
    stacks.delete(spec.name)
    assert there() == []
    assert not grounds.foundation().dismantling.in_use("prod")
    assert iam.list_roles()["Roles"] == []
