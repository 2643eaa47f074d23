"""The command line as a caller sees it: exit codes, what goes to stdout and stderr, the JSON of an error."""

from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from pipeline.cli import COMMANDS, main
from pipeline.errors import (
    BusyError,
    ConfigurationError,
    ExitCode,
    PipelineError,
    StuckError,
    UnavailableError,
    UndecidedError,
    UsageError,
)

Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes `status` end with what is given: an exception is raised, anything else returned."""

    def arrange(how: object) -> None:
        @click.command("status")
        def command() -> object:
            if isinstance(how, BaseException):
                raise how
            return how

        module = ModuleType("pipeline.commands.status")
        module.command = command  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "pipeline.commands.status", module)

    return arrange


def test_help_names_every_command_and_ends_well(capsys: Said) -> None:
    assert main(["--help"]) == ExitCode.DONE
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in COMMANDS)


def test_no_command_is_usage_and_shows_the_help(capsys: Said) -> None:
    assert main([]) == ExitCode.USAGE
    assert "Commands:" in capsys.readouterr().err


def test_the_version_is_the_packages(capsys: Said) -> None:
    assert main(["--version"]) == ExitCode.DONE
    assert capsys.readouterr().out.startswith("onedigest, version ")


@pytest.mark.parametrize("group", ["local", "stage"])
def test_the_list_of_what_a_command_can_do_is_not_cut_off(group: str, capsys: Said) -> None:
    assert main([group, "--help"]) == ExitCode.DONE
    assert "..." not in capsys.readouterr().out.partition("Commands:")[2]


def test_an_argument_that_may_be_left_out_is_in_brackets(capsys: Said) -> None:
    main(["verify", "--help"])
    assert "DIGEST [ENVIRONMENT]" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_under_its_name(name: str, capsys: Said) -> None:
    assert main([name, "--help"]) == ExitCode.DONE
    assert capsys.readouterr().out.startswith(f"Usage: python -m pipeline {name}")


@pytest.mark.parametrize(
    ("arguments", "said", "next_step"),
    [
        (["promtoe"], "no such command: 'promtoe' (did you mean 'promote'?)", "python -m pipeline --help"),
        (["zzz"], "no such command: 'zzz'", "python -m pipeline --help"),
        (["promote"], "Missing argument 'DIGEST'", "python -m pipeline promote --help"),
        (["history"], "'ENVIRONMENT'. Choose from: staging, prod\n", "python -m pipeline history --help"),
        (["run", "--until", "never"], "'never' is not one of", "python -m pipeline run --help"),
        (["--nope"], "--nope", "python -m pipeline --help"),
    ],
)
def test_a_wrong_command_line_is_told_with_the_help_that_applies(
    arguments: list[str], said: str, next_step: str, capsys: Said
) -> None:
    assert main(arguments) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert "error: " in err
    assert said in err
    assert f"next:  {next_step}\n" in err


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (UsageError, ExitCode.USAGE),
        (ConfigurationError, ExitCode.CONFIGURATION),
        (UndecidedError, ExitCode.UNDECIDED),
        (StuckError, ExitCode.STUCK),
        (UnavailableError, ExitCode.UNAVAILABLE),
        (BusyError, ExitCode.BUSY),
    ],
)
def test_every_error_family_has_its_exit_code_in_words_and_in_json(
    kind: type[PipelineError], code: ExitCode, ends: Any, capsys: Said
) -> None:
    ends(kind("the thing is wrong", hint="mend the thing"))
    assert main(["status"]) == code
    assert capsys.readouterr().err == "error: the thing is wrong\nnext:  mend the thing\n"
    assert main(["--json", "status"]) == code
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "command": "status",
        "outcome": code.name.lower(),
        "exit_code": code,
        "error": {"message": "the thing is wrong", "hint": "mend the thing"},
    }


def test_what_a_command_returns_is_the_exit_code(ends: Any) -> None:
    ends(ExitCode.ROLLED_BACK)
    assert main(["status"]) == ExitCode.ROLLED_BACK


@pytest.mark.parametrize("how", [KeyboardInterrupt(), click.exceptions.Abort()])
def test_an_interrupt_is_130_and_says_how_to_go_on(how: BaseException, ends: Any, capsys: Said) -> None:
    ends(how)
    assert main(["status"]) == 130
    assert "run the same command again" in capsys.readouterr().err


def test_being_asked_to_end_is_an_interrupt_too(ends: Any) -> None:
    @click.command("status")
    def command() -> None:
        signal.raise_signal(signal.SIGTERM)

    ends(None)
    sys.modules["pipeline.commands.status"].command = command  # type: ignore[attr-defined]
    assert main(["status"]) == 130


def test_a_mistake_of_ours_is_shown_whole_and_is_not_a_verdict(ends: Any, capsys: Said) -> None:
    ends(ZeroDivisionError("ours"))
    assert main(["status"]) == ExitCode.STUCK
    said = capsys.readouterr().err
    assert "ZeroDivisionError: ours" in said
    assert "error: a mistake in onedigest itself" in said


def test_the_root_is_where_pipeline_toml_is_looked_for(tmp_path: Path, capsys: Said) -> None:
    assert main(["-C", str(tmp_path), "local", "status"]) == ExitCode.CONFIGURATION
    assert f"no pipeline.toml in {tmp_path}" in capsys.readouterr().err


def test_nothing_is_deleted_without_a_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    kept = tmp_path / ".pipeline" / "local" / "registry"
    kept.mkdir(parents=True)
    assert main(["-C", str(tmp_path), "local", "reset"]) == ExitCode.INTERRUPTED
    assert kept.is_dir()
    assert "Delete the local cloud's images, their evidence, and its databases?" in capsys.readouterr().err
