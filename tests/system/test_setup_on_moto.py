"""Set-up and clean-up on moto, written by others than the emulator of the local cloud, with `provider = "aws"`.

What moto cannot: its CloudFormation makes no alarms and no secrets, gives resources no tags of their own (so the
inventory sees few of them, and a test tags its cluster), publishes no exports of a stack made by a change set (so there
is no baseline here), knows no references to parameters of SSM (so no instances), and deletes no route tables, which
then keep their network: the tests do that for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import reduce
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from pipeline.adapters.change_set import StackRequest
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.stack import Stacks, template
from pipeline.adapters.template_file import parsed
from pipeline.checks import of_account
from pipeline.errors import PipelineError
from pipeline.model.check import State
from pipeline.model.inventory import left
from tests.foundations import Grounds
from tests.moto_server import moto

SHOP = """
[app]
name = "shop"

[cloud]
provider = "aws"
region = "us-east-1"

[load]
baseline = "none"

[environments.staging]
[environments.prod]
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with moto(tmp_path_factory.mktemp("moto")) as found:
        yield found


@pytest.fixture
def grounds(port: int) -> Grounds:
    """An empty account."""
    requests.post(f"http://127.0.0.1:{port}/moto-api/reset", timeout=30).raise_for_status()
    return Grounds(port, SHOP)


def without_route_tables(grounds: Grounds) -> None:
    ec2 = grounds.client("ec2")
    for table in ec2.describe_route_tables()["RouteTables"]:
        associations = table["Associations"]
        if not any(one.get("Main") for one in associations):
            for one in associations:
                ec2.disassociate_route_table(AssociationId=one["RouteTableAssociationId"])
            ec2.delete_route_table(RouteTableId=table["RouteTableId"])


def with_tags(grounds: Grounds, cluster: str) -> None:
    ecs = grounds.client("ecs")
    arn = ecs.describe_clusters(clusters=[cluster])["clusters"][0]["clusterArn"]
    ecs.tag_resource(resourceArn=arn, tags=[{"key": "onedigest:app", "value": "shop"}])


def test_an_account_is_set_up_described_found_unchanged_and_cleaned_up(grounds: Grounds) -> None:
    did = grounds.set_up("staging", "prod")

    stacks = ("shared", "staging", "staging-promotion", "prod", "prod-promotion")
    assert did == {f"onedigest-shop-{what}": "created" for what in stacks}
    assert grounds.plan("staging", "prod").empty
    service = grounds.client("ecs").describe_services(cluster="shop-prod", services=["shop"])["services"][0]
    assert (service["desiredCount"], service["taskDefinition"].split("/")[-1]) == (0, "shop-prod:1")
    found = {one.kind for one in grounds.there("staging", "prod")}
    assert found >= {"stack", "network", "subnet", "role", "repository", "table", "task definition"}
    without_route_tables(grounds)
    assert left(grounds.clean_up("staging", "prod")) == ()


def test_a_network_that_is_not_deleted_with_its_stack_is_not_called_gone(grounds: Grounds) -> None:
    grounds.set_up("prod")
    with_tags(grounds, "shop-prod")
    with pytest.raises(PipelineError, match="has dependencies and cannot be deleted"):
        grounds.clean_up("prod")
    without_route_tables(grounds)

    after = grounds.clean_up("prod")

    assert "network" in [one.kind for one in left(after)]


def test_autoscaling_waits_for_the_first_rollout(grounds: Grounds) -> None:
    grounds.set_up("prod")
    grounds.text = SHOP.replace("[environments.prod]", "[environments.prod]\nscaling = { min = 2, max = 5 }")
    assert grounds.plan("prod").notes == (
        "onedigest-shop-prod-autoscaling: after the first rollout of prod; run setup again then",
    )

    grounds.client("ecs").update_service(cluster="shop-prod", service="shop", desiredCount=2)

    assert grounds.set_up("prod")["onedigest-shop-prod-autoscaling"] == "created"


