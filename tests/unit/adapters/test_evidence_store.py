from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.adapters.evidence_store import FileEvidenceStore
from pipeline.errors import UnavailableError
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.statement import encode
from tests.fakes.evidence import IMAGE, statement_of


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileEvidenceStore(tmp_path)
    store.attach(IMAGE, statement_of("build"))
    before = files(tmp_path)

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnavailableError, match="No space left") as caught:
        store.attach(IMAGE, statement_of("staging"))
    assert "nothing half-written counts" in caught.value.hint
    assert files(tmp_path) == before


def test_a_file_that_was_changed_afterwards_does_not_count(tmp_path: Path) -> None:
    store = FileEvidenceStore(tmp_path)
    store.attach(IMAGE, statement_of("build", result="FAILED"))
    (file,) = files(tmp_path)
    file.write_bytes(file.read_bytes().replace(b"FAILED", b"PASSED"))
    collected = store.collect(IMAGE)
    assert not collected.accepted
    assert "its hash differs from its name" in collected.ignored[0].reason


def test_a_crash_in_the_middle_of_writing_leaves_a_file_that_is_not_read(tmp_path: Path) -> None:
    store = FileEvidenceStore(tmp_path)
    store.attach(IMAGE, statement_of("build"))
    folder = files(tmp_path)[0].parent
    (folder / ".abc.partial").write_bytes(encode(IMAGE, statement_of("staging"))[:50])
    assert [found.statement.stage for found in store.collect(IMAGE).accepted] == ["build"]
    assert not store.collect(IMAGE).ignored


def test_a_copy_under_another_digest_keeps_its_own_subject(tmp_path: Path) -> None:
    store = FileEvidenceStore(tmp_path)
    store.attach(IMAGE, statement_of("build"))
    (file,) = files(tmp_path)
    other = ImageRef(IMAGE.repository, Digest("sha256:" + "c" * 64))
    target = tmp_path / other.digest.hex / file.name
    target.parent.mkdir()
    target.write_bytes(file.read_bytes())
    assert [found.subject for found in store.collect(other).accepted] == [IMAGE.digest]


def test_a_folder_that_is_no_digest_is_no_subject(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    assert FileEvidenceStore(tmp_path).subjects() == ()


def test_unwritable_is_said_with_the_folder(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UnavailableError, match="cannot be written"):
        FileEvidenceStore(blocked).attach(IMAGE, replace(statement_of("build")))
