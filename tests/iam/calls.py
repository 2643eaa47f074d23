"""What a call of ours asks of IAM: which actions, on which resources, with which keys for conditions.

After the Service Authorization Reference, and the guides of the services where that leaves it open. A call that is not
here raises KeyError: whoever makes a new one says what it asks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.iam.evaluator import Asked, listed

ACCOUNT = "000000000000"
Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a client of boto3. `whose` code it is: `set-up`, `local cloud` or, empty, anything else of ours."""

    service: str
    operation: str
    region: str
    parameters: Parameters = field(default_factory=dict)
    whose: str = ""

    @property
    def name(self) -> str:
        """As in the table below."""
        return f"{PREFIX.get(self.service, self.service)}:{self.operation}"

    def arn(self, resource: str) -> str:
        """The ARN of a resource of the call's service; what is one already stays as it is."""
        if resource.startswith("arn:"):
            return resource
        service, _, _ = self.name.partition(":")
        region = "" if service in ("iam", "sts") else self.region
        return f"arn:aws:{service}:{region}:{ACCOUNT}:{resource}"


def read(path: Path) -> list[Call]:
    """The calls in a file that a recorder wrote."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [Call(**json.loads(line)) for line in lines]


def asked_by(call: Call) -> list[Asked]:
    """Everything that IAM must allow for the call; empty where it asks nothing."""
    context = {"aws:RequestedRegion": [call.region], **_context(call)}
    own = [Asked(call.name, call.arn(one), context) for one in KNOWN[call.name](call.parameters)]
    return [
        *own,
        *(Asked(one.action, call.arn(one.resource), {**context, **one.context}) for one in _besides(call)),
    ]


def _context(call: Call) -> Mapping[str, list[str]]:
    told = call.parameters
    if call.name in ("ecs:ListTasks", "ecs:DescribeTasks", "ecs:RunTask", "ecs:StopTask", "ecs:ListServices"):
        return {"ecs:cluster": [call.arn(f"cluster/{told['cluster']}")]}
    if call.service == "kms" and str(told.get("KeyId", "")).startswith("alias/"):
        return {"kms:ResourceAliases": [told["KeyId"]]}
    return {}


def _besides(call: Call) -> Iterator[Asked]:
    """What else a call asks for, by other names than its own."""
    told = call.parameters
    if call.name == "cloudformation:DescribeStacks" and "StackName" not in told:
        yield Asked("cloudformation:ListStacks", "*")
    if call.name == "cloudformation:CreateChangeSet" and told.get("Tags"):
        yield Asked("cloudformation:TagResource", f"stack/{told['StackName']}/1")
    if call.name == "ecs:RegisterTaskDefinition":
        if told.get("tags"):
            yield Asked("ecs:TagResource", f"task-definition/{told['family']}:1")
        for key in ("executionRoleArn", "taskRoleArn"):
            if told.get(key):
                to = {"iam:PassedToService": ["ecs-tasks.amazonaws.com"]}
                yield Asked("iam:PassRole", told[key], to)


def _everything(_told: Parameters) -> list[str]:
    return ["arn:any"]


def _nothing(_told: Parameters) -> list[str]:
    return []


def _on(form: str) -> Callable[[Parameters], list[str]]:
    """The form with the parameter that it names; of a list, with each. One that is an ARN is the resource itself."""

    def filled(told: Parameters) -> list[str]:
        key = form[form.index("{") + 1 : form.index("}")]
        values = [str(one) for one in listed(told[key])]
        return [one if one.startswith("arn:") else form.replace("{" + key + "}", one) for one in values]

    return filled


def _in_cluster(kind: str, key: str) -> Callable[[Parameters], list[str]]:
    def filled(told: Parameters) -> list[str]:
        named = [str(one) for one in listed(told[key])]
        return [one if one.startswith("arn:") else f"{kind}/{told['cluster']}/{one}" for one in named]

    return filled


def _of_service(key: str) -> Callable[[Parameters], list[str]]:
    """A service's deployments or revisions, and the service, which they name."""

    def filled(told: Parameters) -> list[str]:
        arns = [str(one) for one in listed(told[key])]
        return [*arns, *("service/" + "/".join(arn.split("/")[1:3]) for arn in arns)]

    return filled


def _stack(told: Parameters) -> list[str]:
    return [f"stack/{told['StackName']}/1" if "StackName" in told else "stack/*/*"]


def _change_set(told: Parameters) -> list[str]:
    return [str(told["ChangeSetName"])]