def test_the_api_takes_what_the_autoscaling_template_says(grounds: Grounds) -> None:
    """moto's CloudFormation passes these types over, so its API is given their properties."""
    grounds.set_up("prod")
    resources = parsed(template("autoscaling"))["Resources"]
    where = {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"}
    target = filled(resources["Target"]["Properties"])
    client = grounds.client("application-autoscaling")

    client.register_scalable_target(**target)
    for name in ("ByCpuPolicy", "ByRequestsPolicy"):
        policy = filled(resources[name]["Properties"])
        assert policy.pop("ScalingTargetId") == {"Ref": "Target"}
        client.put_scaling_policy(**policy, **where, ResourceId=target["ResourceId"])

    (made,) = client.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    assert (made["ResourceId"], made["MinCapacity"], made["MaxCapacity"]) == ("service/shop-prod/shop", 2, 5)
    assert len(client.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]) == 2


def test_the_doctor_finds_our_repository_fit_and_tells_of_a_rule_that_takes_what_was_promoted(
    grounds: Grounds,
) -> None:
    cloud: Any = SimpleNamespace(aws=grounds.aws())
    assert [check.state for check in of_account(grounds.settings, cloud)] == [State.NG], "there is none yet"
    ecr = grounds.client("ecr")
    ecr.create_repository(repositoryName="shop", imageTagMutability="IMMUTABLE")
    assert [check.state for check in of_account(grounds.settings, cloud)] == [State.OK, State.OK]
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 10}
    policy = {"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]}
    ecr.put_lifecycle_policy(repositoryName="shop", lifecyclePolicyText=json.dumps(policy))
    grounds.text = SHOP.replace("[environments.prod]", '[environments.prod]\ncluster = "theirs"')

    tags, expiry, adopted = of_account(grounds.settings, cloud)

    assert (tags.state, expiry.state) == (State.OK, State.NG)
    assert "images promoted to prod" in expiry.text
    assert "ignore_changes" in adopted.text


def test_an_adopted_environment_is_left_alone_and_only_the_table_and_what_is_shared_are_made(
    grounds: Grounds,
) -> None:
    grounds.text = SHOP.replace(
        "[environments.staging]\n[environments.prod]",
        '[environments.staging]\ncluster = "their-staging"\n[environments.prod]\nservice = "theirs"',
    ).replace('name = "shop"', 'name = "shop"\nrepository = "their/shop"')

    assert grounds.set_up("staging", "prod") == {"onedigest-shop-shared": "created"}

    notes = " ".join(grounds.plan("staging", "prod").notes)
    assert "repository their/shop is named in pipeline.toml: used as it is" in notes
    assert (
        "staging is adopted (cluster their-staging in pipeline.toml): nothing is made or changed there"
        in notes
    )
    assert grounds.client("dynamodb").list_tables()["TableNames"] == ["onedigest-shop"]
    assert grounds.client("ecr").describe_repositories()["repositories"] == []
    reasons = grounds.foundation().dismantling.plan(["prod"], keep_images=False).reasons
    assert [reason.text for reason in reasons] == [
        "prod is adopted: its cluster and service were not made by onedigest, which deletes nothing there"
    ]


def test_of_several_services_one_is_adopted_and_the_others_are_made_with_one_role_for_all(
    grounds: Grounds,
) -> None:
    grounds.text = SHOP + '[services.web]\nservice = "theirs"\n[services.api]\n[services.mail]\n'

    did = grounds.set_up("prod")

    assert list(did) == [
        *("onedigest-shop-shared", "onedigest-shop-api-prod", "onedigest-shop-mail-prod"),
        "onedigest-shop-prod-promotion",
    ]
    plan = grounds.plan("prod")
    assert plan.empty
    assert (
        "prod web is adopted (service theirs in pipeline.toml): nothing is made or changed there"
        in plan.notes
    )
    iam = grounds.client("iam")
    (role,) = (one["RoleName"] for one in iam.list_roles()["Roles"] if "PromotionRole" in one["RoleName"])
    told = json.dumps(iam.get_role_policy(RoleName=role, PolicyName="promote")["PolicyDocument"])
    for path in ("shop-web-prod/theirs", "shop-api-prod/shop-api", "shop-mail-prod/shop-mail"):
        assert f":service/{path}" in told
    cloud: Any = SimpleNamespace(aws=grounds.aws())
    assert [one.name for one in of_account(grounds.settings, cloud) if "adopted" in one.name] == [
        *("staging web adopted", "prod web adopted")
    ]
    without_route_tables(grounds)
    dismantling = grounds.foundation().dismantling
    assert (
        "prod web is adopted: it was not made by onedigest"
        in dismantling.plan(["prod"], keep_images=False).notes
    )
    both = dismantling.plan(["staging", "prod"], keep_images=False)
    assert both.reasons == ()
    assert not both.last, "an adopted service still runs images of the repository"
    assert "prod web is still there: image repository, table and roles for CI stay" in both.notes
    assert [one.name for one in left(grounds.clean_up("prod"))] == []


def test_a_service_that_is_adopted_and_has_a_stack_of_ours_from_before_is_not_passed_over(
    grounds: Grounds,
) -> None:
    grounds.text = SHOP + '[services.web]\nservice = "theirs"\n[services.api]\n'
    name, tags = "onedigest-shop-web-prod", {"onedigest:app": "shop-web", "onedigest:release": "shop"}
    client = grounds.client("cloudformation")
    made = StackRequest(name, "Resources:\n  Topic:\n    Type: AWS::SNS::Topic\n", {}, tags)
    Stacks(client, SystemClock()).ensure(made)

    (reason,) = grounds.foundation().dismantling.plan(["prod"], keep_images=False).reasons

    assert reason.text.startswith(f"prod web is adopted, and stack {name}")
    client.delete_stack(StackName=name)
    assert grounds.foundation().dismantling.plan(["prod"], keep_images=False).reasons == ()


VALUES = {"App": "shop", "Environment": "prod", "ClusterName": "shop-prod", "ServiceName": "shop"}
NUMBERS = {"MinTasks": 2, "MaxTasks": 5, "Cpu": 60.0, "Requests": 100.0}


def filled(node: Any) -> Any:
    """The node with its parameters; an imported value is the label of a load balancer and a target group."""
    if not isinstance(node, dict):
        return node
    if "Fn::ImportValue" in node:
        return "app/shop-prod/1234567890abcdef/targetgroup/shop-prod/1234567890abcdef"
    if "Fn::Sub" in node:
        return reduce(
            lambda text, one: text.replace("${" + one[0] + "}", one[1]), VALUES.items(), node["Fn::Sub"]
        )
    if node.keys() == {"Ref"} and node["Ref"] in NUMBERS:
        return NUMBERS[node["Ref"]]
    return {key: filled(value) for key, value in node.items()}


def test_a_certificate_of_another_region_is_refused_before_anything_is_made(grounds: Grounds) -> None:
    arn = "arn:aws:acm:eu-west-1:123456789012:certificate/a"
    grounds.text = SHOP.replace(
        "[environments.prod]", f'[environments.prod]\nsetup = {{ certificate = "{arn}" }}'
    )

    (reason,) = grounds.plan("staging", "prod").reasons

    assert reason.text.startswith(f"the certificate {arn} of prod is not one of us-east-1")
    assert 'environments.prod.certificates = { "us-east-1" = ' in reason.remedy


def test_a_task_that_fargate_does_not_run_is_refused_before_anything_is_made(grounds: Grounds) -> None:
    grounds.text = SHOP.replace("[environments.prod]", "[environments.prod]\nmemory = 768")

    (reason,) = grounds.plan("staging", "prod").reasons

    assert reason.text == (
        "Fargate runs no task of prod's size: with 256 CPU units it has tasks of 512, 1024, 2048 MiB, not of 768"
    )
    assert "environments.prod.memory" in reason.remedy
    grounds.text = grounds.text.replace("768", '768\nsetup = { capacity = "ec2" }')
    assert grounds.plan("staging", "prod").reasons == ()
