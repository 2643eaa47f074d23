"""The log lines of a service's tasks out of CloudWatch Logs, in the order of their times."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.adapters.aws_errors import aws_errors
from pipeline.adapters.ecs import EcsService
from pipeline.errors import ConfigurationError, UnavailableError
from pipeline.ports import Clock

_LATE = 10.0
"""Seconds by which a line of one task may come after later ones of another."""

_EVERY, _SILENCE = 2.0, 120.0
_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line: when it was written (UTC), by which task, and its text. `id` is the event's own."""

    time: datetime
    task: str
    text: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the container writes: a group, and what its streams begin with."""

    group: str
    prefix: str


@dataclass(slots=True)
class ServiceLog:
    """The log of a service's container, all its tasks together. `logs` is boto3's CloudWatch Logs client.

    `task` limits it to tasks whose id begins so; without it, to tasks that the service has or lately had.
    """

    logs: Any
    service: EcsService
    clock: Clock
    task: str = ""
    _ours: set[str] = field(default_factory=set, init=False)
    _others: set[str] = field(default_factory=set, init=False)

    def lines(self, seconds: float, limit: int) -> list[LogLine]:
        """The newest `limit` lines of the last `seconds`, oldest first.

        Raises ConfigurationError when the container writes somewhere else, or its streams do not name their tasks.
        """
        since = self.clock.now().timestamp() - seconds
        return list(deque(self._events(self._place(), since), maxlen=limit))

    def follow(self, seconds: float, limit: int) -> Iterator[LogLine]:
        """The newest `limit` lines of the last `seconds`, then every new one as it comes, without end.

        Raises UnavailableError when CloudWatch Logs says nothing for two minutes.
        """
        place = self._place()
        since = self.clock.now().timestamp() - seconds
        first = list(self._events(place, since))
        recent = {line.id: line.time.timestamp() for line in first}
        yield from first[-limit:]
        heard = self.clock.monotonic()
        while True:
            since = max([since, *(time - _LATE for time in recent.values())])
            recent = {key: time for key, time in recent.items() if time >= since}
            self.clock.sleep(_EVERY)
            try:
                found = [line for line in self._events(place, since) if line.id not in recent]
            except UnavailableError:
                if self.clock.monotonic() - heard > _SILENCE:
                    raise
                continue
            heard = self.clock.monotonic()
            yield from found
            recent |= {line.id: line.time.timestamp() for line in found}

    def _place(self) -> _Place:
        definition = self.service.task_definition(self.service.describe().task_definition)
        container = self.service.container
        entry: Mapping[str, Any] = next(
            (c for c in definition.get("containerDefinitions", ()) if c.get("name") == container), {}
        )
        config = entry.get("logConfiguration") or {}
        options = config.get("options") or {}
        if config.get("logDriver") != "awslogs" or not options.get("awslogs-group"):
            raise ConfigurationError(
                f"container {container} does not log to CloudWatch Logs, but to {config.get('logDriver') or 'nothing'}",
                hint="read it where it goes, or set the log driver awslogs in the task definition",
            )
        if not options.get("awslogs-stream-prefix"):
            raise ConfigurationError(
                f"the log streams in {options['awslogs-group']} do not name their tasks",
                hint="set awslogs-stream-prefix in the task definition's log options",
            )
        return _Place(str(options["awslogs-group"]), f"{options['awslogs-stream-prefix']}/{container}/")

    def _events(self, place: _Place, since: float) -> Iterator[LogLine]:
        """Every line of the tasks in question from `since` (seconds of the epoch) on, in order, page by page."""
        page: dict[str, Any] = {"startTime": max(0, int(since * 1000))}
        while True:
            with aws_errors(f"logs:FilterLogEvents {place.group}"):
                answer = self.logs.filter_log_events(
                    logGroupName=place.group,
                    logStreamNamePrefix=place.prefix + self.task,
                    limit=_PAGE,
                    **page,
                )
            for event in answer.get("events", ()):
                stream = str(event["logStreamName"])
                if stream.startswith(place.prefix + self.task) and self._wanted(stream):
                    yield _line(event)
            if not answer.get("nextToken"):
                return
            page["nextToken"] = answer["nextToken"]

    def _wanted(self, stream: str) -> bool:
        """Whether a stream is of a task in question; a task not seen before is asked about once."""
        task = _task(stream)
        if self.task or task in self._ours:
            return True
        if task not in self._others:
            self._ours |= {state.id for state in self.service.tasks()}
            if task not in self._ours:
                self._others.add(task)
        return task in self._ours


def _line(event: Mapping[str, Any]) -> LogLine:
    time = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
    text = str(event["message"]).rstrip("\n")
    return LogLine(time, _task(str(event["logStreamName"])), text, str(event.get("eventId", "")))


def _task(stream: str) -> str:
    return stream.rsplit("/", 1)[-1]
