"""ECS tasks that load: started where the service's own tasks run, followed by their logs, stopped whatever happens."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.adapters.aws_errors import aws_errors
from pipeline.adapters.ecs import EcsService, log_stream, placement, task_state
from pipeline.adapters.load_log import ShardLines, TaskLog, TaskStory
from pipeline.adapters.load_worker import TOLD
from pipeline.adapters.one_off import run_answer
from pipeline.errors import (
    ConfigurationError,
    CredentialError,
    DeniedError,
    PipelineError,
    UnavailableError,
    UndecidedError,
)
from pipeline.model.digest import ImageRef
from pipeline.model.load_definition import CONTAINER, LoadSize, load_definition, runs_the_same
from pipeline.model.service import TaskState
from pipeline.ports import Say

STARTED_BY = "onedigest-load"
_QUICK, _SLOW = 0.25, 2.0
_CALLS_A_SECOND = 5.0
_DESCRIBED_EVERY = 2.0
_DRAIN = 12.0
"""For how many seconds after a task's end its last lines are waited for: the log driver sends every five seconds."""

_LAST_LINES = 8


@dataclass(frozen=True, slots=True)
class LoadTasks:
    """Starts tasks beside `service`, of a task definition of their own: `family`. `silence` as in `EcsService`."""

    service: EcsService
    family: str
    size: Callable[[], LoadSize]
    grace: float = 5.0
    silence: float = 60.0

    @contextmanager
    def started(
        self, image: ImageRef, told: Sequence[Mapping[str, Any]], streams: Sequence[ShardLines], say: Say
    ) -> Iterator[Detachment]:
        """One task for each of `told`; none of them runs any more, or is about to end, when the block has ended.

        `streams` take the records of all their processes. Tasks of an earlier load that still run are stopped first.
        Raises UndecidedError when ECS cannot place one of them, else what the API raises.
        """
        definition = self._registered(image)
        self._sweep(say)
        tasks: list[Task] = []
        try:
            for number, one in enumerate(told, 1):
                tasks.append(self._start(definition, one, streams, (number, len(told))))
            yield Detachment(self, tasks)
        finally:
            self._stop(tasks, say)

    def _registered(self, image: ImageRef) -> Mapping[str, Any]:
        """The task definition, registered when the newest one of the family is another."""
        service = self.service
        live = service.task_definition(service.describe().task_definition)
        wanted = load_definition(self.family, live, service.container, image, self.size(), self.grace)
        try:
            newest = service.task_definition(self.family)
        except DeniedError:
            raise
        except ConfigurationError:  # there is none yet
            newest = {}
        if not runs_the_same(newest, wanted):
            newest = service.task_definition(service.register(wanted))
        return newest

    def _sweep(self, say: Say) -> None:
        with aws_errors(f"ecs:ListTasks {self.service.cluster}"):
            answer = self.service.ecs.list_tasks(cluster=self.service.cluster, family=self.family)
        for arn in answer.get("taskArns", ()):
            say(f"stopping task {_id(arn)} of an earlier load")
            self.stop(arn, "left over from an earlier load")

    def _start(
        self,
        definition: Mapping[str, Any],
        told: Mapping[str, Any],
        streams: Sequence[ShardLines],
        which: tuple[int, int],
    ) -> Task:
        service, number = self.service, which[0]
        variable = {"name": TOLD, "value": json.dumps(told, separators=(",", ":"))}
        with aws_errors(f"ecs:RunTask {self.family}"):
            answer = service.ecs.run_task(
                cluster=service.cluster,
                taskDefinition=definition["taskDefinitionArn"],
                count=1,
                startedBy=STARTED_BY,
                overrides={"containerOverrides": [{"name": CONTAINER, "environment": [variable]}]},
                clientToken=uuid.uuid4().hex,
                **placement(service.describe().raw),
            )
        arn, refused = run_answer(answer)
        if not arn:
            raise UndecidedError(
                f"the load test gave no result: ECS does not start task {number} of {which[1]}: {refused}",
                hint="see that the cluster has the capacity and the account the quota, then run the stage again",
            )
        where = log_stream(definition, CONTAINER, {"taskArn": arn})
        assert where is not None, "our own definition logs to CloudWatch Logs"
        count = told["processes"]
        shards = {n: streams[n] for n in range(told["first"], told["first"] + count)}
        return Task(arn, which, TaskStory(TaskLog(service.logs, *where), shards), count)

    def states(self, arns: Sequence[str]) -> Mapping[str, TaskState]:
        """The tasks by their ids, as far as ECS still tells of them."""
        with aws_errors(f"ecs:DescribeTasks {self.service.cluster}"):
            answer = self.service.ecs.describe_tasks(cluster=self.service.cluster, tasks=list(arns))
        return {state.id: state for state in map(task_state, answer.get("tasks", ()))}

    def stop(self, arn: str, reason: str) -> None:
        """Has ECS send SIGTERM to the task, and SIGKILL when it has not ended in time."""
        with aws_errors(f"ecs:StopTask {_id(arn)}"):
            self.service.ecs.stop_task(cluster=self.service.cluster, task=arn, reason=reason)

    def _stop(self, tasks: Sequence[Task], say: Say) -> None:
        for task in tasks:
            if task.stopped or task.story.done:
                continue
            try:
                self.stop(task.arn, "the load is over")
            except PipelineError as error:
                by_hand = f"aws ecs stop-task --cluster {self.service.cluster} --task {task.arn}"
                say(
                    f"task {task.id} was not stopped, and ends by itself: {error.message}; at once: {by_hand}"
                )


