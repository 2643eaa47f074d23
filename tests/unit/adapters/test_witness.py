from __future__ import annotations

import pytest

from pipeline.adapters.witness import WitnessedStore
from pipeline.errors import UnavailableError
from pipeline.model.digest import Digest, ImageRef
from tests.fakes.evidence import IMAGE, MemoryEvidenceStore, statement_of

OTHER = ImageRef(IMAGE.repository, Digest("sha256:" + "d" * 64))


@pytest.fixture
def store() -> MemoryEvidenceStore:
    return MemoryEvidenceStore()


@pytest.fixture
def witness() -> MemoryEvidenceStore:
    return MemoryEvidenceStore()


def test_what_is_attached_is_in_the_store_and_here(
    store: MemoryEvidenceStore, witness: MemoryEvidenceStore
) -> None:
    both = WitnessedStore(store, witness)
    name = both.attach(IMAGE, statement_of("build"))
    found = both.collect(IMAGE)
    assert [each.id for each in found.accepted] == [name]
    assert [each.statement for each in found.witnessed] == [statement_of("build")]


def test_what_the_store_does_not_take_is_known_here_all_the_same(
    store: MemoryEvidenceStore, witness: MemoryEvidenceStore
) -> None:
    store.broken = UnavailableError("no registry", hint="start it")
    both = WitnessedStore(store, witness)
    with pytest.raises(UnavailableError, match="no registry"):
        both.attach(IMAGE, statement_of("staging", result="FAILED"))
    found = both.collect(IMAGE)
    assert not found.accepted
    assert [each.statement.result for each in found.witnessed] == ["FAILED"]


def test_what_cannot_be_kept_here_is_not_attached_either(
    store: MemoryEvidenceStore, witness: MemoryEvidenceStore
) -> None:
    witness.broken = UnavailableError("disk full", hint="free space")
    both = WitnessedStore(store, witness)
    with pytest.raises(UnavailableError, match="disk full"):
        both.attach(IMAGE, statement_of("build"))
    assert not store.collect(IMAGE).accepted


def test_what_is_only_here_is_no_evidence(store: MemoryEvidenceStore, witness: MemoryEvidenceStore) -> None:
    witness.attach(IMAGE, statement_of("build"))
    assert not WitnessedStore(store, witness).collect(IMAGE).accepted


def test_subjects_of_both_are_known_once_each(
    store: MemoryEvidenceStore, witness: MemoryEvidenceStore
) -> None:
    both = WitnessedStore(store, witness)
    both.attach(IMAGE, statement_of("build"))
    store.attach(OTHER, statement_of("build"))
    assert both.subjects() == (IMAGE.digest, OTHER.digest)
