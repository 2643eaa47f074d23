"""What the process is told by its environment; there is no other configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 in a container the network outside decides who reaches it
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
MAX_DRAIN_SECONDS = 300


class SettingsError(Exception):
    """The environment is not fit to start with; the text names every variable at fault and no secret's value."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The process's settings.

    `database_url` is a secret and not part of the repr. `host` is every address by default: a container's network
    is its own. `drain_seconds` is how long the server keeps serving
    after SIGTERM while it is still in use. `digest` and `commit` are what the process was deployed as, or None.
    """

    database_url: str = field(repr=False)
    host: str = EVERY_ADDRESS
    port: int = 8080
    drain_seconds: float = 5.0
    log_level: str = "INFO"
    digest: str | None = None
    commit: str | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every spelling of the database password that could turn up in a text, longest first."""
        password = str(conninfo_to_dict(self.database_url).get("password") or "")
        written = self.database_url.partition("://")[2].rpartition("@")[0].partition(":")[2]
        spellings = {self.database_url, password, written, unquote(written)} - {""}
        return tuple(sorted(spellings, key=len, reverse=True))


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings in `environment`. Raises SettingsError naming all mistakes at once."""
    port = environment.get("PORT", "8080")
    drain = environment.get("DRAIN_SECONDS", "5")
    level = environment.get("LOG_LEVEL", "INFO").upper()
    url = environment.get("DATABASE_URL", "").strip()
    mistakes = [
        *_mistakes_in_url(url),
        *([] if _is_port(port) else [f"PORT is {port!r}, not a port number from 1 to 65535"]),
        *([] if _is_drain(drain) else [f"DRAIN_SECONDS is {drain!r}, not 0 to {MAX_DRAIN_SECONDS} seconds"]),
        *([] if level in LOG_LEVELS else [f"LOG_LEVEL is {level!r}, not one of {', '.join(LOG_LEVELS)}"]),
    ]
    if mistakes:
        raise SettingsError("; ".join(mistakes))
    return Settings(
        database_url=url,
        host=environment.get("HOST") or EVERY_ADDRESS,
        port=int(port),
        drain_seconds=float(drain),
        log_level=level,
        digest=environment.get("APP_DIGEST") or None,
        commit=environment.get("APP_COMMIT") or None,
    )


def _mistakes_in_url(url: str) -> list[str]:
    if not url:
        return ["DATABASE_URL is not set; give postgresql://user:password@host:5432/database"]
    if not url.startswith(("postgresql://", "postgres://")):
        return ["DATABASE_URL is not a postgresql:// URL"]
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # libpq's own text quotes the URL, and with it the password.
        return ["DATABASE_URL cannot be parsed; are @ / % in the password percent-encoded?"]
    return []


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text) <= 65535


def _is_drain(text: str) -> bool:
    try:
        seconds = float(text)
    except ValueError:
        return False
    return math.isfinite(seconds) and 0 <= seconds <= MAX_DRAIN_SECONDS
