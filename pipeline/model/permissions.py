"""What CI (build, push, test, sign) and a promotion must be allowed, as IAM policies.

The role for promotion is made with the same statements. That for CI has them in its template; a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Statement = Mapping[str, Any]
Policy = Mapping[str, Any]

ECS_TASKS = "ecs-tasks.amazonaws.com"
_WRITTEN, _ATTACHED = 10_240, 6_144
"""The most characters of the policies written into one role, and of a policy of its own; white space is not counted."""

_LONGEST = ("0" * 12, "aws-us-gov")
"""An account and a partition as long as any: what a policy is told in their places may be shorter."""

_VERSION = "2012-10-17"
_PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_PUSH = ("ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart")
_LIST = ("ecr:DescribeImages", "ecr:DescribeRepositories", "ecr:GetLifecyclePolicy", "ecr:ListImages")


@dataclass(frozen=True, slots=True)
class Scope:
    """What the policies are about. `account` is an account's id, or `*` where it is not known.

    `repository` and `table` are names, `key` is an alias in KMS without `alias/`, `trusted` are those of other keys
    that evidence is verified by. `home` is the region of table and keys, `images` those of the repository; empty:
    `region`. `regions`: all that an environment is in, where those are several; `region` is `*` then.
    """

    app: str
    region: str
    repository: str
    table: str
    key: str
    account: str = "*"
    home: str = ""
    images: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    partition: str = "aws"
    trusted: tuple[str, ...] = ()

    def arn(self, service: str, resource: str, region: str = "") -> str:
        """The ARN of a resource in this region, or another, and account."""
        return f"arn:{self.partition}:{service}:{region or self.region}:{self.account}:{resource}"

    def role(self, name: str) -> str:
        """The ARN of a role, which has no region."""
        return f"arn:{self.partition}:iam::{self.account}:role/{name}"

    @property
    def prefix(self) -> str:
        """How the names of our stacks begin, and with them those of what CloudFormation names."""
        return f"onedigest-{self.app}-"


@dataclass(frozen=True, slots=True)
class Grounds:
    """An environment's service: the app or `<app>-<service>` as which it is made, the environment, cluster, service.

    `loaded`: tasks of other families than the service's run there too, which load it or are loaded beside it. `beside`
    is the service beside it, which is looked at for what a killed run left also where nothing is compared; `asks` the
    one that it is compared with, by cluster and service. Both are empty where there is none.
    """

    app: str
    name: str
    cluster: str
    service: str
    loaded: bool = False
    beside: str = ""
    asks: tuple[str, str] | None = None

    @property
    def called(self) -> str:
        """How the names of its task definitions and, after our prefix, of its stacks and roles begin."""
        return f"{self.app}-{self.name}"

    @property
    def services(self) -> tuple[str, ...]:
        """The service and the one beside it, as ARNs name them."""
        return tuple(f"{self.cluster}/{name}" for name in (self.service, self.beside) if name)


def ci_policy(scope: Scope) -> Policy:
    """For CI: build, push, test, sign. It cannot reach an environment."""
    return policy([*_images(scope), *_signing(scope)])


def promotion_policy(scope: Scope, services: Sequence[Grounds], roles: Sequence[str] = ()) -> Policy:
    """For who rolls out to one environment, all `services` of a release at once, and for nothing in another.

    `roles` are those by which others are asked that it is compared with.
    """
    return policy(
        [
            *([assuming(roles)] if roles else []),
            *_images(scope),
            *_signing(scope),
            *_each(scope, services),
            *_own_role(scope, services),
            statement("LookAtDefinitions", "ecs:DescribeTaskDefinition", "*"),
            statement("Look", _LOOK_ROLLOUT, "*"),
            _records(scope),
        ]
    )


def in_portions(scope: Scope, services: Sequence[Grounds], roles: Sequence[str] = ()) -> tuple[Policy, ...]:
    """The policy for promotion as IAM takes it: as much as can be written into a role, then policies of their own."""
    measured = replace(scope, account=_LONGEST[0], partition=_LONGEST[1])
    found, rest = list[Policy](), list(services)

    def told(about: Scope, few: Sequence[Grounds]) -> Policy:
        return policy(_each(about, few)) if found else promotion_policy(about, few, roles)

    while rest:
        most = _ATTACHED if found else _WRITTEN
        fit = next(n for n in range(len(rest), 0, -1) if n == 1 or size(told(measured, rest[:n])) <= most)
        found.append(told(scope, rest[:fit]))
        rest = rest[fit:]
    return tuple(found)


def deputy_policy(scope: Scope, roles: Sequence[str]) -> Policy:
    """For who promotes to an environment by assuming its role, and does the rest – images, records – itself."""
    return policy([*_images(scope), *_signing(scope), _records(scope), assuming(roles)])


def assuming(roles: Sequence[str]) -> Statement:
    """To assume roles, by their ARNs."""
    return statement("Assume", "sts:AssumeRole", list(roles))


def _images(scope: Scope) -> list[Statement]:
    regions = scope.images or (scope.region,)
    repositories = [scope.arn("ecr", f"repository/{scope.repository}", region) for region in regions]
    return [
        statement("Login", "ecr:GetAuthorizationToken", "*"),
        statement("Images", sorted((*_PULL, *_PUSH, *_LIST)), repositories),
    ]


def _signing(scope: Scope) -> list[Statement]:
    keys = scope.arn("kms", "key/*", scope.home)

    def of(aliases: str | list[str]) -> Mapping[str, Any]:
        return {"Condition": {"ForAnyValue:StringEquals": {"kms:ResourceAliases": aliases}}}

    own = {**statement("Sign", ("kms:GetPublicKey", "kms:Sign"), keys), **of(f"alias/{scope.key}")}
    if not scope.trusted:
        return [own]
    others = [f"alias/{name}" for name in scope.trusted]
    return [own, {**statement("VerifyByOthers", "kms:GetPublicKey", keys), **of(others)}]


def _records(scope: Scope) -> Statement:
    return statement("Records", ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"), table(scope))


def _within(scope: Scope, statement: Statement) -> Statement:
    """The same in the regions of the environment alone, where its ARNs are of any."""
    if not scope.regions:
        return statement
    condition = {
        **statement.get("Condition", {}),
        "StringEquals": {"aws:RequestedRegion": list(scope.regions)},
    }
    return {**statement, "Condition": condition}


def _rollout(scope: Scope, services: Sequence[Grounds]) -> list[Statement]:
    paths = [path for one in services for path in one.services]
    definitions = families(scope, services)
    clusters = list(dict.fromkeys(one.cluster for one in services))
    here = {"ArnLike": {"ecs:cluster": [scope.arn("ecs", f"cluster/{name}") for name in clusters]}}
    return [
        statement(
            "RollOut",
            ("ecs:DescribeServices", "ecs:ListServiceDeployments", "ecs:UpdateService"),
            [scope.arn("ecs", f"service/{path}") for path in paths],
        ),
        statement(
            "Deployments",
            ("ecs:DescribeServiceDeployments", "ecs:DescribeServiceRevisions", "ecs:StopServiceDeployment"),
            [
                scope.arn("ecs", f"{kind}/{path}{below}")
                for kind, below in (("service", ""), ("service-deployment", "/*"), ("service-revision", "/*"))
                for path in paths
            ],
        ),
        statement("Definitions", ("ecs:RegisterTaskDefinition", "ecs:TagResource"), definitions),
        {**statement("Tasks", ("ecs:DescribeTasks", "ecs:ListTasks"), "*"), "Condition": here},
        {**statement("OneOffTasks", "ecs:RunTask", definitions), "Condition": here},
        statement(
            "EndOneOffTasks", "ecs:StopTask", [scope.arn("ecs", f"task/{name}/*") for name in clusters]
        ),
    ]


def families(scope: Scope, services: Sequence[Grounds]) -> list[str]:
    """Those of each service; where it is loaded, of the one beside it and of the tasks that load."""
    return [
        scope.arn("ecs", f"task-definition/{one.called}{rest}:*")
        for one in services
        for rest in ("", "-*")
        if one.loaded or not rest
    ]


def _watching(scope: Scope, services: Sequence[Grounds]) -> list[Statement]:
    def each(service: str, resource: str) -> list[str]:
        return [scope.arn(service, resource.format(one)) for one in services]

    return [
        statement(
            "Address",
            "cloudformation:DescribeStacks",
            each("cloudformation", "stack/onedigest-{0.called}*/*"),
        ),
        statement(
            "Logs",
            ("logs:FilterLogEvents", "logs:GetLogEvents"),
            each("logs", "log-group:/ecs/{0.app}/{0.name}:*"),
        ),
        statement(
            "Secrets",
            ("secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy"),
            each("secretsmanager", "secret:{0.app}/{0.name}/*"),
        ),
    ]


def _each(scope: Scope, services: Sequence[Grounds]) -> list[Statement]:
    """What is told service by service."""
    told = {"StringEquals": {"iam:PassedToService": ECS_TASKS}}
    roles = [scope.role(f"onedigest-{one.called}-*") for one in services]
    return [
        *(_within(scope, one) for one in (*_rollout(scope, services), *_watching(scope, services))),
        {**statement("PassRoles", "iam:PassRole", roles), "Condition": told},
        statement("Roles", _LOOK_AT_ROLES, roles),
        *_asking(scope, services),
    ]


def _own_role(scope: Scope, services: Sequence[Grounds]) -> list[Statement]:
    """The role for promotion bears the app's name. CloudFormation ends it."""
    if services[0].app == scope.app:
        return []
    return [statement("OwnRole", _LOOK_AT_ROLES, scope.role(f"{scope.prefix}{services[0].name}-*"))]


