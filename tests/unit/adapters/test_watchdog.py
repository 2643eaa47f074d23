"""The watchdog over process groups; over containers it is tested on the engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.adapters.watchdog import Watchdog
from pipeline.errors import UnavailableError
from tests.processes import has_ended

ROOT = Path(__file__).parents[3]
GUARDED = """
import os, signal, subprocess, sys
from pipeline.adapters.watchdog import Watchdog
with Watchdog({}) as watchdog:
    nowhere = subprocess.DEVNULL
    child = subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=nowhere, stderr=nowhere)
    watchdog.guard_group(child.pid)
    print(child.pid, watchdog._process.pid, flush=True)
    THEN
"""


def guarded(then: str) -> tuple[int, int, int]:
    """Runs a process that guards a sleeping group; its exit code, the group, and the watchdog's process id."""
    code = GUARDED.replace("THEN", then)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    group, watchdog = map(int, done.stdout.split())
    return done.returncode, group, watchdog


def test_a_process_killed_without_a_word_has_its_groups_killed() -> None:
    exit_code, group, watchdog = guarded("os.kill(os.getpid(), signal.SIGKILL)")
    assert exit_code == -signal.SIGKILL
    assert has_ended(group)
    assert has_ended(watchdog)


@pytest.mark.parametrize(
    "end", ["os._exit(3)", "raise SystemExit(3)", "os.kill(os.getpid(), signal.SIGTERM)"]
)
def test_any_end_without_standing_down_is_cleaned_up(end: str) -> None:
    _, group, watchdog = guarded(end)
    assert has_ended(group)
    assert has_ended(watchdog)


@pytest.mark.parametrize(
    "end", ["watchdog.release_group(child.pid); sys.exit()", "watchdog.stand_down(); sys.exit()"]
)
def test_what_is_released_or_stood_down_from_is_left_alone(end: str) -> None:
    exit_code, group, watchdog = guarded(end)
    assert exit_code == 0
    assert has_ended(watchdog)
    os.killpg(group, signal.SIGKILL)


def test_signals_of_the_terminal_do_not_end_the_watchdog() -> None:
    with Watchdog({}) as watchdog:
        process = started(watchdog)
        for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(sent)
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        watchdog.guard_group(child.pid)
    assert child.wait() == -signal.SIGKILL


def test_it_ends_when_it_is_told_to_stand_down() -> None:
    with Watchdog({}) as watchdog:
        watchdog.stand_down()
    assert started(watchdog).returncode == 0


def test_a_watchdog_that_somebody_killed_does_not_break_the_run() -> None:
    with Watchdog({}) as watchdog:
        started(watchdog).kill()
        started(watchdog).wait()
        watchdog.guard_group(os.getpid())
        watchdog.stand_down()


@pytest.mark.parametrize(
    "engine",
    [
        lambda folder: f"unix://{folder}/no.sock",
        lambda folder: "tcp://127.0.0.1:1",
        lambda folder: "ssh://somewhere",
    ],
)
def test_an_engine_it_cannot_reach_is_said_before_anything_is_started(
    engine: Callable[[Path], str], tmp_path: Path
) -> None:
    with pytest.raises(UnavailableError, match="watchdog") as caught, Watchdog({"a": "b"}, engine(tmp_path)):
        raise AssertionError("entered")
    assert engine(tmp_path) in caught.value.message


def started(watchdog: Watchdog) -> subprocess.Popen[bytes]:
    assert watchdog._process is not None
    return watchdog._process
