"""A small HTTP server for load tests: prints its port, answers every path, and is slow or wrong where it is told.

usage: load_target.py [--port N] [--delay PATH=SECONDS]… [--every N] [--stall AFTER=SECONDS] [--cookie VALUE]
                      [--redirect URL]
--every N answers every N-th request 500. --stall answers nothing for so long, beginning AFTER seconds after the first
request. --cookie sets the cookie `side` to VALUE, and answers 409 to a request that brings another value. --redirect
answers / by a redirect to URL.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%sContent-Length: 2\r\n\r\n{}"
_FOREIGN = b"HTTP/1.1 409 Conflict\r\nContent-Length: 7\r\n\r\nforeign"
_AWAY = b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
_WRONG = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 5\r\n\r\nwrong"


@dataclass(frozen=True)
class Manner:
    """How a server answers."""

    delays: Mapping[str, float] = field(default_factory=dict)
    every: int = 0
    stall: tuple[float, float] = (0.0, 0.0)
    cookie: str = ""
    redirect: str = ""


class Target(asyncio.Protocol):
    """One connection. What it counts is the whole server's."""

    asked = 0
    first = 0.0

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        Target.asked += 1
        Target.first = Target.first or time.monotonic()
        delay = self._manner.delays.get(head.split(b" ", 2)[1].decode(), 0.0) + self._stalled()
        # Without a timer where there is no delay: a target that is loaded hard should be as fast as it can.
        if delay:
            asyncio.get_running_loop().call_later(delay, self._write, self._body(head))
        else:
            self._write(self._body(head))

    def _stalled(self) -> float:
        begin, length = self._manner.stall
        since = time.monotonic() - Target.first - begin
        return length - since if 0 <= since < length else 0.0

    def _body(self, head: bytes) -> bytes:
        if self._manner.every and Target.asked % self._manner.every == 0:
            return _WRONG
        if self._manner.redirect and head.split(b" ", 2)[1] == b"/":
            return _AWAY % self._manner.redirect.encode()
        if not self._manner.cookie:
            return _OK % b""
        own = f"side={self._manner.cookie}".encode()
        if b"side=" in head and own not in head:
            return _FOREIGN
        return _OK % (b"Set-Cookie: " + own + b"; Path=/\r\n")

    def _write(self, body: bytes) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(body)


class TargetServer:
    """The server as a process of its own, on a free loopback port; `url` is where it answers.

    `delays` maps a path to seconds before its answer; the rest as the options of the same names.
    """

    def __init__(
        self,
        delays: Mapping[str, float] | None = None,
        every: int = 0,
        stall: tuple[float, float] | None = None,
        cookie: str = "",
        redirect: str = "",
    ) -> None:
        self._options = [f"--delay={path}={seconds}" for path, seconds in (delays or {}).items()]
        self._options += [f"--every={every}", f"--cookie={cookie}", f"--redirect={redirect}"]
        if stall:
            self._options.append(f"--stall={stall[0]}={stall[1]}")

    def __enter__(self) -> TargetServer:
        argv = [sys.executable, str(Path(__file__)), *self._options]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the server; from here on its port refuses."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


async def serve(port: int, manner: Manner) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Target(manner), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", action="append", default=[])
    parser.add_argument("--every", type=int, default=0, help="every how many requests one is answered 500")
    parser.add_argument("--stall", default="0=0")
    parser.add_argument("--cookie", default="")
    parser.add_argument("--redirect", default="")
    options = parser.parse_args()
    pairs = [pair.split("=") for pair in options.delay]
    after, _, length = options.stall.partition("=")
    delays = {path: float(seconds) for path, seconds in pairs}
    stall = float(after), float(length)
    manner = Manner(delays, options.every, stall, options.cookie, options.redirect)
    asyncio.run(serve(options.port, manner))
