"""What a command keeps of a run that ended, and of one that was interrupted."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from pipeline.commands.reporting import kept_when_interrupted
from pipeline.errors import ExitCode
from pipeline.model.run import RunReport, StageReport
from pipeline.model.verdict import Outcome, Reason
from pipeline.runner import RunInterrupt
from pipeline.session import Session
from pipeline.terminal import Terminal

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


def test_an_interrupt_before_any_stage_leaves_nothing() -> None:
    keeper = Keeper()
    with pytest.raises(KeyboardInterrupt):
        interrupted(keeper, KeyboardInterrupt())
    assert keeper.kept == []
