"""A steady stream of requests at one URL: half on kept connections, half on new ones; every answer is looked at."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

KEPT = 8
ANSWER_SECONDS = 10.0


@dataclass
class Tally:
    """What came of the requests. `longest_gap` is the longest time in seconds without a good answer."""

    sent: int = 0
    failed: int = 0
    longest_gap: float = 0.0
    errors: list[str] = field(default_factory=list)
    last_good: float = 0.0

    def good(self) -> None:
        now = time.monotonic()
        if self.last_good:
            self.longest_gap = max(self.longest_gap, now - self.last_good)
        self.last_good = now

    def bad(self, error: str) -> None:
        self.failed += 1
        if len(self.errors) < 20:
            self.errors.append(error)


class SteadyLoad:
    """`with SteadyLoad(url, rate=100, path="/") as load: …`; afterwards `load.tally` holds the count."""

    def __init__(
        self, url: str, *, rate: float, path: str = "/", method: str = "GET", host: str = ""
    ) -> None:
        parts = urlsplit(url)
        self._where = (parts.hostname or "127.0.0.1", parts.port or 80)
        body = b"x=1" if method == "POST" else b""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {host or parts.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self._every = 1.0 / rate
        self._kept: asyncio.LifoQueue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.LifoQueue()
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
            number += 1
            task = asyncio.create_task(self._one(keep=number % 2 == 0))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            await asyncio.sleep(max(0.0, begin + number * self._every - time.monotonic()))
        await asyncio.gather(*under_way)
        while not self._kept.empty():
            self._kept.get_nowait()[1].close()

    async def _one(self, *, keep: bool) -> None:
        self.tally.sent += 1
        try:
            status = await asyncio.wait_for(self._exchange(keep=keep), ANSWER_SECONDS)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            self.tally.bad(f"{type(error).__name__}: {error}")
            return
        if status == 200:
            self.tally.good()
        else:
            self.tally.bad(f"status {status}")

    async def _exchange(self, *, keep: bool) -> int:
        reader, writer = self._kept.get_nowait() if keep and not self._kept.empty() else await self._connect()
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        await reader.readexactly(length)
        if keep and b"connection: close" not in lines and self._kept.qsize() < KEPT:
            self._kept.put_nowait((reader, writer))
        else:
            writer.close()
        return status

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self._where)
