"""A steady stream of requests through a front end, half on kept connections, half on new ones; every answer counts."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

KEPT = 8
ANSWER_SECONDS = 10.0
LATE_SECONDS = 0.25


@dataclass(frozen=True)
class Request:
    """What is sent, and which status is the right answer."""

    method: str = "GET"
    path: str = "/"
    body: bytes = b""
    status: int = 200

    def wire(self, host: str) -> bytes:
        kind = "Content-Type: application/json\r\n" if self.body.startswith(b"{") else ""
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: {host}\r\n{kind}Content-Length: {len(self.body)}\r\n\r\n"
        return head.encode() + self.body


OWNER = {
    "first_name": "Una",
    "last_name": "Steady",
    "address": "1 Test Lane",
    "city": "Madison",
    "telephone": "6085550000",
}
VISITORS = (
    Request("GET", "/api/owners/1"),
    Request("POST", "/api/owners", json.dumps(OWNER).encode(), 201),
    Request("GET", "/api/owners?last_name=Davis"),
    Request("GET", "/api/vets"),
)
"""What the sample app is asked for: three reads and a write."""


@dataclass
class Tally:
    """What came of the requests. `longest_gap` is the longest time in seconds without a good answer.

    `kinds` counts those sent by `GET kept`, `GET new` and so on; `late` ones were sent late by this machine.
    """

    sent: int = 0
    failed: int = 0
    late: int = 0
    longest_gap: float = 0.0
    errors: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    last_good: float = 0.0

    def good(self) -> None:
        now = time.monotonic()
        if self.last_good:
            self.longest_gap = max(self.longest_gap, now - self.last_good)
        self.last_good = now

    def bad(self, error: str) -> None:
        self.failed += 1
        if len(self.errors) < 20:
            self.errors.append(f"{datetime.now(UTC):%H:%M:%S.%f} {error}")


class SteadyLoad:
    """`with SteadyLoad(url, rate=100, path="/") as load: …`; afterwards `load.tally` holds the count.

    `mix` is sent in turn, each on a kept and on a new connection; without it, `method` and `path` alone. Requests
    begin at planned moments, however long the answers take.
    """

    def __init__(
        self,
        url: str,
        *,
        rate: float,
        path: str = "/",
        method: str = "GET",
        host: str = "",
        mix: Sequence[Request] = (),
    ) -> None:
        parts = urlsplit(url)
        self._where = (parts.hostname or "127.0.0.1", parts.port or 80)
        alone = Request(method, path, b"x=1" if method == "POST" else b"")
        self._mix = [(request, request.wire(host or parts.netloc)) for request in mix or (alone,)]
        self._every = 1.0 / rate
        # In turn: one that lay idle for as long as the balancer keeps it (60 s) may be closed just as it is used again.
        self._kept: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._drive()), daemon=True)
        self.tally = Tally()

    def __enter__(self) -> SteadyLoad:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _drive(self) -> None:
        under_way: set[asyncio.Task[None]] = set()
        begin = time.monotonic()
        number = 0
        while not self._stop.is_set():
            self.tally.late += time.monotonic() - begin - number * self._every > LATE_SECONDS
            task = asyncio.create_task(self._one(number))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            number += 1
            await asyncio.sleep(max(0.0, begin + number * self._every - time.monotonic()))
        await asyncio.gather(*under_way)
        while not self._kept.empty():
            self._kept.get_nowait()[1].close()

    async def _one(self, number: int) -> None:
        request, wire = self._mix[number // 2 % len(self._mix)]
        keep = number % 2 == 1
        self.tally.sent += 1
        kind = f"{request.method} {'kept' if keep else 'new'}"
        self.tally.kinds[kind] += 1
        try:
            status, body = await asyncio.wait_for(self._exchange(wire, keep=keep), ANSWER_SECONDS)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            self.tally.bad(f"{kind} {request.path}: {type(error).__name__}: {error}")
            return
        if status == request.status:
            self.tally.good()
        else:
            self.tally.bad(f"{kind} {request.path}: status {status} {body[:120]!r}")

    async def _exchange(self, wire: bytes, *, keep: bool) -> tuple[int, bytes]:
        reader, writer = self._kept.get_nowait() if keep and not self._kept.empty() else await self._connect()
        try:
            writer.write(wire)
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            lines = head.lower().split(b"\r\n")
            length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
            body = await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        if keep and b"connection: close" not in lines and self._kept.qsize() < KEPT:
            self._kept.put_nowait((reader, writer))
        else:
            writer.close()
        return status, body

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self._where)
