"""Tasks of a local cloud load its staging: what they send arrives and is counted, and what goes wrong is no result."""

from __future__ import annotations

import csv
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.load_image import LoadImage
from pipeline.adapters.load_log import ShardLines
from pipeline.errors import UndecidedError
from pipeline.local.balancer import RuntimeApi
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.load import LoadShape
from pipeline.model.sides import Sides
from tests.fakes.load import RecordedProgress
from tests.system.cloud_in_hand import APP, CloudInHand
from tests.system.tasks_in_hand import FAMILY, TasksInHand

DATA = Path(__file__).parent / "data"
JOURNEY = (DATA / "journey.py").read_text("utf-8")


@pytest.fixture
def tasks(local_cloud: CloudInHand, tmp_path: Path) -> Iterator[TasksInHand]:
    for environment in ("staging", "prod"):
        local_cloud.serving(environment, "good")
    (tmp_path / "journey.py").write_text(JOURNEY)
    found = TasksInHand(local_cloud, tmp_path)
    yield found
    local_cloud.wait(found.tasks, lambda running: not running)


def shape(duration: float, processes: int = 2) -> LoadShape:
    return LoadShape(
        Path("journey.py"), users=8, spawn_rate=16, warmup=1.0, duration=duration, processes=processes
    )


def sides(cloud: CloudInHand) -> Sides:
    return Sides(cloud.endpoints.urls["staging"], cloud.endpoints.urls["prod"])


def arrived(cloud: CloudInHand, environment: str) -> int:
    """Requests that the balancer's front of the environment has had."""
    port = next(part.port for part in cloud.cloud.status().parts if part.name == "balancer")
    assert port
    rows = csv.DictReader(RuntimeApi(port).ask("show stat -1 1 -1")[2:].splitlines())
    return next(int(row["req_tot"]) for row in rows if row["pxname"] == f"front_{environment}")


