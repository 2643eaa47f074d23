"""A process that outlives ours: when ours dies without a word it removes our containers and ends our programs."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.errors import UnavailableError

_SCRIPT = Path(__file__).with_name("watchdog_process.py")
_READY_WITHIN = 20.0
_ENDS_WITHIN = 10.0
_LOCAL_ENGINE = "unix:///var/run/docker.sock"


class Watchdog:
    """Guards containers and networks by their labels, and process groups by their leader's process id.

    A context manager. Entering starts the process and waits until it is ready. Whoever has cleaned up by itself
    calls `stand_down` before leaving; leaving without that, like dying, makes the watchdog clean up: groups are
    killed, then every object that carries all of `labels` is removed, for as long as the engine may still be at
    work on our last request. With no labels only process groups are guarded.
    """

    def __init__(self, labels: Mapping[str, str], engine: str | None = None) -> None:
        """`engine` is the container engine's address (`unix://…`, `tcp://…`); None takes it from DOCKER_HOST."""
        self._labels = dict(labels)
        self._engine = engine or os.environ.get("DOCKER_HOST") or _LOCAL_ENGINE
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Raises UnavailableError when it does not get ready, with what it wrote."""
        told = json.dumps({"engine": self._engine, "labels": self._labels})
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-I", str(_SCRIPT), told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self._process.kill()
            self._process.communicate()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        process = self._guard()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_ENDS_WITHIN)

    def stand_down(self) -> None:
        """All is cleaned up: there is nothing left to do."""
        self._tell("bye")

    def guard_group(self, pid: int) -> None:
        """Adds the process group that `pid` leads."""
        self._tell(f"group {pid}")

    def release_group(self, pid: int) -> None:
        """The group has ended."""
        self._tell(f"ungroup {pid}")

    def _guard(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise AssertionError("the watchdog is used outside its block")
        return self._process

    def _tell(self, line: str) -> None:
        """A watchdog that somebody killed cannot be told: then the sweep at the next start is what is left."""
        pipe = self._guard().stdin
        if pipe is None:
            return
        with contextlib.suppress(BrokenPipeError):
            pipe.write(line.encode() + b"\n")
            pipe.flush()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdout is None:
            return
        answered, _, _ = select.select([process.stdout], [], [], _READY_WITHIN)
        if answered and process.stdout.read(1) == b"!":
            return
        process.kill()
        last = process.communicate()[1].decode("utf-8", "replace").strip().splitlines()[-1:] or ["no answer"]
        raise UnavailableError(
            f"the watchdog for containers of the engine at {self._engine} did not start: {last[0]}",
            hint="without it a killed run leaves containers behind; `python -m pipeline doctor` checks the engine",
        )