def _asking(scope: Scope, services: Sequence[Grounds]) -> list[Statement]:
    """To look at what production runs, in any of its regions; nothing of it can be changed."""
    asked = [one.asks for one in services if one.asks is not None]
    if not asked:
        return []
    found = [scope.arn("ecs", f"service/{cluster}/{service}", "*") for cluster, service in asked]
    within = {
        "ArnLike": {"ecs:cluster": [scope.arn("ecs", f"cluster/{cluster}", "*") for cluster, _ in asked]}
    }
    return [
        statement("AskProduction", "ecs:DescribeServices", found),
        {
            **statement("AskProductionsTasks", ("ecs:DescribeTasks", "ecs:ListTasks"), "*"),
            "Condition": within,
        },
    ]


def table(scope: Scope) -> str:
    """The ARN of the table of leases and deployments."""
    return scope.arn("dynamodb", f"table/{scope.table}", scope.home)


_LOOK_AT_ROLES = ("iam:GetRole", "iam:SimulatePrincipalPolicy")
_LOOK_ROLLOUT = (
    *("cloudwatch:DescribeAlarms", "elasticloadbalancing:DescribeListeners"),
    *("elasticloadbalancing:DescribeRules", "elasticloadbalancing:DescribeTargetGroupAttributes"),
    *("elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetHealth"),
    *("logs:DescribeLogGroups", "ssm:DescribeParameters"),
)


def size(policy: Policy) -> int:
    """The characters of a policy as IAM counts them."""
    return len("".join(json.dumps(policy).split()))


def policy(statements: Sequence[Statement]) -> Policy:
    """A policy as IAM takes it."""
    return {"Version": _VERSION, "Statement": [*statements]}


def statement(sid: str, actions: str | Sequence[str], resource: str | Sequence[str]) -> Statement:
    """A statement that allows actions on resources."""
    listed = actions if isinstance(actions, str) else list(actions)
    on = resource if isinstance(resource, str) else list(resource)
    return {"Sid": sid, "Effect": "Allow", "Action": listed, "Resource": on}
