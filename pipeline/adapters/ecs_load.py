"""Load from ECS tasks: more of it than one machine drives. Each task runs its share of the Locust processes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.adapters.atomic_file import write_whole
from pipeline.adapters.load_log import ShardLines
from pipeline.adapters.load_orders import Orders
from pipeline.adapters.load_tasks import Detachment, LoadTasks, Task
from pipeline.adapters.locust import require_shares
from pipeline.adapters.locust_following import Follower
from pipeline.adapters.locust_gathering import Gathering, RecordError
from pipeline.errors import ConfigurationError, UndecidedError
from pipeline.model.digest import ImageRef
from pipeline.model.load import LoadShape, LoadSummary
from pipeline.model.sides import BLOCK_SECONDS, Enough, PairSummary, Side, Sides
from pipeline.ports import Clock, Progress, Say
from pipeline.waiting import poll

HEADSTART = 1.5
"""Seconds between the order and the common begin, within which every task has read it."""

_EVERY = 0.1
_SLACK = 60.0


@dataclass(frozen=True, slots=True)
class EcsLoad:
    """Drives load from `count` tasks at a time, for `pipeline.ports.LoadGenerator`.

    `image` gives the tasks' image, made now if need be; `checked` looks at a locustfile on this machine; `inside` turns
    a base URL into the one by which tasks reach the same; the tasks have `start_timeout` seconds to be ready.

    All tasks begin at one moment, told once all are ready. A task whose clock is off by more than a block leaves the
    load undecided: its blocks would be other half seconds than everybody's. What is less is put on record.
    """

    tasks: LoadTasks
    count: int
    image: Callable[[Say], ImageRef]
    orders: Orders
    inside: Callable[[str], str]
    checked: Callable[[Path], None]
    clock: Clock
    start_timeout: float = 180.0
    say: Say = lambda _text: None

    def check(self, locustfile: Path) -> None:
        """See `pipeline.ports.LoadGenerator.check`. Makes the tasks' image too; raises as `image` does."""
        self.checked(locustfile)
        self.image(self.say)

    def run(self, shape: LoadShape, base_url: str, directory: Path, progress: Progress) -> LoadSummary:
        """See `pipeline.ports.LoadGenerator.run`.

        `directory` takes the records of all processes, as `locust.jsonl` or `locust-2.jsonl`, and `load-tasks.json`:
        which tasks, when they began, how far their clocks are off. Raises UndecidedError when a task cannot be started,
        does not get ready in time, is lost, or a line of it is missing; UnavailableError when AWS does not answer.
        """
        return self._measured(shape, {Side.CANDIDATE: base_url}, directory, progress, None).summary()

    def compare(
        self, shape: LoadShape, sides: Sides, directory: Path, progress: Progress, enough: Enough
    ) -> PairSummary:
        """See `pipeline.ports.LoadGenerator.compare`; files and errors as of `run`."""
        urls = {Side.CANDIDATE: sides.candidate, Side.BASELINE: sides.baseline}
        return self._measured(shape, urls, directory, progress, enough).pair()

    def _measured(
        self,
        shape: LoadShape,
        urls: Mapping[Side, str],
        directory: Path,
        progress: Progress,
        enough: Enough | None,
    ) -> Gathering:
        require_shares(shape, len(urls))
        if shape.processes % self.count:
            raise ConfigurationError(
                f"{shape.processes} Locust processes do not share evenly between {self.count} tasks",
                hint="load.processes is what each task runs",
            )
        reached = {side.value: self.inside(url) for side, url in urls.items()}
        image = self.image(progress.step)
        streams = _streams(directory, shape.processes)
        token = uuid.uuid4().hex
        told = self._told(shape, reached, token)
        gathering = Gathering(streams, shape, list(reached))
        progress.step(f"starting {self.count} task{'s' * (self.count > 1)} that load")
        with self.tasks.started(image, told, streams, progress.note) as crew:
            follower = Follower(crew, gathering, progress, enough)
            self._await_ready(crew, follower)
            begin = self.orders.now() + HEADSTART
            self.orders.give(f"{token}/{begin}")
            _put_on_record(directory, image, crew, begin)
            return self._followed(crew, gathering, follower, shape)

    def _told(self, shape: LoadShape, urls: Mapping[str, str], token: str) -> list[dict[str, Any]]:
        processes = shape.processes // self.count
        same = {
            "locustfile": str(shape.locustfile),
            "sides": dict(urls),
            "users": shape.users // self.count,
            "spawn_rate": shape.spawn_rate / self.count,
            "warmup": shape.warmup,
            "duration": shape.duration,
            "processes": processes,
            "arrivals": None if shape.arrivals is None else shape.arrivals / self.count,
            "grace": self.tasks.grace,
            "patience": self.start_timeout,
            "token": token,
            "ticket": dict(self.orders.ticket()),
        }
        return [{**same, "first": number * processes} for number in range(self.count)]

    def _await_ready(self, crew: Detachment, follower: Follower) -> None:
        """Returns once every process has loaded the locustfile, and every task knows how its clock stands."""

        def look() -> bool | None:
            ready = follower.ready()
            known = all(task.story.offset is not None for task in crew.tasks)
            return True if follower.lost or (known and ready) else None

        deadline = self.clock.monotonic() + self.start_timeout
        if poll(look, _EVERY, deadline, self.clock) is None:
            raise self._late(crew, follower)
        if follower.lost:
            raise crew.task_of(follower.lost[0]).undecided("it ended before it was ready")
        for task in crew.tasks:
            offset = task.story.offset or 0.0
            if abs(offset) > BLOCK_SECONDS + task.story.within:
                raise task.undecided(
                    f"its clock is off by {offset:+.2f} s (± {task.story.within:.2f} s), more than a block of "
                    f"{BLOCK_SECONDS:g} s"
                )

    def _late(self, crew: Detachment, follower: Follower) -> UndecidedError:
        for task in crew.tasks:
            if task.story.offset is None:
                what = "does not reach where orders come from" if task.story.said else "was not ready"
                return task.undecided(f"it {what} within {self.start_timeout:g} s")
        return crew.task_of(follower.missing).undecided(f"it was not ready within {self.start_timeout:g} s")

    def _followed(
        self, crew: Detachment, gathering: Gathering, follower: Follower, shape: LoadShape
    ) -> Gathering:
        deadline = self.clock.monotonic() + shape.lead + shape.duration + self.tasks.grace + _SLACK
        try:
            ended = poll(follower.look, _EVERY, deadline, self.clock) is not None
            fault = follower.lost or gathering.fault(asked=follower.asked)
        except RecordError as error:
            raise crew.tasks[0].undecided(f"a record is not in form ({error})") from error
        for task in crew.tasks:
            if task.story.missing is not None:
                raise task.undecided(f"line {task.story.missing} of what it tells is missing")
        if not ended:
            number, text = fault or (1, "")
            fault = number, f"it did not end in time{': ' if text else ''}{text}"
        if fault:
            raise crew.task_of(fault[0]).undecided(fault[1])
        return gathering


def _streams(directory: Path, processes: int) -> list[ShardLines]:
    """Empty records; those of an earlier load in the same folder are gone."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("locust*.jsonl"):
        old.unlink()
    names = [f"locust-{n + 1}" if processes > 1 else "locust" for n in range(processes)]
    return [ShardLines(directory / f"{name}.jsonl") for name in names]


def _put_on_record(directory: Path, image: ImageRef, crew: Detachment, begin: float) -> None:
    tasks: Sequence[Task] = crew.tasks
    document = {
        "image": str(image),
        "begin": begin,
        "tasks": [
            {"id": task.id, "clock_offset": task.story.offset, "within": task.story.within} for task in tasks
        ],
    }
    write_whole(directory / "load-tasks.json", json.dumps(document, indent=2).encode())
