"""What each identity must be allowed, as IAM policies: set-up, CI (build, push, test, sign), and a promotion.

The roles in the templates have the same statements; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Statement = Mapping[str, Any]
Policy = Mapping[str, Any]

ECS_TASKS = "ecs-tasks.amazonaws.com"
_VERSION = "2012-10-17"
_PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_PUSH = ("ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart")
_LIST = ("ecr:DescribeImages", "ecr:DescribeRepositories", "ecr:GetLifecyclePolicy", "ecr:ListImages")


@dataclass(frozen=True, slots=True)
class Scope:
    """What the policies are about. `account` is an account's id, or `*` where it is not known.

    `repository` and `table` are names, `key` is an alias in KMS without `alias/`. `home` is the region of table and
    key, `images` that of the repository; empty: `region`.
    """

    app: str
    region: str
    repository: str
    table: str
    key: str
    account: str = "*"
    home: str = ""
    images: str = ""

    def arn(self, service: str, resource: str, region: str = "") -> str:
        """The ARN of a resource in this region, or another, and account."""
        return f"arn:aws:{service}:{region or self.region}:{self.account}:{resource}"

    def role(self, name: str) -> str:
        """The ARN of a role, which has no region."""
        return f"arn:aws:iam::{self.account}:role/{name}"

    @property
    def prefix(self) -> str:
        """How the names of our stacks begin, and with them those of what CloudFormation names."""
        return f"onedigest-{self.app}-"


@dataclass(frozen=True, slots=True)
class Grounds:
    """An environment in a scope: its name, cluster and service.

    `asks` is the environment whose service it is compared with, by cluster and service, and `beside` the service in
    its own cluster that runs what that one runs; None and empty where there is none.
    """

    name: str
    cluster: str
    service: str
    asks: tuple[str, str] | None = None
    beside: str = ""


def ci_policy(scope: Scope) -> Policy:
    """For CI: build, push, test, sign. It cannot reach an environment."""
    return _policy([*_images(scope), *_signing(scope)])


def promotion_policy(scope: Scope, grounds: Grounds) -> Policy:
    """For who rolls out to one environment, and for nothing in another."""
    return _policy(
        [
            *_images(scope),
            *_signing(scope),
            *_rollout(scope, grounds),
            *_watching(scope, grounds),
            *_asking(scope, grounds),
            _on("Records", ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"), _table(scope)),
        ]
    )


def setup_policy(scope: Scope, environments: Sequence[Grounds]) -> Policy:
    """For `setup` and `cleanup`. Creating network, scaling and keys cannot be narrowed to names, only to the region."""
    return _policy(
        [
            *_stacks(scope),
            *_own_resources(scope),
            *_services(scope, environments),
            _on("Look", _LOOK, "*"),
            {
                **_on("Key", _KEY_CALLS, scope.arn("kms", "key/*")),
                "Condition": {"StringEquals": {"aws:ResourceTag/onedigest:app": scope.app}},
            },
            {
                **_on("NetworkAndKey", _BROAD, "*"),
                "Condition": {"StringEquals": {"aws:RequestedRegion": scope.region}},
            },
            {
                **_on("ServiceRoles", "iam:CreateServiceLinkedRole", "*"),
                "Condition": {"StringEquals": {"iam:AWSServiceName": list(_LINKED)}},
            },
        ]
    )


def _images(scope: Scope) -> list[Statement]:
    repository = scope.arn("ecr", f"repository/{scope.repository}", scope.images)
    return [
        _on("Login", "ecr:GetAuthorizationToken", "*"),
        _on("Images", sorted((*_PULL, *_PUSH, *_LIST)), repository),
    ]


def _signing(scope: Scope) -> list[Statement]:
    alias = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": f"alias/{scope.key}"}}
    keys = scope.arn("kms", "key/*", scope.home)
    return [{**_on("Sign", ("kms:GetPublicKey", "kms:Sign"), keys), "Condition": alias}]


def _rollout(scope: Scope, grounds: Grounds) -> list[Statement]:
    services = _services_of(grounds)
    families = _families(scope, grounds)
    cluster = {"ArnLike": {"ecs:cluster": scope.arn("ecs", f"cluster/{grounds.cluster}")}}
    told = {"StringEquals": {"iam:PassedToService": ECS_TASKS}}
    return [
        _on(
            "RollOut",
            ("ecs:DescribeServices", "ecs:ListServiceDeployments", "ecs:UpdateService"),
            [scope.arn("ecs", f"service/{path}") for path in services],
        ),
        _on(
            "Deployments",
            ("ecs:DescribeServiceDeployments", "ecs:DescribeServiceRevisions", "ecs:StopServiceDeployment"),
            [
                scope.arn("ecs", f"{kind}/{path}{below}")
                for kind, below in (("service", ""), ("service-deployment", "/*"), ("service-revision", "/*"))
                for path in services
            ],
        ),
        _on("Definitions", ("ecs:RegisterTaskDefinition", "ecs:TagResource"), families),
        _on("LookAtDefinitions", "ecs:DescribeTaskDefinition", "*"),
        {**_on("Tasks", ("ecs:DescribeTasks", "ecs:ListTasks"), "*"), "Condition": cluster},
        {**_on("OneOffTasks", "ecs:RunTask", families), "Condition": cluster},
        _on("EndOneOffTasks", "ecs:StopTask", scope.arn("ecs", f"task/{grounds.cluster}/*")),
        {**_on("PassRoles", "iam:PassRole", _roles(scope, grounds)), "Condition": told},
    ]


def _services_of(grounds: Grounds) -> list[str]:
    return [f"{grounds.cluster}/{name}" for name in (grounds.service, grounds.beside) if name]


def _families(scope: Scope, grounds: Grounds) -> list[str]:
    """Those of the service, of the one beside it, and of the tasks that load."""
    own = f"task-definition/{scope.app}-{grounds.name}"
    return [scope.arn("ecs", f"{own}:*"), scope.arn("ecs", f"{own}-*:*")]


def _watching(scope: Scope, grounds: Grounds) -> list[Statement]:
    group = scope.arn("logs", f"log-group:/ecs/{scope.app}/{grounds.name}:*")
    secret = scope.arn("secretsmanager", f"secret:{scope.app}/{grounds.name}/*")
    stack = scope.arn("cloudformation", f"stack/{scope.prefix}{grounds.name}*/*")
    return [
        _on("Address", "cloudformation:DescribeStacks", stack),
        _on("Logs", ("logs:FilterLogEvents", "logs:GetLogEvents"), group),
        _on("Secrets", ("secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy"), secret),
        _on("Roles", ("iam:GetRole", "iam:SimulatePrincipalPolicy"), _roles(scope, grounds)),
        _on("Look", _LOOK_ROLLOUT, "*"),
    ]


def _asking(scope: Scope, grounds: Grounds) -> list[Statement]:
    """To look at what production runs, in any of its regions; nothing of it can be changed."""
    if grounds.asks is None:
        return []
    cluster, service = grounds.asks
    there = f"arn:aws:ecs:*:{scope.account}"
    within = {"ArnLike": {"ecs:cluster": f"{there}:cluster/{cluster}"}}
    return [
        _on("AskProduction", "ecs:DescribeServices", f"{there}:service/{cluster}/{service}"),
        {**_on("AskProductionsTasks", ("ecs:DescribeTasks", "ecs:ListTasks"), "*"), "Condition": within},
    ]


def _roles(scope: Scope, grounds: Grounds) -> list[str]:
    """The roles of an environment's tasks and of who rolls out; CloudFormation ends their names."""
    return [scope.role(f"{scope.prefix}{grounds.name}-*")]


