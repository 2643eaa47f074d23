"""How failures are answered: as JSON to programs, as a page to people."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app.access import HEALTH_PATHS
from app.failures import FieldError, NotFoundError
from app.log import event
from app.rendering import render


def install(app: FastAPI) -> None:
    """Answer every failure of `app` in form."""
    app.add_exception_handler(NotFoundError, _not_found)
    app.add_exception_handler(FieldError, _field)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(psycopg.OperationalError, _unavailable)
    app.add_exception_handler(psycopg.errors.UndefinedTable, _unavailable)
    # The access layer, outside of this, sees the exception too and logs it.
    app.add_exception_handler(Exception, _broken)


def messages_by_field(errors: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The first message for each field of a validation error. What was sent is never repeated."""
    messages: dict[str, str] = {}
    for error in errors:
        name = ".".join(str(part) for part in error["loc"] if part not in ("body", "query", "path")) or "body"
        messages.setdefault(_writable(name), str(error["msg"]).removeprefix("Value error, "))
    return messages


def _writable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _answer(request: Request, status: int, message: str, **more: object) -> Response:
    path = request.url.path
    if path.startswith("/api/") or path == "/version" or path in HEALTH_PATHS:
        return JSONResponse({"error": message, **more}, status)
    return render("error.html", status, heading=HTTPStatus(status).phrase, message=message)


async def _not_found(request: Request, error: Exception) -> Response:
    return _answer(request, 404, str(error))


async def _field(request: Request, error: Exception) -> Response:
    assert isinstance(error, FieldError)
    return _answer(request, 409 if error.taken else 422, "invalid input", fields={error.field: error.message})


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _answer(request, 422, "invalid input", fields=messages_by_field(error.errors()))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = "there is no such page" if error.status_code == 404 else str(error.detail)
    response = _answer(request, error.status_code, message)
    response.headers.update(error.headers or {})
    return response


async def _broken(request: Request, error: Exception) -> Response:  # noqa: ARG001 the signature is given
    return _answer(request, 500, "something went wrong here; the request id names it in the log")


async def _unavailable(request: Request, error: Exception) -> Response:
    event("database unavailable", level=logging.ERROR, reason=" ".join(str(error).split()))
    response = _answer(request, 503, "the database cannot be used at the moment; try again soon")
    response.headers["Retry-After"] = "2"
    return response
