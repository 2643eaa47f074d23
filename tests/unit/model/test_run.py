"""A run's report."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.errors import ExitCode
from pipeline.model.run import RunReport, StageReport
from pipeline.model.verdict import Outcome, Reason

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_what_could_not_be_finished_after_a_good_stage_is_no_success() -> None:
    stage = StageReport("rollback", "prod", Outcome.PASSED, NOW, NOW, reasons=(Reason("went back"),))
    report = RunReport("run-1", (stage,)).marred(Reason("not marked", "quarantine"), ExitCode.UNAVAILABLE)
    assert (report.outcome, report.exit_code) == (Outcome.UNDECIDED, ExitCode.UNAVAILABLE)
    assert [reason.text for reason in report.stages[0].reasons] == ["went back", "not marked"]
