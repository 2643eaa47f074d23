"""What every integration sandbox promises, on the fake and on real containers."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.sandbox import SandboxSettings, ServiceSettings, TestcontainersSandbox
from pipeline.errors import ConfigurationError, UndecidedError
from pipeline.model.digest import ImageRef
from pipeline.ports import IntegrationSandbox
from pipeline.ports import TestFailure as Failure
from tests.candidates import Shown
from tests.fakes.sandbox import FakeSandbox

pytest_plugins = ["tests.candidate_fixtures"]

GOOD = """
import pytest, urllib.request
def test_good(base_url): urllib.request.urlopen(base_url, timeout=10).close()
"""


class Sandboxes(Protocol):
    """Makes sandboxes in which a thing is so."""

    def good(self) -> IntegrationSandbox: ...
    def failing(self) -> IntegrationSandbox: ...
    def skipping(self) -> IntegrationSandbox: ...
    def without_tests(self) -> IntegrationSandbox: ...
    def without_suite(self) -> IntegrationSandbox: ...
    def without_service(self) -> IntegrationSandbox: ...


class Fakes:
    def good(self) -> IntegrationSandbox:
        return FakeSandbox(passed=1)

    def failing(self) -> IntegrationSandbox:
        return FakeSandbox(passed=1, failures=(Failure("suite/test_it.py::test_bad", "no such pet"),))

    def skipping(self) -> IntegrationSandbox:
        return FakeSandbox(passed=0, skipped=1)

    def without_tests(self) -> IntegrationSandbox:
        return FakeSandbox(passed=0)

    def without_suite(self) -> IntegrationSandbox:
        return FakeSandbox(missing_suite=Path("suite"))

    def without_service(self) -> IntegrationSandbox:
        return FakeSandbox(broken_service="queue")


class Real:
    def __init__(self, root: Path, candidate: ImageRef) -> None:
        self.root = root
        self.broken = ServiceSettings("queue", str(candidate), port=8080, environment={"MODE": "exits"})
        self.settings = SandboxSettings(root, Path("suite"), root / "state", sys.executable, 8080)

    def _with(self, tests: str) -> IntegrationSandbox:
        (self.root / "suite").mkdir()
        (self.root / "suite" / "test_it.py").write_text(tests)
        return TestcontainersSandbox(self.settings, SystemClock())

    def good(self) -> IntegrationSandbox:
        return self._with(GOOD)

    def failing(self) -> IntegrationSandbox:
        return self._with(GOOD + "def test_bad(): assert False, 'no such pet'\n")

    def skipping(self) -> IntegrationSandbox:
        return self._with("import pytest\n@pytest.mark.skip\ndef test_it(): ...\n")

    def without_tests(self) -> IntegrationSandbox:
        return self._with("")

    def without_suite(self) -> IntegrationSandbox:
        return TestcontainersSandbox(self.settings, SystemClock())

    def without_service(self) -> IntegrationSandbox:
        self._with(GOOD)
        return TestcontainersSandbox(replace(self.settings, services=(self.broken,)), SystemClock())


@pytest.fixture(params=["fake", "real"])
def sandboxes(request: pytest.FixtureRequest, tmp_path: Path, candidate: ImageRef) -> Sandboxes:
    return Fakes() if request.param == "fake" else Real(tmp_path, candidate)


def test_a_good_candidate_passes_with_a_junit_file_and_no_logs(
    sandboxes: Sandboxes, candidate: ImageRef, tmp_path: Path
) -> None:
    shown = Shown()
    result = sandboxes.good().run_suite(candidate, tmp_path / "new" / "out", shown)
    assert (result.passed, result.failed, result.skipped) == (1, 0, 0)
    assert result.failures == ()
    assert result.logs == {}
    assert result.junit.is_file()
    assert result.junit.parent == tmp_path / "new" / "out"
    assert "running the tests" in shown.steps
    assert shown.shares[-1] == "1/1 tests"


def test_a_failing_test_is_named_with_its_message_and_the_candidates_log(
    sandboxes: Sandboxes, candidate: ImageRef, tmp_path: Path
) -> None:
    result = sandboxes.failing().run_suite(candidate, tmp_path / "out", Shown())
    assert (result.passed, result.failed) == (1, 1)
    assert result.failures[0].name == "suite/test_it.py::test_bad"
    assert "no such pet" in result.failures[0].message
    assert "asked for /" in result.logs["app"]


def test_skipped_tests_are_not_passed_ones(sandboxes: Sandboxes, candidate: ImageRef, tmp_path: Path) -> None:
    result = sandboxes.skipping().run_suite(candidate, tmp_path / "out", Shown())
    assert (result.passed, result.failed, result.skipped) == (0, 0, 1)


def test_a_suite_without_tests_gives_zeros(sandboxes: Sandboxes, candidate: ImageRef, tmp_path: Path) -> None:
    result = sandboxes.without_tests().run_suite(candidate, tmp_path / "out", Shown())
    assert (result.passed, result.failed, result.skipped) == (0, 0, 0)


def test_a_missing_suite_is_a_mistake_of_configuration(
    sandboxes: Sandboxes, candidate: ImageRef, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="suite"):
        sandboxes.without_suite().run_suite(candidate, tmp_path / "out", Shown())


def test_a_service_that_does_not_come_up_decides_nothing_and_is_named(
    sandboxes: Sandboxes, candidate: ImageRef, tmp_path: Path
) -> None:
    with pytest.raises(UndecidedError, match="service queue"):
        sandboxes.without_service().run_suite(candidate, tmp_path / "out", Shown())
