"""`report` as a caller sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.errors import ExitCode
from pipeline.run_files import RunFiles
from tests.run_documents import refused_run

ROOT = Path(__file__).parents[2]
Said = pytest.CaptureFixture[str]
NEWEST = "20260102T000000Z-bbbbbb"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with two runs, the reports of which are not there; it needs no pipeline.toml for that."""
    for run in ("20260101T000000Z-aaaaaa", NEWEST):
        RunFiles(tmp_path / ".pipeline" / "runs" / run).write_document(refused_run())
    return tmp_path


def test_the_newest_report_is_made_where_it_is_missing_and_stdout_is_its_path(
    root: Path, capsys: Said
) -> None:
    assert main(["-C", str(root), "report"]) == ExitCode.DONE
    path = Path(capsys.readouterr().out.strip())
    assert path == root / ".pipeline" / "runs" / NEWEST / "report.html"
    assert "GET /api/vets" in path.read_text()


def test_a_report_that_is_there_is_left_as_it_is(root: Path, capsys: Said) -> None:
    report = root / ".pipeline" / "runs" / NEWEST / "report.html"
    report.write_text("as it was")
    assert main(["-C", str(root), "--json", "report", "20260102"]) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "command": "report",
        "outcome": "done",
        "exit_code": 0,
        "run_id": NEWEST,
        "report": str(report),
        "rebuilt": False,
    }
    assert report.read_text() == "as it was"


def test_an_unknown_run_is_an_error_with_the_known_ones(root: Path, capsys: Said) -> None:
    assert main(["-C", str(root), "report", "2025"]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert "error: no run is called 2025" in said.err
    assert NEWEST in said.err


def opened(root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: Python looks for browsers once in a process."""
    asked = [sys.executable, "-m", "pipeline", "-C", str(root), "report", "--open"]
    return subprocess.run(
        asked, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False
    )


def test_open_shows_it_in_the_browser_that_the_environment_names(root: Path) -> None:
    shown, browser = root / "shown", root / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {shown}\n')
    browser.chmod(0o755)
    done = opened(root, BROWSER=f"{browser} %s")
    assert (done.returncode, done.stderr) == (0, "")
    assert shown.read_text().strip() == Path(done.stdout.strip()).as_uri()


def test_where_no_browser_starts_the_path_is_still_the_answer(root: Path) -> None:
    done = opened(root, BROWSER="/nowhere/browser %s", PATH="/nowhere")
    assert done.returncode == 0
    assert done.stdout.strip().endswith("report.html")
    assert "no browser could be started here" in done.stderr
