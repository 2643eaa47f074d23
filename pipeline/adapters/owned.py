"""Whose a resource is, by its tags; and what a service runs now. None stands for: there is none of this name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.adapters.aws_errors import aws_errors

Tags = Mapping[str, str]

_STANDING = ("ACTIVE", "INACTIVE")
"""States of task definitions that are not being deleted yet."""


@dataclass(frozen=True, slots=True)
class LiveService:
    """A service of ECS as it is: its task definition's ARN, and how many tasks are wanted and run or start."""

    definition: str
    desired: int
    tasks: int


def tags_of(listed: Iterable[Any] | None) -> dict[str, str]:
    """Tags as AWS lists them, `Key` and `Value` or in lower case; None, as where there is no list, is no tag."""
    pairs = ((tag.get("Key", tag.get("key")), tag.get("Value", tag.get("value"))) for tag in listed or ())
    return {str(key): str(value) for key, value in pairs}


def repository_tags(ecr: Any, name: str) -> Tags | None:
    """The tags of a repository in ECR."""
    with aws_errors(f"ecr:DescribeRepositories {name}"):
        try:
            found = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
        except ecr.exceptions.RepositoryNotFoundException:
            return None
        return tags_of(ecr.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"])


def table_tags(dynamodb: Any, name: str) -> Tags | None:
    """The tags of a table in DynamoDB."""
    with aws_errors(f"dynamodb:DescribeTable {name}"):
        try:
            found = dynamodb.describe_table(TableName=name)["Table"]
        except dynamodb.exceptions.ResourceNotFoundException:
            return None
        if found.get("TableStatus") == "DELETING":
            return None
        return tags_of(dynamodb.list_tags_of_resource(ResourceArn=found["TableArn"])["Tags"])


def secret_tags(secrets: Any, name: str) -> Tags | None:
    """The tags of a secret in Secrets Manager."""
    with aws_errors(f"secretsmanager:DescribeSecret {name}"):
        try:
            return tags_of(secrets.describe_secret(SecretId=name).get("Tags"))
        except secrets.exceptions.ResourceNotFoundException:
            return None


def cluster_tags(ecs: Any, name: str) -> Tags | None:
    """The tags of a cluster of ECS."""
    with aws_errors(f"ecs:DescribeClusters {name}"):
        found = ecs.describe_clusters(clusters=[name], include=["TAGS"])["clusters"]
    live = next((one for one in found if one.get("status") != "INACTIVE"), None)
    return None if live is None else tags_of(live.get("tags"))


def families(ecs: Any, prefix: str) -> list[str]:
    """The families of task definitions whose names begin so, but for those of which every revision is being deleted."""
    with aws_errors(f"ecs:ListTaskDefinitionFamilies {prefix}"):
        listed = ecs.get_paginator("list_task_definition_families")
        pages = [page for status in _STANDING for page in listed.paginate(familyPrefix=prefix, status=status)]
    return sorted({str(family) for page in pages for family in page["families"]})


def revisions(ecs: Any, family: str) -> tuple[list[str], list[str]]:
    """The ARNs of a family's revisions, the newest last: those that are active, and those that are not any more."""
    active, inactive = (_revisions(ecs, family, status) for status in _STANDING)
    return active, inactive


def newest_revision(ecs: Any, family: str) -> str:
    """The newest revision of the family that is there; empty where there is none."""
    active, inactive = revisions(ecs, family)
    return next(iter([*reversed(active), *reversed(inactive)]), "")


def _revisions(ecs: Any, family: str, status: str) -> list[str]:
    with aws_errors(f"ecs:ListTaskDefinitions {family}"):
        pages = ecs.get_paginator("list_task_definitions").paginate(familyPrefix=family, status=status)
        listed = [str(arn) for page in pages for arn in page["taskDefinitionArns"]]
    return [arn for arn in listed if arn.rsplit("/", 1)[-1].rsplit(":", 1)[0] == family]


def definition_tags(ecs: Any, arn: str) -> Tags:
    """The tags of a task definition's revision."""
    with aws_errors(f"ecs:DescribeTaskDefinition {arn}"):
        return tags_of(ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"]).get("tags"))


def log_group_tags(logs: Any, arn: str) -> Tags:
    """The tags of a group of CloudWatch Logs, by its ARN."""
    with aws_errors(f"logs:ListTagsForResource {arn}"):
        return dict(logs.list_tags_for_resource(resourceArn=arn.removesuffix(":*"))["tags"])


def live_service(ecs: Any, cluster: str, service: str) -> LiveService | None:
    """What ECS is told to run, by the service's own word."""
    with aws_errors(f"ecs:DescribeServices {cluster}/{service}"):
        try:
            found = ecs.describe_services(cluster=cluster, services=[service])["services"]
        except ecs.exceptions.ClusterNotFoundException:
            return None
    live = next((one for one in found if one.get("status") != "INACTIVE"), None)
    if live is None:
        return None
    tasks = int(live.get("runningCount", 0)) + int(live.get("pendingCount", 0))
    return LiveService(str(live["taskDefinition"]), int(live["desiredCount"]), tasks)


def secret_names(secrets: Any, prefix: str) -> Iterator[tuple[str, Tags]]:
    """The secrets whose names begin so, with their tags; those that are being deleted are left out."""
    with aws_errors(f"secretsmanager:ListSecrets {prefix}"):
        for page in secrets.get_paginator("list_secrets").paginate():
            for one in page["SecretList"]:
                if str(one["Name"]).startswith(prefix) and not one.get("DeletedDate"):
                    yield str(one["Name"]), tags_of(one.get("Tags"))
