"""The migrations that come with this release: numbered SQL files."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "migrations"
_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema; `checksum` is of its text, so that a change after the fact is noticed."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """The migrations in `folder` by number. Raises ValueError for a misnamed file or a number used twice."""
    migrations = [_read(path) for path in sorted(folder.glob("*.sql"))]
    versions = [migration.version for migration in migrations]
    if len(set(versions)) != len(versions):
        raise ValueError(f"two migrations have the same number: {versions}")
    return tuple(migrations)


@cache
def expected_versions() -> frozenset[int]:
    """The numbers of the migrations this release needs."""
    return frozenset(migration.version for migration in read_migrations())


def _read(path: Path) -> Migration:
    match = _FILE.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path.name} is not named like 0001_what_it_does.sql")
    return Migration(int(match[1]), match[2], path.read_text(encoding="utf-8"))
