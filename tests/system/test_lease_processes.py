"""The lease between real processes, on the emulator's DynamoDB: killed, stopped, paused and many at once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.lease import DynamoLease
from pipeline.adapters.table import Item, Table
from pipeline.errors import BusyError, ConfigurationError, PipelineError, UnavailableError
from pipeline.model.lease import Claim, Terms
from pipeline.ports import Held
from tests.bare_emulator import bare_emulator, client
from tests.fakes.clock import FakeClock
from tests.processes import within
from tests.tables import make_table

ROOT = Path(__file__).parents[2]
ME = Claim("me", "run-me", "testing")
CALM = Terms()
HASTY = Terms(length=5.0, heartbeat=0.5, margin=1.0, poll=0.1)

HOLDER = """
import sys
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.lease import DynamoLease
from pipeline.adapters.table import Table
from pipeline.errors import PipelineError
from pipeline.fencing import FencedService
from pipeline.model.lease import Claim, Terms
from tests.bare_emulator import client

class Recorder:
    def update(self, task_definition, *, desired=None, configuration=None):
        return f"sent {task_definition}"

port, table, name, *terms = sys.argv[1:]
lease = DynamoLease(Table(client("dynamodb", int(port)), table, "shop"), SystemClock(), Terms(*map(float, terms)))
with lease.hold("prod", Claim(name, f"run-{name}", "testing"), wait=300.0) as held:
    service = FencedService(Recorder(), held)
    print("held", held.fence, flush=True)
    for line in sys.stdin:
        try:
            print(service.update("td:2"), flush=True)
        except PipelineError as error:
            print(f"{type(error).__name__}: {error.message}", flush=True)
"""

CONTENDER = (
    HOLDER[: HOLDER.index("with lease")]
    + """
import time
with lease.hold("prod", Claim(name, f"run-{name}", "testing"), wait=300.0) as held:
    held.check()
    began = time.monotonic()
    time.sleep(0.05)
    held.check()
    print(held.fence, began, time.monotonic(), flush=True)
