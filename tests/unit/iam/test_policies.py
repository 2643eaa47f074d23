"""Our policies against what AWS says of its own actions: none is in vain, none is missing, none is without need on `*`.

Where AWS says it: `tests/iam/authorization.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.stack import template
from pipeline.adapters.template_file import parsed
from pipeline.model.permissions import Grounds, Scope, ci_policy, deputy_policy, promotion_policy
from pipeline.model.setup_permissions import setup_policy
from tests.iam.authorization import Action, actions, handlers, takes
from tests.iam.evaluator import Asked, action_matches, allowed, listed

SCOPE = Scope("shop", "eu-west-1", "shop-images", "shop-table", "shop-key")
COMPARED = Grounds("shop", "staging", "shop-cluster", "shop", True, "shop-beside", ("live-cluster", "live"))
PROD = Grounds("shop", "prod", "shop-prod", "shop")
SERVICES = [Grounds(f"shop-{one}", "prod", f"shop-{one}-prod", f"shop-{one}") for one in ("web", "api")]
ROLES = ["arn:aws:iam::2:role/deploy"]
SETUP = setup_policy(SCOPE, [COMPARED, PROD])
SETUP_OF_SEVERAL = setup_policy(SCOPE, SERVICES, ROLES)
REGIONS = ("eu-west-1", "us-east-1")
EVERYWHERE = replace(SCOPE, region="*", home="eu-west-1", images=REGIONS, regions=REGIONS)
PRINTED = {
    "ci": ci_policy(SCOPE),
    "promote": promotion_policy(SCOPE, [COMPARED]),
    "promote several": promotion_policy(EVERYWHERE, SERVICES),
    "promote elsewhere": deputy_policy(SCOPE, ROLES),
    "setup": SETUP,
    "setup of several": SETUP_OF_SEVERAL,
}
HOW_TO = (Path(__file__).parents[3] / "docs" / "how-to" / "adopt-existing-service.md").read_text("utf-8")
ADOPTED = json.loads(HOW_TO.partition("## 6. Permissions")[2].partition("```json")[2].partition("```")[0])
"""What the documentation gives to who rolls out to a service that something else made."""
ANYWHERE = {
    "cloudformation:describestacks": "the inventory asks without a name, for what no stack of ours would tell",
    "cloudwatch:describealarms": "alarms of a rollout are named in pipeline.toml, and may be anybody's",
    "cloudwatch:getmetricdata": "a policy of scaling is tried on metrics of ECS, which are no data set",
    "dynamodb:describetable": "a table of ours may have another name than pipeline.toml has now",
    "dynamodb:listtagsofresource": "whether it is ours is told by its tags",
    "ecr:describerepositories": "a repository of ours may have another name, too",
    "ecr:listtagsforresource": "whether it is ours is told by its tags",
    "ecs:createcluster": "the developer guide of ECS says that it takes no resource; the reference says that it does",
    "ecs:listtasks": "AWS judges it by the instance, of which none is named",
    "kms:describekey": "keys have no names, and an alias is looked up by it",
    "kms:listresourcetags": "whether a key is ours is told by its tags",
}
"""What may be allowed on single resources, and is allowed on all of them: why."""


def every_action(statement: Any) -> Iterator[tuple[str, Action]]:
    for pattern in listed(statement["Action"]):
        yield from ((pattern, one) for one in actions(pattern))


def statements() -> list[Any]:
    return [
        pytest.param(one, id=f"{name}-{one['Sid']}")
        for name, policy in {**PRINTED, "adopted": ADOPTED}.items()
        for one in policy["Statement"]
    ]


@pytest.mark.parametrize("statement", statements())
def test_every_action_is_one_of_aws(statement: Any) -> None:
    assert [pattern for pattern in listed(statement["Action"]) if not actions(pattern)] == []


@pytest.mark.parametrize("statement", statements())
def test_every_action_is_allowed_on_something_that_it_may_be_allowed_on(statement: Any) -> None:
    """An action without a type of resource is allowed on `*` alone, one with types on resources of these."""
    on = listed(statement["Resource"])

    in_vain = [
        action.name
        for pattern, action in every_action(statement)
        if "*" not in on and "*" not in pattern and not any(takes(action, arn) for arn in on)
    ]
    assert in_vain == []


@pytest.mark.parametrize("statement", statements())
def test_every_resource_is_one_of_an_action(statement: Any) -> None:
    acting = [action for _, action in every_action(statement)]

    strange = [arn for arn in listed(statement["Resource"]) if not any(takes(one, arn) for one in acting)]
    assert [arn for arn in strange if arn != "*"] == []


def test_what_is_allowed_on_everything_has_a_condition_or_a_reason() -> None:
    """Those that are meant by a wildcard only describe."""
    found = {
        action.name
        for policy in PRINTED.values()
        for statement in policy["Statement"]
        if statement["Resource"] == "*" and "Condition" not in statement
        for pattern, action in every_action(statement)
        if action.types and "*" not in pattern
    }

    assert found == set(ANYWHERE)
    wide = {p for p in listed(_statement("Look")["Action"]) if "*" in p}
    assert all(pattern.endswith(":Describe*") for pattern in wide)


def test_only_what_aws_gives_ids_to_is_allowed_in_the_whole_region() -> None:
    found = {action.name.split(":")[0] for _, action in every_action(_statement("NetworkAndKey"))}

    assert found == {"application-autoscaling", "ec2", "kms"}


KEYS = {
    "ecs:cluster": {"ecs:describetasks", "ecs:listtasks", "ecs:runtask", "ecs:stoptask"},
    "iam:AWSServiceName": {"iam:createservicelinkedrole"},
    "iam:PassedToService": {"iam:passrole"},
    "iam:PolicyARN": {"iam:attachrolepolicy", "iam:detachrolepolicy"},
    "kms:ResourceAliases": {"kms:getpublickey", "kms:sign"},
}
"""Which of our actions have the key, after the Service Authorization Reference; `aws:` keys are known to all."""


@pytest.mark.parametrize("statement", statements())
def test_a_condition_is_on_what_the_action_has(statement: Any) -> None:
    """A key that an action does not have is never fulfilled: the action would never be allowed."""
    keys = {key for told in statement.get("Condition", {}).values() for key in told}
    acting = {action.name for _, action in every_action(statement)}

    assert {key for key in keys if not key.startswith("aws:") and not acting <= KEYS[key]} == set()


def test_who_rolls_out_to_an_adopted_service_may_do_what_a_promotion_does() -> None:
    """But for the address, which pipeline.toml tells there, and the key, of which the text below it speaks."""
    printed, told = (
        {action.name for one in policy["Statement"] for _, action in every_action(one)}
        for policy in (PRINTED["promote"], ADOPTED)
    )

    assert printed ^ told == {"cloudformation:describestacks", "kms:getpublickey", "kms:sign"}
    assert all(f"`{name}`" in HOW_TO for name in ("kms:GetPublicKey", "kms:Sign"))


def _statement(sid: str) -> Any:
    return next(one for one in SETUP["Statement"] if one["Sid"] == sid)


# -- CloudFormation acts with the permissions of who sets up ----------------------------------------------------------

GROUP = "autoScalingGroup:1:autoScalingGroupName/onedigest-shop-prod-Instances-1"
RESOURCES = {
    "autoscaling:autoscalinggroup": f"arn:aws:autoscaling:eu-west-1:1:{GROUP}",
    "cloudwatch:alarm": "arn:aws:cloudwatch:eu-west-1:1:alarm:shop-prod-errors",
    "dynamodb:table": "arn:aws:dynamodb:eu-west-1:1:table/shop-table",
    "ecr:repository": "arn:aws:ecr:eu-west-1:1:repository/shop-images",
    "ecs:capacity-provider": "arn:aws:ecs:eu-west-1:1:capacity-provider/onedigest-shop-prod-CapacityProvider-1",
    "ecs:cluster": "arn:aws:ecs:eu-west-1:1:cluster/shop-prod",
    "ecs:service": "arn:aws:ecs:eu-west-1:1:service/shop-prod/shop",
    "ecs:service-deployment": "arn:aws:ecs:eu-west-1:1:service-deployment/shop-prod/shop/1",
    "ecs:task-definition": "arn:aws:ecs:eu-west-1:1:task-definition/shop-prod:1",
    "elasticloadbalancing:listener/app": "arn:aws:elasticloadbalancing:eu-west-1:1:listener/app/shop-prod/1/2",
    "elasticloadbalancing:loadbalancer/app/": "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/shop-prod/1",
    "elasticloadbalancing:targetgroup": "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/shop-prod-b/1",
    "iam:instance-profile": "arn:aws:iam::1:instance-profile/onedigest-shop-prod-InstanceProfile-1",
    "iam:role": "arn:aws:iam::1:role/onedigest-shop-prod-TaskRole-1",
    "kms:key": "arn:aws:kms:eu-west-1:1:key/1",
    "logs:log-group": "arn:aws:logs:eu-west-1:1:log-group:/ecs/shop/prod",
    "secretsmanager:secret": "arn:aws:secretsmanager:eu-west-1:1:secret:shop/prod/database-url-AbCdEf",
}
"""What the stacks make, by service and type; what is not here has no name of ours."""

CONTEXT = {
    "aws:RequestedRegion": ["eu-west-1"],
    "aws:ResourceTag/onedigest:app": ["shop"],
    "iam:AWSServiceName": ["ecs.amazonaws.com"],
    "iam:PassedToService": ["ecs-tasks.amazonaws.com"],
}
UNUSED = {
    ("AWS::ApplicationAutoScaling::ScalableTarget", "application-autoscaling:*ScheduledAction"): "Scheduled",
    ("AWS::ApplicationAutoScaling::ScalableTarget", "lambda:*"): "lambda",
    ("AWS::AutoScaling::AutoScalingGroup", "autoscaling:*LifecycleHook"): "LifecycleHook",
    ("AWS::AutoScaling::AutoScalingGroup", "autoscaling:*Load*"): "LoadBalancer",
    ("AWS::AutoScaling::AutoScalingGroup", "autoscaling:*MetricsCollection"): "MetricsCollection",
    ("AWS::AutoScaling::AutoScalingGroup", "autoscaling:*NotificationConfiguration"): "Notification",
    ("AWS::AutoScaling::AutoScalingGroup", "autoscaling:*Processes"): "AutoScalingRollingUpdate",
    ("AWS::AutoScaling::AutoScalingGroup", "autoscaling:*TrafficSources"): "TrafficSources",
    ("AWS::AutoScaling::AutoScalingGroup", "autoscaling:*InstanceRefresh"): "InstanceRefresh",
    ("AWS::AutoScaling::AutoScalingGroup", "ec2:Get*"): "InstanceRequirements",
    ("AWS::AutoScaling::AutoScalingGroup", "ssm:Get*"): "resolve:ssm",
    ("AWS::AutoScaling::AutoScalingGroup", "vpc-lattice:*"): "TrafficSources",
    ("AWS::DynamoDB::Table", "dynamodb:DescribeImport"): "ImportSource",
    ("AWS::DynamoDB::Table", "kinesis:*"): "Kinesis",
    ("AWS::DynamoDB::Table", "kms:*"): "KMSMasterKeyId",
    ("AWS::DynamoDB::Table", "logs:*"): "ImportSource",
    ("AWS::DynamoDB::Table", "s3:*"): "ImportSource",
    ("AWS::EC2::Subnet", "ec2:*SubnetCidrBlock"): "Ipv6",
    ("AWS::EC2::VPC", "ec2:CreateVpcEncryptionControl"): "EncryptionControl",
    ("AWS::EC2::VPC", "ec2:ModifyVpcTenancy"): "Tenancy",
    ("AWS::EC2::VPCGatewayAttachment", "ec2:*VpnGateway"): "Vpn",
    ("AWS::ECR::Repository", "kms:*"): "KmsKey",
    ("AWS::ECS::Cluster", "ecs:PutAccountSetting*"): "AccountSetting",
    ("AWS::ElasticLoadBalancingV2::Listener", "cognito-idp:*"): "Cognito",
    ("AWS::IAM::Role", "iam:*RolePermissionsBoundary"): "PermissionsBoundary",
    ("AWS::IAM::Role", "iam:*tachRolePolicy"): "ManagedPolicy",
    ("AWS::KMS::Key", "kms:*KeyRotation"): "Rotation",
    ("AWS::KMS::Key", "kms:DisableKey"): "Enabled",
    ("AWS::Logs::LogGroup", "firehose:*"): "DataProtection",
    ("AWS::Logs::LogGroup", "logs:*IndexPolicy"): "IndexPolicies",
    ("AWS::Logs::LogGroup", "logs:*ResourcePolicy"): "ResourcePolicy",
    ("AWS::Logs::LogGroup", "logs:CreateLogDelivery"): "DataProtection",
    ("AWS::SecretsManager::Secret", "secretsmanager:*Re*gions*"): "Replica",
    ("AWS::SecretsManager::Secret", "secretsmanager:GetRandomPassword"): "GenerateSecretString",
    ("AWS::SecretsManager::Secret", "secretsmanager:GetSecretValue"): "GenerateSecretString",
}
"""What CloudFormation takes only for properties that our templates do not use: a word that these would bring in."""


@dataclass(frozen=True, slots=True)
class Step:
    """One action that CloudFormation takes for a type of resource."""

    type: str
    action: str

    @property
    def unused(self) -> tuple[str, str] | None:
        """The key of UNUSED that it is under."""
        return next(
            (key for key in UNUSED if key[0] == self.type and action_matches(key[1], self.action)), None
        )

    def refused(self) -> list[str]:
        """On what it is refused: everything of ours that it may be allowed on, or whatever else AWS asks about.

        Empty too for what is no action of IAM: the schemas tell of some that only AWS itself can take.
        """
        known = actions(self.action)
        service = self.action.split(":")[0]
        types = set() if "*" in self.action else {kind.lower() for one in known for kind in one.types}
        ours = [RESOURCES[key] for kind in sorted(types) if (key := f"{service}:{kind}") in RESOURCES]
        asked = [] if not known else ours or [f"arn:aws:{service}:eu-west-1:1:any" if types else "*"]
        return [arn for arn in asked if not allowed([SETUP], Asked(self.action, arn, CONTEXT))]


def made() -> dict[str, str]:
    """The types of resources that the templates make, with what they say of them."""
    found: dict[str, str] = {}
    for name in ("shared", "environment", "baseline", "promotion", "autoscaling"):
        for resource in parsed(template(name))["Resources"].values():
            kind = str(resource["Type"])
            found[kind] = found.get(kind, "") + json.dumps(resource)
    return found


def taken(kind: str) -> list[Step]:
    return [Step(kind, action) for step in handlers(kind).values() for action in sorted(step)]


@pytest.mark.parametrize("kind", sorted(made()))
def test_set_up_may_do_what_cloudformation_does_for_it(kind: str) -> None:
    steps = taken(kind)
    refused = {step.action: step.refused() for step in steps if step.unused is None}

    assert steps, "CloudFormation does something with every resource"
    assert {action: on for action, on in refused.items() if on} == {}


def test_what_is_left_out_is_for_properties_that_no_template_has_and_would_be_refused() -> None:
    templates = made()
    needed = {step.unused for kind in templates for step in taken(kind) if step.refused()}

    assert set(UNUSED) - needed == set(), "these are allowed, or are not done at all"
    assert {key: word for key, word in UNUSED.items() if word in templates[key[0]]} == {}


def test_a_missing_permission_would_be_found() -> None:
    assert Step("AWS::IAM::Role", "iam:CreateUser").refused() == ["arn:aws:iam:eu-west-1:1:any"]
    assert Step("AWS::ECS::Service", "ecs:ExecuteCommand").refused() == []
    assert Step("AWS::ECR::Repository", "ecr:PutRegistryPolicy").refused() == ["*"]


def test_set_up_of_several_may_also_do_what_it_does_for_policies_and_no_others() -> None:
    policy, role = "arn:aws:iam::1:policy/onedigest-shop-prod-promotion-A", RESOURCES["iam:role"]
    needed = {step.action for step in taken("AWS::IAM::ManagedPolicy")}
    attaching = {"iam:AttachRolePolicy", "iam:DetachRolePolicy"}
    beside = {action for action in needed if "User" in action or "Group" in action}

    for action in needed - beside:
        on = role if action in attaching else policy
        assert allowed([SETUP_OF_SEVERAL], Asked(action, on, {"iam:PolicyARN": [policy]})), action
    theirs = {"iam:PolicyARN": ["arn:aws:iam::aws:policy/AdministratorAccess"]}
    assert not any(allowed([SETUP_OF_SEVERAL], Asked(action, role, theirs)) for action in attaching)
