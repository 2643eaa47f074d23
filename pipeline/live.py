"""A run on a terminal: a line a stage that moves, with what it waits for, the time it takes, and a bar for its load.

What stays (notes, reasons) scrolls by above them, folded under its own column.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.table import Column, Table
from rich.text import Text

from pipeline.model.run import StageReport
from pipeline.model.verdict import Outcome

_STYLES = {Outcome.PASSED: "green", Outcome.REFUSED: "red", Outcome.UNDECIDED: "yellow"}
_WORDS = {Outcome.PASSED: "passed", Outcome.REFUSED: "REFUSED", Outcome.UNDECIDED: "UNDECIDED"}
_MARKS = {Outcome.PASSED: "✓", Outcome.REFUSED: "✗", Outcome.UNDECIDED: "?"}
_NAME = 12
_BAR = 16


class LiveRun:
    """See `pipeline.terminal.Watcher`."""

    def __init__(self, stream: TextIO, stages: tuple[str, ...], *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._console = Console(file=stream, highlight=False)
        self._bars = _Lines(
            _Mark(table_column=_fixed(1)),
            TextColumn("{task.fields[stage]}", table_column=_fixed(_NAME)),
            _Elapsed(table_column=_fixed(6)),
            TextColumn("{task.description}", table_column=_one_line()),
            _Share(bar_width=_BAR, table_column=Column()),
            console=self._console,
        )
        self._tasks = {
            stage: self._bars.add_task(_waits(stages, index), start=False, total=None, stage=stage, mark="")
            for index, stage in enumerate(stages)
        }
        self._bars.start()

    def begin(self, stage: str) -> LiveStage:
        """See `pipeline.terminal.Watcher.begin`."""
        task = self._tasks[stage]
        self._bars.start_task(task)
        self._bars.update(task, description="looks at what is recorded")
        return LiveStage(self, self._bars, task, stage)

    def end(self, report: StageReport) -> None:
        """See `pipeline.terminal.Watcher.end`."""
        style = _STYLES[report.outcome]
        word = "reused" if report.reused else _WORDS[report.outcome]
        first = report.reasons[0].text.splitlines()[0] if report.reasons else ""
        self._settle(
            report.name, f"[{style}]{_MARKS[report.outcome]}[/]", f"[{style}]{word}[/]  {escape(first)}"
        )
        if report.outcome is not Outcome.PASSED:
            self._explain(report)
        if self._verbose and report.evidence:
            self.keep(report.name, f"evidence {report.evidence}")

    def _settle(self, stage: str, mark: str, text: str) -> None:
        task = self._tasks[stage]
        self._bars.stop_task(task)
        self._bars.update(task, description=text, total=1, completed=1, mark=mark)

    def _explain(self, report: StageReport) -> None:
        for reason in report.reasons:
            self.keep(report.name, reason.text)
            if reason.remedy:
                self.keep("", f"next: {reason.remedy}")

    def keep(self, head: str, text: str) -> None:
        """Lines that stay above the stages, `head` before them, what is too long folded under the text."""
        width = max(self._console.width - _NAME, 20)
        lines = [part for line in text.splitlines() for part in textwrap.wrap(line, width) or [""]]
        for number, line in enumerate(lines):
            self.say(f"{'' if number else head:<{_NAME}}{line}")

    def say(self, line: str) -> None:
        """A line that stays, as it is."""
        self._console.print(Text(line), soft_wrap=True)

    def close(self) -> None:
        """See `pipeline.terminal.Watcher.close`. What did not come to an end says so."""
        for stage, task in self._tasks.items():
            state = next(one for one in self._bars.tasks if one.id == task)
            if not state.started:
                self._bars.update(task, description="[dim]not run[/dim]")
            elif not state.finished:
                self._settle(stage, "[yellow]·[/]", "[yellow]interrupted[/]")
        self._bars.stop()


class LiveStage:
    """See `pipeline.terminal.StageLines`."""

    def __init__(self, run: LiveRun, bars: Progress, task: TaskID, stage: str) -> None:
        self._run = run
        self._bars = bars
        self._task = task
        self._stage = stage

    def step(self, text: str) -> None:
        """See `pipeline.terminal.StageLines.step`."""
        self._bars.update(self._task, description=_first_line(text), total=None, completed=0)

    def share(self, done: float, text: str) -> None:
        """See `pipeline.terminal.StageLines.share`."""
        # A finished task's clock stands still; the stage ends with its verdict, not with its load.
        self._bars.update(self._task, description=_first_line(text), total=1.0, completed=min(done, 0.999))

    def note(self, text: str) -> None:
        """See `pipeline.terminal.StageLines.note`."""
        self._run.keep(self._stage, text)


class _Lines(Progress):
    """Lines with room for the `^C` that a terminal writes behind the last one: past the edge it would begin another."""

    def __init__(self, *columns: ProgressColumn, console: Console) -> None:
        self._screen = console
        super().__init__(*columns, console=console, expand=True)

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        """See rich."""
        table = super().make_tasks_table(tasks)
        table.width = max(self._screen.width - 3, 30)
        return table


class _Mark(ProgressColumn):
    """A spinner for the stage that runs, its verdict's mark for one that ended, nothing for one that waits."""

    def __init__(self, table_column: Column) -> None:
        super().__init__(table_column)
        self._spinner = SpinnerColumn()

    def render(self, task: Task) -> RenderableType:
        """See rich."""
        if not task.started:
            return Text(" ")
        return Text.from_markup(task.fields["mark"]) if task.finished else self._spinner.render(task)


class _Elapsed(ProgressColumn):
    """Minutes and seconds, from the stage's beginning to its end."""

    def render(self, task: Task) -> Text:
        """See rich."""
        if not task.started:
            return Text("")
        seconds = int(task.finished_time if task.finished_time is not None else task.elapsed or 0)
        return Text(f"{seconds // 60:>3}:{seconds % 60:02}", style="cyan")


class _Share(BarColumn):
    """A bar, while a share is known; a stage that only waits has none."""

    def render(self, task: Task) -> RenderableType:  # type: ignore[override]  # rich itself shows any renderable
        """See rich."""
        return Text("") if task.total is None or task.finished else super().render(task)


def _fixed(width: int) -> Column:
    return Column(min_width=width, max_width=width, no_wrap=True)


def _one_line() -> Column:
    return Column(ratio=1, no_wrap=True, overflow="ellipsis")


def _waits(stages: tuple[str, ...], index: int) -> str:
    return f"[dim]waits for {stages[index - 1]}[/dim]" if index else "[dim]comes first[/dim]"


def _first_line(text: str) -> str:
    return escape(text.splitlines()[0]) if text else ""
