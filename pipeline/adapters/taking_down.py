"""Single steps of a clean-up, each safe to repeat: what is gone already is passed over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from pipeline.adapters.aws_errors import aws_errors
from pipeline.adapters.owned import live_service, revisions
from pipeline.errors import UnavailableError
from pipeline.ports import Clock
from pipeline.waiting import poll

_AT_ONCE = 100
_DELETED_AT_ONCE = 10


class Services:
    """ECS services and tasks of an environment, taken to nothing. Raises UnavailableError when time is up."""

    def __init__(self, ecs: Any, clock: Clock, timeout: float = 900.0) -> None:
        self._ecs = ecs
        self._clock = clock
        self._timeout = timeout

    def stop(self, cluster: str, service: str) -> bool:
        """Tells the service to have no tasks, and waits until they have stopped. False: there is no such service."""
        live = live_service(self._ecs, cluster, service)
        if live is None:
            return False
        if live.desired:
            with aws_errors(f"ecs:UpdateService {cluster}/{service}"):
                self._ecs.update_service(cluster=cluster, service=service, desiredCount=0)
        self._until(lambda: not self._tasks(cluster, service=service), f"the tasks of {cluster}/{service}")
        return True

    def stop_tasks(self, cluster: str) -> int:
        """Stops what still runs in the cluster: one-off tasks, which no service restarts. Returns how many."""
        tasks = self._tasks(cluster)
        for arn in tasks:
            with aws_errors(f"ecs:StopTask {arn}"):
                self._ecs.stop_task(cluster=cluster, task=arn, reason="clean-up of the environment")
        self._until(lambda: not self._tasks(cluster), f"the tasks in {cluster}")
        return len(tasks)

    def forget(self, family: str) -> int:
        """Deregisters every revision of the family, and deletes them. Returns how many there were."""
        active, inactive = revisions(self._ecs, family)
        for arn in active:
            with aws_errors(f"ecs:DeregisterTaskDefinition {arn}"):
                self._ecs.deregister_task_definition(taskDefinition=arn)
        every = [*active, *inactive]
        for arns in _portions(every, _DELETED_AT_ONCE):
            with aws_errors(f"ecs:DeleteTaskDefinitions {family}"):
                self._ecs.delete_task_definitions(taskDefinitions=arns)
        return len(every)

    def _tasks(self, cluster: str, service: str = "") -> list[str]:
        """Tasks that run, or are told to stop and have not yet: they hold their address and their image till then."""
        named = {"serviceName": service} if service else {}
        listed = [arn for status in ("RUNNING", "STOPPED") for arn in self._listed(cluster, status, named)]
        found: list[str] = []
        for arns in _portions(listed, _AT_ONCE):
            with aws_errors(f"ecs:DescribeTasks {cluster}"):
                told = self._ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]
            found += [str(task["taskArn"]) for task in told if task.get("lastStatus") != "STOPPED"]
        return found

    def _listed(self, cluster: str, status: str, named: Mapping[str, str]) -> list[str]:
        with aws_errors(f"ecs:ListTasks {cluster}"):
            try:
                pages = self._ecs.get_paginator("list_tasks").paginate(
                    cluster=cluster, desiredStatus=status, **named
                )
                return [str(arn) for page in pages for arn in page["taskArns"]]
            except self._ecs.exceptions.ClusterNotFoundException:
                return []

    def _until(self, gone: Any, what: str) -> None:
        done = poll(
            lambda: True if gone() else None, 1.0, self._clock.monotonic() + self._timeout, self._clock
        )
        if not done:
            raise UnavailableError(
                f"{what} did not stop in {self._timeout:.0f} s",
                hint="run the same command again; it goes on from there",
            )


def image_count(ecr: Any, repository: str) -> int:
    """How many images (evidence counted) a repository holds; 0 when there is no such repository."""
    return len(_images(ecr, repository))


def delete_repository(ecr: Any, repository: str) -> int:
    """Deletes the images and the repository. Returns how many images there were."""
    images = _images(ecr, repository)
    for portion in _portions(images, _AT_ONCE):
        with aws_errors(f"ecr:BatchDeleteImage {repository}"):
            ecr.batch_delete_image(repositoryName=repository, imageIds=portion)
    with aws_errors(f"ecr:DeleteRepository {repository}", leave=("RepositoryNotFoundException",)):
        _unless_gone(
            "RepositoryNotFoundException", ecr.delete_repository, repositoryName=repository, force=True
        )
    return len(images)


def delete_table(dynamodb: Any, name: str, clock: Clock, timeout: float = 300.0) -> None:
    """Deletes a table and waits until it is gone."""
    with aws_errors(f"dynamodb:DeleteTable {name}", leave=("ResourceNotFoundException",)):
        _unless_gone("ResourceNotFoundException", dynamodb.delete_table, TableName=name)

    def gone() -> bool | None:
        with aws_errors(f"dynamodb:DescribeTable {name}"):
            try:
                dynamodb.describe_table(TableName=name)
            except dynamodb.exceptions.ResourceNotFoundException:
                return True
        return None

    if not poll(gone, 1.0, clock.monotonic() + timeout, clock):
        raise UnavailableError(f"table {name} is still being deleted", hint="run the same command again")


def delete_log_group(logs: Any, name: str) -> None:
    """Deletes a group of CloudWatch Logs with its lines."""
    with aws_errors(f"logs:DeleteLogGroup {name}", leave=("ResourceNotFoundException",)):
        _unless_gone("ResourceNotFoundException", logs.delete_log_group, logGroupName=name)


def _unless_gone(code: str, call: Any, **arguments: Any) -> None:
    try:
        call(**arguments)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != code:
            raise


def _images(ecr: Any, repository: str) -> list[Mapping[str, str]]:
    """Image ids by digest alone, each once: to delete one by its digest takes its tags with it."""
    with aws_errors(f"ecr:ListImages {repository}"):
        try:
            pages = ecr.get_paginator("list_images").paginate(repositoryName=repository)
            digests = {str(one["imageDigest"]) for page in pages for one in page["imageIds"]}
        except ecr.exceptions.RepositoryNotFoundException:
            return []
    return [{"imageDigest": digest} for digest in sorted(digests)]


def _portions(listed: Sequence[Any], size: int) -> Iterator[list[Any]]:
    every: Iterable[int] = range(0, len(listed), size)
    return (list(listed[start : start + size]) for start in every)
