"""The plugin in a real pytest: what it hands to the tests and what it tells of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.suite import PytestSuite, Suite, Target
from pipeline.adapters.watchdog import Watchdog
from pipeline.errors import UndecidedError
from pipeline.ports import SuiteResult
from tests.candidates import Shown

ROOT = Path(__file__).parents[2]
TARGET = Target("http://127.0.0.1:1", "registry/app@sha256:0", {"gone": "no-such-container"})


@pytest.fixture(scope="module")
def watchdog() -> Iterator[Watchdog]:
    with Watchdog({}) as watchdog:
        yield watchdog
        watchdog.stand_down()


def run(folder: Path, watchdog: Watchdog, tests: str, *args: str) -> SuiteResult:
    (folder / "suite").mkdir()
    (folder / "suite" / "test_it.py").write_text(tests)
    suite = Suite(folder, Path("suite"), sys.executable, args, 120)
    return PytestSuite(suite, SystemClock(), watchdog).run(TARGET, folder, Shown())


def test_every_kind_of_outcome_is_told(tmp_path: Path, watchdog: Watchdog) -> None:
    result = run(
        tmp_path,
        watchdog,
        """
import pytest

@pytest.fixture
def broken():
    raise OSError("no such table")

@pytest.fixture
def breaks_after():
    yield
    raise OSError("cannot tidy up")

def test_candidate(base_url, image_ref):
    assert (base_url, image_ref) == ("http://127.0.0.1:1", "registry/app@sha256:0")

@pytest.mark.parametrize("text", ["plain", "ümläut 🐈", "a/b::c[d]", ""])
def test_names(text): ...

@pytest.mark.skip
def test_skipped(): ...

@pytest.mark.xfail
def test_expected_to_fail(): assert False

def test_wrong(): assert 1 + 1 == 3

def test_set_up(broken): ...

def test_torn_down(breaks_after): ...

def test_both(breaks_after): assert False, "this too"
""",
    )
    assert (result.passed, result.failed, result.skipped) == (5, 4, 2)
    messages = {failure.name.partition("::")[2]: failure.message for failure in result.failures}
    assert set(messages) == {"test_wrong", "test_set_up", "test_torn_down", "test_both"}
    assert "assert (1 + 1) == 3" in messages["test_wrong"]
    assert messages["test_set_up"].startswith("in setup: OSError: no such table")
    assert messages["test_torn_down"].startswith("in teardown: OSError: cannot tidy up")
    assert "this too" in messages["test_both"]


def test_a_container_whose_log_cannot_be_read_does_not_hide_the_failure(
    tmp_path: Path, watchdog: Watchdog
) -> None:
    result = run(tmp_path, watchdog, "def test_it(): assert False, 'the real reason'")
    assert "the real reason" in result.failures[0].message
    assert "last lines of gone:\n(its log could not be read)" in result.failures[0].message
    assert "its log could not be read" in result.junit.read_text()


def test_a_suite_without_tests_gives_zeros(tmp_path: Path, watchdog: Watchdog) -> None:
    result = run(tmp_path, watchdog, "")
    assert (result.passed, result.failed, result.skipped) == (0, 0, 0)


def test_a_suite_whose_tests_are_all_deselected_gives_zeros(tmp_path: Path, watchdog: Watchdog) -> None:
    result = run(tmp_path, watchdog, "def test_it(): ...", "-k", "nothing")
    assert (result.passed, result.failed, result.skipped) == (0, 0, 0)


def test_a_suite_that_stops_at_its_first_failure_has_failed(tmp_path: Path, watchdog: Watchdog) -> None:
    result = run(tmp_path, watchdog, "def test_a(): assert False\ndef test_b(): ...", "-x")
    assert (result.passed, result.failed) == (0, 1)


def test_a_file_that_cannot_be_collected_decides_nothing_and_is_shown(
    tmp_path: Path, watchdog: Watchdog
) -> None:
    with pytest.raises(UndecidedError, match="No module named 'no_such_library'"):
        run(tmp_path, watchdog, "import no_such_library\ndef test_a(): ...")


def test_a_test_that_ends_the_interpreter_decides_nothing(tmp_path: Path, watchdog: Watchdog) -> None:
    with pytest.raises(UndecidedError, match="exit code 0"):
        run(tmp_path, watchdog, "import os\ndef test_a(): ...\ndef test_b(): os._exit(0)\ndef test_c(): ...")


def test_the_suite_says_what_it_lacks_when_it_is_run_by_hand(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(base_url): ...")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "pipeline.adapters.pytest_plugin", str(tmp_path)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert "ONEDIGEST_BASE_URL and ONEDIGEST_IMAGE are not set" in done.stderr
