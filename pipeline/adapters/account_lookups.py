"""Single questions to an AWS account, each answered by what was found, or None where AWS says that there is none.

Every function raises the errors of `aws_errors` where AWS does not answer, or not to us. Nothing secret is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from pipeline.adapters.aws_errors import aws_errors
from pipeline.errors import UndecidedError
from pipeline.model.repository import Repository
from pipeline.model.surroundings import Permission, Role, Running, Secret

_PAGE = 100
_ASSUME = {"sts:assumerole", "sts:*", "*"}


def role(iam: Any, arn: str) -> Role | None:
    """A role by its ARN, with the services it trusts."""
    with aws_errors(f"iam:GetRole {arn}"):
        try:
            found = iam.get_role(RoleName=arn.rsplit("/", 1)[-1])["Role"]
        except iam.exceptions.NoSuchEntityException:
            return None
    if found["Arn"] != arn:
        return None
    return Role(frozenset(_trusted(found.get("AssumeRolePolicyDocument") or {})))


def _trusted(policy: Mapping[str, Any] | str) -> Iterable[str]:
    """The services that an Allow of sts:AssumeRole names; botocore decodes the document, others may not."""
    document = json.loads(unquote(policy)) if isinstance(policy, str) else policy
    for statement in _listed(document.get("Statement")):
        principal = statement.get("Principal") or {}
        actions = {str(action).lower() for action in _listed(statement.get("Action"))}
        if statement.get("Effect") == "Allow" and actions & _ASSUME and isinstance(principal, Mapping):
            yield from map(str, _listed(principal.get("Service")))


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def principal(iam: Any, arn: str) -> str:
    """The ARN whose policies decide for the identity `arn`: a session's is its role's.

    Raises UndecidedError for the account's root user, of which IAM simulates nothing.
    """
    kind, _, name = arn.split(":", 5)[5].partition("/")
    if kind == "root":
        raise UndecidedError(
            "the account's root user acts, whose permissions IAM does not simulate", hint="use a role"
        )
    if kind != "assumed-role":
        return arn
    with aws_errors(f"iam:GetRole {name}"):
        return str(iam.get_role(RoleName=name.split("/")[0])["Role"]["Arn"])


def simulated(iam: Any, who: str, action: str, resource: str, context: Mapping[str, str]) -> Permission:
    """What IAM's simulator says of `action` on `resource` by the principal `who`.

    Raises UndecidedError where it depends on conditions that are not known here.
    """
    entries = [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in context.items()
    ]
    with aws_errors(f"iam:SimulatePrincipalPolicy for {who}"):
        answer = iam.simulate_principal_policy(
            PolicySourceArn=who, ActionNames=[action], ResourceArns=[resource], ContextEntries=entries
        )
    results = answer.get("EvaluationResults") or ()
    if results and all(result["EvalDecision"] == "allowed" for result in results):
        return Permission.ALLOWED
    missing = {key for result in results for key in result.get("MissingContextValues") or ()}
    if missing or not results:
        why = f"it depends on {', '.join(sorted(missing))}" if missing else "it gives no result"
        raise UndecidedError(f"IAM's simulator does not decide {action} on {resource}: {why}", hint="try it")
    return Permission.DENIED


def secret(secrets: Any, name: str) -> Secret | None:
    """A secret of Secrets Manager by name or ARN, without its value."""
    with aws_errors(f"secretsmanager:DescribeSecret {name}"):
        try:
            found = secrets.describe_secret(SecretId=name)
        except secrets.exceptions.ResourceNotFoundException:
            return None
    stages = [stage for listed in (found.get("VersionIdsToStages") or {}).values() for stage in listed]
    lacking = "is being deleted" if found.get("DeletedDate") else ""
    if not lacking and "AWSCURRENT" not in stages:
        lacking = "has no value"
    return Secret(str(found["ARN"]), lacking)


def has_own_policy(secrets: Any, arn: str) -> bool:
    """Whether a secret has a resource policy, which may allow what no role's policy does."""
    with aws_errors(f"secretsmanager:GetResourcePolicy {arn}"):
        return bool(secrets.get_resource_policy(SecretId=arn).get("ResourcePolicy"))


