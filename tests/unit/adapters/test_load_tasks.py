"""Tasks that load, against what ECS and CloudWatch Logs answer: when they are lost, late, silent, or not stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from pipeline.adapters.ecs import EcsService
from pipeline.adapters.ecs_load import EcsLoad
from pipeline.adapters.load_frames import Message, lines_of
from pipeline.adapters.load_log import ShardLines, TaskLog, TaskStory
from pipeline.adapters.load_orders import Orders
from pipeline.adapters.load_tasks import Detachment, LoadTasks, Task
from pipeline.errors import CredentialError, UnavailableError, UndecidedError
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.load import LoadShape
from pipeline.model.load_definition import LoadSize, load_definition
from tests.fakes.clock import FakeClock
from tests.fakes.load import RecordedProgress

KEY = {"region_name": "eu-west-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
ACCOUNT = "arn:aws:ecs:eu-west-1:123456789012"
IMAGE = ImageRef("registry.test/shop", Digest("sha256:" + "a" * 64))
SIZE = LoadSize(1024, 2048)
OPTIONS = {"awslogs-group": "/ecs/shop", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "staging"}
LIVE = {
    "family": "shop-staging",
    "networkMode": "awsvpc",
    "containerDefinitions": [
        {"name": "app", "logConfiguration": {"logDriver": "awslogs", "options": OPTIONS}}
    ],
}
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
LEFT = "arn:left/over"


def told(first: int = 0) -> Mapping[str, Any]:
    return {"first": first, "processes": 1}


class Stubbed:
    """Clients that answer what they are told, in order."""

    def __init__(self, tmp_path: Path) -> None:
        ecs, logs = boto3.client("ecs", **KEY), boto3.client("logs", **KEY)
        self.ecs, self.logs, self.clock = Stubber(ecs), Stubber(logs), FakeClock()
        self.ecs.activate()
        self.logs.activate()
        service = EcsService(ecs, logs, "staging", "shop", "app", self.clock)
        self.tasks = LoadTasks(service, "shop-staging-load", lambda: SIZE, silence=30.0)
        self.streams = [ShardLines(tmp_path / f"locust-{n}.jsonl") for n in (1, 2)]
        self.said: list[str] = []

    def service(self) -> None:
        entry = {
            "serviceArn": f"{ACCOUNT}:service/staging/shop",
            "taskDefinition": "shop-staging:1",
            "status": "ACTIVE",
            "launchType": "FARGATE",
            "networkConfiguration": NETWORK,
        }
        self.ecs.add_response("describe_services", {"services": [entry]})

    def definition(self, found: Mapping[str, Any]) -> None:
        self.ecs.add_response("describe_task_definition", {"taskDefinition": dict(found)})

    def ours(self, revision: int = 1) -> dict[str, Any]:
        made = load_definition("shop-staging-load", LIVE, "app", IMAGE, SIZE, 5.0)
        return {**made, "taskDefinitionArn": f"td/shop-staging-load:{revision}"}

    def prepared(self, *left: str) -> None:
        """Up to the first task: the definition is there already."""
        self.service()
        self.definition(LIVE)
        self.definition(self.ours())
        self.ecs.add_response("list_tasks", {"taskArns": list(left)})

    def runs(self, *names: str) -> None:
        for name in names:
            self.service()
            expected = {
                "cluster": "staging",
                "taskDefinition": "td/shop-staging-load:1",
                "count": 1,
                "startedBy": "onedigest-load",
                "overrides": ANY,
                "clientToken": ANY,
                "launchType": "FARGATE",
                "networkConfiguration": NETWORK,
            }
            answer = {"tasks": [{"taskArn": f"{ACCOUNT}:task/{name}"}]}
            self.ecs.add_response("run_task", answer, expected)

    def stops(self, *names: str) -> None:
        for name in names:
            expected = {"cluster": "staging", "task": name, "reason": ANY}
            self.ecs.add_response("stop_task", {}, expected)

    def states(self, **names: Mapping[str, Any]) -> None:
        tasks = [{"taskArn": f"{ACCOUNT}:task/{n}", **state} for n, state in names.items()]
        self.ecs.add_response("describe_tasks", {"tasks": tasks})

    def logged(self, *lines: str, token: str = "end") -> None:
        answer = {"events": [{"message": line} for line in lines], "nextForwardToken": token}
        self.logs.add_response("get_log_events", answer)

    def log(self) -> TaskLog:
        return TaskLog(self.tasks.service.logs, "/ecs/shop", "load/load/aaa")

    def crew(self, count: int = 1) -> Detachment:
        tasks = []
        for number, name in enumerate(("aaa", "bbb")[:count]):
            story = TaskStory(self.log(), {number: self.streams[number]})
            tasks.append(Task(f"{ACCOUNT}:task/{name}", (number + 1, count), story, 1))
        return Detachment(self.tasks, tasks)

    def done(self) -> None:
        self.ecs.assert_no_pending_responses()
        self.logs.assert_no_pending_responses()


@pytest.fixture
def aws(tmp_path: Path) -> Stubbed:
    return Stubbed(tmp_path)


def sent(*messages: Message, first: int = 1) -> list[str]:
    return [line for number, message in enumerate(messages, first) for line in lines_of(number, message)]


# -- starting and stopping --------------------------------------------------------------------------------------------


def test_tasks_run_where_the_services_do_and_all_are_stopped_in_the_end(aws: Stubbed) -> None:
    aws.prepared()
    aws.runs("aaa", "bbb")
    aws.stops(f"{ACCOUNT}:task/aaa", f"{ACCOUNT}:task/bbb")
    with aws.tasks.started(IMAGE, [told(0), told(1)], aws.streams, aws.said.append) as crew:
        assert [task.which for task in crew.tasks] == [(1, 2), (2, 2)]
        assert crew.task_of(2) is crew.tasks[1]
    aws.done()


def test_a_new_image_registers_a_definition_and_what_is_left_is_stopped(aws: Stubbed) -> None:
    aws.service()
    aws.definition(LIVE)
    aws.ecs.add_client_error("describe_task_definition", "ClientException", "Unable to describe it")
    made = load_definition("shop-staging-load", LIVE, "app", IMAGE, SIZE, 5.0)
    registered = {"taskDefinition": {"taskDefinitionArn": "td/shop-staging-load:1"}}
    aws.ecs.add_response("register_task_definition", registered, made)
    aws.definition(aws.ours())
    aws.ecs.add_response("list_tasks", {"taskArns": [LEFT]})
    aws.stops(LEFT)
    aws.runs("aaa")
    aws.stops(f"{ACCOUNT}:task/aaa")
    with aws.tasks.started(IMAGE, [told()], aws.streams, aws.said.append):
        assert aws.said == ["stopping task over of an earlier load"]
    aws.done()


def test_a_task_that_ecs_does_not_place_is_no_result_and_the_others_are_stopped(aws: Stubbed) -> None:
    aws.prepared()
    aws.runs("aaa")
    aws.service()
    aws.ecs.add_response("run_task", {"failures": [{"reason": "Capacity is unavailable at this time"}]})
    aws.stops(f"{ACCOUNT}:task/aaa")
    with (
        pytest.raises(UndecidedError, match="task 2 of 2: Capacity is unavailable at this time"),
        aws.tasks.started(IMAGE, [told(0), told(1)], aws.streams, aws.said.append),
    ):
        pass
    aws.done()


def test_one_that_cannot_be_stopped_is_told_with_the_command_that_does_it(aws: Stubbed) -> None:
    aws.prepared()
    aws.runs("aaa")
    aws.ecs.add_client_error("stop_task", "AccessDeniedException", "you may not")
    with aws.tasks.started(IMAGE, [told()], aws.streams, aws.said.append):
        pass
    assert "ends by itself" in aws.said[0]
    assert f"aws ecs stop-task --cluster staging --task {ACCOUNT}:task/aaa" in aws.said[0]


def test_one_that_has_stopped_is_not_stopped_again(aws: Stubbed) -> None:
    aws.prepared()
    aws.runs("aaa")
    aws.states(aaa={"lastStatus": "STOPPED", "stopCode": "TaskFailedToStart", "stoppedReason": "no image"})
    aws.logged()
    aws.logged()
    with aws.tasks.started(IMAGE, [told()], aws.streams, aws.said.append) as crew:
        assert crew.ended() == [True]
    aws.done()


# -- following ---------------------------------------------------------------------------------------------------------


def test_a_tasks_lines_become_the_records_of_its_processes(aws: Stubbed, tmp_path: Path) -> None:
    aws.states(aaa={"lastStatus": "RUNNING"})
    raw = json.dumps({"kind": "ready", "shard": 0})
    messages = ({"shard": 0, "line": raw}, {"clock": -0.25, "within": 0.05})
    aws.logged(*sent(*messages), "a word", token="one")
    aws.logged(token="one")
    crew = aws.crew()
    assert crew.ended() == [False]
    story = crew.tasks[0].story
    assert (story.offset, story.within, story.done, story.missing) == (-0.25, 0.05, False, None)
    assert list(aws.streams[0].lines()) == [{"kind": "ready", "shard": 0}]
    assert not aws.streams[0].lines()
    assert (tmp_path / "locust-1.jsonl").read_text() == raw + "\n"

    aws.clock.advance(1.0)
    aws.logged(*sent({"log": 0, "lines": ["ModuleNotFoundError"]}, {"done": []}, first=3), token="two")
    aws.logged(token="two")
    assert crew.ended() == [True]
    assert list(story.last_words) == ["a word", "ModuleNotFoundError"]
    aws.done()


def test_after_its_end_a_tasks_last_lines_are_waited_for(aws: Stubbed) -> None:
    gone = {
        "lastStatus": "STOPPED",
        "stoppedReason": "Essential container in task exited",
        "containers": [{"name": "load", "exitCode": 137, "reason": "OutOfMemoryError"}],
    }
    crew = aws.crew()
    aws.states(aaa=gone)
    aws.logs.add_client_error("get_log_events", "ResourceNotFoundException", "no stream yet")
    assert crew.ended() == [False]
    aws.clock.advance(13.0)
    aws.states(aaa=gone)
    aws.logged(*sent({"done": []}, first=2))
    aws.logged()
    assert crew.ended() == [True]
    assert crew.tasks[0].story.missing == 1
    error = crew.tasks[0].undecided("its record breaks off")
    assert "task 1 of 1 (aaa): its record breaks off; it is STOPPED" in error.message
    assert "Essential container in task exited, OutOfMemoryError, exit code 137" in error.message
    assert "load/load/aaa" in error.hint


def test_a_task_of_which_ecs_has_not_told_yet_runs(aws: Stubbed) -> None:
    crew = aws.crew()
    aws.states()
    aws.logged()
    aws.logged()
    assert crew.ended() == [False]
    assert "ECS has not told of it yet" in crew.tasks[0].undecided("late").message


def test_nothing_is_asked_more_often_than_it_helps(aws: Stubbed) -> None:
    crew = aws.crew(2)
    aws.states(aaa={"lastStatus": "RUNNING"}, bbb={"lastStatus": "RUNNING"})
    for _ in range(4):
        aws.logged()
    assert crew.ended() == [False, False]
    assert crew.ended() == [False, False]
    aws.done()


def test_silence_is_borne_for_a_while(aws: Stubbed) -> None:
    crew = aws.crew()
    aws.ecs.add_client_error("describe_tasks", "ThrottlingException", "slow down")
    assert crew.ended() == [False]
    aws.clock.advance(31.0)
    aws.ecs.add_client_error("describe_tasks", "ThrottlingException", "slow down")
    with pytest.raises(UnavailableError, match="slow down"):
        crew.ended()


def test_a_credential_that_is_over_is_not_waited_for(aws: Stubbed) -> None:
    crew = aws.crew()
    aws.ecs.add_client_error("describe_tasks", "ExpiredTokenException", "expired")
    with pytest.raises(CredentialError):
        crew.ended()


@pytest.mark.parametrize(
    "message", [{"shard": 7, "line": "{}"}, {"shard": 0, "line": "no"}, {"clock": "late", "within": 0}]
)
def test_what_is_not_in_form_is_no_result_and_names_the_task(aws: Stubbed, message: Message) -> None:
    crew = aws.crew()
    aws.states(aaa={"lastStatus": "RUNNING"})
    aws.logged(*sent(message))
    aws.logged()
    with pytest.raises(UndecidedError, match=r"task 1 of 1 \(aaa\): what it tells is not in form"):
        crew.ended()


def test_an_early_end_stops_those_that_run(aws: Stubbed) -> None:
    crew = aws.crew(2)
    aws.states(aaa={"lastStatus": "STOPPED"}, bbb={"lastStatus": "RUNNING"})
    for _ in range(4):
        aws.logged()
    crew.ended()
    aws.stops(f"{ACCOUNT}:task/bbb")
    crew.end_early()
    aws.done()


def test_pages_are_read_to_the_end_even_past_an_empty_one(aws: Stubbed) -> None:
    aws.logged("one", token="1")
    aws.logged(token="2")
    aws.logged("two", token="3")
    aws.logged(token="3")
    log = aws.log()
    assert log.lines() == ["one", "two"]
    aws.logged("three", token="4")
    aws.logged(token="4")
    assert log.lines() == ["three"]
    aws.done()


# -- the whole load -------------------------------------------------------------------------------------------------


READY = {"shard": 0, "line": json.dumps({"kind": "ready", "shard": 0})}
SHAPE = LoadShape(Path("journey.py"), users=2, spawn_rate=2.0, warmup=1.0, duration=5.0)


def load(aws: Stubbed) -> EcsLoad:
    """One task, which was told to be ready within ten seconds."""
    given: list[str] = []
    orders = Orders(dict, lambda: 1000.0, given.append)
    return EcsLoad(
        aws.tasks,
        1,
        lambda _say: IMAGE,
        orders,
        lambda url: url,
        lambda _path: None,
        aws.clock,
        start_timeout=10.0,
    )


def run(aws: Stubbed, tmp_path: Path) -> str:
    """Why there was no result. The answers must be laid out up to that point."""
    with pytest.raises(UndecidedError) as caught:
        load(aws).run(SHAPE, "http://staging.test", tmp_path, RecordedProgress())
    return caught.value.message


@pytest.mark.parametrize("offset", [0.7, -3.0])
def test_a_clock_that_is_off_by_more_than_a_block_is_no_result(
    aws: Stubbed, tmp_path: Path, offset: float
) -> None:
    aws.prepared()
    aws.runs("aaa")
    aws.states(aaa={"lastStatus": "RUNNING"})
    aws.logged(*sent(READY, {"clock": offset, "within": 0.1}))
    aws.logged()
    aws.stops(f"{ACCOUNT}:task/aaa")
    message = run(aws, tmp_path)
    assert f"task 1 of 1 (aaa): its clock is off by {offset:+.2f} s (± 0.10 s)" in message
    aws.done()


def test_a_line_that_is_missing_is_no_result_and_is_named(aws: Stubbed, tmp_path: Path) -> None:
    aws.prepared()
    aws.runs("aaa")
    aws.states(aaa={"lastStatus": "RUNNING"})
    # Off by less than a block and what it may be wrong by: it begins. Of what follows the third line is not there.
    aws.logged(*sent(READY, {"clock": 0.55, "within": 0.1}), *sent({"done": [0]}, first=4))
    aws.logged()
    for _ in range(20):
        aws.states(aaa={"lastStatus": "STOPPED", "stoppedReason": "gone"})
        aws.logs.add_response("get_log_events", {"events": [], "nextForwardToken": "end"})
    aws.logs.add_response("get_log_events", {"events": [], "nextForwardToken": "end"})
    message = run(aws, tmp_path)
    assert "task 1 of 1 (aaa): line 3 of what it tells is missing; it is STOPPED: gone" in message


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([], "it was not ready within 10 s"),
        (["no answer to whether there is an order"], "it does not reach where orders come from within 10 s"),
        (sent({"clock": 0.0, "within": 0.1}), "it was not ready within 10 s"),
    ],
)
def test_a_task_that_is_late_is_told_with_what_it_lacks(
    aws: Stubbed, tmp_path: Path, lines: list[str], text: str
) -> None:
    aws.prepared()
    aws.runs("aaa")
    aws.logged(*lines)
    for _ in range(40):
        aws.logged()
    for _ in range(6):
        aws.states(aaa={"lastStatus": "RUNNING"})
    aws.stops(f"{ACCOUNT}:task/aaa")
    assert f"task 1 of 1 (aaa): {text}; it is RUNNING" in run(aws, tmp_path)
