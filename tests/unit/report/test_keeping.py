"""What a command keeps of a run that ended, and of one that was interrupted."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.commands.reporting import kept_when_interrupted
from pipeline.config import load
from pipeline.errors import ExitCode
from pipeline.model.run import RunReport, StageReport
from pipeline.model.verdict import Outcome, Reason
from pipeline.runner import RunInterrupt
from pipeline.session import Asked, Session
from pipeline.terminal import Terminal
from tests.run_documents import refused_run

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STAGE = StageReport(
    "prod",
    "prod",
    Outcome.UNDECIDED,
    NOON,
    NOON,
    reasons=(Reason("interrupted – detached, still running: ECS goes on without us", "run it again"),),
    error_code=ExitCode.INTERRUPTED,
)


@dataclass
class Keeper:
    """The part of a session that keeps."""

    path: str = "/runs/1/report.html"
    kept: list[Mapping[str, Any]] = field(default_factory=list)
    said: io.StringIO = field(default_factory=io.StringIO)

    @property
    def terminal(self) -> Terminal:
        return Terminal(err=self.said)

    def keep(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        self.kept.append(document)
        return {**document, "report": self.path}


def interrupted(keeper: Keeper, how: KeyboardInterrupt) -> None:
    with kept_when_interrupted(cast("Session", keeper), "promote", "prod"):
        raise how


def test_what_there_is_of_an_interrupted_run_is_kept_and_the_interrupt_goes_on() -> None:
    keeper = Keeper()
    with pytest.raises(KeyboardInterrupt):
        interrupted(keeper, RunInterrupt(RunReport("1", (STAGE,))))
    assert [found["exit_code"] for found in keeper.kept] == [130]
    assert keeper.kept[0]["deployment"]["outcome"] == "detached"
    assert "/runs/1/report.html" in keeper.said.getvalue()


def test_without_a_report_that_is_said() -> None:
    keeper = Keeper(path="")
    with pytest.raises(KeyboardInterrupt):
        interrupted(keeper, RunInterrupt(RunReport("1", (STAGE,))))
    assert keeper.said.getvalue().endswith("report      none\n")


def test_where_a_release_serves_is_told_of_what_passed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "url", lambda _self, name, _key: f"http://{name}.test")
    passed = replace(STAGE, name="rollback", outcome=Outcome.PASSED, error_code=None)
    told = session(tmp_path, io.StringIO()).closing_lines(RunReport("1", (passed,)), "/r.html")
    assert told == ["prod        http://prod.test", "report      /r.html"]
    told = session(tmp_path, io.StringIO()).closing_lines(RunReport("1", (STAGE,)), "/r.html")
    assert told == ["report      /r.html"]


def session(root: Path, said: io.StringIO) -> Session:
    """One that can keep and nothing else."""
    nothing: Any = None
    settings = load(Path(__file__).parents[3])
    return Session(root, settings, Terminal(err=said), nothing, nothing, nothing, "run-1", Asked(), nothing)


def test_what_is_kept_says_machine_settings_and_where_the_report_is(tmp_path: Path) -> None:
    said = io.StringIO()
    kept = session(tmp_path, said).keep(refused_run())
    folder = tmp_path / ".pipeline" / "runs" / "run-1"
    assert kept["report"] == str(folder / "report.html")
    assert json.loads((folder / "run.json").read_text()) == {"schema": 1, **kept}
    assert (kept["settings"]["app"], kept["settings"]["provider"]) == ("petclinic", "local")
    assert kept["settings"]["limits"]["p95_ms"] == {"max": 800, "min": None}
    assert kept["machine"]["versions"]["onedigest"]
    assert {path.name for path in folder.iterdir()} == {"run.json", "report.html", "junit.xml", "summary.md"}
    assert said.getvalue() == ""


def test_equal_settings_have_equal_digests(tmp_path: Path) -> None:
    first, second = (session(tmp_path / name, io.StringIO()).keep(refused_run()) for name in "ab")
    assert first["settings"] == second["settings"]


def test_a_report_that_cannot_be_made_is_said_and_changes_nothing_else(tmp_path: Path) -> None:
    said = io.StringIO()
    (tmp_path / ".pipeline" / "runs" / "run-1" / "report.html").mkdir(parents=True)
    kept = session(tmp_path, said).keep(refused_run())
    assert kept["report"] == ""
    assert (kept["outcome"], kept["exit_code"]) == ("refused", 1)
    assert "report.html cannot be written: Is a directory" in said.getvalue()
    assert "python -m pipeline report run-1" in said.getvalue()
    assert (tmp_path / ".pipeline" / "runs" / "run-1" / "summary.md").exists()


def test_an_interrupt_before_any_stage_leaves_nothing() -> None:
    keeper = Keeper()
    with pytest.raises(KeyboardInterrupt):
        interrupted(keeper, KeyboardInterrupt())
    assert keeper.kept == []
