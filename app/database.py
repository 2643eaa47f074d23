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
            "application_name": "petclinic",
            "options": "-c statement_timeout=10000",
        },
    )


async def why_not_ready(pool: Pool) -> str | None:
    """None when the database answers and has this release's schema, else the reason, within a few seconds."""
    try:
        async with asyncio.timeout(READY_SECONDS), pool.connection(timeout=READY_SECONDS) as connection:
            cursor = await connection.execute("SELECT version FROM schema_migrations")
            applied = {row["version"] for row in await cursor.fetchall()}
    except psycopg.errors.UndefinedTable:
        return "the database has no schema; run python -m app.migrate"
    except (psycopg.Error, TimeoutError):
        return "the database does not answer"
    missing = expected_versions() - applied
    if missing:
        return f"the schema lacks migration {min(missing)}; run python -m app.migrate"
    return None
