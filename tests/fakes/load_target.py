"""A small HTTP server for load tests: prints its port, answers every path, and is slow or wrong where it is told.

usage: load_target.py [--port N] [--delay PATH=SECONDS]… [--every N]
--every N answers every N-th request 500.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_WRONG = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 5\r\n\r\nwrong"


class Target(asyncio.Protocol):
    """One connection. Every `every`-th request of the whole server is answered 500; 0 answers none so."""

    asked = 0

    def __init__(self, delays: Mapping[str, float], every: int) -> None:
        self._delays, self._every = delays, every
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            self._answer(head.split(b" ", 2)[1].decode())

    def _answer(self, path: str) -> None:
        Target.asked += 1
        wrong = self._every and Target.asked % self._every == 0
        body = _WRONG if wrong else _OK
        asyncio.get_running_loop().call_later(self._delays.get(path, 0.0), self._write, body)

    def _write(self, body: bytes) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(body)


class TargetServer:
    """The server as a process of its own, on a free loopback port; `url` is where it answers.

    `delays` maps a path to seconds before its answer; `every` as `--every`.
    """

    def __init__(self, delays: Mapping[str, float] | None = None, every: int = 0) -> None:
        self._options = [f"--delay={path}={seconds}" for path, seconds in (delays or {}).items()]
        self._options.append(f"--every={every}")

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


async def serve(port: int, delays: Mapping[str, float], every: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Target(delays, every), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", action="append", default=[])
    parser.add_argument("--every", type=int, default=0, help="every how many requests one is answered 500")
    options = parser.parse_args()
    pairs = [pair.split("=") for pair in options.delay]
    asyncio.run(serve(options.port, {path: float(seconds) for path, seconds in pairs}, options.every))
