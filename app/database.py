"""The connection pool, and whether the database is ready for this release."""

from __future__ import annotations

import asyncio

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from app.schema import expected_versions

Pool = AsyncConnectionPool[AsyncConnection[DictRow]]

POOL_SIZE = 8
WAIT_SECONDS = 5.0
READY_SECONDS = 2.0
SILENT = "the database does not answer"


def make_pool(database_url: str) -> Pool:
    """A closed pool on `database_url`; opening it does not wait for the database.

    A connection is checked before it is lent, so that a restarted database costs no request.
    """
    return AsyncConnectionPool(
        database_url,
        min_size=2,
        max_size=POOL_SIZE,
        open=False,
        timeout=WAIT_SECONDS,
        check=AsyncConnectionPool.check_connection,
        reconnect_timeout=15.0,
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "connect_timeout": 5,
            # A database host that vanished is noticed within seconds, not after the kernel's quarter of an hour.
            "keepalives_idle": 10,
            "keepalives_interval": 3,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "application_name": "petclinic",
            "options": "-c statement_timeout=10000",
        },
    )


class Readiness:
    """Whether the database answers and has this release's schema."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._probe: asyncio.Task[str | None] | None = None

    async def why_not(self) -> str | None:
        """None when it is ready, else the reason, within READY_SECONDS.

        Those who ask while a probe is under way share it: a database that hangs holds one connection, however often
        it is asked, and nobody waits until the probe is cancelled, which a hanging database delays.
        """
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(_probe(self._pool))
        await asyncio.wait({self._probe}, timeout=READY_SECONDS)
        return self._probe.result() if self._probe.done() else SILENT


async def _probe(pool: Pool) -> str | None:
    try:
        async with asyncio.timeout(READY_SECONDS), pool.connection(timeout=READY_SECONDS) as connection:
            cursor = await connection.execute("SELECT version FROM schema_migrations")
            applied = {row["version"] for row in await cursor.fetchall()}
    except psycopg.errors.UndefinedTable:
        return "the database has no schema; run python -m app.migrate"
    except (psycopg.Error, TimeoutError):
        return SILENT
    missing = expected_versions() - applied
    if missing:
        return f"the schema lacks migration {min(missing)}; run python -m app.migrate"
    return None
