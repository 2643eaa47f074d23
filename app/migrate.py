"""`python -m app.migrate`: bring the database to this release's schema, once, however many start at a time."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable

import psycopg

from app.log import REDACTED, event, set_up_logging
from app.schema import Migration, read_migrations
from app.settings import SettingsError, read_settings

# Any number that no other program on this database locks on.
LOCK_KEY = 0x70657463
WAIT_SECONDS = 30.0

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(Exception):
    """The schema could not be brought up to date; the text says why in one line."""


def connect(database_url: str, wait: float = WAIT_SECONDS) -> psycopg.Connection:
    """A connection, waiting up to `wait` seconds for the database to answer. Raises MigrationError after that."""
    deadline = time.monotonic() + wait
    while True:
        try:
            return psycopg.connect(
                database_url, autocommit=True, connect_timeout=5, application_name="petclinic-migrate"
            )
        except psycopg.OperationalError as error:
            if time.monotonic() >= deadline:
                raise MigrationError(
                    f"the database did not answer within {wait:g} s: {_line(error)}"
                ) from error
        time.sleep(0.5)


def migrate(connection: psycopg.Connection, migrations: Iterable[Migration]) -> list[Migration]:
    """Apply what is missing, each in a transaction, and return it.

    Waits for another process that migrates. Migrations the database has and this release does not know are left
    alone: an older release runs on a newer schema. Raises MigrationError naming the migration that failed.
    """
    try:
        connection.execute(f"SET lock_timeout = '{int(WAIT_SECONDS)}s'")
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
    except psycopg.errors.LockNotAvailable as error:
        raise MigrationError(f"another process has been migrating for {WAIT_SECONDS:g} s") from error
    try:
        connection.execute(_TABLE)
        return [migration for migration in migrations if _apply(connection, migration)]
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK_KEY,))


def _apply(connection: psycopg.Connection, migration: Migration) -> bool:
    row = connection.execute(
        "SELECT checksum FROM schema_migrations WHERE version = %s", (migration.version,)
    ).fetchone()
    if row is not None:
        if row[0] != migration.checksum:
            raise MigrationError(
                f"migration {migration.version} was changed after it was applied; add a new one"
            )
        return False
    try:
        with connection.transaction():
            connection.execute(migration.sql.encode())
            connection.execute(
                "INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, %s, %s)",
                (migration.version, migration.name, migration.checksum),
            )
    except psycopg.Error as error:
        raise MigrationError(
            f"migration {migration.version} ({migration.name}) failed: {_line(error)}"
        ) from error
    return True


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def main() -> int:
    """Exit code: 0 when the schema is up to date, 1 when it is not, 2 when the environment is not fit."""
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    set_up_logging(settings.log_level, settings.secrets)
    migrations = read_migrations()
    try:
        with connect(settings.database_url) as connection:
            applied = migrate(connection, migrations)
    except (MigrationError, psycopg.Error) as error:
        sys.stderr.write(f"error: {_without(settings.secrets, _line(error))}\n")
        return 1
    event("schema is up to date", version=max(m.version for m in migrations), applied=len(applied))
    return 0


def _without(secrets: Iterable[str], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return text


if __name__ == "__main__":
    sys.exit(main())