def records(directory: Path) -> list[Mapping[str, Any]]:
    return [
        json.loads(line)
        for path in sorted(directory.glob("locust-*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def test_two_tasks_load_both_sides_and_every_request_is_counted(tasks: TasksInHand, tmp_path: Path) -> None:
    cloud = tasks.cloud
    before = {name: arrived(cloud, name) for name in ("staging", "prod")}
    pair = tasks.generator(2).compare(
        shape(60.0), sides(cloud), tmp_path / "run", RecordedProgress(), lambda _, seconds: seconds >= 3.0
    )
    lines = records(tmp_path / "run")
    intervals = [line for line in lines if line["kind"] == "interval"]
    sent = sum(arrived(cloud, name) - count for name, count in before.items())
    counted = sum(line["requests"] for line in lines if line["kind"] == "end")
    assert counted + sum(line["outside"] for line in intervals) == sent
    assert {line["shard"] for line in lines if line["kind"] == "begin"} == {0, 1}
    within = sum(
        cell[0]
        for line in intervals
        for number, block in line["blocks"].items()
        if int(number) * 0.5 < pair.candidate.seconds
        for side in block.values()
        for cell in side.values()
    )
    assert pair.candidate.total.requests + pair.baseline.total.requests == within
    ratio = pair.candidate.total.requests / pair.baseline.total.requests
    assert 0.7 < ratio < 1.4
    told = json.loads((tmp_path / "run" / "load-tasks.json").read_text())
    assert len(told["tasks"]) == 2
    assert all(abs(task["clock_offset"]) <= 0.5 + task["within"] for task in told["tasks"])


def test_a_task_that_is_killed_midway_leaves_it_undecided_and_is_named(
    tasks: TasksInHand, tmp_path: Path
) -> None:
    progress = RecordedProgress()

    def kill() -> None:
        while not any(share > 0.1 for share, _ in progress.shares):
            time.sleep(0.05)
        second = tasks.cloud.client("ecs").list_tasks(cluster=f"{APP}-staging", family=FAMILY)["taskArns"][1]
        one = next(
            c
            for c in tasks.cloud.containers("task")
            if second.rsplit("/", 1)[-1][:8] in c.name and c.name.endswith("-load")
        )
        one.kill("SIGKILL")

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(UndecidedError, match=r"task 2 of 2 \(.*\): its record breaks off") as caught:
            tasks.generator(2).run(shape(30.0), sides(tasks.cloud).candidate, tmp_path / "run", progress)
    finally:
        killer.join()
    assert "exit code 137" in caught.value.message
    assert "CloudWatch Logs" in caught.value.hint


def refused(tasks: TasksInHand, directory: Path, **generator: Any) -> str:
    with pytest.raises(UndecidedError) as caught:
        tasks.generator(2, **generator).run(
            shape(5.0), sides(tasks.cloud).candidate, directory, RecordedProgress()
        )
    return caught.value.message


def test_a_task_whose_image_is_gone_is_no_result_and_ecs_says_why(tasks: TasksInHand, tmp_path: Path) -> None:
    class Gone(LoadImage):
        def ensure(self, say: Callable[[str], None]) -> ImageRef:
            return ImageRef(self.repository, Digest("sha256:" + "e" * 64))

    made = tasks.image()
    gone = Gone(made.contents, made.repository, made.platform, made.bases, made.builder, made.registry)
    message = refused(tasks, tmp_path / "run", image=gone)
    assert "task 1 of 2" in message
    assert "it ended before it was ready" in message
    assert "manifest unknown" in message


def test_a_locustfile_that_imports_only_here_is_no_result_and_its_own_words_are_shown(
    tasks: TasksInHand, tmp_path: Path
) -> None:
    (tmp_path / "journey.py").write_text("import boto3\n" + JOURNEY)
    message = refused(tasks, tmp_path / "run")
    assert "it ended before it was ready" in message or "Locust ended before it had started a user" in message
    assert "No module named 'boto3'" in message


def test_tasks_that_are_not_ready_in_time_are_no_result(tasks: TasksInHand, tmp_path: Path) -> None:
    assert "was not ready within 0.5 s" in refused(tasks, tmp_path / "run", start_timeout=0.5)


def test_what_a_killed_run_left_ends_by_itself_or_is_stopped_by_the_next_one(
    tasks: TasksInHand, tmp_path: Path
) -> None:
    generator = tasks.generator(1, start_timeout=4.0)
    said: list[str] = []

    def begin(patience: float) -> None:
        (tmp_path / "left").mkdir(exist_ok=True)
        told: Sequence[Mapping[str, Any]] = [
            {**one, "patience": patience}
            for one in generator._told(shape(5.0, 1), {"candidate": "http://balancer:8001"}, "nobody's")
        ]
        streams = [ShardLines(tmp_path / "left" / "locust.jsonl")]
        # Entered and never left, as by a process that was killed.
        left.append(generator.tasks.started(generator.image(said.append), told, streams, said.append))
        left[-1].__enter__()

    left: list[Any] = []
    begin(patience=3.0)
    first = tasks.tasks()
    tasks.cloud.wait(tasks.tasks, lambda running: not running)
    stream = f"load/load/{first[0].rsplit('/', 1)[-1]}"
    events = tasks.cloud.client("logs").get_log_events(
        logGroupName=f"/ecs/{APP}/staging", logStreamName=stream, startFromHead=True
    )
    assert any("no order to begin came" in event["message"] for event in events["events"])

    begin(patience=600.0)
    (second,) = tasks.tasks()
    progress = RecordedProgress()
    replace(generator, start_timeout=60.0).run(
        shape(1.0, 1), sides(tasks.cloud).candidate, tmp_path / "run", progress
    )
    assert progress.notes == [f"stopping task {second.rsplit('/', 1)[-1]} of an earlier load"]


def test_an_unchanged_image_is_found_by_its_contents_and_a_changed_one_is_built(
    tasks: TasksInHand, tmp_path: Path
) -> None:
    said: list[str] = []
    first = tasks.image().ensure(said.append)
    said.clear()
    assert tasks.image().ensure(said.append) == first
    assert not said
    (tmp_path / "more.txt").write_text("people\n")
    with_files = tasks.image(files=("more.txt",)).ensure(said.append)
    assert with_files.digest != first.digest
    assert said
