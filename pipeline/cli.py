"""Grammar and dispatch. A command's module is imported when the command is chosen, not before."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import click

from pipeline import __version__
from pipeline.errors import ExitCode, PipelineError
from pipeline.terminal import Invocation, Terminal

COMMANDS: Mapping[str, str] = {
    "run": "build → integration → staging → prod; a stage whose evidence still stands is not run again",
    "stage": "one stage, for CI: build, integration, staging, prod",
    "promote": "judge a digest for an environment, roll it out, verify, record",
    "approve": "say yes to a digest for an environment, signed, where the gate asks for it",
    "quarantine": "keep a digest out of every environment, or let it in again",
    "verify": "judge the evidence of a digest and explain; touches nothing",
    "evidence": "list what is attested of a digest, by whom, and what does not count and why",
    "status": "what runs in each environment, since when, and what is recorded of it",
    "local": "the embedded cloud: up, down, status, reset",
    "doctor": "every prerequisite as OK, SKIP or NG with the fix",
}


class Commands(click.Group):
    """Commands by name; only the chosen one is imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 – click's signature
        """The names, in the order people need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of module `pipeline.commands.<name>`, or None."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"pipeline.commands.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name where there is no such command."""
        name = args[0]
        if name not in COMMANDS:
            near = get_close_matches(name, list(COMMANDS), n=1)
            raise click.UsageError(
                f"no such command: {name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""), ctx=ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-C", "root", type=click.Path(path_type=Path), default=Path(), help="The project's root folder."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout at the end.")
@click.option("-v", "--verbose", is_flag=True, help="More on what is done.")
@click.option("-q", "--quiet", is_flag=True, help="Answers and errors only.")
@click.option("--no-color", is_flag=True, help="Plain lines, also on a terminal.")
@click.version_option(__version__, prog_name="onedigest")
@click.pass_context
def group(
    ctx: click.Context, root: Path, *, as_json: bool, verbose: bool, quiet: bool, no_color: bool
) -> None:
    """onedigest: one immutable image digest through build, integration, staging and prod, on recorded evidence."""
    terminal = Terminal(json=as_json, quiet=quiet, verbose=verbose, color=not no_color)
    ctx.obj = Invocation(root.resolve(), terminal)


def main(arguments: Sequence[str]) -> int:
    """Runs the command line; returns the process's exit code (see `pipeline.errors.ExitCode`)."""
    signal.signal(signal.SIGTERM, _interrupt)
    terminal = Terminal(json="--json" in arguments)
    command = next((word for word in arguments if word in COMMANDS), "")
    try:
        answer: Any = group.main(args=list(arguments), prog_name="python -m pipeline", standalone_mode=False)
    except click.exceptions.Abort:
        return _failed(terminal, command, ExitCode.INTERRUPTED, "interrupted", _RESUME)
    except KeyboardInterrupt:
        return _failed(terminal, command, ExitCode.INTERRUPTED, "interrupted", _RESUME)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        where = (
            error.ctx.command_path
            if isinstance(error, click.UsageError) and error.ctx
            else "python -m pipeline"
        )
        return _failed(terminal, command, ExitCode.USAGE, error.format_message(), f"{where} --help")
    except PipelineError as error:
        return _failed(terminal, command, error.exit_code, error.message, error.hint)
    except Exception:  # noqa: BLE001 – a mistake of ours: shown whole, since nobody else can mend it
        traceback.print_exc(file=terminal.err)
        return _failed(
            terminal, command, ExitCode.STUCK, "a mistake in onedigest itself (above)", "please report it"
        )
    return int(answer) if isinstance(answer, int) else ExitCode.DONE


_RESUME = "run the same command again: what has passed stays passed, and it goes on from there"


def _failed(terminal: Terminal, command: str, code: ExitCode, message: str, hint: str) -> int:
    error = PipelineError(message, hint=hint)
    terminal.fail(error)
    if terminal.json:
        said = {"message": message, "hint": hint}
        terminal.answer(
            "", {"command": command, "outcome": code.name.lower(), "exit_code": int(code), "error": said}
        )
    return code


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
