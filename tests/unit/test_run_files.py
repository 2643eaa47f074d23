"""What a run leaves in its folder, and how a run is found again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StuckError, UnavailableError, UsageError
from pipeline.run_files import RunFiles, find_run
from tests.run_documents import DATA, passed_run, refused_run


def kept(state: Path, run: str, document: dict[str, Any]) -> RunFiles:
    files = RunFiles(state / "runs" / run)
    files.write_document(document)
    return files


def test_a_run_is_kept_as_json_html_and_junit(tmp_path: Path) -> None:
    files = kept(tmp_path, "1", passed_run())
    files.write_report(passed_run())
    assert json.loads(files.document.read_text()) == {"schema": 1, **passed_run()}
    assert files.report.read_text().startswith("<!doctype html>")
    assert b"<testsuites" in (files.directory / "junit.xml").read_bytes()
    assert not list(files.directory.glob(".*")), "nothing half-written is left"


def test_the_tests_of_this_very_run_are_in_its_report(tmp_path: Path) -> None:
    files = kept(tmp_path, "1", passed_run())
    (files.directory / "integration").mkdir()
    shutil.copy(DATA / "junit.xml", files.directory / "integration" / "junit.xml")
    files.write_report(passed_run())
    assert "test_simultaneous_visits_are_all_recorded" in files.report.read_text()
    assert "test_simultaneous_visits_are_all_recorded" in (files.directory / "junit.xml").read_text()


def test_a_junit_file_that_is_none_counts_as_no_tests(tmp_path: Path) -> None:
    files = kept(tmp_path, "1", passed_run())
    (files.directory / "integration").mkdir()
    (files.directory / "integration" / "junit.xml").write_text("<testsuites><test")
    files.write_report(passed_run())
    assert "Slowest tests" not in files.report.read_text()


def test_the_summary_goes_where_github_wants_it_too(tmp_path: Path) -> None:
    files, outputs, summary = kept(tmp_path, "1", refused_run()), tmp_path / "out", tmp_path / "summary"
    summary.write_text("before\n")
    files.write_summary(refused_run(), {"GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": str(summary)})
    own = (files.directory / "summary.md").read_text()
    assert own.startswith("### ✕ onedigest run: refused")
    assert summary.read_text() == "before\n" + own
    assert f"digest={refused_run()['digest']}\n" in outputs.read_text()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(UnavailableError, match=r"run\.json"):
        kept(tmp_path, "1", passed_run())


def test_a_report_is_made_anew_from_the_json_alone(tmp_path: Path) -> None:
    files = kept(tmp_path, "1", refused_run())
    files.write_report({"schema": 1, **refused_run()})
    first = files.report.read_bytes()
    files.report.unlink()
    files.rebuild()
    assert files.report.read_bytes() == first


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_a_document_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    files = kept(tmp_path, "1", {})
    files.document.write_bytes(content)
    with pytest.raises(StuckError, match=r"run\.json cannot be read"):
        files.rebuild()


def test_a_document_of_another_form_gives_a_report_that_says_nothing(tmp_path: Path) -> None:
    files = kept(tmp_path, "1", {})
    files.document.write_text("[1, 2]")
    files.rebuild()
    assert "No stage was run." in files.report.read_text()


def test_the_newest_run_is_found_without_a_name_and_any_by_how_its_id_begins(tmp_path: Path) -> None:
    for run in ("20260101T000000Z-aaaaaa", "20260102T000000Z-bbbbbb"):
        kept(tmp_path, run, {})
    (tmp_path / "runs" / "20260103T000000Z-cccccc").mkdir()
    assert find_run(tmp_path).directory.name == "20260102T000000Z-bbbbbb"
    assert find_run(tmp_path, "20260101").directory.name == "20260101T000000Z-aaaaaa"
    assert find_run(tmp_path, "20260102T000000Z-bbbbbb").directory.name == "20260102T000000Z-bbbbbb"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "no run is called nothing"),
        ("2026010", "2 runs begin with 2026010"),
        ("20260103", "run 20260103 was broken off and left no record"),
        ("../runs/20260101", "no run is called ../runs/20260101"),
    ],
)
def test_a_run_that_is_not_known_is_an_error_with_those_that_are(
    tmp_path: Path, name: str, message: str
) -> None:
    for run in ("20260101T000000Z-aaaaaa", "20260102T000000Z-bbbbbb"):
        kept(tmp_path, run, {})
    (tmp_path / "runs" / "20260103T000000Z-cccccc").mkdir()
    with pytest.raises(UsageError) as caught:
        find_run(tmp_path, name)
    assert caught.value.message == message
    assert "20260102T000000Z-bbbbbb, 20260101T000000Z-aaaaaa" in caught.value.hint


def test_of_very_many_runs_the_newest_are_named(tmp_path: Path) -> None:
    for number in range(25):
        kept(tmp_path, f"run-{number:02}", {})
    with pytest.raises(UsageError) as caught:
        find_run(tmp_path, "x")
    assert caught.value.hint.startswith("runs on record: run-24, run-23")
    assert caught.value.hint.endswith("run-15 and 15 older ones")


def test_without_any_run_it_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find_run(tmp_path)
    assert caught.value.hint == "start one: python -m pipeline run"
