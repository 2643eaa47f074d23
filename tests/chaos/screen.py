"""A command of the program under way: what it says and when, and what can be done to it meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

LONGEST = 600.0


@dataclass
class Screen:
    """Reads a process's both streams as they come. Times are seconds since the epoch."""

    process: subprocess.Popen[str]
    begun: float = field(default_factory=time.time)
    lines: list[tuple[float, str]] = field(default_factory=list)
    _out: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._threads = [
            threading.Thread(target=reads, daemon=True) for reads in (self._read_said, self._read_answer)
        ]
        for thread in self._threads:
            thread.start()

    def wait(self) -> int:
        """Waits for its end; the exit code, minus the signal's number where one ended it."""
        code = self.process.wait(timeout=LONGEST)
        for thread in self._threads:
            thread.join(timeout=30.0)
        print(self.said, file=sys.stderr)
        return code

    @property
    def said(self) -> str:
        return "".join(line for _, line in self.lines)

    @property
    def answer(self) -> Mapping[str, Any]:
        """The JSON answer; empty where there is none."""
        try:
            found: Mapping[str, Any] = json.loads("".join(self._out))
        except ValueError:
            return {}
        return found

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the last stage found of its rollout."""
        stages: Sequence[Mapping[str, Any]] = self.answer.get("stages", ())
        found: Mapping[str, Any] = stages[-1]["facts"].get("deployment", {}) if stages else {}
        return found

    @property
    def reason(self) -> str:
        """The first line of the first reason of the last stage, or of the error; with the next where it ends in ':'."""
        stages = self.answer.get("stages", ())
        if stages and stages[-1]["reasons"]:
            first, *others = str(stages[-1]["reasons"][0]["text"]).splitlines()
            return f"{first} {others[0].strip()}" if first.endswith(":") and others else first
        found = [line.partition("error: ")[2].strip() for _, line in self.lines if "error: " in line]
        return found[0] if found else ""

    def when(self, *texts: str) -> float | None:
        """When the first line with one of the texts came."""
        return next((at for at, line in self.lines if any(text in line for text in texts)), None)

    def kill(self) -> None:
        """kill -9, and it is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=60.0)

    def pause(self) -> None:
        """It is not given the processor any more, as when a laptop is closed."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def _read_said(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append((time.time(), line))

    def _read_answer(self) -> None:
        assert self.process.stdout is not None
        self._out.extend(self.process.stdout)


class Visitor:
    """Asks for the home page ten times a second, each time on a new connection; keeps who answered, and what failed."""

    def __init__(self, url: str, every: float = 0.1) -> None:
        self._url = url
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go, daemon=True)
        self.sent = 0
        self.failed: list[float] = []
        self.digests: set[str] = set()

    def __enter__(self) -> Visitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30.0)

    def _go(self) -> None:
        while not self._stop.wait(self._every):
            self.sent += 1
            try:
                answer = requests.get(self._url + "/", timeout=10)
                answer.raise_for_status()
                self.digests.add(str(answer.json()["digest"]))
            except (requests.RequestException, ValueError, KeyError):
                self.failed.append(time.time())
