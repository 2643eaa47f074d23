from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.adapters.junit import Tally, read_cases, read_tally, write_failure
from pipeline.errors import UndecidedError
from pipeline.model.suite import SuiteCase
from pipeline.ports import TestFailure as Failure


def test_a_failure_that_is_written_is_read_as_one_failed_test(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    write_failure(path, Failure("candidate starts", "exit code 1\nTraceback <&>"))
    assert read_tally(path) == Tally(1, 1)
    assert "Traceback &lt;&amp;&gt;" in path.read_text()


def test_log_lines_with_control_characters_still_give_a_file_that_parses(tmp_path: Path) -> None:
    write_failure(tmp_path / "junit.xml", Failure("a\x00b", "\x1b[31mred\x1b[0m\n\x07 \ud800 \ufffe"))
    assert read_tally(tmp_path / "junit.xml") == Tally(1, 1)


def test_a_test_that_fails_and_then_fails_to_tear_down_is_one_test(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(
        '<t><testcase classname="m" name="a"><failure/></testcase>'
        '<testcase classname="m" name="a"><error/></testcase></t>'
    )
    assert read_tally(path) == Tally(1, 1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UndecidedError, match=r"nowhere\.xml"):
        read_tally(tmp_path / "nowhere.xml")


def test_every_case_is_read_as_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(
        '<testsuites><testsuite><testcase classname="m" name="a" time="0.5"/>'
        '<testcase classname="m" name="b" time="?"><failure message="why">text</failure></testcase>'
        '<testcase classname="m" name="c"><error message="why"/></testcase>'
        '<testcase classname="m" name="d" time="0"><skipped message="not here"/></testcase><testcase/>'
        "</testsuite></testsuites>"
    )
    assert read_cases(path) == (
        SuiteCase("m", "a", "passed", 0.5),
        SuiteCase("m", "b", "failed", None, "why", "text"),
        SuiteCase("m", "c", "error", None, "why"),
        SuiteCase("m", "d", "skipped", 0.0, "not here"),
        SuiteCase("", "", "passed"),
    )
    assert [case.bad for case in read_cases(path)] == [False, True, True, False, False]


def test_a_file_that_is_not_junit_is_named(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text("no XML")
    with pytest.raises(UndecidedError, match=r"junit\.xml"):
        read_cases(tmp_path / "junit.xml")