def _table(scope: Scope) -> str:
    return scope.arn("dynamodb", f"table/{scope.table}", scope.home)


def _stacks(scope: Scope) -> list[Statement]:
    stacks = [
        scope.arn("cloudformation", what) for what in (f"stack/{scope.prefix}*/*", "changeSet/onedigest-*/*")
    ]
    return [_on("Stacks", _STACK_CALLS, stacks)]


def _own_resources(scope: Scope) -> list[Statement]:
    """What has a name of our own to be narrowed to."""
    named = f"{scope.app}-*"
    groups = [f"log-group:/ecs/{scope.app}/*", f"log-group:/aws/ecs/containerinsights/{named}"]
    told = {"StringEquals": {"iam:PassedToService": [ECS_TASKS, "ec2.amazonaws.com"]}}
    return [
        _on("Repository", "ecr:*", scope.arn("ecr", f"repository/{scope.repository}")),
        _on("Table", "dynamodb:*", _table(scope)),
        _on("LogGroups", "logs:*", [scope.arn("logs", group) for group in groups]),
        _on("Secrets", _SECRET_CALLS, scope.arn("secretsmanager", f"secret:{scope.app}/*")),
        _on(
            "Alarms",
            _ALARM_CALLS,
            [scope.arn("cloudwatch", f"alarm:{of}") for of in (named, f"TargetTracking-service/{named}")],
        ),
        _on(
            "Balancers",
            "elasticloadbalancing:*",
            [scope.arn("elasticloadbalancing", f"{kind}/{named}") for kind in _BALANCING],
        ),
        _on(
            "Groups",
            ("autoscaling:*AutoScalingGroup", "autoscaling:*Tags"),
            scope.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{scope.prefix}*"),
        ),
        _on("Roles", _ROLE_CALLS, [scope.role(f"{scope.prefix}*"), _profile(scope)]),
        {**_on("PassRoles", "iam:PassRole", scope.role(f"{scope.prefix}*")), "Condition": told},
        _on("Parameter", "ssm:GetParameters", f"arn:aws:ssm:{scope.region}::parameter/aws/service/ecs/*"),
    ]


