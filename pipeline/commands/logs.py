"""`logs`: what the service's tasks write."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from pipeline.errors import ExitCode, UsageError
from pipeline.terminal import Invocation, Terminal

if TYPE_CHECKING:
    from pipeline.adapters.log_lines import LogLine
    from pipeline.reach import Site

_SHORT = 8


class Options(TypedDict):
    """Which lines."""

    follow: bool
    task: str
    region: str
    service: str
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
@click.option("--service", default="", help="Of a release of several services: which one.")
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
        key = _one(session.sites(environment), options, environment)
        log = session.service_log(environment, options["task"], key)
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


def _one(sites: Mapping[str, Site], options: Options, environment: str) -> str:
    """The key of the one site that --region and --service leave."""
    left = sites
    for option, asked in (("region", options["region"]), ("service", options["service"])):
        known = sorted({getattr(site, option) for site in left.values()} - {""})
        if asked and asked not in known:
            there = ", ".join(known) or f"none has a {option} of its own"
            raise UsageError(f"{environment} has no {option} {asked}", hint=f"one of: {there}")
        if not asked and len(known) > 1:
            raise UsageError(
                f"{environment} has {len(known)} {option}s, each with a log of its own",
                hint=f"say which: --{option} {' | '.join(known)}",
            )
        left = {key: site for key, site in left.items() if asked in ("", getattr(site, option))}
    return next(iter(left))


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
