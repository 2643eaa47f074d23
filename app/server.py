"""One server process that drains before it stops."""

from __future__ import annotations

import signal
from types import FrameType

import uvicorn

from app import VERSION
from app.access import AccessLayer
from app.drain import Drain
from app.log import event
from app.settings import Settings
from app.web import create_app

# What is in flight when the drain is over gets this long; an orchestrator kills the process 30 s after SIGTERM.
FINISH_SECONDS = 20


class DrainingServer(uvicorn.Server):
    """On SIGTERM or SIGINT: serves on until `drain` says it has drained, then finishes what is in flight.

    A second SIGINT ends it at once.
    """

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain
        self._said = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 the signature is given
        """Called by the signal; says nothing itself, since a signal may interrupt the writing of a log line."""
        if self._drain.draining and sig == signal.SIGINT:
            self.should_exit = self.force_exit = True
        self._drain.begin()

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; True ends the serving."""
        if self._drain.draining and not self._said:
            self._said = True
            event("draining", in_flight=self._drain.in_flight)
        if self._drain.drained():
            self.should_exit = True
        return await super().on_tick(counter)


def serve(settings: Settings) -> int:
    """Serve until told to stop. The exit code: 0 after a drain, 1 when the server could not start."""
    drain = Drain(settings.drain_seconds)
    config = uvicorn.Config(
        AccessLayer(create_app(settings), drain),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=FINISH_SECONDS,
        lifespan="on",
    )
    server = DrainingServer(config, drain)
    event("starting", port=settings.port, version=VERSION, digest=settings.digest, commit=settings.commit)
    try:
        server.run()
    except SystemExit:
        return 1  # it has logged why it could not start
    event("stopped")
    return 0
