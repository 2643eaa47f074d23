from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from pipeline.adapters.process import Processes
from pipeline.errors import ConfigurationError, UnavailableError
from pipeline.ports import Command
from tests.processes import has_ended


def python(code: str, *, timeout: float | None = 30) -> Command:
    return Command((sys.executable, "-c", code), timeout=timeout)


def test_exit_code_output_and_errors_come_back_apart() -> None:
    finished = Processes().run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"))
    assert (finished.exit_code, finished.output, finished.errors) == (3, "out\n", "err\n")
    assert not finished.timed_out


def test_output_that_is_not_utf8_is_kept_readable() -> None:
    finished = Processes().run(python(r"import sys; sys.stdout.buffer.write(b'a\xffb')"))
    assert finished.output == "a\N{REPLACEMENT CHARACTER}b"


def test_a_program_reading_its_input_finds_none() -> None:
    assert Processes().run(python("print(repr(open(0).read()))")).output == "''\n"


def test_the_environment_given_is_the_whole_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "leak")
    code = "import os; print(os.environ.get('AWS_SECRET_ACCESS_KEY'), os.environ.get('MINE'))"
    finished = Processes().run(Command((sys.executable, "-c", code), env={"MINE": "yes"}))
    assert finished.output == "None yes\n"


def test_a_missing_program_is_named_with_the_next_step() -> None:
    with pytest.raises(UnavailableError, match="no-such-program") as caught:
        Processes().run(Command(("no-such-program", "--version")))
    assert "PATH" in caught.value.hint


def test_a_missing_folder_is_not_taken_for_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="gone"):
        Processes().run(Command((sys.executable, "-c", ""), cwd=tmp_path / "gone"))


def test_a_file_that_may_not_be_executed_is_said_to_be_so(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o644)
    with pytest.raises(UnavailableError, match=r"script: Permission denied"):
        Processes().run(Command((str(script),)))


def test_a_time_out_ends_the_whole_group_and_keeps_what_was_said() -> None:
    finished = Processes().run(Command(("sh", "-c", "sleep 600 & echo $!; wait"), timeout=0.5))
    assert finished.timed_out
    assert finished.exit_code < 0
    assert has_ended(int(finished.output))


def test_an_interrupt_ends_the_program(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = (
        "import os, signal, time\n"
        f"open({str(pid)!r}, 'w').write(str(os.getpid()))\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "time.sleep(600)\n"
    )
    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(KeyboardInterrupt):
        Processes().run(python(code))
    assert has_ended(int(pid.read_text()))
