"""What one task that loads tells, read from its log in CloudWatch Logs while it grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.adapters.aws_errors import aws_errors
from pipeline.adapters.load_frames import Assembly, Message
from pipeline.adapters.locust_stream import Line, line_of

_PAGES = 20


class TaskLog:
    """The lines of a log stream, each given once. `logs` is boto3's client of CloudWatch Logs."""

    def __init__(self, logs: Any, group: str, stream: str) -> None:
        self._logs, self._group, self._stream = logs, group, stream
        self._token: dict[str, str] = {}

    def lines(self) -> list[str]:
        """The new ones; empty while there is no stream. Raises UnavailableError when the API does not answer."""
        found: list[str] = []
        for _ in range(_PAGES):
            with aws_errors(f"logs:GetLogEvents {self._group}"):
                try:
                    answer = self._logs.get_log_events(
                        logGroupName=self._group,
                        logStreamName=self._stream,
                        startFromHead=True,
                        **self._token,
                    )
                except self._logs.exceptions.ResourceNotFoundException:
                    return found
            events = answer.get("events", ())
            found += [str(event["message"]).rstrip("\n") for event in events]
            token = {"nextToken": str(answer["nextForwardToken"])}
            # The end of what there is now is told by the same token once more; a page in between may be empty.
            if token == self._token:
                break
            self._token = token
        return found


class ShardLines:
    """The record of one Locust process as its task sends it: a `locust_stream.Stream`. It is kept in `path` too."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[Line] = []
        path.write_bytes(b"")

    def take(self, raw: str) -> None:
        """A line of the record. Raises ValueError for what is no JSON object."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(raw + "\n")
        self._waiting.append(line_of(raw.encode()))

    def lines(self) -> Sequence[Line]:
        """Those that were not given yet."""
        given, self._waiting = self._waiting, []
        return given


class TaskStory:
    """What a task told so far. `shards` are the records of its processes by their numbers."""

    def __init__(self, log: TaskLog, shards: Mapping[int, ShardLines]) -> None:
        self._log, self._shards = log, shards
        self._assembly = Assembly()
        self.offset: float | None = None
        """Seconds by which its clock is ahead; None while it has not said."""
        self.within = 0.0
        self.done = False
        self.said = False
        """Whether anything came of it."""
        self._last_words: list[str] = []

    def read(self) -> bool:
        """Takes what is new; whether there was anything.

        Raises ValueError, KeyError or TypeError for what is not in form, UnavailableError as `TaskLog.lines`.
        """
        lines = self._log.lines()
        self.said = self.said or bool(lines)
        for line in lines:
            self._assembly.add(line)
        for message in self._assembly.take():
            self._take(message)
        return bool(lines)

    def _take(self, message: Message) -> None:
        if "line" in message:
            self._shards[message["shard"]].take(message["line"])
        elif "clock" in message:
            self.offset, self.within = float(message["clock"]), float(message["within"])
        elif "log" in message:
            self._last_words += [str(line) for line in message["lines"]]
        elif "done" in message:
            self.done = True

    @property
    def missing(self) -> int | None:
        """The number of a message that did not come whole; None where there is none."""
        return self._assembly.missing

    @property
    def last_words(self) -> Sequence[str]:
        """Its last lines for people, those of Locust last."""
        return (*self._assembly.said, *self._last_words)
