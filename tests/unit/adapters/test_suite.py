"""The suite runner against stand-ins for pytest: programs that tell and leave behind what a test wants them to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.suite import PytestSuite, Suite, Target
from pipeline.adapters.watchdog import Watchdog
from pipeline.errors import UndecidedError
from pipeline.ports import SuiteResult
from tests.processes import group_has_ended

TARGET = Target("http://127.0.0.1:1", "registry/app@sha256:0", {"app": "0123"})
COLLECTED_2 = {"event": "collected", "tests": 2}
PASSED_A = {"event": "ended", "test": "a", "outcome": "passed", "message": ""}
PASSED_B = {"event": "ended", "test": "b", "outcome": "passed", "message": ""}
FAILED_B = {"event": "ended", "test": "b", "outcome": "failed", "message": "assert 1 == 2"}
SKIPPED_B = {"event": "ended", "test": "b", "outcome": "skipped", "message": ""}
FINISHED = {"event": "finished", "exit_code": 0}

JUNIT_2 = '<t><testcase classname="m" name="a"/><testcase classname="m" name="b"/></t>'
JUNIT_2_FAILED_1 = (
    '<t><testcase classname="m" name="a"/><testcase classname="m" name="b"><failure/></testcase></t>'
)
JUNIT_1 = '<t><testcase classname="m" name="a"/></t>'
JUNIT_0 = "<t/>"


@dataclass
class Shown:
    shares: list[str] = field(default_factory=list)

    def step(self, text: str) -> None: ...

    def note(self, text: str) -> None: ...

    def share(self, done: float, text: str) -> None:
        self.shares.append(text)


@pytest.fixture(scope="module")
def watchdog() -> Iterator[Watchdog]:
    with Watchdog({}) as watchdog:
        yield watchdog
        watchdog.stand_down()


@pytest.fixture
def shown() -> Shown:
    return Shown()


class StandIn:
    """Runs a shell script in place of the interpreter that would run pytest."""

    def __init__(self, root: Path, watchdog: Watchdog, shown: Shown) -> None:
        self.root, self.watchdog, self.shown = root, watchdog, shown
        self.timeout = 60.0
        self.directory = root / "out"
        self.directory.mkdir()

    def run(
        self, *events: Mapping[str, object], junit: str = "", exit_code: int = 0, script: str = ""
    ) -> SuiteResult:
        (self.root / "events").write_text("".join(json.dumps(event) + "\n" for event in events))
        (self.root / "report").write_text(junit)
        program = self.root / "python"
        program.write_text(
            "#!/bin/sh\n"
            f"{script}\n"
            f"cat {self.root}/events > /dev/fd/$ONEDIGEST_EVENTS\n"
            'for word in "$@"; do case $word in --junitxml=*) report=${word#--junitxml=};; esac; done\n'
            f"[ -s {self.root}/report ] && cp {self.root}/report $report\n"
            "echo what pytest wrote\n"
            f"exit {exit_code}\n"
        )
        program.chmod(0o755)
        suite = Suite(self.root, Path("tests"), str(program), ("-k", "smoke"), self.timeout)
        return PytestSuite(suite, SystemClock(), self.watchdog).run(TARGET, self.directory, self.shown)


@pytest.fixture
def pytest_(tmp_path: Path, watchdog: Watchdog, shown: Shown) -> StandIn:
    return StandIn(tmp_path, watchdog, shown)


def test_what_passed_failed_and_was_skipped_is_counted(pytest_: StandIn) -> None:
    result = pytest_.run(COLLECTED_2, PASSED_A, SKIPPED_B, FINISHED, junit=JUNIT_2)
    assert (result.passed, result.failed, result.skipped) == (1, 0, 1)
    assert result.failures == ()
    assert result.output == "what pytest wrote\n"
    assert result.junit.read_text() == JUNIT_2


def test_a_failed_test_is_named_with_its_message(pytest_: StandIn) -> None:
    result = pytest_.run(COLLECTED_2, PASSED_A, FAILED_B, FINISHED, junit=JUNIT_2_FAILED_1, exit_code=1)
    assert (result.passed, result.failed) == (1, 1)
    assert [(failure.name, failure.message) for failure in result.failures] == [("b", "assert 1 == 2")]


def test_a_test_that_was_run_again_counts_by_its_last_outcome(pytest_: StandIn) -> None:
    result = pytest_.run(COLLECTED_2, PASSED_A, FAILED_B, PASSED_B, FINISHED, junit=JUNIT_2)
    assert (result.passed, result.failed) == (2, 0)


def test_progress_tells_how_many_of_how_many_and_how_many_failed(pytest_: StandIn, shown: Shown) -> None:
    pytest_.run(COLLECTED_2, PASSED_A, FAILED_B, FINISHED, junit=JUNIT_2_FAILED_1, exit_code=1)
    assert list(dict.fromkeys(shown.shares)) == ["0/2 tests", "1/2 tests", "2/2 tests · 1 failed"]


def test_no_tests_at_all_gives_zeros_and_not_a_pass(pytest_: StandIn) -> None:
    result = pytest_.run({"event": "collected", "tests": 0}, FINISHED, junit=JUNIT_0, exit_code=5)
    assert (result.passed, result.failed, result.skipped) == (0, 0, 0)


@pytest.mark.parametrize(
    ("exit_code", "said"),
    [(2, "could not collect"), (3, "internal error"), (4, "refused its arguments"), (77, "exit code 77")],
)
def test_a_pytest_that_did_not_run_the_suite_decides_nothing(
    pytest_: StandIn, exit_code: int, said: str
) -> None:
    with pytest.raises(UndecidedError, match=said) as caught:
        pytest_.run(COLLECTED_2, PASSED_A, PASSED_B, FINISHED, junit=JUNIT_2, exit_code=exit_code)
    assert "what pytest wrote" in caught.value.message


def test_a_pytest_that_was_killed_decides_nothing(pytest_: StandIn) -> None:
    with pytest.raises(UndecidedError, match="ended by signal 9"):
        pytest_.run(script="kill -9 $$")


def test_events_that_stop_midway_decide_nothing(pytest_: StandIn) -> None:
    with pytest.raises(UndecidedError, match="exit code 0"):
        pytest_.run(COLLECTED_2, PASSED_A, junit=JUNIT_2)


def test_tests_that_were_collected_and_not_run_are_no_pass(pytest_: StandIn) -> None:
    with pytest.raises(UndecidedError, match="collected 2 tests and ran 1"):
        pytest_.run(COLLECTED_2, PASSED_A, FINISHED, junit=JUNIT_1)


def test_an_exit_code_that_contradicts_the_outcomes_decides_nothing(pytest_: StandIn) -> None:
    with pytest.raises(UndecidedError, match="0 of 2 tests failed"):
        pytest_.run(COLLECTED_2, PASSED_A, PASSED_B, FINISHED, junit=JUNIT_2, exit_code=1)
    with pytest.raises(UndecidedError, match="1 of 2 tests failed"):
        pytest_.run(COLLECTED_2, PASSED_A, FAILED_B, FINISHED, junit=JUNIT_2_FAILED_1, exit_code=0)


def test_a_junit_file_that_tells_another_story_decides_nothing(pytest_: StandIn) -> None:
    with pytest.raises(UndecidedError, match="2 tests with 0 failed, its JUnit file of 2 with 1"):
        pytest_.run(COLLECTED_2, PASSED_A, PASSED_B, FINISHED, junit=JUNIT_2_FAILED_1)
    with pytest.raises(UndecidedError, match="its JUnit file of 1"):
        pytest_.run(COLLECTED_2, PASSED_A, PASSED_B, FINISHED, junit=JUNIT_1)


@pytest.mark.parametrize("junit", ["", "<t><testcase"])
def test_a_missing_or_broken_junit_file_decides_nothing(pytest_: StandIn, junit: str) -> None:
    with pytest.raises(UndecidedError, match="no JUnit file"):
        pytest_.run(COLLECTED_2, PASSED_A, PASSED_B, FINISHED, junit=junit)


def test_a_junit_file_from_an_earlier_run_does_not_count(pytest_: StandIn) -> None:
    (pytest_.directory / "junit.xml").write_text(JUNIT_2)
    with pytest.raises(UndecidedError, match="no JUnit file"):
        pytest_.run(COLLECTED_2, PASSED_A, PASSED_B, FINISHED)


def test_a_suite_that_hangs_is_ended_and_the_test_named(pytest_: StandIn) -> None:
    pytest_.timeout = 0.3
    hang = 'echo \'{"event": "began", "test": "t.py::test_slow"}\' > /dev/fd/$ONEDIGEST_EVENTS; sleep 600'
    with pytest.raises(UndecidedError, match=r"0\.3 s; it was in t\.py::test_slow"):
        pytest_.run(script=f"echo $$ > {pytest_.root}/pid; {hang}")
    assert group_has_ended(int((pytest_.root / "pid").read_text()))


def test_what_a_suite_leaves_running_is_ended_with_it(pytest_: StandIn) -> None:
    started = f"sleep 600 & echo $$ > {pytest_.root}/pid"
    pytest_.run(COLLECTED_2, PASSED_A, PASSED_B, FINISHED, junit=JUNIT_2, script=started)
    assert group_has_ended(int((pytest_.root / "pid").read_text()))


def test_the_tests_see_the_candidate_and_none_of_our_secrets(
    pytest_: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("ONEDIGEST_SIGNING_KEY", "secret")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    pytest_.run(COLLECTED_2, PASSED_A, PASSED_B, FINISHED, junit=JUNIT_2, script=f"env > {pytest_.root}/env")
    seen = dict(line.split("=", 1) for line in (pytest_.root / "env").read_text().splitlines())
    assert seen["ONEDIGEST_BASE_URL"] == "http://127.0.0.1:1"
    assert seen["ONEDIGEST_IMAGE"] == "registry/app@sha256:0"
    assert json.loads(seen["ONEDIGEST_CONTAINERS"]) == {"app": "0123"}
    assert not {"AWS_SECRET_ACCESS_KEY", "ONEDIGEST_SIGNING_KEY", "HTTP_PROXY"} & set(seen)


def test_pytest_runs_in_the_project_with_our_plugin_and_the_projects_arguments(pytest_: StandIn) -> None:
    pytest_.run(
        COLLECTED_2,
        PASSED_A,
        PASSED_B,
        FINISHED,
        junit=JUNIT_2,
        script=f'pwd > {pytest_.root}/argv; echo "$@" >> {pytest_.root}/argv',
    )
    folder, words = (pytest_.root / "argv").read_text().splitlines()
    assert folder == str(pytest_.root)
    assert words.startswith("-m pytest tests -p pipeline.adapters.pytest_plugin ")
    assert words.endswith(" -k smoke")
