"""A run on a terminal: four lines that move, with what each waits for, elapsed times and a bar."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from pipeline.model.run import StageReport
from pipeline.model.verdict import Outcome

_STYLES = {Outcome.PASSED: "green", Outcome.REFUSED: "red", Outcome.UNDECIDED: "yellow"}
_WORDS = {Outcome.PASSED: "passed", Outcome.REFUSED: "REFUSED", Outcome.UNDECIDED: "UNDECIDED"}


class LiveRun:
    """See `pipeline.terminal.Watcher`."""

    def __init__(self, stream: TextIO, stages: tuple[str, ...]) -> None:
        self._console = Console(file=stream, highlight=False)
        self._bars = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.fields[stage]:<12}"),
            TimeElapsedColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            console=self._console,
        )
        self._tasks = {
            stage: self._bars.add_task(self._waits(stages, index), start=False, total=None, stage=stage)
            for index, stage in enumerate(stages)
        }
        self._bars.start()

    @staticmethod
    def _waits(stages: tuple[str, ...], index: int) -> str:
        return f"[dim]waits for {stages[index - 1]}[/dim]" if index else "[dim]first[/dim]"

    def begin(self, stage: str) -> LiveStage:
        """See `pipeline.terminal.Watcher.begin`."""
        task = self._tasks[stage]
        self._bars.start_task(task)
        self._bars.update(task, description="looks at what is recorded")
        return LiveStage(self._bars, task, stage)

    def end(self, report: StageReport) -> None:
        """See `pipeline.terminal.Watcher.end`."""
        style = _STYLES[report.outcome]
        word = "reused" if report.reused else _WORDS[report.outcome]
        first = report.reasons[0].text.splitlines()[0] if report.reasons else ""
        text = f"[{style}]{word}[/{style}]  {_plain(first)}"
        self._bars.update(self._tasks[report.name], description=text, total=1, completed=1)
        self._bars.stop_task(self._tasks[report.name])
        if report.outcome is not Outcome.PASSED:
            self._explain(report)

    def _explain(self, report: StageReport) -> None:
        for reason in report.reasons:
            self._console.print(f"  {_plain(reason.text)}")
            if reason.remedy:
                self._console.print(f"    [bold]next:[/bold] {_plain(reason.remedy)}")

    def close(self) -> None:
        """See `pipeline.terminal.Watcher.close`."""
        self._bars.stop()


class LiveStage:
    """See `pipeline.terminal.StageLines`."""

    def __init__(self, bars: Progress, task: TaskID, stage: str) -> None:
        self._bars = bars
        self._task = task
        self._stage = stage

    def step(self, text: str) -> None:
        """See `pipeline.terminal.StageLines.step`."""
        self._bars.update(self._task, description=_plain(text), total=None, completed=0)

    def share(self, done: float, text: str) -> None:
        """See `pipeline.terminal.StageLines.share`."""
        self._bars.update(self._task, description=_plain(text), total=1.0, completed=done)

    def note(self, text: str) -> None:
        """See `pipeline.terminal.StageLines.note`."""
        self._bars.console.print(f"{self._stage:<12}{_plain(text)}")


def _plain(text: str) -> str:
    """Text that rich shows as it is."""
    return text.replace("[", r"\[")