"""
)


@dataclass
class Emulated:
    """An emulator's DynamoDB, and a table in it."""

    port: int
    table: Table

    def lease(self, terms: Terms = CALM) -> DynamoLease:
        return DynamoLease(self.table, SystemClock(), terms)

    def start(self, program: str, name: str, terms: Terms) -> subprocess.Popen[str]:
        figures = (terms.length, terms.heartbeat, terms.margin, terms.poll)
        return subprocess.Popen(
            [sys.executable, "-c", program, str(self.port), self.table.name, name, *map(str, figures)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with bare_emulator(tmp_path_factory.mktemp("emulator")) as port:
        yield port


@pytest.fixture
def emulated(emulator: int) -> Emulated:
    return Emulated(emulator, make_table(client("dynamodb", emulator)))


@pytest.fixture
def holder(emulated: Emulated) -> Iterator[Any]:
    """Starts processes that hold prod until their input ends; they are killed at the end."""
    with ExitStack() as stack:

        def start(name: str, terms: Terms = CALM) -> subprocess.Popen[str]:
            process = emulated.start(HOLDER, name, terms)
            stack.callback(process.communicate)
            stack.callback(process.kill)
            assert said(process).startswith("held ")
            return process

        yield start


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def asked(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    process.stdin.write("update\n")
    process.stdin.flush()
    return said(process)


def test_another_process_is_refused_until_the_first_has_ended(emulated: Emulated, holder: Any) -> None:
    process = holder("first")
    with pytest.raises(BusyError, match="prod is held by first"), emulated.lease().hold("prod", ME):
        pass
    process.communicate("")
    with emulated.lease().hold("prod", ME) as held:
        assert held.fence == 2


def test_a_killed_holder_is_not_waited_for_on_its_own_machine(emulated: Emulated, holder: Any) -> None:
    process = holder("first")
    process.kill()
    process.wait()
    with emulated.lease().hold("prod", ME) as held:
        held.check()


def test_an_interrupted_holder_leaves_it_free(emulated: Emulated, holder: Any) -> None:
    process = holder("first")
    process.send_signal(signal.SIGINT)
    process.wait()
    item = emulated.table.get("lease#prod", "lease")
    assert item is not None
    assert item["held"] == 0


def test_a_heartbeat_keeps_it_for_longer_than_it_lasts(emulated: Emulated, holder: Any) -> None:
    holder("first", HASTY)
    lease = emulated.lease(HASTY)
    first = lease.tenure("prod")
    assert first is not None

    def renewed() -> bool:
        now = lease.tenure("prod")
        assert now is not None
        return (now.expires - first.since).total_seconds() > 2 * HASTY.length + HASTY.margin

    assert within(60.0, renewed)


def test_a_paused_holder_changes_nothing_once_another_has_taken_over(emulated: Emulated, holder: Any) -> None:
    paused = holder("paused", HASTY)
    assert asked(paused) == "sent td:2"
    paused.send_signal(signal.SIGSTOP)
    with emulated.lease(HASTY).hold("prod", ME, wait=60.0) as held:
        paused.send_signal(signal.SIGCONT)
        told = asked(paused)
        assert told.startswith("BusyError: the lease of prod is lost: now with me, run run-me, since ")
        paused.communicate("")
        held.check()


def test_a_holder_that_was_paused_for_too_long_has_lost_it_also_when_nobody_came(
    emulated: Emulated, holder: Any
) -> None:
    paused = holder("paused", HASTY)
    paused.send_signal(signal.SIGSTOP)
    assert within(60.0, lambda: emulated.lease(HASTY).tenure("prod") is None)
    paused.send_signal(signal.SIGCONT)
    assert "this process stood still for" in asked(paused)


def test_a_holder_whose_lease_was_cleared_is_told_by_whom_and_why(emulated: Emulated, holder: Any) -> None:
    process = holder("first")
    taken = emulated.lease().clear("prod", Claim("carl", "run-3", "wrong button"))
    assert taken is not None
    assert taken.claim.holder == "first"
    assert asked(process) == "BusyError: the lease of prod is lost: carl cleared it: wrong button"


def test_of_twenty_contenders_one_at_a_time_holds_it(emulated: Emulated) -> None:
    terms = Terms(poll=0.1)
    processes = [emulated.start(CONTENDER, f"c{number}", terms) for number in range(20)]
    answers = [process.communicate(timeout=600)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * 20
    terms_held = sorted((int(fence), float(began), float(ended)) for fence, began, ended in answers)
    assert [fence for fence, _, _ in terms_held] == list(range(1, 21))
    overlaps = [(first, second) for first, second in pairwise(terms_held) if first[2] > second[1]]
    assert overlaps == []


@dataclass(frozen=True)
class Unsteady(Table):
    """A table whose next writes fail with `trouble`, one each: before they arrive, or after (`arrives`)."""

    trouble: list[PipelineError] = field(default_factory=list)
    arrives: bool = False

    def put(self, item: Item, expected: Item | None) -> bool:
        if not self.trouble:
            return super().put(item, expected)
        if self.arrives:
            super().put(item, expected)
        raise self.trouble.pop(0)


def outages(count: int) -> list[PipelineError]:
    return [UnavailableError("PutItem: no answer", hint="wait") for _ in range(count)]


def unsteady(table: Table, *, arrives: bool = False) -> Unsteady:
    return Unsteady(table.client, table.name, table.app, arrives=arrives)


def checked(held: Held) -> bool:
    try:
        held.check()
    except UnavailableError:
        return False
    return True


def test_an_outage_is_lived_through_where_nobody_took_over(emulated: Emulated) -> None:
    table, clock = unsteady(emulated.table), FakeClock()
    with DynamoLease(table, clock).hold("prod", ME) as held:
        table.trouble.extend(outages(12))
        answers = []
        for _ in range(13):
            clock.advance(CALM.heartbeat)
            answers.append(checked(held))
        assert answers == [False] * 12 + [True]


def test_an_outage_during_which_another_took_over_ends_it(emulated: Emulated) -> None:
    table, clock = unsteady(emulated.table), FakeClock()
    with DynamoLease(table, clock).hold("prod", ME) as held:
        table.trouble.extend(outages(7))
        for _ in range(7):
            clock.advance(CALM.heartbeat)
            assert not checked(held)
        with (
            DynamoLease(emulated.table, clock).hold("prod", Claim("other", "run-o", "testing")),
            pytest.raises(BusyError, match="now with other"),
        ):
            held.check()


def test_winning_whose_answer_was_lost_leaves_nothing_behind(emulated: Emulated) -> None:
    table = unsteady(emulated.table, arrives=True)
    table.trouble.extend(outages(1))
    with pytest.raises(UnavailableError), DynamoLease(table, SystemClock()).hold("prod", ME):
        pass
    assert emulated.lease().tenure("prod") is None


def test_a_release_that_fails_is_no_error_of_what_was_done(emulated: Emulated) -> None:
    table = unsteady(emulated.table)
    with DynamoLease(table, SystemClock()).hold("prod", ME):
        table.trouble.extend(outages(1))
    assert emulated.lease().tenure("prod") is not None


def test_a_holder_whose_record_is_gone_holds_nothing(emulated: Emulated) -> None:
    with emulated.lease().hold("prod", ME) as held:
        key = {"pk": {"S": "lease#prod"}, "sk": {"S": "lease"}}
        emulated.table.client.delete_item(TableName=emulated.table.name, Key=key)
        with pytest.raises(BusyError, match="no record of it any more"):
            held.check()


def test_a_missing_table_is_named_with_the_command_that_makes_it(emulated: Emulated, tmp_path: Path) -> None:
    table = Table(emulated.table.client, "onedigest-none", "shop")
    with pytest.raises(ConfigurationError, match="no DynamoDB table onedigest-none") as missing:
        DynamoLease(table, SystemClock()).tenure("prod")
    assert missing.value.hint == (
        "make it: aws dynamodb create-table --table-name onedigest-none --region us-east-1 "
        f"--endpoint-url http://127.0.0.1:{emulated.port} --billing-mode PAY_PER_REQUEST "
        "--attribute-definitions AttributeName=pk,AttributeType=S AttributeName=sk,AttributeType=S "
        "--key-schema AttributeName=pk,KeyType=HASH AttributeName=sk,KeyType=RANGE --tags Key=onedigest:app,Value=shop"
    )


def test_a_dynamodb_out_of_reach_is_unavailable() -> None:
    table = Table(client("dynamodb", 9), "onedigest-shop", "shop")
    with pytest.raises(UnavailableError, match="GetItem on table onedigest-shop"):
        DynamoLease(table, SystemClock()).tenure("prod")
