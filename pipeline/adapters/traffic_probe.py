"""Light steady requests through a load balancer, on a planned schedule, from a thread of their own."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as SlowError

from pipeline.model.probe import Log, Pause, Shot
from pipeline.ports import Clock

_BEHIND = 1.0
"""Seconds behind its plan from which the probe leaves out what it has missed instead of sending it all at once."""

_HEADERS = {"User-Agent": "onedigest-probe", "Accept": "*/*"}


@dataclass(frozen=True, slots=True)
class SteadyProbe:
    """`pipeline.ports.TrafficProbe`: `rate` GET requests a second at `paths` in turn, one planned moment each.

    A slow answer delays no later request. Every second request has a connection of its own, the others share kept
    ones. Redirects are answers, nothing is tried again, and `timeout` seconds without progress are a failure.
    """

    clock: Clock
    rate: float
    paths: Sequence[str]
    timeout: float = 5.0

    def start(self, base_url: str) -> SteadyRequests:
        """Begins at once."""
        return SteadyRequests(self, base_url.rstrip("/"))


class SteadyRequests:
    """`pipeline.ports.RunningProbe` of a `SteadyProbe`."""

    def __init__(self, plan: SteadyProbe, base_url: str) -> None:
        self._plan = plan
        self._base_url = base_url
        most = max(4, math.ceil(plan.rate * plan.timeout) + 2)
        limits = urllib3.Timeout(total=plan.timeout)
        self._kept = urllib3.PoolManager(maxsize=most, timeout=limits, retries=False, headers=_HEADERS)
        once = {**_HEADERS, "Connection": "close"}
        self._fresh = urllib3.PoolManager(maxsize=1, timeout=limits, retries=False, headers=once)
        self._workers = ThreadPoolExecutor(most, thread_name_prefix="probe")
        self._shots: list[Shot] = []
        self._pauses: list[Pause] = []
        self._under_way: set[Future[None]] = set()
        self._stop = threading.Event()
        self._planner = threading.Thread(target=self._follow_plan, name="probe", daemon=True)
        self._planner.start()

    def log(self) -> Log:
        """What has ended so far."""
        return Log(tuple(self._shots), tuple(self._pauses))

    def stop(self) -> Log:
        """Plans no more and waits for what is under way, a little longer than one may take."""
        self._stop.set()
        self._planner.join()
        wait(tuple(self._under_way), timeout=self._plan.timeout + 1.0)
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._kept.clear()
        self._fresh.clear()
        return self.log()

    def _follow_plan(self) -> None:
        every, clock = 1.0 / self._plan.rate, self._plan.clock
        planned, number = clock.monotonic(), 0
        while not self._stop.wait(max(0.0, planned - clock.monotonic())):
            behind = clock.monotonic() - planned
            if behind > _BEHIND:
                self._pauses.append(Pause(planned, planned + behind))
                planned += math.ceil(behind / every) * every
                continue
            future = self._workers.submit(self._one, number, planned)
            self._under_way.add(future)
            future.add_done_callback(self._under_way.discard)
            number += 1
            planned += every

    def _one(self, number: int, planned: float) -> None:
        """Even numbers on kept connections, odd ones on their own; both kinds ask every path."""
        clock = self._plan.clock
        path = self._plan.paths[number // 2 % len(self._plan.paths)]
        pool = self._fresh if number % 2 else self._kept
        started = clock.monotonic()
        status, error = 0, ""
        try:
            status = pool.request("GET", self._base_url + path, redirect=False).status
        except (HTTPError, OSError, ValueError) as caught:
            error = _in_words(caught)
        self._shots.append(Shot(planned, started, clock.monotonic(), path, status, error))


def _in_words(error: Exception) -> str:
    """A short name of what went wrong, the same for all of a kind, so that they can be counted together."""
    if isinstance(error, MaxRetryError) and error.reason is not None:
        return _in_words(error.reason)
    if isinstance(error, ConnectTimeoutError | SlowError) and not isinstance(error, NewConnectionError):
        return "no answer in time"
    if isinstance(error, NewConnectionError):
        return "no connection"
    if isinstance(error, SSLError):
        return "no secure connection"
    if isinstance(error, ProtocolError):
        return "connection broken"
    return type(error).__name__
