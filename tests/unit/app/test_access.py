from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from app.access import AccessLayer, request_id_of
from app.drain import Drain


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


class Inner:
    """An application that answers 200, or fails, and notes how many requests the drain counted meanwhile."""

    def __init__(self, drain: Drain, *, failing: bool = False) -> None:
        self._drain = drain
        self._failing = failing
        self.counted: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.counted.append(self._drain.in_flight)
        if self._failing:
            raise RuntimeError("unforeseen")
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
        )
        await send({"type": "http.response.body", "body": b"fine"})


def _ask(layer: AccessLayer, path: str = "/vets", **headers: str) -> tuple[int, Headers, bytes]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(layer({"type": "http", "method": "GET", "path": path, "headers": raw}, _receive, send))
    return sent[0]["status"], Headers(raw=sent[0]["headers"]), sent[1]["body"]


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = record.__dict__["fields"]
    return fields


def test_a_request_is_logged_with_what_came_of_it(caplog: pytest.LogCaptureFixture) -> None:
    drain = Drain(5)
    with caplog.at_level(logging.INFO):
        _ask(AccessLayer(Inner(drain), drain), "/vets", **{"x-request-id": "trace-1"})
    (record,) = caplog.records
    logged = _fields(record)
    assert logged.pop("ms") >= 0
    assert logged == {"method": "GET", "path": "/vets", "status": 200, "request_id": "trace-1"}


def test_the_request_id_goes_back_with_the_answer() -> None:
    drain = Drain(5)
    _, headers, _ = _ask(AccessLayer(Inner(drain), drain), **{"x-request-id": "trace-1"})
    assert headers["x-request-id"] == "trace-1"


@pytest.mark.parametrize("given", ["", "a b", 'x"', "x\ny", "x" * 129, "ä"])
def test_a_request_id_of_harmful_form_is_replaced(given: str) -> None:
    made = request_id_of(Headers({"x-request-id": given}))
    assert made != given
    assert made.isalnum()


def test_connections_are_closed_only_while_draining() -> None:
    drain = Drain(5)
    layer = AccessLayer(Inner(drain), drain)
    assert "connection" not in _ask(layer)[1]
    drain.begin()
    assert _ask(layer)[1]["connection"] == "close"


def test_health_checks_do_not_count_as_use() -> None:
    drain = Drain(5)
    inner = Inner(drain)
    layer = AccessLayer(inner, drain)
    for path in ("/healthz", "/readyz", "/vets"):
        _ask(layer, path)
    assert inner.counted == [0, 0, 1]
    assert drain.in_flight == 0


def test_an_unforeseen_failure_is_a_500_and_a_logged_traceback(caplog: pytest.LogCaptureFixture) -> None:
    drain = Drain(5)
    with caplog.at_level(logging.INFO):
        status, headers, body = _ask(AccessLayer(Inner(drain, failing=True), drain))
    assert (status, json.loads(body)) == (500, {"error": "internal error"})
    failure, request = caplog.records
    assert failure.exc_info is not None
    assert _fields(failure)["request_id"] == headers["x-request-id"] == _fields(request)["request_id"]
    assert _fields(request)["status"] == 500
    assert drain.in_flight == 0
