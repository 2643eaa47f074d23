from __future__ import annotations

from pathlib import Path

import pytest

from app.schema import expected_versions, read_migrations


def test_the_release_brings_migrations_numbered_without_gap() -> None:
    versions = [migration.version for migration in read_migrations()]
    assert versions == list(range(1, len(versions) + 1))
    assert expected_versions() == set(versions)


def test_migrations_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("0010_later.sql", "0002_second.sql", "0001_first.sql"):
        (tmp_path / name).write_text(f"SELECT '{name}'")
    assert [migration.name for migration in read_migrations(tmp_path)] == ["first", "second", "later"]


def test_a_changed_text_changes_the_checksum(tmp_path: Path) -> None:
    path = tmp_path / "0001_first.sql"
    path.write_text("SELECT 1")
    (before,) = read_migrations(tmp_path)
    path.write_text("SELECT 2")
    (after,) = read_migrations(tmp_path)
    assert before.checksum != after.checksum


@pytest.mark.parametrize("names", [("first.sql",), ("0001_a.sql", "0001_b.sql"), ("1_a.sql",)])
def test_misnamed_or_doubled_migrations_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(ValueError, match=r"named like|same number"):
        read_migrations(tmp_path)
