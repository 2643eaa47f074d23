"""Loaded by Locust beside the project's own locustfile: records what happens and ends the run. Import it nowhere else.

Without `ONEDIGEST_LOAD` in the environment it does nothing. With it (JSON: `stream`, `users`, `lead`, `duration`,
`grace` in seconds) it writes one JSON object a line to `stream`: a `begin`, a `second` for every second since the
first user, an `end`. A request belongs to the moment it was sent. Requests sent within `duration` seconds after
`lead` are recorded; their answers are waited for `grace` seconds. Requests to another server than the one under test
(a token from somewhere, a wired address) are no requests of ours: they are not recorded, and the log says so.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import gevent
from locust import events
from locust.env import Environment
from locust.runners import LocalRunner

from pipeline.model.histogram import bin_of

_LOG = logging.getLogger("onedigest.load")
_TICK = 0.02
_NAMES = 500
_MESSAGES = 50
_LENGTH = 200


class Tally:
    """What happened to one endpoint within an interval."""

    __slots__ = ("bins", "failures", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.failures = 0
        self.bins: dict[int, int] = {}


class Interval:
    """What was recorded since the last line."""

    __slots__ = ("began", "cpu", "endpoints", "errors", "late", "outside", "wall")

    def __init__(self) -> None:
        self.began, self.wall, self.cpu = time.monotonic(), time.time(), time.process_time()
        self.late = 0.0
        self.outside = 0
        self.endpoints: dict[str, Tally] = {}
        self.errors: Counter[str] = Counter()


class Recorder:
    """Counts requests, writes the stream, and ends the run when its time is over."""

    def __init__(self, plan: Mapping[str, Any], stream: TextIO) -> None:
        self._plan, self._stream = plan, stream
        self._origin = self._opens = self._closes = time.monotonic()
        self._interval = Interval()
        self._names: set[str] = set()
        self._messages: set[str] = set()
        self._server = ""
        self._others: set[str] = set()
        self._lines = self._measured = 0

    def begin(self, environment: Environment, **_: Any) -> None:
        """Locust starts the users."""
        self._server = urlsplit(environment.host or "").netloc
        self._interval = Interval()
        self._origin = self._interval.began
        self._opens = self._origin + self._plan["lead"]
        self._closes = self._opens + self._plan["duration"]
        gevent.spawn(self._watch_lag)
        gevent.spawn(self._guarded, environment)

    def request(self, request_type: str, name: str, response_time: Any, **more: Any) -> None:
        """Locust has an answer, or knows that there is none."""
        sent = more.get("start_time")
        ago = time.time() - sent if isinstance(sent, float) else (response_time or 0) / 1000
        within = self._opens <= time.monotonic() - ago < self._closes
        if not within or self._elsewhere(str(more.get("url") or "")):
            self._interval.outside += 1
            return
        endpoint = name if name.startswith(f"{request_type} ") else f"{request_type} {name}"
        tally = self._tally(endpoint)
        failure = more.get("exception")
        try:
            number = bin_of(response_time)
            tally.bins[number] = tally.bins.get(number, 0) + 1
        except (TypeError, ValueError):
            failure = failure or f"its response time is {response_time!r}"
        if failure:
            self._fail(tally, f"{endpoint}: {failure}")

    def exception(self, user_instance: object, exception: BaseException, **_: Any) -> None:
        """A task of the locustfile raised: a failed request of its own, since the journey went no further."""
        if self._opens <= time.monotonic() < self._closes:
            who = type(user_instance).__name__
            self._fail(
                self._tally(f"task of {who}"), f"task of {who} raised {type(exception).__name__}: {exception}"
            )

    def _elsewhere(self, url: str) -> bool:
        """Whether another server was asked; clients that tell no URL ask ours."""
        server = urlsplit(url).netloc
        if server in ("", self._server):
            return False
        if server not in self._others and len(self._others) < _MESSAGES:
            self._others.add(server)
            _LOG.warning("requests to %s do not count: the service under test is %s", server, self._server)
        return True

    def _tally(self, name: str) -> Tally:
        if name not in self._names:
            if len(self._names) >= _NAMES:
                name = "other endpoints"
            self._names.add(name)
        tally = self._interval.endpoints.get(name)
        if tally is None:
            tally = self._interval.endpoints[name] = Tally()
        tally.requests += 1
        self._measured += 1
        return tally

    def _fail(self, tally: Tally, message: str) -> None:
        tally.failures += 1
        message = " ".join(message.split())[:_LENGTH]
        if message not in self._messages:
            if len(self._messages) >= _MESSAGES:
                message = "other failures"
            self._messages.add(message)
        self._interval.errors[message] += 1

    def _watch_lag(self) -> None:
        while True:
            before = time.monotonic()
            gevent.sleep(_TICK)
            self._interval.late += max(0.0, time.monotonic() - before - _TICK)

    def _guarded(self, environment: Environment) -> None:
        assert environment.runner is not None
        try:
            self._run(environment)
        finally:
            # When the record cannot be written it has no end, so that nothing can pass on it.
            environment.runner.quit()

    def _run(self, environment: Environment) -> None:
        runner = environment.runner
        assert runner is not None
        self._write(
            {"kind": "begin", "pid": os.getpid(), "wall": self._interval.wall, "users": self._plan["users"]}
        )
        tick = self._origin
        while time.monotonic() < self._closes:
            tick = min(max(tick, time.monotonic() - 1) + 1, self._closes)
            gevent.sleep(max(0.0, tick - time.monotonic()))
            self._second(runner.user_count)
        stopping = gevent.spawn(runner.stop)
        last = time.monotonic() + self._plan["grace"]
        while runner.user_count and time.monotonic() < last:
            gevent.sleep(_TICK)
        unfinished = runner.user_count
        self._second(unfinished)
        self._write(
            {"kind": "end", "lines": self._lines, "requests": self._measured, "unfinished": unfinished}
        )
        stopping.join()

    def _second(self, users: int) -> None:
        done, self._interval = self._interval, Interval()
        following = self._interval
        took = following.began - done.began
        self._lines += 1
        self._write(
            {
                "kind": "second",
                "line": self._lines,
                "from": done.began - self._origin,
                "to": following.began - self._origin,
                "skew": following.wall - done.wall - took,
                "cpu": following.cpu - done.cpu,
                "late": min(done.late, took),
                "users": users,
                "outside": done.outside,
                "endpoints": {
                    name: [tally.requests, tally.failures, tally.bins]
                    for name, tally in done.endpoints.items()
                },
                "errors": done.errors,
            }
        )

    def _write(self, line: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n")
        self._stream.flush()


def _shape_is_ours(environment: Environment, **_: Any) -> None:
    if not isinstance(environment.runner, LocalRunner):
        _LOG.error(
            "this load test takes one Locust process: remove processes, master and worker from Locust's settings"
        )
        sys.exit(1)
    if environment.shape_class is not None:
        _LOG.warning("the locustfile's LoadTestShape is not used: users and times come from pipeline.toml")
        environment.shape_class = None


def _install(plan: Mapping[str, Any]) -> None:
    # Open until the process ends.
    recorder = Recorder(plan, Path(plan["stream"]).open("w", encoding="utf-8"))  # noqa: SIM115
    hooks: Any = events
    hooks.init.add_listener(_shape_is_ours)
    hooks.test_start.add_listener(recorder.begin)
    hooks.request.add_listener(recorder.request)
    hooks.user_error.add_listener(recorder.exception)


if os.environ.get("ONEDIGEST_LOAD"):
    _install(json.loads(os.environ["ONEDIGEST_LOAD"]))
