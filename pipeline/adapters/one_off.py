"""One-off tasks that are known by a name, so that a run finds again what an earlier one had begun, through boto3."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.adapters.aws_errors import aws_errors
from pipeline.errors import CredentialError, DetachedError, UnavailableError
from pipeline.ports import Clock
from pipeline.waiting import poll

Described = Callable[[Sequence[str]], Sequence[Mapping[str, Any]]]
"""Tasks as DescribeTasks gives them, by their ARNs."""

_PAGE = 100


@dataclass(frozen=True, slots=True)
class OneOffTasks:
    """One-off tasks in a cluster. `container` is the one whose command they replace; `ecs` is boto3's client.

    A task may run for `timeout` seconds; `silence` is how many seconds the API may say nothing while it runs.
    """

    ecs: Any
    cluster: str
    container: str
    clock: Clock
    described: Described
    timeout: float
    silence: float

    def begun(self, name: str, task_definition: str) -> str:
        """The ARN of a task that was begun under `name` and still runs, or has ended well; empty where there is none.

        ECS lists a task for about an hour after its end. It may be of any revision of the definition's family.
        """
        family = task_definition.rsplit("/", 1)[-1].partition(":")[0]
        # ListTasks takes no other filter beside startedBy than the default one, which is for tasks that are to run.
        for filters in ({"startedBy": name}, {"family": family, "desiredStatus": "STOPPED"}):
            for page in self._listed(filters):
                for task in self.described(page) if page else ():
                    if task.get("startedBy") == name and self._counts(task):
                        return str(task["taskArn"])
        return ""

    def _counts(self, task: Mapping[str, Any]) -> bool:
        codes = {c.get("name"): c.get("exitCode") for c in task.get("containers", ())}
        return task.get("lastStatus") != "STOPPED" or codes.get(self.container) == 0

    def _listed(self, filters: Mapping[str, str]) -> Iterator[Sequence[str]]:
        token: dict[str, str] = {}
        while True:
            with aws_errors(f"ecs:ListTasks {self.cluster}"):
                answer = self.ecs.list_tasks(cluster=self.cluster, maxResults=_PAGE, **filters, **token)
            yield answer.get("taskArns", ())
            if not answer.get("nextToken"):
                return
            token = {"nextToken": answer["nextToken"]}

    def start(
        self, name: str, task_definition: str, command: Sequence[str], placed: Mapping[str, Any]
    ) -> tuple[str, str]:
        """The new task's ARN, or why it could not be placed. The client token makes boto3's own retries harmless.

        Raises DetachedError where no answer came: it may run.
        """
        overrides = {"containerOverrides": [{"name": self.container, "command": list(command)}]}
        told = {"taskDefinition": task_definition, "overrides": overrides, "startedBy": name, **placed}
        try:
            with aws_errors(f"ecs:RunTask {task_definition.rsplit('/', 1)[-1]}"):
                answer = self.ecs.run_task(
                    cluster=self.cluster, count=1, clientToken=uuid.uuid4().hex, **told
                )
        except CredentialError:
            raise
        except UnavailableError as error:
            raise _left(error, "the one-off task perhaps runs") from error
        return run_answer(answer)

    def awaited(self, arn: str) -> Mapping[str, Any]:
        """The task once it has stopped. Raises DetachedError where its end is not seen: it goes on by itself."""
        with _going_on(arn):
            return self._ended(arn)

    def _ended(self, arn: str) -> Mapping[str, Any]:
        heard = self.clock.monotonic()

        def ended() -> Mapping[str, Any] | None:
            nonlocal heard
            try:
                tasks = self.described([arn])
            except CredentialError:
                raise
            except UnavailableError:
                if self.clock.monotonic() - heard > self.silence:
                    raise
                return None
            heard = self.clock.monotonic()
            return next((task for task in tasks if task.get("lastStatus") == "STOPPED"), None)

        task = poll(ended, 1.0, heard + self.timeout, self.clock)
        if task is None:
            raise UnavailableError(
                f"one-off task {_id(arn)} still runs after {self.timeout:.0f} s",
                hint=f"look: aws ecs describe-tasks --cluster {self.cluster} --tasks {arn}",
            )
        return task


@contextmanager
def _going_on(arn: str) -> Iterator[None]:
    try:
        yield
    except UnavailableError as error:
        raise _left(error, f"one-off task {_id(arn)} goes on without us") from error


def _left(error: UnavailableError, what: str) -> DetachedError:
    hint = f"{error.hint}; then run the same command again: it looks for that task and waits for its end"
    return DetachedError(f"{error.message} – detached: {what}", hint=hint)


def run_answer(answer: Mapping[str, Any]) -> tuple[str, str]:
    """The task's ARN out of RunTask's answer, or an empty one and why it could not be placed."""
    if answer.get("tasks"):
        return str(answer["tasks"][0]["taskArn"]), ""
    failures = answer.get("failures", ())
    return "", "; ".join(f"{f.get('reason')} {f.get('detail', '')}".strip() for f in failures)


def _id(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]
