"""What a person, a log and a program read."""

from __future__ import annotations

import io
import json
import os
import pty
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.errors import UnavailableError
from pipeline.model.run import StageReport
from pipeline.model.verdict import Outcome, Reason
from pipeline.terminal import Terminal, duration, summary

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STAGES = ("build", "integration")


def report(
    name: str, outcome: Outcome, *reasons: Reason, seconds: float = 5, reused: bool = False
) -> StageReport:
    return StageReport(
        name, "", outcome, NOON, NOON + timedelta(seconds=seconds), reused=reused, reasons=reasons
    )


def plain(*, as_json: bool = False, quiet: bool = False) -> Terminal:
    return Terminal(json=as_json, quiet=quiet, out=io.StringIO(), err=io.StringIO())


def text(stream: object) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_progress_goes_to_stderr_with_the_time_and_the_answer_to_stdout() -> None:
    terminal = plain()
    terminal.say("looking")
    terminal.answer("sha256:1", {"command": "stage"})
    assert re.fullmatch(r"\d\d:\d\d:\d\d looking\n", text(terminal.err))
    assert text(terminal.out) == "sha256:1\n"


def test_quiet_leaves_answers_explanations_and_errors() -> None:
    terminal = plain(quiet=True)
    terminal.say("looking")
    terminal.tell("prod runs")
    terminal.fail(UnavailableError("no engine", hint="start it"))
    assert text(terminal.err) == "prod runs\nerror: no engine\nnext:  start it\n"


def test_verbose_adds_the_cause_of_an_error_and_the_evidence_of_a_stage() -> None:
    terminal = plain()
    terminal.verbose = True
    error = UnavailableError("no engine", hint="start it")
    error.__cause__ = ConnectionRefusedError("nobody listens")
    terminal.fail(error)
    terminal.watch(STAGES).end(replace(report("build", Outcome.PASSED), evidence="sha256:1"))
    said = text(terminal.err)
    assert "cause: builtins.ConnectionRefusedError: nobody listens\n" in said
    assert "evidence sha256:1\n" in said


def test_json_is_one_object_with_its_schema_and_nothing_else_on_stdout() -> None:
    terminal = plain(as_json=True)
    terminal.say("looking")
    terminal.tell("a line")
    terminal.answer("not this", {"command": "verify", "digest": "…"})
    assert json.loads(text(terminal.out)) == {"schema": 1, "command": "verify", "digest": "…"}


def test_an_empty_answer_prints_nothing() -> None:
    terminal = plain()
    terminal.answer("", {"command": "run"})
    assert text(terminal.out) == ""


def test_reasons_come_with_what_mends_them() -> None:
    terminal = plain()
    terminal.reasons((Reason("p95 is 900 ms", "make it faster"), Reason("seen\n  here")))
    assert text(terminal.err) == "  p95 is 900 ms\n    next: make it faster\n  seen\n    here\n"


def test_a_run_in_a_log_is_lines_without_repetition() -> None:
    terminal = plain()
    watcher = terminal.watch(STAGES)
    stage = watcher.begin("build")
    for step in ("linting", "linting", "building"):
        stage.step(step)
    for done in (0.01, 0.02, 0.11, 0.13, 1.0):
        stage.share(done, "of the load")
    stage.note("pushed")
    watcher.end(report("build", Outcome.PASSED, Reason("57 tests passed")))
    watcher.close()
    lines = [line[9:] for line in text(terminal.err).splitlines()]
    assert lines == [
        "build       linting",
        "build       building",
        "build         1%  of the load",
        "build        11%  of the load",
        "build       100%  of the load",
        "build       pushed",
        "build       passed in 5.0 s  57 tests passed",
    ]


def test_a_refusal_in_a_log_has_its_reasons_and_next_steps() -> None:
    terminal = plain()
    terminal.watch(STAGES).end(report("build", Outcome.REFUSED, Reason("DL3006", "pin it")))
    said = text(terminal.err)
    assert "build       REFUSED in 5.0 s\n" in said
    assert "DL3006\n" in said
    assert "next: pin it\n" in said


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 0 s"), (3725, "62 min 5 s")]
)
def test_durations_are_as_people_read_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_reused_stage_says_so_and_why() -> None:
    line = summary(report("staging", Outcome.PASSED, Reason("same image"), reused=True))
    assert line == "staging     reused in 5.0 s  same image"


class Screen:
    """What was written to the terminal, its cursor movements removed."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._raw = ""

    def text(self) -> str:
        os.set_blocking(self._master, False)
        try:
            while chunk := os.read(self._master, 65536):
                self._raw += chunk.decode()
        except (BlockingIOError, OSError):
            pass
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._raw)
        return plain.replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Terminal, Screen]]:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        yield Terminal(err=stream, out=io.StringIO()), Screen(master)
    os.close(master)


def last_lines(screen: Screen, count: int) -> list[str]:
    return [line.rstrip() for line in screen.text().rstrip("\n").splitlines()][-count:]


def test_a_live_run_ends_on_one_line_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_terminal(monkeypatch) as (terminal, screen):
        watcher = terminal.watch(STAGES)
        stage = watcher.begin("build")
        stage.step("building [not markup]")
        stage.share(0.5, "half of it")
        watcher.end(report("build", Outcome.PASSED, Reason("[2 of 2] layers " + "long " * 40)))
        watcher.begin("integration")
        watcher.end(
            report("integration", Outcome.REFUSED, Reason("test_owners failed\n  assert 1 == 2", "mend it"))
        )
        watcher.close()
        said = screen.text()
        first, second = last_lines(screen, 2)
        assert first.startswith("✓ build ")
        assert "passed  [2 of 2] layers long" in first
        assert len(first) <= 80
        assert second.startswith("✗ integration ")
        assert "integration test_owners failed\n" in said
        assert "              assert 1 == 2\n" in said
        assert "            next: mend it\n" in said


def test_a_live_run_that_is_interrupted_says_what_did_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_terminal(monkeypatch) as (terminal, screen):
        watcher = terminal.watch(STAGES)
        watcher.begin("build").step("building")
        watcher.close()
        first, second = last_lines(screen, 2)
        assert first.endswith("interrupted")
        assert second.endswith("not run")


def test_what_is_said_during_a_live_run_stays_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_terminal(monkeypatch) as (terminal, screen):
        watcher = terminal.watch(STAGES)
        watcher.begin("build").note("a note " * 15)
        terminal.say("base images: made from packages")
        watcher.close()
        said = screen.text()
        assert "build       a note a note" in said
        assert "\n            note a note" in said
        assert "base images: made from packages\n" in said
        assert last_lines(screen, 1)[0].endswith("not run")


def test_no_color_means_plain_lines_on_a_terminal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_terminal(monkeypatch) as (terminal, screen):
        terminal.color = False
        terminal.watch(STAGES).begin("build").step("building")
        assert screen.text() == "build       building\n"
