"""The outermost layer of the application: one log line a request, request ids, and the drain."""

from __future__ import annotations

import logging
import os
import re
import time
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.drain import Drain
from app.log import event, logger

HEALTH_PATHS = frozenset({"/healthz", "/readyz"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:=-]{1,128}")
_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
)
_BROKEN = b'{"error":"internal error"}'


@dataclass(slots=True)
class _Exchange:
    method: str
    path: str
    request_id: str
    started: float = field(default_factory=time.perf_counter)
    status: int | None = None


class AccessLayer:
    """Wraps the application.

    Each request is logged with method, path (without query), status, milliseconds and request id, which is taken
    from X-Request-ID where that is of harmless form and made otherwise, and given back in the answer. While the
    server drains, every answer carries `Connection: close`. An exception that nobody handled becomes a 500 and one
    log line with the traceback.
    """

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        counts = scope["path"] not in HEALTH_PATHS
        if counts:
            self._drain.request_started()
        try:
            await self._serve(scope, receive, send)
        finally:
            if counts:
                self._drain.request_finished()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(scope["method"], scope["path"], request_id_of(Headers(scope=scope)))

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *self._marks(exchange)]}
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        except Exception:  # noqa: BLE001 the last place that can answer it
            logger.exception("request failed", extra={"fields": {"request_id": exchange.request_id}})
            if exchange.status is None:
                await _send_broken(send_marked)
        finally:
            _log(exchange)

    def _marks(self, exchange: _Exchange) -> list[tuple[bytes, bytes]]:
        marks = [(b"x-request-id", exchange.request_id.encode()), *_SECURITY_HEADERS]
        return [*marks, (b"connection", b"close")] if self._drain.draining else marks


def request_id_of(headers: Headers) -> str:
    """The caller's request id where it is of harmless form, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else os.urandom(8).hex()


def _log(exchange: _Exchange) -> None:
    event(
        "request",
        level=logging.INFO if (exchange.status or 500) < 500 else logging.ERROR,
        method=exchange.method,
        path=exchange.path,
        status=exchange.status,
        ms=round((time.perf_counter() - exchange.started) * 1000, 2),
        request_id=exchange.request_id,
    )


async def _send_broken(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_BROKEN)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": _BROKEN})
