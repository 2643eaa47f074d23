from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.adapters.file_lease import FileLease
from pipeline.errors import BusyError

HOLDER = """
import sys
from pathlib import Path
from pipeline.adapters.file_lease import FileLease
with FileLease(Path(sys.argv[1])).hold("prod", "run other", "promoting"):
    print("held", flush=True)
    sys.stdin.read()
"""
ROOT = Path(__file__).parents[3]


def holder(root: Path) -> subprocess.Popen[str]:
    """Another process that holds prod until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def taken(root: Path, environment: str = "prod") -> bool:
    try:
        with FileLease(root).hold(environment, "run me", "promoting"):
            return False
    except BusyError:
        return True


def test_a_second_process_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with (
            pytest.raises(BusyError, match=rf"prod is being changed by run other \(process {process.pid}\)"),
            FileLease(tmp_path).hold("prod", "run me", "promoting"),
        ):
            pass
        process.communicate("")
    assert not taken(tmp_path)


def test_other_environments_are_free(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        assert taken(tmp_path, "prod")
        assert not taken(tmp_path, "staging")
        process.communicate("")


def test_a_holder_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
    assert not taken(tmp_path)


def test_a_holder_that_fails_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), FileLease(tmp_path).hold("prod", "run me", "promoting"):
        raise ZeroDivisionError
    assert not taken(tmp_path)


def test_the_name_of_an_earlier_holder_is_not_left_behind_a_shorter_one(tmp_path: Path) -> None:
    with FileLease(tmp_path).hold("prod", "run " + "long " * 50, "promoting"):
        pass
    with FileLease(tmp_path).hold("prod", "run x", "y"):
        said = (tmp_path / "prod.lease").read_text()
    assert said.startswith("run x (process ")
    assert said.endswith(": y")
