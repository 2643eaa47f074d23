"""The only place that prints. Progress and explanations go to stderr, the answer to stdout.

On a terminal the stages are shown live (rich, imported only then); elsewhere as plain lines with timestamps.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from pipeline.errors import PipelineError
from pipeline.model.verdict import Outcome, Reason

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model.run import StageReport

MARKS = {Outcome.PASSED: "passed", Outcome.REFUSED: "REFUSED", Outcome.UNDECIDED: "UNDECIDED"}


class Watcher(Protocol):
    """Shows a run; see `pipeline.runner.Observer`."""

    def begin(self, stage: str) -> StageLines:
        """A stage is looked at now."""
        ...

    def end(self, report: StageReport) -> None:
        """It is done with."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class StageLines(Protocol):
    """See `pipeline.ports.Progress`."""

    def step(self, text: str) -> None:
        """What the stage does or waits for now."""
        ...

    def share(self, done: float, text: str) -> None:
        """A bar: `done` from 0 to 1."""
        ...

    def note(self, text: str) -> None:
        """A line that stays on screen."""
        ...


@dataclass(slots=True)
class Terminal:
    """How this process speaks.

    `json` asks for one JSON object on stdout, `quiet` for answers and errors only, `verbose` for each stage's evidence
    and, where an error has one, its cause.
    """

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    color: bool = True
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)
    _keep: Callable[[str], None] | None = field(default=None, init=False)

    @property
    def live(self) -> bool:
        """True where lines may be redrawn: stderr is a terminal, and the colour of it is wanted."""
        return self.color and not self.quiet and self.err.isatty()

    def say(self, text: str) -> None:
        """A line of progress, with the time of day where it is kept (no terminal)."""
        if not self.quiet:
            self._line(text if self.err.isatty() else f"{datetime.now(UTC):%H:%M:%S} {text}")

    def tell(self, text: str) -> None:
        """An explanation: always shown."""
        self._line(text)

    def answer(self, text: str, document: Mapping[str, Any]) -> None:
        """The answer: `document` as JSON with --json, else `text` (nothing when it is empty)."""
        if self.json:
            import json  # noqa: PLC0415 – a help text needs none

            print(
                json.dumps({"schema": 1, **document}, indent=2, ensure_ascii=False), file=self.out, flush=True
            )
        elif text:
            print(text, file=self.out, flush=True)

    def fail(self, error: PipelineError) -> None:
        """An error and its next step."""
        self._line(f"error: {error.message}")
        self._line(f"next:  {error.hint}")
        cause = error.__cause__
        if self.verbose and cause is not None:
            self._line(f"cause: {type(cause).__module__}.{type(cause).__qualname__}: {cause}")

    def reasons(self, reasons: tuple[Reason, ...], indent: str = "  ") -> None:
        """Reasons, each with what mends it."""
        for reason in reasons:
            self._line(indent + reason.text.replace("\n", f"\n{indent}"))
            if reason.remedy:
                self._line(f"{indent}  next: {reason.remedy}")

    def watch(self, stages: tuple[str, ...]) -> Watcher:
        """Shows a run of `stages`."""
        if self.live:
            from pipeline.live import LiveRun  # noqa: PLC0415 – rich is imported only where it shows something

            run = LiveRun(self.err, stages, verbose=self.verbose)
            self._keep = run.say
            return run
        return PlainRun(self)

    def _line(self, text: str) -> None:
        if self._keep:
            self._keep(text)
        else:
            print(text, file=self.err, flush=True)


@dataclass(frozen=True, slots=True)
class Invocation:
    """What every command is given: the project's root and how to speak; `wait` are the seconds of --wait."""

    root: Path
    terminal: Terminal
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class PlainRun:
    """A run as lines that stay."""

    terminal: Terminal

    def begin(self, stage: str) -> StageLines:
        """See `Watcher.begin`."""
        return PlainStage(self.terminal, stage)

    def end(self, report: StageReport) -> None:
        """See `Watcher.end`."""
        self.terminal.say(summary(report))
        if report.outcome is not Outcome.PASSED:
            self.terminal.reasons(report.reasons, indent="         ")
        if self.terminal.verbose and report.evidence:
            self.terminal.tell(f"         evidence {report.evidence}")

    def close(self) -> None:
        """See `Watcher.close`."""


class PlainStage:
    """A stage as lines: steps as they come, a bar at every tenth."""

    def __init__(self, terminal: Terminal, stage: str) -> None:
        self._terminal = terminal
        self._stage = stage
        self._tenth = -1
        self._last = ""

    def step(self, text: str) -> None:
        """See `StageLines.step`."""
        if text != self._last:
            self._last = text
            self._terminal.say(f"{self._stage:<12}{text}")

    def share(self, done: float, text: str) -> None:
        """See `StageLines.share`."""
        tenth = int(done * 10)
        if tenth > self._tenth:
            self._tenth = tenth
            self._terminal.say(f"{self._stage:<12}{done:4.0%}  {text}")

    def note(self, text: str) -> None:
        """See `StageLines.note`."""
        self._terminal.say(f"{self._stage:<12}{text}")


def summary(report: StageReport) -> str:
    """One line on a finished stage."""
    how = "reused" if report.reused else MARKS[report.outcome]
    why = f"  {report.reasons[0].text}" if report.reasons and report.outcome is Outcome.PASSED else ""
    return f"{report.name:<12}{how} in {duration(report.seconds)}{why}"


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