def _profile(scope: Scope) -> str:
    return f"arn:aws:iam::{scope.account}:instance-profile/{scope.prefix}*"


def _services(scope: Scope, environments: Sequence[Grounds]) -> list[Statement]:
    named = [
        scope.arn("ecs", resource)
        for grounds in environments
        for resource in (
            f"cluster/{grounds.cluster}",
            *(f"{kind}/{grounds.cluster}/*" for kind in _IN_CLUSTER),
        )
    ]
    definitions = [arn for grounds in environments for arn in _families(scope, grounds)]
    return [
        _on("Services", "ecs:*", [*named, *definitions, scope.arn("ecs", "capacity-provider/*")]),
        _on("Definitions", _DEFINITION_CALLS, "*"),
    ]


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
_IN_CLUSTER = ("service", "service-deployment", "task", "container-instance")
_BALANCING = ("loadbalancer/app", "listener/app", "targetgroup")
_DEFINITION_CALLS = (
    *("ecs:CreateCluster", "ecs:DeregisterTaskDefinition", "ecs:DescribeTaskDefinition"),
    "ecs:ListTaskDefinitions",
)
_LOOK = (
    *("autoscaling:Describe*", "application-autoscaling:Describe*", "cloudwatch:DescribeAlarms"),
    *("cloudwatch:GetMetricData", "cloudformation:DescribeStacks", "cloudformation:ListStacks"),
    *("dynamodb:DescribeTable", "dynamodb:ListTagsOfResource", "ec2:Describe*"),
    *("ecr:DescribeRepositories", "ecr:ListTagsForResource", "ecs:ListServices", "ecs:ListTasks"),
    "elasticloadbalancing:Describe*",
    *("iam:ListRoles", "kms:DescribeKey", "kms:ListAliases", "kms:ListResourceTags"),
    *("logs:DescribeIndexPolicies", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies"),
    *("secretsmanager:ListSecrets", "tag:GetResources"),
)
_LOOK_ROLLOUT = (
    *("cloudwatch:DescribeAlarms", "elasticloadbalancing:DescribeListeners"),
    *("elasticloadbalancing:DescribeRules", "elasticloadbalancing:DescribeTargetGroupAttributes"),
    *("elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetHealth"),
    *("logs:DescribeLogGroups", "ssm:DescribeParameters"),
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


def _policy(statements: Sequence[Statement]) -> Policy:
    return {"Version": _VERSION, "Statement": [*statements]}


def _on(sid: str, actions: str | Sequence[str], resource: str | Sequence[str]) -> Statement:
    listed = actions if isinstance(actions, str) else list(actions)
    on = resource if isinstance(resource, str) else list(resource)
    return {"Sid": sid, "Effect": "Allow", "Action": listed, "Resource": on}
