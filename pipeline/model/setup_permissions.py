"""What whoever runs `setup` and `cleanup` must be allowed, as an IAM policy."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.model.permissions import (
    ECS_TASKS,
    Grounds,
    Policy,
    Scope,
    Statement,
    assuming,
    families,
    policy,
    statement,
    table,
)


def setup_policy(scope: Scope, services: Sequence[Grounds], roles: Sequence[str] = ()) -> Policy:
    """For `setup` and `cleanup`. Creating network, scaling and keys cannot be narrowed to names, only to the region.

    `roles` are those by which environments elsewhere are reached.
    """
    return policy(
        [
            *([assuming(roles)] if roles else []),
            *_stacks(scope),
            *_own_resources(scope, several=any(one.app != scope.app for one in services)),
            *_services(scope, services),
            statement("Look", _LOOK, "*"),
            {
                **statement("Key", _KEY_CALLS, scope.arn("kms", "key/*")),
                "Condition": {"StringEquals": {"aws:ResourceTag/onedigest:app": scope.app}},
            },
            {
                **statement("NetworkAndKey", _BROAD, "*"),
                "Condition": {"StringEquals": {"aws:RequestedRegion": scope.region}},
            },
            {
                **statement("ServiceRoles", "iam:CreateServiceLinkedRole", "*"),
                "Condition": {"StringEquals": {"iam:AWSServiceName": list(_LINKED)}},
            },
        ]
    )


def _stacks(scope: Scope) -> list[Statement]:
    stacks = [
        scope.arn("cloudformation", what) for what in (f"stack/{scope.prefix}*/*", "changeSet/onedigest-*/*")
    ]
    return [statement("Stacks", _STACK_CALLS, stacks)]


def _own_resources(scope: Scope, *, several: bool) -> list[Statement]:
    """What has a name of our own to be narrowed to: the app's, and with `-` after it its services' as well."""
    named = f"{scope.app}-*"
    apps = (scope.app, named) if several else (scope.app,)
    groups = [*(f"log-group:/ecs/{app}/*" for app in apps), f"log-group:/aws/ecs/containerinsights/{named}"]
    told = {"StringEquals": {"iam:PassedToService": [ECS_TASKS, "ec2.amazonaws.com"]}}
    return [
        statement("Repository", "ecr:*", scope.arn("ecr", f"repository/{scope.repository}")),
        statement("Table", "dynamodb:*", table(scope)),
        statement("LogGroups", "logs:*", [scope.arn("logs", group) for group in groups]),
        statement("Secrets", _SECRET_CALLS, [scope.arn("secretsmanager", f"secret:{app}/*") for app in apps]),
        statement(
            "Alarms",
            _ALARM_CALLS,
            [scope.arn("cloudwatch", f"alarm:{of}") for of in (named, f"TargetTracking-service/{named}")],
        ),
        statement(
            "Balancers",
            "elasticloadbalancing:*",
            [scope.arn("elasticloadbalancing", f"{kind}/{named}") for kind in _BALANCING],
        ),
        statement(
            "Groups",
            ("autoscaling:*AutoScalingGroup", "autoscaling:*Tags"),
            scope.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{scope.prefix}*"),
        ),
        statement("Roles", _ROLE_CALLS, [scope.role(f"{scope.prefix}*"), _profile(scope)]),
        *([statement("Policies", _POLICY_CALLS, _own_policies(scope)), _attaching(scope)] if several else []),
        {**statement("PassRoles", "iam:PassRole", scope.role(f"{scope.prefix}*")), "Condition": told},
        statement(
            "Parameter", "ssm:GetParameters", f"arn:aws:ssm:{scope.region}::parameter/aws/service/ecs/*"
        ),
    ]


def _own_policies(scope: Scope) -> str:
    return f"arn:aws:iam::{scope.account}:policy/{scope.prefix}*"


def _attaching(scope: Scope) -> Statement:
    """Only policies of ours, to roles of ours."""
    ours = {"ArnLike": {"iam:PolicyARN": _own_policies(scope)}}
    calls = ("iam:AttachRolePolicy", "iam:DetachRolePolicy")
    return {**statement("Attach", calls, scope.role(f"{scope.prefix}*")), "Condition": ours}


def _profile(scope: Scope) -> str:
    return f"arn:aws:iam::{scope.account}:instance-profile/{scope.prefix}*"


def _services(scope: Scope, services: Sequence[Grounds]) -> list[Statement]:
    """One service's by their names; those of several by the app's, as its other resources."""
    several = any(one.app != scope.app for one in services)
    clusters = [f"{scope.app}-*"] if several else [one.cluster for one in services]
    named = [
        scope.arn("ecs", resource)
        for cluster in clusters
        for resource in (
            f"cluster/{cluster}",
            *(f"{kind}/{cluster}/*" for kind in _IN_CLUSTER),
        )
    ]
    definitions = (
        [scope.arn("ecs", f"task-definition/{scope.app}-*:*")] if several else families(scope, services)
    )
    own = [*named, *definitions, scope.arn("ecs", "capacity-provider/*")]
    return [statement("Services", "ecs:*", own), statement("Definitions", _DEFINITION_CALLS, "*")]


_STACK_CALLS = (
    *("cloudformation:ContinueUpdateRollback", "cloudformation:CreateChangeSet"),
    *("cloudformation:DeleteChangeSet", "cloudformation:DeleteStack", "cloudformation:DescribeChangeSet"),
    *("cloudformation:DescribeStackEvents", "cloudformation:DescribeStacks"),
    *("cloudformation:ExecuteChangeSet", "cloudformation:ListStackResources", "cloudformation:TagResource"),
)
_SECRET_CALLS = (
    *("secretsmanager:CreateSecret", "secretsmanager:DeleteSecret", "secretsmanager:DescribeSecret"),
    *("secretsmanager:PutSecretValue", "secretsmanager:TagResource", "secretsmanager:UntagResource"),
    "secretsmanager:UpdateSecret",
)
_ALARM_CALLS = (
    *("cloudwatch:DeleteAlarms", "cloudwatch:ListTagsForResource", "cloudwatch:PutMetricAlarm"),
    *("cloudwatch:TagResource", "cloudwatch:UntagResource"),
)
_ROLE_CALLS = (
    *("iam:AddRoleToInstanceProfile", "iam:CreateInstanceProfile", "iam:CreateRole"),
    *("iam:DeleteInstanceProfile", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:GetInstanceProfile"),
    *("iam:GetRole", "iam:GetRolePolicy", "iam:ListRolePolicies", "iam:ListAttachedRolePolicies"),
    *("iam:ListRoleTags", "iam:PutRolePolicy"),
    *("iam:RemoveRoleFromInstanceProfile", "iam:TagRole", "iam:UntagRole"),
    *("iam:UpdateAssumeRolePolicy", "iam:UpdateRole", "iam:UpdateRoleDescription"),
)
_POLICY_CALLS = (
    *("iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:DeletePolicy", "iam:DeletePolicyVersion"),
    *("iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListEntitiesForPolicy", "iam:ListPolicyVersions"),
)
_IN_CLUSTER = ("service", "service-deployment", "task", "container-instance")
_BALANCING = ("loadbalancer/app", "listener/app", "targetgroup")
_DEFINITION_CALLS = (
    *("ecs:CreateCluster", "ecs:DeregisterTaskDefinition", "ecs:DescribeTaskDefinition"),
    *("ecs:ListTaskDefinitionFamilies", "ecs:ListTaskDefinitions"),
)
_LOOK = (
    *("autoscaling:Describe*", "application-autoscaling:Describe*", "cloudwatch:DescribeAlarms"),
    *("cloudwatch:GetMetricData", "cloudformation:DescribeStacks", "cloudformation:ListStacks"),
    *("dynamodb:DescribeTable", "dynamodb:ListTagsOfResource", "ec2:Describe*"),
    *("ecr:DescribeRepositories", "ecr:ListTagsForResource", "ecs:ListServices", "ecs:ListTasks"),
    "elasticloadbalancing:Describe*",
    *("iam:ListPolicies", "iam:ListRoles", "kms:DescribeKey", "kms:ListAliases", "kms:ListResourceTags"),
    *("logs:DescribeIndexPolicies", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies"),
    *("secretsmanager:ListSecrets", "tag:GetResources"),
)
_BROAD = (
    *("application-autoscaling:*ScalableTarget", "application-autoscaling:*ScalingPolicy"),
    "application-autoscaling:*Tag*",
    *("ec2:*InternetGateway", "ec2:*LaunchTemplate*", "ec2:*Route", "ec2:*RouteTable"),
    *("ec2:*SecurityGroup*", "ec2:*Subnet", "ec2:*Tags", "ec2:*Vpc"),
    *("ec2:ModifySubnetAttribute", "ec2:ModifyVpcAttribute", "ec2:ReplaceRouteTableAssociation"),
    *("ec2:RunInstances", "kms:CreateAlias", "kms:CreateKey", "kms:DeleteAlias"),
    *("kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:TagResource", "kms:UpdateAlias"),
)
_KEY_CALLS = (
    *("kms:EnableKey", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:UntagResource"),
    "kms:UpdateKeyDescription",
)
"""What only a key of ours may be told, by its tag."""

_LINKED = (
    *("autoscaling.amazonaws.com", "ecs.amazonaws.com", "ecs.application-autoscaling.amazonaws.com"),
    "elasticloadbalancing.amazonaws.com",
)
