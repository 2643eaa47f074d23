"""One JSON object a line on stdout, with every secret blotted out."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TextIO

REDACTED = "***"

logger = logging.getLogger("app")


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON: ts, level, msg, then the fields of the event.

    `secrets` are texts that never appear in a line, wherever they came from (message, field, traceback).
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The line for `record`, without a newline in it."""
        fields: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps({key: self._clean(value) for key, value in fields.items()}, ensure_ascii=False)

    def _clean(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        text = str(value)
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        # A lone surrogate cannot be written as UTF-8, and a log line must not fail.
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def set_up_logging(level: str, secrets: Iterable[str], stream: TextIO | None = None) -> None:
    """Send everything of `level` and above, of every library too, to `stream` (default stdout) as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter(secrets))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # The server's own words on each start and stop repeat what the app's events say.
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLogger().level))


def event(msg: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Write one event with its fields."""
    logger.log(level, msg, extra={"fields": fields})