class Task:
    """One task: what it told, and what ECS tells of it. `which` is its number and the number of all."""

    def __init__(self, arn: str, which: tuple[int, int], story: TaskStory, processes: int) -> None:
        self.arn, self.which, self.story, self.processes = arn, which, story, processes
        self.state: TaskState | None = None
        self.stopped_at: float | None = None

    @property
    def id(self) -> str:
        """Its id, the end of the ARN."""
        return _id(self.arn)

    @property
    def stopped(self) -> bool:
        """Whether ECS says that it runs no more."""
        return self.stopped_at is not None

    def seen(self, state: TaskState, now: float) -> None:
        """What ECS tells of it at `now`, monotonic."""
        self.state = state
        if state.last_status == "STOPPED" and self.stopped_at is None:
            self.stopped_at = now

    def over(self, now: float) -> bool:
        """Whether everything that it will tell has come, or was waited for."""
        if self.story.done or self.stopped_at is None or self.state is None:
            return self.story.done
        return self.state.stop_code == "TaskFailedToStart" or now - self.stopped_at > _DRAIN

    @property
    def fate(self) -> str:
        """How it stands, for people: its state, and why it stopped."""
        if self.state is None:
            return "ECS has not told of it yet"
        reasons = [self.state.stopped_reason, *self.state.container_reasons.values()]
        code = self.state.exit_codes.get(CONTAINER)
        told = [*filter(None, dict.fromkeys(reasons)), *([f"exit code {code}"] if code is not None else [])]
        status = self.state.last_status
        return f"it is {status}{': ' if told else ''}{', '.join(told)}"

    def undecided(self, fault: str) -> UndecidedError:
        """Why there is no result, with how the task stands and what it said last."""
        said = [line for line in self.story.last_words if line.strip()][-_LAST_LINES:]
        lines = "".join(f"\n  {line}" for line in said)
        number, count = self.which
        return UndecidedError(
            f"the load test gave no result: task {number} of {count} ({self.id}): {fault}; {self.fate}"
            + (f"; its last lines:{lines}" if lines else ""),
            hint="mend the cause and run the stage again; the task's whole log is in CloudWatch Logs, stream "
            f"{CONTAINER}/{CONTAINER}/{self.id}",
        )


class Detachment:
    """The tasks of one load, for `locust_following.Crew`. Looks at logs and states no more often than it helps."""

    def __init__(self, at: LoadTasks, tasks: Sequence[Task]) -> None:
        self._at, self.tasks = at, tasks
        self._least = max(_QUICK, len(tasks) / _CALLS_A_SECOND)
        self._every = self._least
        self._next_read = self._next_look = 0.0
        self._heard = self._now()

    def _now(self) -> float:
        return self._at.service.clock.monotonic()

    def ended(self) -> list[bool]:
        """Looks, and says of every process whether its task tells no more.

        Raises UnavailableError when nothing was heard of AWS for too long, UndecidedError for what is not in form.
        """
        now = self._now()
        try:
            if now >= self._next_look:
                self._next_look = now + _DESCRIBED_EVERY
                self._look(now)
            if now >= self._next_read:
                self._read()
                self._next_read = self._now() + self._every
            self._heard = self._now()
        except CredentialError:
            raise
        except UnavailableError:
            if self._now() - self._heard > self._at.silence:
                raise
            self._next_read = now + _SLOW
        over = [(task.over(now), task.processes) for task in self.tasks]
        return [done for done, processes in over for _ in range(processes)]

    def _look(self, now: float) -> None:
        states = self._at.states([task.arn for task in self.tasks])
        for task in self.tasks:
            if task.id in states:
                task.seen(states[task.id], now)

    def _read(self) -> None:
        new = [self._read_one(task) for task in self.tasks if not task.story.done]
        self._every = self._least if any(new) else min(_SLOW, self._every * 1.5)

    def _read_one(self, task: Task) -> bool:
        try:
            return task.story.read()
        except (ValueError, KeyError, TypeError) as error:
            raise task.undecided(f"what it tells is not in form ({error!r})") from error

    def end_early(self) -> None:
        """Has ECS stop the tasks; their programs close the records first."""
        for task in self.tasks:
            if not task.stopped:
                self._at.stop(task.arn, "enough was measured")

    def task_of(self, process: int) -> Task:
        """The task of a process, by its number from 1."""
        return self.tasks[math.ceil(process / self.tasks[0].processes) - 1]


def _id(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]
