"""Locust processes: how they are started, told what to do, and that they end with us."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError, UnavailableError
from pipeline.model.load import LoadShape
from pipeline.model.sides import BLOCK_SECONDS

PLUGIN = Path(__file__).with_name("locust_plugin.py")
_OURS = PLUGIN.parents[2]
_POLITE = 3.0


class Program:
    """Locust with our plugin and a project's locustfile, by the interpreter `python`, in the folder `root`.

    `environ` is what the locustfile sees of the environment; Locust's own variables are taken out of it.
    """

    def __init__(self, python: str, root: Path, environ: Mapping[str, str]) -> None:
        self.python, self.root = python, root
        self._environ = {key: value for key, value in environ.items() if not key.startswith("LOCUST_")}

    def list_users(self, path: Path, timeout: float) -> subprocess.CompletedProcess[bytes]:
        """Imports the locustfile and lists its User classes. Raises TimeoutExpired, and UnavailableError as `start`."""
        with guard() as watched:
            try:
                return subprocess.run(
                    [*self._argv(watched, path), "--list"],
                    cwd=self.root,
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(watched,),
                    timeout=timeout,
                    check=False,
                )
            except OSError as error:
                raise self.not_there(error.strerror or str(error)) from error

    def start(
        self, plan: Mapping[str, Any], locustfile: Path, log: Path, watched: int
    ) -> subprocess.Popen[bytes]:
        """Starts one process that does as the plan says. Raises UnavailableError when it cannot be started."""
        argv = [
            *self._argv(watched, self.root / locustfile),
            *("--headless", "--only-summary", "--exit-code-on-error", "0", "--loglevel", "INFO"),
            *("--host", next(iter(plan["sides"].values()))),
            *("--users", str(plan["users"]), "--spawn-rate", str(plan["spawn_rate"])),
            # With a file to write its own figures to, Locust does not print them over the log's last lines.
            *("--json-file", f"{Path(plan['stream']).with_suffix('')}-stats"),
            # Longer than our own grace, so that we see who is still waiting before Locust ends them.
            *("--stop-timeout", str(math.ceil(plan["grace"]) + 1)),
        ]
        with log.open("wb") as output:
            try:
                return subprocess.Popen(
                    argv,
                    cwd=self.root,
                    env=self._environment() | {"ONEDIGEST_LOAD": json.dumps(plan)},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(watched,),
                )
            except OSError as error:
                raise self.not_there(error.strerror or str(error)) from error

    def not_there(self, why: str) -> PipelineError:
        """Locust cannot be used at all."""
        return UnavailableError(
            f"cannot start Locust with {self.python}: {why}", hint="run `make setup`, which installs Locust"
        )

    def _argv(self, watched: int, locustfile: Path) -> list[str]:
        # Relative, because Locust separates the two by a comma and a folder above may have one in its name.
        files = ",".join(os.path.relpath(path, self.root) for path in (PLUGIN, locustfile))
        return [self.python, "-m", "pipeline.adapters.locust_main", str(watched), "-f", files]

    def _environment(self) -> dict[str, str]:
        paths = [str(_OURS), self._environ.get("PYTHONPATH", "")]
        return self._environ | {
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "PYTHONUNBUFFERED": "1",
        }


class Fleet:
    """The processes of one load."""

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        self._processes = processes

    def ended(self) -> list[bool]:
        """Which of them run no more."""
        return [process.poll() is not None for process in self._processes]

    def end_early(self) -> None:
        """Asks them to close their records and to end; does not wait for it."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()

    def remove(self) -> None:
        """Ends what still runs, politely first."""
        self.end_early()
        patience = time.monotonic() + _POLITE
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, patience - time.monotonic()))
        for process in self._processes:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextlib.contextmanager
def started(
    program: Program, plans: Sequence[Mapping[str, Any]], locustfile: Path, logs: Sequence[Path]
) -> Iterator[Fleet]:
    """One process a plan; none of them runs any more when the block has ended. Raises as `Program.start` does."""
    processes: list[subprocess.Popen[bytes]] = []
    with guard() as watched:
        try:
            for plan, log in zip(plans, logs, strict=True):
                processes.append(program.start(plan, locustfile, log, watched))
            yield Fleet(processes)
        finally:
            Fleet(processes).remove()


def plans_of(
    shape: LoadShape, sides: Mapping[str, str], streams: Sequence[Path], start: Path | None, grace: float
) -> list[dict[str, Any]]:
    """What each process is told: its share of the shape, and where to write.

    `sides` maps a side's name in the record to its base URL. `start` is the file that will hold the moment of the
    common start, as seconds since the epoch; None, each begins when it can. The locustfile's path is not in it.
    """
    processes = shape.processes
    return [
        {
            "stream": str(stream.resolve()),
            "shard": number,
            "sides": dict(sides),
            "users": shape.users // processes,
            "spawn_rate": shape.spawn_rate / processes,
            "arrivals": None if shape.arrivals is None else shape.arrivals / processes,
            "lead": shape.lead,
            "duration": shape.duration,
            "block": BLOCK_SECONDS,
            "grace": grace,
            "start": None if start is None else str(start.resolve()),
        }
        for number, stream in enumerate(streams)
    ]


@contextlib.contextmanager
def guard() -> Iterator[int]:
    """A pipe's read end for processes to watch; only we hold the other side, so that it closes when we end."""
    watched, held = os.pipe()
    try:
        yield watched
    finally:
        os.close(held)
        os.close(watched)