PREFIX = {"elbv2": "elasticloadbalancing", "resourcegroupstaggingapi": "tag"}
KNOWN: Mapping[str, Callable[[Parameters], list[str]]] = {
    "application-autoscaling:DescribeScalableTargets": _everything,
    "autoscaling:DescribeAutoScalingGroups": _everything,
    "cloudformation:CreateChangeSet": _stack,
    "cloudformation:DeleteChangeSet": _change_set,
    "cloudformation:DeleteStack": _stack,
    "cloudformation:DescribeChangeSet": _change_set,
    "cloudformation:DescribeStackEvents": _stack,
    "cloudformation:DescribeStacks": _stack,
    "cloudformation:ExecuteChangeSet": _change_set,
    "cloudformation:ListStackResources": _stack,
    "cloudwatch:DescribeAlarms": _on("alarm:{AlarmNames}"),
    "dynamodb:DeleteTable": _on("table/{TableName}"),
    "dynamodb:DescribeTable": _on("table/{TableName}"),
    "dynamodb:GetItem": _on("table/{TableName}"),
    "dynamodb:ListTagsOfResource": _on("{ResourceArn}"),
    "dynamodb:PutItem": _on("table/{TableName}"),
    "dynamodb:Query": _on("table/{TableName}"),
    **dict.fromkeys(
        (
            "ec2:DescribeInstances",
            "ec2:DescribeInternetGateways",
            "ec2:DescribeLaunchTemplates",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeRouteTables",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
        ),
        _everything,
    ),
    "ecr:BatchDeleteImage": _on("repository/{repositoryName}"),
    "ecr:DeleteRepository": _on("repository/{repositoryName}"),
    "ecr:DescribeRepositories": _on("repository/{repositoryNames}"),
    "ecr:GetAuthorizationToken": _everything,
    "ecr:GetLifecyclePolicy": _on("repository/{repositoryName}"),
    "ecr:ListImages": _on("repository/{repositoryName}"),
    "ecr:ListTagsForResource": _on("{resourceArn}"),
    "ecs:DeleteTaskDefinitions": _on("{taskDefinitions}"),
    "ecs:DeregisterTaskDefinition": _everything,
    "ecs:DescribeClusters": _on("cluster/{clusters}"),
    "ecs:DescribeServiceDeployments": _of_service("serviceDeploymentArns"),
    "ecs:DescribeServiceRevisions": _of_service("serviceRevisionArns"),
    "ecs:DescribeServices": _in_cluster("service", "services"),
    "ecs:DescribeTaskDefinition": _everything,
    "ecs:DescribeTasks": _in_cluster("task", "tasks"),
    "ecs:ListServiceDeployments": _in_cluster("service", "service"),
    "ecs:ListServices": _everything,
    "ecs:ListTaskDefinitionFamilies": _everything,
    "ecs:ListTaskDefinitions": _everything,
    "ecs:ListTasks": _everything,
    "ecs:RegisterTaskDefinition": _on("task-definition/{family}:1"),
    "ecs:RunTask": _on("{taskDefinition}"),
    "ecs:StopServiceDeployment": _of_service("serviceDeploymentArn"),
    "ecs:StopTask": _in_cluster("task", "task"),
    "ecs:UpdateService": _in_cluster("service", "service"),
    **dict.fromkeys(
        (
            "elasticloadbalancing:DescribeListeners",
            "elasticloadbalancing:DescribeLoadBalancers",
            "elasticloadbalancing:DescribeRules",
            "elasticloadbalancing:DescribeTags",
            "elasticloadbalancing:DescribeTargetGroupAttributes",
            "elasticloadbalancing:DescribeTargetGroups",
            "elasticloadbalancing:DescribeTargetHealth",
        ),
        _everything,
    ),
    "iam:GetRole": _on("role/{RoleName}"),
    "iam:ListPolicies": _everything,
    "iam:ListRoleTags": _on("role/{RoleName}"),
    "iam:ListRoles": _everything,
    "iam:SimulatePrincipalPolicy": _on("{PolicySourceArn}"),
    "kms:DescribeKey": _on("key/{KeyId}"),
    "kms:GetPublicKey": _on("key/{KeyId}"),
    "kms:Sign": _on("key/{KeyId}"),
    "logs:DeleteLogGroup": _on("log-group:{logGroupName}:log-stream:"),
    "logs:DescribeLogGroups": _everything,
    "logs:FilterLogEvents": _on("log-group:{logGroupName}:log-stream:"),
    "logs:GetLogEvents": lambda told: [
        f"log-group:{told['logGroupName']}:log-stream:{told['logStreamName']}",
    ],
    "logs:ListTagsForResource": _on("{resourceArn}"),
    "secretsmanager:DescribeSecret": _on("secret:{SecretId}-AbCdEf"),
    "secretsmanager:GetResourcePolicy": _on("secret:{SecretId}-AbCdEf"),
    "secretsmanager:ListSecrets": _everything,
    "ssm:DescribeParameters": _everything,
    "sts:GetCallerIdentity": _nothing,
    "tag:GetResources": _everything,
}
