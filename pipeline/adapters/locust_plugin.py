"""Loaded by Locust beside the project's own locustfile: records what happens and ends the run. Import it nowhere else.

Without `ONEDIGEST_LOAD` in the environment it does nothing. With it (JSON, see `locust_process.plan_of`) it writes the
record that `locust_recorder` describes to `stream`. A request belongs to the moment it was sent. Requests sent within
`duration` seconds after `lead` are recorded; their answers are waited for `grace` seconds. Requests to another server
than the side's own (a token from somewhere, a wired address) are no requests of ours: they are not recorded, and the
log says so; those that went to the other one of two sides are counted by themselves. SIGTERM ends measuring with the
block that runs, and then the process, with the record whole.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from locust.runners import LocalRunner

from pipeline.adapters import locust_sides
from pipeline.adapters.locust_pacing import Arrivals, pace
from pipeline.adapters.locust_recorder import KEY, Party, Recorder

_LOG = logging.getLogger("onedigest.load")
_TICK = 0.02


class Run:
    """Begins, follows and ends the load."""

    def __init__(
        self, plan: Mapping[str, Any], recorder: Recorder, arrivals: Arrivals | None, made: Mapping[type, int]
    ) -> None:
        self._plan, self._recorder, self._arrivals, self._made = plan, recorder, arrivals, made
        self._begun = False
        self._told = gevent.event.Event()

    def begin(self, environment: Environment, **_: Any) -> None:
        """Locust is about to start the users."""
        self._recorder.begin(self._start())
        gevent.spawn(self._watch_lag)
        gevent.spawn(self._guarded, environment)
        self._begun = True

    def request(
        self, request_type: str, name: str, response_time: Any, context: Any = None, **more: Any
    ) -> None:
        """Locust has an answer, or knows that there is none."""
        flight = context.pop(KEY, None) if type(context) is dict else None
        if flight is None:
            flight = locust_sides.unseen(more.get("start_time"), response_time)
        if not name.startswith(request_type) or not name.startswith(f"{request_type} "):
            name = f"{request_type} {name}"
        urls = (more.get("url"), *locust_sides.led_to(more.get("response")))
        self._recorder.land(flight, name, response_time, more.get("exception"), urls)

    def exception(self, user_instance: object, exception: BaseException, **_: Any) -> None:
        """A task of the locustfile raised."""
        user = getattr(user_instance, "user", user_instance)
        self._recorder.task_failed(locust_sides.party_of(user), user, exception)

    def end_early(self, then: Callable[[], None]) -> None:
        """Closes the record, after which Locust ends; at once where there is none yet, and when it is asked again."""
        if self._begun and not self._told.is_set():
            self._recorder.close_early()
            self._told.set()
        else:
            then()

    def _start(self) -> float:
        """When the load begins: now, or the moment that the file `start` will hold, for all processes the same."""
        if not self._plan["start"]:
            return time.monotonic()
        self._recorder.ready()
        start = Path(self._plan["start"])
        while not start.exists():
            gevent.sleep(_TICK)
        begin = time.monotonic() + float(start.read_text()) - time.time()
        gevent.sleep(max(0.0, begin - time.monotonic()))
        return begin

    def _watch_lag(self) -> None:
        while True:
            before = time.monotonic()
            gevent.sleep(_TICK)
            self._recorder.lag(max(0.0, time.monotonic() - before - _TICK))

    def _guarded(self, environment: Environment) -> None:
        assert environment.runner is not None
        try:
            self._run(environment.runner)
        finally:
            # When the record cannot be written it has no end, so that nothing can pass on it.
            environment.runner.quit()

    def _run(self, runner: Any) -> None:
        recorder, block = self._recorder, self._plan["block"]
        tick = recorder.origin + self._plan["lead"] % block
        while (now := time.monotonic()) < recorder.closes:
            tick = min(max(tick, now - block) + block, recorder.closes)
            self._told.wait(max(0.0, tick - now))
            gevent.sleep(max(0.0, min(tick, recorder.closes) - time.monotonic()))
            recorder.interval(self._users(runner))
        stopping = gevent.spawn(runner.stop)
        last = time.monotonic() + self._plan["grace"]
        while runner.user_count and time.monotonic() < last:
            gevent.sleep(_TICK)
        unfinished = self._users(runner)
        recorder.interval(unfinished)
        idle = sorted(kind.__name__ for kind in runner.user_classes if not self._made.get(kind))
        recorder.end(unfinished, self._arrivals.counts() if self._arrivals else {}, idle)
        stopping.join()

    def _users(self, runner: Any) -> dict[str, int]:
        return locust_sides.users_of(runner, self._recorder.parties)


def _install(plan: Mapping[str, Any]) -> None:
    parties = [Party(name, host) for name, host in plan["sides"].items()]
    # Open until the process ends.
    stream = Path(plan["stream"]).open("w", encoding="utf-8")  # noqa: SIM115
    recorder = Recorder(plan, parties, stream)
    arrivals = Arrivals(plan, recorder) if plan["arrivals"] else None
    run = Run(plan, recorder, arrivals, locust_sides.assign(parties))
    locust_sides.watch_requests(recorder, arrivals.late if arrivals else None)
    if arrivals:
        pace(arrivals)
    else:
        locust_sides.scatter(plan)
    _listen(plan, run)
    _take_sigterm(run)


def _listen(plan: Mapping[str, Any], run: Run) -> None:
    hooks: Any = events

    def loaded(environment: Environment, **_: Any) -> None:
        if not isinstance(environment.runner, LocalRunner):
            _LOG.error(
                "this load test takes one Locust process: remove processes, master and worker from Locust's settings"
            )
            sys.exit(1)
        if environment.shape_class is not None:
            _LOG.warning(
                "the locustfile's LoadTestShape is not used: users and times come from pipeline.toml"
            )
            environment.shape_class = None
        skip = plan["shard"] * plan["users"]
        environment.dispatcher_class = locust_sides.dispatcher(len(plan["sides"]), skip)
        # After the locustfile's own listeners, whose preparations are no part of the load.
        hooks.test_start.add_listener(run.begin)

    hooks.init.add_listener(loaded)
    hooks.request.add_listener(run.request)
    hooks.user_error.add_listener(run.exception)


def _take_sigterm(run: Run) -> None:
    """Locust sets what ends it on SIGTERM after this file was loaded; the record is closed before that."""
    everything: Any = gevent
    plain = everything.signal_handler

    def signal_handler(number: int, handler: Callable[[], None], *more: Any, **named: Any) -> Any:
        ours = (lambda: run.end_early(handler)) if number == signal.SIGTERM else handler
        return plain(number, ours, *more, **named)

    everything.signal_handler = signal_handler


if os.environ.get("ONEDIGEST_LOAD"):
    _install(json.loads(os.environ["ONEDIGEST_LOAD"]))