def parameter(ssm: Any, name: str) -> Secret | None:
    """A parameter of Parameter Store by name or ARN, without its value."""
    plain = name.split(":", 5)[5].removeprefix("parameter") if name.startswith("arn:") else name
    names = list(dict.fromkeys((plain, plain.removeprefix("/")))) if plain.count("/") == 1 else [plain]
    with aws_errors(f"ssm:DescribeParameters {plain}"):
        answer = ssm.describe_parameters(
            ParameterFilters=[{"Key": "Name", "Option": "Equals", "Values": names}]
        )
    found = next(iter(answer.get("Parameters", ())), None)
    return Secret(str(found.get("ARN") or name)) if found else None


def log_group(logs: Any, name: str) -> str | None:
    """The name of a log group. Groups are listed in order, so the one of this very name comes first."""
    with aws_errors(f"logs:DescribeLogGroups {name}"):
        answer = logs.describe_log_groups(logGroupNamePrefix=name)
    names = [str(group["logGroupName"]) for group in answer.get("logGroups", ())]
    return name if name in names else None


def repository(ecr: Any, name: str) -> Repository | None:
    """A repository of ECR with its lifecycle rules."""
    with aws_errors(f"ecr:DescribeRepositories {name}"):
        try:
            found = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
        except ecr.exceptions.RepositoryNotFoundException:
            return None
    with aws_errors(f"ecr:GetLifecyclePolicy {name}"):
        try:
            policy = json.loads(ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"])
        except ecr.exceptions.LifecyclePolicyNotFoundException:
            policy = {}
    excluded = found.get("imageTagMutabilityExclusionFilters") or ()
    return Repository(
        name,
        str(found.get("imageTagMutability", "MUTABLE")),
        tuple(str(one.get("filter", "")) for one in excluded),
        tuple(policy.get("rules") or ()),
    )


def alarms(cloudwatch: Any, names: Sequence[str]) -> Mapping[str, str | None]:
    """The state of each alarm: OK, ALARM or INSUFFICIENT_DATA; None where there is none of this name."""
    found: dict[str, str | None] = dict.fromkeys(names)
    for start in range(0, len(names), _PAGE):
        page = list(names[start : start + _PAGE])
        with aws_errors(f"cloudwatch:DescribeAlarms {', '.join(page)}"):
            answer = cloudwatch.describe_alarms(
                AlarmNames=page, AlarmTypes=["MetricAlarm", "CompositeAlarm"], MaxRecords=_PAGE
            )
        listed = (*answer.get("MetricAlarms", ()), *answer.get("CompositeAlarms", ()))
        found |= {str(alarm["AlarmName"]): str(alarm["StateValue"]) for alarm in listed}
    return found


def running(ecs: Any, cluster: str, service: str, container: str) -> Running:
    """The service's running tasks (the first hundred): image digests of `container`, and how long a start takes."""
    with aws_errors(f"ecs:ListTasks {cluster}/{service}"):
        arns = ecs.list_tasks(cluster=cluster, serviceName=service, desiredStatus="RUNNING")["taskArns"]
    if not arns:
        return Running()
    with aws_errors(f"ecs:DescribeTasks {cluster}"):
        tasks = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]
    digests = {
        str(entry["imageDigest"])
        for task in tasks
        for entry in task.get("containers", ())
        if entry.get("name") == container and entry.get("imageDigest")
    }
    starts = [
        (task["startedAt"] - task["createdAt"]).total_seconds()
        for task in tasks
        if task.get("startedAt") and task.get("createdAt")
    ]
    return Running(tuple(sorted(digests)), max(starts, default=None))
