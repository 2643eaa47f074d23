"""What asking for alarms promises, on the fake, and on the real adapter against the emulator's CloudWatch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.stub import Stubber

from pipeline.adapters.alarms import CloudWatchAlarms
from pipeline.adapters.clock import SystemClock
from pipeline.errors import UnavailableError, UndecidedError
from pipeline.ports import Alarms
from pipeline.waiting import poll
from tests.fakes.traffic import FakeAlarms


@dataclass
class Subject:
    """Alarms, and how to put one into a state (which makes it where it is not there)."""

    alarms: Alarms
    put: Callable[[str, str], None]


@pytest.fixture(scope="module")
def cloudwatch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("emulator")
    env = {**os.environ, "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "IOT_MTLS_ENABLED": "0"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"], cwd=folder, env=env, stdout=log, stderr=log
        )
    try:
        found, clock = client(f"http://127.0.0.1:{port}"), SystemClock()
        up = poll(lambda: _answers(found), 0.1, clock.monotonic() + 60.0, clock)
        assert up, (folder / "log").read_text()
        yield found
    finally:
        process.terminate()
        process.wait(timeout=60)


def client(endpoint: str | None = None) -> Any:
    return boto3.client(
        "cloudwatch",
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
        config=Config(proxies={}, retries={"total_max_attempts": 1}, connect_timeout=5),
    )


def _answers(cloudwatch: Any) -> bool | None:
    try:
        cloudwatch.describe_alarms(AlarmNames=["none"])
    except BotoCoreError:
        return None
    return True


def _real(cloudwatch: Any) -> Subject:
    def put(name: str, state: str) -> None:
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="shop",
            MetricName="errors",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1.0,
            ComparisonOperator="GreaterThanThreshold",
        )
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="the test says so")

    return Subject(CloudWatchAlarms(cloudwatch), put)


@pytest.fixture(params=["fake", "real"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "real":
        return _real(request.getfixturevalue("cloudwatch"))
    fake = FakeAlarms()

    def put(name: str, state: str) -> None:
        fake.states[name] = state

    return Subject(fake, put)


def test_those_in_alarm_are_named_and_no_others(subject: Subject) -> None:
    for name, state in (("one", "OK"), ("two", "ALARM"), ("three", "INSUFFICIENT_DATA"), ("four", "ALARM")):
        subject.put(name, state)
    assert subject.alarms.firing(["one", "two", "three"]) == ["two"]
    assert subject.alarms.firing(["one", "three"]) == []


def test_an_alarm_that_is_not_there_is_named_and_decides_nothing(subject: Subject) -> None:
    subject.put("one", "OK")
    with pytest.raises(UndecidedError, match="no alarm gone"):
        subject.alarms.firing(["one", "gone"])


def test_asking_for_none_finds_none(subject: Subject) -> None:
    assert list(subject.alarms.firing([])) == []


def test_composite_alarms_count_and_more_than_a_hundred_are_all_asked() -> None:
    names = [f"alarm-{number:03}" for number in range(130)]
    cloudwatch = client()
    kinds = ["MetricAlarm", "CompositeAlarm"]
    with Stubber(cloudwatch) as stub:
        for page in (names[:100], names[100:]):
            asked = {"AlarmNames": page, "AlarmTypes": kinds, "MaxRecords": 100}
            *metric, composite = page
            metrics = [{"AlarmName": name, "StateValue": "OK"} for name in metric]
            composites = [{"AlarmName": composite, "StateValue": "ALARM"}]
            answer = {"MetricAlarms": metrics, "CompositeAlarms": composites}
            stub.add_response("describe_alarms", answer, asked)
        assert CloudWatchAlarms(cloudwatch).firing(names) == ["alarm-099", "alarm-129"]
        stub.assert_no_pending_responses()


def test_a_cloudwatch_that_throttles_is_unavailable() -> None:
    cloudwatch = client()
    with Stubber(cloudwatch) as stub:
        stub.add_client_error("describe_alarms", "Throttling", "Rate exceeded", 400)
        with pytest.raises(UnavailableError, match="DescribeAlarms one"):
            CloudWatchAlarms(cloudwatch).firing(["one"])
