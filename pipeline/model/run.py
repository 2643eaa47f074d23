"""How a run went, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pipeline.errors import ExitCode
from pipeline.model.digest import ImageRef
from pipeline.model.verdict import Outcome, Reason

_CODES = {
    Outcome.PASSED: ExitCode.DONE,
    Outcome.REFUSED: ExitCode.REFUSED,
    Outcome.UNDECIDED: ExitCode.UNDECIDED,
}


@dataclass(frozen=True, slots=True)
class StageReport:
    """One stage of a run. `evidence` is the `sha256:…` of its record, or empty where none could be written.

    `inputs` are the records that one commits to, by stage: those on which the gate let it begin.

    `error_code` is set when the stage could not decide or went back; else the outcome gives the exit code.
    """

    name: str
    environment: str
    outcome: Outcome
    started: datetime
    finished: datetime
    reused: bool = False
    reasons: tuple[Reason, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    evidence: str = ""
    error_code: ExitCode | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.finished - self.started).total_seconds()

    @property
    def exit_code(self) -> ExitCode:
        """What this stage makes of the process's end."""
        return self.error_code if self.error_code is not None else _CODES[self.outcome]


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run: its stages in order, up to the first that did not pass. `commit` is empty where none is known."""

    run_id: str
    stages: tuple[StageReport, ...]
    image: ImageRef | None = None
    commit: str = ""

    @property
    def outcome(self) -> Outcome:
        """The last stage's outcome; a run without stages is undecided."""
        return self.stages[-1].outcome if self.stages else Outcome.UNDECIDED

    @property
    def exit_code(self) -> ExitCode:
        """The last stage's exit code."""
        return self.stages[-1].exit_code if self.stages else ExitCode.UNDECIDED

    def marred(self, reason: Reason, code: ExitCode) -> RunReport:
        """The same with something undone after its last stage, which therefore counts as undecided."""
        *before, last = self.stages
        last = replace(last, outcome=Outcome.UNDECIDED, reasons=(*last.reasons, reason), error_code=code)
        return replace(self, stages=(*before, last))
