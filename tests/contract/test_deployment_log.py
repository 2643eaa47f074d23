"""One suite for the deployment log in memory and for the one in DynamoDB, which here is the emulator's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from pipeline.adapters.deployment_log import DynamoDeploymentLog
from pipeline.adapters.table import Table
from pipeline.model.deployment_log import Ending, LogEntry
from pipeline.ports import DeploymentLog
from tests.bare_emulator import bare_emulator, client
from tests.fakes.lease import MemoryDeploymentLog
from tests.tables import make_table

START = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def entry(number: int = 0, environment: str = "prod") -> LogEntry:
    started = START + timedelta(seconds=number)
    return LogEntry(environment, f"run-{number}", "sha256:" + "a" * 64, "anne", started, forced="hot fix")


def ended(begun: LogEntry, ending: Ending = Ending.SUCCEEDED) -> LogEntry:
    return replace(
        begun,
        finished=begun.started + timedelta(seconds=12.5),
        ending=ending,
        reason="runs aaa",
        sent=74,
        failed=0,
        previous="sha256:" + "b" * 64,
    )


@pytest.fixture(scope="module")
def dynamodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with bare_emulator(tmp_path_factory.mktemp("emulator")) as port:
        yield client("dynamodb", port)


@pytest.fixture(params=["memory", "dynamodb"])
def log(request: pytest.FixtureRequest) -> DeploymentLog:
    if request.param == "memory":
        return MemoryDeploymentLog()
    return DynamoDeploymentLog(make_table(request.getfixturevalue("dynamodb")))


def test_an_empty_log_has_no_entries(log: DeploymentLog) -> None:
    assert not log.entries("prod", 10)


def test_what_was_only_begun_has_no_end(log: DeploymentLog) -> None:
    log.begin(entry())
    assert list(log.entries("prod", 10)) == [entry()]


@pytest.mark.parametrize("ending", list(Ending))
def test_an_end_is_kept_whole(log: DeploymentLog, ending: Ending) -> None:
    log.begin(entry())
    log.complete(ended(entry(), ending))
    assert list(log.entries("prod", 10)) == [ended(entry(), ending)]


def test_an_end_whose_beginning_was_not_kept_is_kept_whole(log: DeploymentLog) -> None:
    log.complete(ended(entry()))
    assert list(log.entries("prod", 10)) == [ended(entry())]


def test_an_end_is_written_once_and_a_beginning_does_not_take_it_back(log: DeploymentLog) -> None:
    log.begin(entry())
    log.complete(ended(entry()))
    log.complete(ended(entry(), Ending.STUCK))
    log.begin(entry())
    assert list(log.entries("prod", 10)) == [ended(entry())]


def test_the_newest_comes_first_as_far_as_asked_for(log: DeploymentLog) -> None:
    for number in (2, 0, 3, 1):
        log.begin(entry(number))
    assert [found.run for found in log.entries("prod", 3)] == ["run-3", "run-2", "run-1"]


def test_the_order_is_that_of_time_whatever_the_zone(log: DeploymentLog) -> None:
    east = START.astimezone(timezone(timedelta(hours=9))) - timedelta(minutes=1)
    log.begin(replace(entry(), run="earlier", started=east))
    log.begin(entry(1))
    assert [found.run for found in log.entries("prod", 3)] == ["run-1", "earlier"]


def test_environments_have_logs_of_their_own(log: DeploymentLog) -> None:
    log.begin(entry(0, "staging"))
    assert not log.entries("prod", 10)


def test_a_table_is_paged_to_the_limit(dynamodb: Any) -> None:
    log = DynamoDeploymentLog(make_table(dynamodb))
    for number in range(30):
        log.begin(replace(entry(number), reason="long " * 20_000))  # a page holds 1 MB
    assert [found.run for found in log.entries("prod", 25)] == [f"run-{n}" for n in range(29, 4, -1)]


def test_an_ending_of_a_later_version_is_unknown(dynamodb: Any) -> None:
    table = make_table(dynamodb)
    log = DynamoDeploymentLog(table)
    log.begin(entry())
    (item,) = table.newest("log#prod", 1)
    Table(dynamodb, table.name, table.app).put({**item, "ending": "teleported"}, {"ending": "running"})
    assert log.entries("prod", 1)[0].ending is Ending.UNKNOWN
