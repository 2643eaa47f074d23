"""The emulator's process: started detached, known by its own answer, stopped by its pid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UnavailableError
from pipeline.local.launch import IDENTITY_PATH
from pipeline.local.loopback import holder

START_SECONDS = 60.0
STOP_SECONDS = 5.0
LONGEST_LOG = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """What answers on the emulator's port: whose cloud, which process, which start, and how the balancer does."""

    cloud: str
    pid: int
    boot: str
    balancer: str


class EmulatorProcess:
    """One cloud's emulator."""

    def __init__(self, state: Path, cloud: str) -> None:
        """`state` takes log and pid file."""
        self._state = state
        self._cloud = cloud
        self.log = state / "emulator.log"
        self._pid_file = state / "emulator.pid"

    def identity(self, port: int, timeout: float = 2.0) -> Identity | None:
        """Who answers on the port, if it is this cloud's emulator; None for silence and for anybody else."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{port}{IDENTITY_PATH}", timeout=timeout) as answer:
                found = Identity(**json.load(answer))
        except (OSError, ValueError, TypeError, urllib.error.URLError):
            return None
        return found if found.cloud == self._cloud else None

    def start(self, port: int) -> Identity:
        """Starts the process and waits for its answer. Raises UnavailableError with its last log lines."""
        root = Path(__file__).resolve().parents[2]
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "COVERAGE_", "COV_CORE"))
        }
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(root), os.environ.get("PYTHONPATH", "")])
        )
        keep = self.log.exists() and self.log.stat().st_size < LONGEST_LOG
        with self.log.open("ab" if keep else "wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.local.emulator", "--state", str(self._state)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self._pid_file.write_text(str(process.pid), "utf-8")
        deadline = time.monotonic() + START_SECONDS
        while (found := self.identity(port)) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise self._failed(port, process.returncode)
            time.sleep(0.05)
        return found

    def _failed(self, port: int, code: int | None) -> UnavailableError:
        how = f"ended with {code}" if code is not None else f"did not answer on port {port} ({holder(port)})"
        return UnavailableError(
            f"the local AWS emulator {how}; its last lines:\n{self.last_lines()}",
            hint=f"the whole log is {self.log}",
        )

    def last_lines(self, count: int = 15) -> str:
        """The end of the log."""
        try:
            return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-count:])
        except OSError:
            return "(no log)"

    def pid(self) -> int | None:
        """The process, if it still runs and is this cloud's."""
        try:
            pid = int(self._pid_file.read_text("utf-8"))
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        ours = b"pipeline.local.emulator" in command and str(self._state).encode() in command
        return pid if ours else None

    def was_started(self) -> bool:
        """True when it was started and not stopped by us since: it runs, or it died."""
        return self._pid_file.exists()

    def stop(self) -> None:
        """Ends the process: SIGTERM, then SIGKILL."""
        pid = self.pid()
        if pid is not None:
            self._end(pid)
        self._pid_file.unlink(missing_ok=True)

    def _end(self, pid: int) -> None:
        _signal(pid, signal.SIGTERM)
        if not _wait_for_end(pid, STOP_SECONDS):
            _signal(pid, signal.SIGKILL)
            _wait_for_end(pid, STOP_SECONDS)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _wait_for_end(pid: int, seconds: float) -> bool:
    """True when the process is gone, and its sockets with it: a dying one loses its command line before its files."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        _reap(pid)
        try:
            state = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rsplit(")", 1)[1].split()[0]
        except (OSError, IndexError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.02)
    return False


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
