"""What our Locust plugin counts and writes: requests by block, side and endpoint, and the generator's own health.

It knows neither Locust nor gevent, and runs inside of Locust. One JSON object a line:

- `ready`: the locustfile is loaded, and the process waits for the common start; only with several processes.
- `begin`: `shard`, `pid`, `wall` (the clock's time of the begin), `late` (seconds after the planned one), `users`.
- `interval`, twice a second: `from` and `to` (seconds since the begin), `blocks` (what was answered within it, by
  number of the block it was sent in, side and endpoint: requests, failures, histogram bins), `whole` (the last block
  of which every answer is in, or was waited for `grace` seconds), and the health of the process.
- `end`: counts by which a reader knows that nothing is missing; `crossed`, how many requests of a side's users went to
  the other side, by a redirect or a whole address; `idle`, the locustfile's User classes of which it ran no user.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

from pipeline.model.histogram import bin_of

KEY = "onedigest.flight"
"""Under which a request's context carries its flight, until it is counted."""

_LOG = logging.getLogger("onedigest.load")
_PRESSURE = Path("/proc/pressure/cpu")
_NAMES = 500
_MESSAGES = 50
_LENGTH = 200


class Party:
    """One side of the run: its name in the record, and the server its users ask."""

    __slots__ = ("base", "host", "name", "server")

    def __init__(self, name: str, host: str) -> None:
        self.name, self.host = name, host
        parts = urlsplit(host)
        self.server = parts.netloc.rpartition("@")[2]
        self.base = f"{parts.scheme}://{self.server}"


class Flight:
    """A request: when it was sent (monotonic), by whom, and how many ms after its planned start."""

    __slots__ = ("at", "late", "party", "user")
    seen = True

    def __init__(self, at: float, party: Party | None, user: object = None, late: float = 0.0) -> None:
        self.at, self.party, self.user, self.late = at, party, user, late


class Unseen(Flight):
    """A request that was noticed by its answer only, as with clients that are not Locust's own."""

    __slots__ = ()
    seen = False


