"""Log lines of a service: which tasks', in which order, how many, and what comes later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from pipeline.adapters.ecs import EcsService
from pipeline.adapters.log_lines import LogLine, ServiceLog
from pipeline.errors import ConfigurationError, UnavailableError
from tests.fakes.clock import FakeClock

AWSLOGS = {
    "logDriver": "awslogs",
    "options": {"awslogs-group": "/ecs/shop", "awslogs-stream-prefix": "prod"},
}
ACCOUNT = "arn:aws:ecs:eu-west-1:123456789012"


class Stubbed:
    """A service with the tasks `aaa` and `bbb`, and what CloudWatch Logs answers."""

    def __init__(self, task: str = "", config: dict[str, Any] | None = None) -> None:
        key = {"region_name": "eu-west-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
        ecs, logs = boto3.client("ecs", **key), boto3.client("logs", **key)
        self.ecs, self.logs, self.clock = Stubber(ecs), Stubber(logs), FakeClock()
        self.ecs.activate()
        self.logs.activate()
        self.now = int(self.clock.now().timestamp() * 1000)
        self.log = ServiceLog(
            logs, EcsService(ecs, logs, "prod", "shop", "app", self.clock), self.clock, task
        )
        self._describe(config or AWSLOGS)

    def _describe(self, config: dict[str, Any]) -> None:
        service = {"serviceArn": f"{ACCOUNT}:service/prod/shop", "taskDefinition": "td", "status": "ACTIVE"}
        self.ecs.add_response("describe_services", {"services": [service]})
        container = {"name": "app", "logConfiguration": config}
        self.ecs.add_response(
            "describe_task_definition", {"taskDefinition": {"containerDefinitions": [container]}}
        )

    def tasks(self, *names: str) -> None:
        self.ecs.add_response("list_tasks", {"taskArns": list(names)})
        self.ecs.add_response("list_tasks", {"taskArns": []})
        self.ecs.add_response(
            "describe_tasks", {"tasks": [{"taskArn": f"{ACCOUNT}:task/{n}"} for n in names]}
        )

    def answer(self, *events: dict[str, Any], token: str = "", **asked: Any) -> None:
        expected = {"logGroupName": "/ecs/shop", "logStreamNamePrefix": ANY, "limit": ANY, "startTime": ANY}
        answer = {"events": list(events)} | ({"nextToken": token} if token else {})
        self.logs.add_response("filter_log_events", answer, expected | asked)

    def event(self, number: int, task: str, seconds: float, stream: str = "prod/app") -> dict[str, Any]:
        time = self.now + int(seconds * 1000)
        return {
            "logStreamName": f"{stream}/{task}",
            "timestamp": time,
            "message": f"line {number}\n",
            "eventId": str(number),
        }

    def done(self) -> None:
        self.ecs.assert_no_pending_responses()
        self.logs.assert_no_pending_responses()


@pytest.fixture
def stubbed() -> Iterator[Stubbed]:
    made = Stubbed()
    yield made
    made.done()


def texts(lines: list[LogLine]) -> list[str]:
    return [line.text for line in lines]


def test_lines_of_all_tasks_page_after_page(stubbed: Stubbed) -> None:
    stubbed.tasks("aaa", "bbb")
    start = stubbed.now - 600_000
    stubbed.answer(
        stubbed.event(1, "aaa", -9), token="more", startTime=start, logStreamNamePrefix="prod/app/"
    )
    stubbed.answer(stubbed.event(2, "bbb", -8), stubbed.event(3, "aaa", -7), nextToken="more")
    found = stubbed.log.lines(600.0, 10)
    assert [(line.task, line.text) for line in found] == [
        ("aaa", "line 1"),
        ("bbb", "line 2"),
        ("aaa", "line 3"),
    ]


def test_never_more_than_asked_and_the_newest(stubbed: Stubbed) -> None:
    stubbed.tasks("aaa")
    stubbed.answer(*(stubbed.event(n, "aaa", n - 10) for n in range(6)))
    assert texts(stubbed.log.lines(600.0, 2)) == ["line 4", "line 5"]


def test_tasks_that_are_not_the_services_and_other_streams_are_left_out(stubbed: Stubbed) -> None:
    """A one-off task writes to the same group; asked about once, it stays out."""
    stubbed.tasks("aaa")
    stubbed.tasks("aaa")
    stubbed.answer(
        stubbed.event(1, "aaa", -9),
        stubbed.event(2, "once", -8),
        stubbed.event(3, "once", -7),
        stubbed.event(4, "aaa", -6, stream="prod/sidecar"),
    )
    assert texts(stubbed.log.lines(600.0, 10)) == ["line 1"]


def test_a_task_that_is_named_is_read_whosever_it_is() -> None:
    stubbed = Stubbed(task="onc")
    stubbed.answer(
        stubbed.event(1, "once", -9), stubbed.event(2, "aaa", -8), logStreamNamePrefix="prod/app/onc"
    )
    assert texts(stubbed.log.lines(600.0, 10)) == ["line 1"]
    stubbed.done()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"logDriver": "fluentd"}, "fluentd"),
        ({"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/shop"}}, "awslogs-stream-prefix"),
    ],
)
def test_a_log_that_cannot_be_read_here_is_said_so(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Stubbed(config=config).log.lines(60.0, 1)
    assert words in caught.value.message + caught.value.hint


def test_following_shows_each_line_once_and_late_ones_too(stubbed: Stubbed) -> None:
    stubbed.tasks("aaa", "bbb")
    old = [stubbed.event(n, "aaa", n - 10) for n in range(4)]
    stubbed.answer(*old)
    stubbed.answer(old[3], startTime=stubbed.now - 17_000)
    stubbed.answer(stubbed.event(5, "bbb", -9), old[3], stubbed.event(4, "aaa", 1))
    stubbed.answer(stubbed.event(5, "bbb", -9), stubbed.event(4, "aaa", 1), stubbed.event(6, "aaa", 2))
    stream = stubbed.log.follow(600.0, 2)
    assert texts([next(stream) for _ in range(5)]) == ["line 2", "line 3", "line 5", "line 4", "line 6"]


def test_following_sits_out_a_silence_and_no_more(stubbed: Stubbed) -> None:
    stubbed.tasks("aaa")
    stubbed.answer(stubbed.event(1, "aaa", -5))
    stream = stubbed.log.follow(600.0, 10)
    assert next(stream).text == "line 1"
    for _ in range(3):
        stubbed.logs.add_client_error("filter_log_events", "ThrottlingException", "slow down")
    stubbed.answer(stubbed.event(2, "aaa", 1))
    assert next(stream).text == "line 2"
    for _ in range(100):
        stubbed.logs.add_client_error("filter_log_events", "ThrottlingException", "slow down")
    with pytest.raises(UnavailableError, match="slow down"):
        next(stream)
    assert 120.0 < stubbed.clock.monotonic() < 160.0
    stubbed.logs._queue.clear()
