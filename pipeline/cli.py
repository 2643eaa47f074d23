"""Grammar and dispatch. A command's module is imported when the command is chosen, not before."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import click

from pipeline import __version__
from pipeline.errors import ExitCode, PipelineError

COMMANDS: Mapping[str, str] = {
    "run": "build → integration → staging → prod; a stage whose evidence still stands is not run again",
    "stage": "one stage, for CI: build, integration, staging, prod",
    "promote": "judge a digest for an environment, roll it out, verify, record",
    "rollback": "an environment back to the newest digest that ran well there",
    "approve": "say yes to a digest for an environment, signed, where the gate asks for it",
    "quarantine": "keep a digest out of every environment, or let it in again",
    "verify": "judge the evidence of a digest and explain; touches nothing",
    "evidence": "list what is attested of a digest, by whom, and what does not count and why",
    "status": "what runs in each environment, since when, and what is recorded of it",
    "history": "what was deployed to an environment, by whom, and how it ended",
    "unlock": "take an environment's lease away from whoever holds it, with a reason",
    "diff": "what a promotion would change: image, commits, task definition",
    "logs": "what a service's tasks write, together and in order",
    "report": "where the report of a run is, as an HTML file",
    "setup": "everything an environment needs on AWS, made or changed; says first what it will do",
    "cleanup": "everything that setup made, deleted; ends with an inventory of what is left",
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
            from difflib import get_close_matches

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
@click.option("-C", "root", type=click.Path(), default=".", help="The project's root folder.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout at the end.")
@click.option("-v", "--verbose", is_flag=True, help="Each stage's evidence, and the cause of an error.")
@click.option("-q", "--quiet", is_flag=True, help="Answers and errors only.")
@click.option("--no-color", is_flag=True, help="Plain lines, also on a terminal.")
@click.version_option(__version__, prog_name="onedigest")
@click.pass_context
def group(
    ctx: click.Context, root: str, *, as_json: bool, verbose: bool, quiet: bool, no_color: bool
) -> None:
    """onedigest: one immutable image digest through build, integration, staging and prod, on recorded evidence."""
    import signal
    from pathlib import Path

    from pipeline.terminal import Invocation, Terminal

    signal.signal(signal.SIGTERM, _interrupt)
    terminal = Terminal(json=as_json, quiet=quiet, verbose=verbose, color=not no_color)
    ctx.obj = Invocation(Path(root).resolve(), terminal)


def main(arguments: Sequence[str]) -> int:
    """Runs the command line; returns the process's exit code (see `pipeline.errors.ExitCode`)."""
    width = _columns() - 2
    try:
        answer: Any = group.main(
            list(arguments), prog_name="python -m pipeline", standalone_mode=False, terminal_width=width
        )
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _failed(arguments, ExitCode.INTERRUPTED, "interrupted", _RESUME)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        # click lists choices one a line; an error is one line here.
        message = " ".join(error.format_message().split())
        return _failed(arguments, ExitCode.USAGE, message, f"{_where(error)} --help")
    except PipelineError as error:
        return _failed(arguments, error.exit_code, error.message, error.hint, cause=error.__cause__)
    except Exception:  # noqa: BLE001 – a mistake of ours: shown whole, since nobody else can mend it
        import traceback

        traceback.print_exc()
        return _failed(
            arguments,
            ExitCode.STUCK,
            "a mistake in onedigest itself (above)",
            "please report it with these lines",
        )
    return int(answer) if isinstance(answer, int) else ExitCode.DONE


_RESUME = (
    "run the same command again: what has passed stays passed, and a rollout that was under way goes on in ECS and is "
    "taken up where it stands"
)


def _where(error: click.ClickException) -> str:
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    return ctx.command_path if ctx else "python -m pipeline"


def _failed(
    arguments: Sequence[str],
    code: ExitCode,
    message: str,
    hint: str,
    *,
    cause: BaseException | None = None,
) -> int:
    from pipeline.terminal import Terminal

    terminal = Terminal(json="--json" in arguments, verbose=bool({"-v", "--verbose"} & set(arguments)))
    error = PipelineError(message, hint=hint)
    error.__cause__ = cause
    terminal.fail(error)
    if terminal.json:
        command = next((word for word in arguments if word in COMMANDS), "")
        said = {"message": message, "hint": hint}
        terminal.answer(
            "", {"command": command, "outcome": code.name.lower(), "exit_code": int(code), "error": said}
        )
    return code


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _columns() -> int:
    """The width for help texts. click would ask `shutil` for it, which costs every start three archive modules."""
    try:
        return max(52, min(80, os.get_terminal_size(1).columns))
    except OSError:
        return 80
