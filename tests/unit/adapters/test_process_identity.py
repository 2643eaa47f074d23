from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pipeline.adapters.process_identity import ProcessIdentity, is_gone, own_identity
from tests.processes import within

TELL = (
    "import sys; from pipeline.adapters.process_identity import own_identity as o; i = o();"
    "print(i.table, i.pid, i.started, sep='\\n', flush=True); sys.stdin.read()"
)


@pytest.fixture
def other() -> Iterator[tuple[ProcessIdentity, subprocess.Popen[str]]]:
    """Another process, and what it says it is."""
    process = subprocess.Popen(
        [sys.executable, "-c", TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    table, pid, started = (process.stdout.readline().strip() for _ in range(3))
    yield ProcessIdentity(table, int(pid), started), process
    process.kill()
    process.communicate()


Other = tuple[ProcessIdentity, "subprocess.Popen[str]"]


def test_this_process_is_there() -> None:
    assert not is_gone(own_identity())


def test_another_process_is_there_also_when_it_is_stopped(other: Other) -> None:
    identity, process = other
    assert not is_gone(identity)
    process.send_signal(signal.SIGSTOP)
    assert not is_gone(identity)


def test_a_killed_process_is_gone_before_and_after_its_parent_has_looked(other: Other) -> None:
    identity, process = other
    process.kill()
    assert within(30.0, lambda: is_gone(identity))
    process.wait()
    assert is_gone(identity)


def test_a_later_process_of_the_same_id_is_another_one(other: Other) -> None:
    identity, _ = other
    assert is_gone(replace(identity, started="1"))


def test_nothing_is_known_of_processes_elsewhere(other: Other) -> None:
    identity, process = other
    process.kill()
    process.wait()
    assert not is_gone(replace(identity, table="another boot/pid:[1]"))
    assert not is_gone(replace(identity, table=""))
