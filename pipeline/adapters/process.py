"""Programs of this machine, each in a process group of its own so that it ends whole."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import IO

from pipeline.errors import ConfigurationError, PipelineError, UnavailableError
from pipeline.ports import Command, Finished

_LAST_OUTPUT = 5.0
"""Seconds to wait for the output of a group that was killed: what left the group may hold the pipe open."""


class Processes:
    """Runs programs, for `pipeline.ports.CommandRunner`."""

    def run(self, command: Command) -> Finished:
        """Runs the program to its end with no input, and gives what it wrote.

        A negative `exit_code` is the signal that ended it. After `command.timeout` seconds, and when we are
        interrupted, its whole process group is killed. Raises UnavailableError when the program is not there or
        cannot be executed, ConfigurationError when the folder it should run in is not there.
        """
        process = start(command)
        try:
            output, errors = process.communicate(timeout=command.timeout)
        except subprocess.TimeoutExpired:
            output, errors = _kill_and_read(process)
            return Finished(process.returncode, _text(output), _text(errors), timed_out=True)
        except BaseException:
            _kill_and_read(process)
            raise
        return Finished(process.returncode, _text(output), _text(errors))


def start(
    command: Command, *, output: IO[bytes] | None = None, keep: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Starts the program in its own session, with no input.

    What it writes goes to the file `output`, or without one to two pipes. `keep` are open file descriptors that
    it inherits. Raises as `Processes.run` does; `command.timeout` is the caller's to keep.
    """
    try:
        return subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=command.env,
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.PIPE,
            stderr=subprocess.STDOUT if output else subprocess.PIPE,
            start_new_session=True,
            pass_fds=keep,
        )
    except OSError as error:
        raise _cannot_start(command, error) from error


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kills the program's process group, if any of it is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _kill_and_read(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    kill_group(process)
    try:
        return process.communicate(timeout=_LAST_OUTPUT)
    except subprocess.TimeoutExpired as still:
        process.wait()
        return still.output or b"", still.stderr or b""


def _cannot_start(command: Command, error: OSError) -> PipelineError:
    program = command.argv[0]
    if command.cwd is not None and not Path(command.cwd).is_dir():
        return ConfigurationError(
            f"cannot run {program} in {command.cwd}: there is no such folder",
            hint=f"create {command.cwd} or correct the path",
        )
    if isinstance(error, FileNotFoundError):
        hint = f"install {program} or put it on PATH; `python -m pipeline doctor` lists what is needed"
        return UnavailableError(f"program not found: {program}", hint=hint)
    return UnavailableError(
        f"cannot run {program}: {error.strerror}", hint=f"`ls -l {program}` shows who may run it"
    )


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")