class Cell:
    """What happened to one endpoint of one side, of what was sent within one block."""

    __slots__ = ("bins", "failures", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.failures = 0
        self.bins: dict[int, int] = {}


class Book:
    """Counts between two lines. Names and messages are bounded, however many the locustfile makes up."""

    def __init__(self) -> None:
        self.counted = 0
        self._names: set[str] = set()
        self._messages: set[str] = set()
        self._anew()

    def _anew(self) -> None:
        self.outside = 0
        self._cells: dict[tuple[int, str, str], Cell] = {}
        self._errors: dict[str, Counter[str]] = {}
        self._as_sent: dict[str, dict[int, int]] = {}

    def cell(self, block: int, side: str, endpoint: str) -> Cell:
        """Where one more request is counted, which it is herewith."""
        self.counted += 1
        cell = self._cells.get((block, side, endpoint))
        if cell is None:
            endpoint = self._known(endpoint)
            cell = self._cells.setdefault((block, side, endpoint), Cell())
        cell.requests += 1
        return cell

    def _known(self, endpoint: str) -> str:
        if endpoint not in self._names:
            if len(self._names) >= _NAMES:
                endpoint = "other endpoints"
            self._names.add(endpoint)
        return endpoint

    def as_sent(self, side: str, number: int) -> None:
        """Counts a latency from the moment of sending; `number` is its bin."""
        bins = self._as_sent.setdefault(side, {})
        bins[number] = bins.get(number, 0) + 1

    def fail(self, cell: Cell, side: str, message: str) -> None:
        """Counts the request as failed, for the reason given."""
        cell.failures += 1
        message = " ".join(message.split())[:_LENGTH]
        if message not in self._messages:
            if len(self._messages) >= _MESSAGES:
                message = "other failures"
            self._messages.add(message)
        self._errors.setdefault(side, Counter())[message] += 1

    def take(self) -> dict[str, Any]:
        """What was counted since the last time, as JSON values."""
        blocks: dict[int, dict[str, dict[str, list[Any]]]] = {}
        for (number, side, name), cell in self._cells.items():
            entry = [cell.requests, cell.failures, cell.bins]
            blocks.setdefault(number, {}).setdefault(side, {})[name] = entry
        taken = {
            "outside": self.outside,
            "blocks": blocks,
            "errors": self._errors,
            "as_sent": self._as_sent,
        }
        self._anew()
        return taken


class Health:
    """What this process and its machine went through since the last line."""

    def __init__(self, pressure: Path = _PRESSURE) -> None:
        self._pressure = pressure
        self.late = 0.0
        self._read()

    def _read(self) -> None:
        self.began, self._wall, self._cpu = time.monotonic(), time.time(), time.process_time()
        self._stalled = self._stall()

    def _stall(self) -> float | None:
        """Seconds in which something on this machine waited for a CPU; None where the kernel does not tell."""
        try:
            some = self._pressure.read_text().partition("\n")[0]
            return int(some.rpartition("total=")[2]) / 1e6
        except (OSError, ValueError):
            return None

    def take(self) -> dict[str, Any]:
        """Figures since the last time, as JSON values; `skew` is by how much the clock ran away from the steady one."""
        began, wall, cpu, stalled, late = self.began, self._wall, self._cpu, self._stalled, self.late
        self.late = 0.0
        self._read()
        took = self.began - began
        return {
            "skew": self._wall - wall - took,
            "cpu": self._cpu - cpu,
            "late": min(late, took),
            "pressure": None if stalled is None or self._stalled is None else self._stalled - stalled,
        }


class Recorder:
    """Counts requests by when they were sent, and writes the record."""

    def __init__(self, plan: Mapping[str, Any], parties: Sequence[Party], stream: TextIO) -> None:
        self._plan, self._stream = plan, stream
        self._length: float = plan["block"]
        self._paced = bool(plan["arrivals"])
        self.parties = parties
        self.origin = self.opens = self.closes = math.inf
        self._book, self._health = Book(), Health()
        # In the order of sending, since a dict keeps the order in which keys came.
        self._flying: dict[Flight, None] = {}
        self._unseen = False
        self._strangers: set[str] = set()
        self._crossed = {party.name: 0 for party in parties}
        self._others = {
            party: {other.server for other in parties} - {party.server} if len(parties) > 1 else set()
            for party in parties
        }
        self._lines = 0

    def ready(self) -> None:
        """Everything is loaded, and the process waits for the common start."""
        self._write({"kind": "ready", "shard": self._plan["shard"], "pid": os.getpid()})

    def begin(self, origin: float) -> None:
        """The load begins at `origin` (monotonic), or has begun by now."""
        self.origin, self.opens = origin, origin + self._plan["lead"]
        self.closes = self.opens + self._plan["duration"]
        self._health.take()
        self._write(
            {
                "kind": "begin",
                "shard": self._plan["shard"],
                "pid": os.getpid(),
                "wall": time.time(),
                "late": self._health.began - origin,
                "users": self._plan["users"],
            }
        )

    def close_early(self) -> None:
        """Measuring ends with the block that runs now."""
        number = max(0, math.ceil((time.monotonic() - self.opens) / self._length))
        self.closes = min(self.closes, self.opens + number * self._length)

    def lag(self, seconds: float) -> None:
        """The event loop was late by so much."""
        self._health.late += seconds

    def depart(self, party: Party | None, user: object, late: float = 0.0) -> Flight:
        """A request is about to be sent, `late` ms after its planned start."""
        flight = Flight(time.monotonic(), party, user, late)
        self._flying[flight] = None
        return flight

    def lose(self, flight: Flight) -> None:
        """There will be no answer to count."""
        self._flying.pop(flight, None)

    def land(
        self, flight: Flight, name: str, took: Any, failure: object = None, urls: Sequence[object] = ()
    ) -> None:
        """Counts an answer under the endpoint's name, after `took` ms, or that there is none.

        `urls` are what was asked: where it was sent first, then where redirects led.
        """
        self._flying.pop(flight, None)
        if not flight.seen:
            self._unseen = True
        at, party = flight.at, flight.party
        inside = party is not None and self.opens <= at < self.closes
        if party is None or not inside or self._elsewhere(urls, party):
            self._book.outside += 1
            return
        side = party.name
        cell = self._book.cell(math.floor((at - self.opens) / self._length), side, name)
        try:
            number = bin_of(took + flight.late)
            cell.bins[number] = cell.bins.get(number, 0) + 1
            if self._paced:
                self._book.as_sent(side, bin_of(took) if flight.late else number)
        except (TypeError, ValueError):
            failure = failure or f"its response time is {took!r}"
        if failure:
            self._book.fail(cell, side, f"{name}: {failure}")

    def task_failed(self, party: Party | None, user: object, exception: BaseException) -> None:
        """A task of the locustfile raised: a failed request of its own, since the journey went no further."""
        for flight in [flight for flight in self._flying if flight.user is user]:
            self.lose(flight)
        now = time.monotonic()
        if party is not None and self.opens <= now < self.closes:
            who = type(user).__name__
            cell = self._book.cell(self._block(now), party.name, f"task of {who}")
            message = f"task of {who} raised {type(exception).__name__}: {exception}"
            self._book.fail(cell, party.name, message)

    def interval(self, users: Mapping[str, int]) -> None:
        """Writes what happened since the last line; `users` that run now, by side."""
        self._lines += 1
        since = self._health.began
        health = self._health.take()
        self._write(
            {
                "kind": "interval",
                "line": self._lines,
                "from": since - self.origin,
                "to": self._health.began - self.origin,
                "whole": self._whole(self._health.began),
                "users": users,
                **health,
                **self._book.take(),
            }
        )

    def end(
        self,
        unfinished: Mapping[str, int],
        arrivals: Mapping[str, Sequence[int]],
        idle: Sequence[str] = (),
    ) -> None:
        """The last line; `arrivals` are planned and begun on time, by side, `idle` the User classes without a user."""
        self._write(
            {
                "kind": "end",
                "lines": self._lines,
                "requests": self._book.counted,
                "measured": self.closes - self.opens,
                "unfinished": unfinished,
                "crossed": self._crossed,
                "arrivals": arrivals,
                "idle": idle,
            }
        )

    def _block(self, at: float) -> int:
        return math.floor((at - self.opens) / self._length)

    def _whole(self, now: float) -> int:
        """The last block with no answer outstanding; what nobody waits for any more holds nothing up."""
        patience = now - self._plan["grace"]
        while self._flying and (oldest := next(iter(self._flying))).at < patience:
            del self._flying[oldest]
        # A client that does not tell when it sends may have sent something that is not answered yet.
        since = patience if self._unseen else now
        if self._flying:
            since = min(since, next(iter(self._flying)).at)
        return min(self._block(since), math.ceil((self.closes - self.opens) / self._length)) - 1

    def _elsewhere(self, urls: Sequence[object], party: Party) -> bool:
        """Whether another server was asked, or a redirect led to the other side; clients that tell no URL ask ours."""
        servers = [server for url in urls if (server := _server(url, party))]
        crossed = next((server for server in servers if server in self._others[party]), "")
        if crossed:
            self._crossed[party.name] += 1
        # Where else a service redirects to (a login, a file) is its answer's matter.
        stranger = crossed or (servers[0] if servers and servers[0] != party.server else "")
        if stranger and stranger not in self._strangers and len(self._strangers) < _MESSAGES:
            self._strangers.add(stranger)
            _LOG.warning("requests to %s do not count: the service under test is %s", stranger, party.server)
        return bool(stranger)

    def _write(self, line: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n")
        self._stream.flush()


def _server(url: object, party: Party) -> str:
    """The server that a URL names; empty where there is none."""
    if not isinstance(url, str) or not url:
        return ""
    if url.startswith(party.base) and url[len(party.base) : len(party.base) + 1] in "/?#":
        return party.server
    return urlsplit(url).netloc.rpartition("@")[2]
