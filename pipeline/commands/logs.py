"""`logs`: what the service's tasks write."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from pipeline.errors import ExitCode, UsageError
from pipeline.terminal import Invocation, Terminal

if TYPE_CHECKING:
    from pipeline.adapters.log_lines import LogLine

_SHORT = 8


class Options(TypedDict):
    """Which lines."""

    follow: bool
    task: str
    region: str
    limit: int


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    from pipeline.model.policy import parse_duration

    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command("logs")
@click.argument("environment", metavar="ENVIRONMENT", type=click.Choice(("staging", "prod")))
@click.option("--follow", is_flag=True, help="Go on with new lines as they come, until Ctrl-C.")
@click.option(
    "--since", default="10m", callback=_seconds, help="How far back: 30s, 10m, 2h. 10m when not given."
)
@click.option("--task", default="", help="Only tasks whose id begins so, ended ones too.")
@click.option("--region", default="", help="Of an environment in several regions: which one.")
@click.option("--limit", default=1000, type=click.IntRange(1), help="The newest N lines at most; 1000.")
@click.pass_obj
def command(invocation: Invocation, /, environment: str, since: float, **options: Unpack[Options]) -> int:
    """The log lines of the service in ENVIRONMENT: all its tasks that run or lately ran, in order of time."""
    from pipeline.wiring import Project

    terminal, follow, limit = invocation.terminal, options["follow"], options["limit"]
    if follow and terminal.json:
        raise UsageError("--follow has no end, --json is one object", hint="leave one of the two out")
    project = Project.open(invocation.root, terminal)
    with project.session((), touch=False) as session:
        region = _one_region(session.regions(environment), options["region"], environment)
        log = session.service_log(environment, options["task"], region)
        if follow:
            return _stream(terminal, log.follow(since, limit))
        lines = log.lines(since, limit)
    if terminal.json:
        said = [{"time": one.time.isoformat(), "task": one.task, "text": one.text} for one in lines]
        document = {"outcome": "done", "exit_code": 0, "environment": environment, "lines": said}
        terminal.answer("", {"command": "logs", **document})
        return ExitCode.DONE
    if not lines:
        terminal.tell(f"no line in the last {since:.0f} s")
    return _stream(terminal, lines, several=len({line.task for line in lines}) > 1)


def _one_region(regions: tuple[str, ...], asked: str, environment: str) -> str:
    if asked and asked not in regions:
        raise UsageError(f"{environment} is not in {asked}", hint=f"one of: {', '.join(regions)}")
    if not asked and len(regions) > 1:
        raise UsageError(
            f"{environment} is in {len(regions)} regions, each with a log of its own",
            hint=f"say which: --region {' | '.join(regions)}",
        )
    return asked or regions[0]


def _stream(terminal: Terminal, lines: Iterable[LogLine], *, several: bool = True) -> int:
    """Writes the lines, each behind its task's short id where there are several; a reader that leaves ends it."""
    try:
        for line in lines:
            terminal.answer(f"{line.task[:_SHORT]}  {line.text}" if several else line.text or " ", {})
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.DONE
