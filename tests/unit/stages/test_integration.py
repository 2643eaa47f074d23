from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.model.digest import Digest, ImageRef
from pipeline.model.verdict import Outcome, Reason
from pipeline.ports import Candidate, IntegrationSandbox, Source, SuiteResult, TestFailure
from stages.integration import IntegrationPlan, IntegrationStage, judge_suite

CANDIDATE = Candidate(Source(""), ImageRef("localhost:5000/shop", Digest("sha256:" + "a" * 64)))


def suite(passed: int = 0, failed: int = 0, skipped: int = 0, **more: object) -> SuiteResult:
    failures = tuple(TestFailure(f"test_{number}", "\nboom\nmore") for number in range(failed))
    return SuiteResult(passed, failed, skipped, failures, Path("run/junit.xml"), "", **more)  # type: ignore[arg-type]


def test_all_passed_is_passed() -> None:
    assert judge_suite("integration", suite(passed=3)).reasons == (Reason("3 tests passed"),)


def test_one_failure_refuses_and_names_the_test() -> None:
    verdict = judge_suite("integration", suite(passed=99, failed=1))
    assert verdict.outcome is Outcome.REFUSED
    assert verdict.reasons == (Reason("test_0: boom", "see run"),)


def test_the_containers_last_lines_are_shown_once() -> None:
    logs = {"app": ("one", "two"), "postgres": ()}
    verdict = judge_suite("integration", suite(failed=2, logs=logs))
    assert verdict.reasons[-1].text == "last lines of the containers:\n    app | one\n    app | two"
    assert len(verdict.reasons) == 3


def test_ten_failures_are_named_and_the_rest_counted() -> None:
    verdict = judge_suite("integration", suite(failed=12))
    assert len(verdict.reasons) == 11
    assert verdict.reasons[-1].text == "2 more failed"


def test_no_test_at_all_is_undecided() -> None:
    assert judge_suite("integration", suite()).outcome is Outcome.UNDECIDED


def test_skipped_tests_are_no_tests() -> None:
    verdict = judge_suite("integration", suite(skipped=4))
    assert verdict.outcome is Outcome.UNDECIDED
    assert "4 skipped" in verdict.reasons[0].text


def _no_sandbox() -> IntegrationSandbox:
    raise AssertionError("a plan starts nothing")


@pytest.mark.parametrize(
    "file",
    ["tests/integration/test_x.py", "tests/conftest.py", "conftest.py", "pytest.ini", "pyproject.toml"],
)
def test_whatever_pytest_reads_of_the_suite_is_part_of_the_plan(tmp_path: Path, file: str) -> None:
    (tmp_path / "tests" / "integration").mkdir(parents=True)
    stage = IntegrationStage(IntegrationPlan(tmp_path, "tests/integration", {}, tmp_path), _no_sandbox)
    before = stage.plan(CANDIDATE).hash
    (tmp_path / "tests" / "unrelated.py").write_text("")
    assert stage.plan(CANDIDATE).hash == before
    (tmp_path / file).write_text("")
    assert stage.plan(CANDIDATE).hash != before
