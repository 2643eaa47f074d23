"""What every evidence store and build index promises, whatever it is kept on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.adapters.build_index import FileBuildIndex
from pipeline.adapters.evidence_store import FileEvidenceStore
from pipeline.model.digest import Digest, ImageRef
from pipeline.ports import BuildIndex, EvidenceStore
from tests.fakes.evidence import IMAGE, MemoryBuildIndex, MemoryEvidenceStore, statement_of

OTHER = ImageRef(IMAGE.repository, Digest("sha256:" + "d" * 64))


@pytest.fixture(params=["memory", "files"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> EvidenceStore:
    make: dict[str, Callable[[], EvidenceStore]] = {
        "memory": MemoryEvidenceStore,
        "files": lambda: FileEvidenceStore(tmp_path / "evidence"),
    }
    return make[request.param]()


@pytest.fixture(params=["memory", "files"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> BuildIndex:
    return MemoryBuildIndex() if request.param == "memory" else FileBuildIndex(tmp_path / "builds")


def test_an_empty_store_knows_nothing(store: EvidenceStore) -> None:
    assert not store.collect(IMAGE).accepted
    assert not store.subjects()


def test_what_is_attached_is_collected_whole(store: EvidenceStore) -> None:
    statement = statement_of(
        "build", metrics={"image_bytes": 12.0}, facts={"commit": "abc"}, inputs={"x": "sha256:y"}
    )
    name = store.attach(IMAGE, statement)
    (found,) = store.collect(IMAGE).accepted
    assert (found.subject, found.id, found.statement) == (IMAGE.digest, name, statement)


def test_evidence_belongs_to_its_digest_alone(store: EvidenceStore) -> None:
    store.attach(IMAGE, statement_of("build"))
    assert not store.collect(OTHER).accepted


def test_the_repository_plays_no_part_only_the_digest_does(store: EvidenceStore) -> None:
    store.attach(IMAGE, statement_of("build"))
    elsewhere = ImageRef("example.test/other", IMAGE.digest)
    assert len(store.collect(elsewhere).accepted) == 1


def test_different_statements_all_stay(store: EvidenceStore) -> None:
    names = {store.attach(IMAGE, statement_of("build", run=f"r{number}")) for number in range(20)}
    assert {found.id for found in store.collect(IMAGE).accepted} == names
    assert len(names) == 20


def test_the_same_statement_twice_is_one_record(store: EvidenceStore) -> None:
    assert store.attach(IMAGE, statement_of("build")) == store.attach(IMAGE, statement_of("build"))
    assert len(store.collect(IMAGE).accepted) == 1


def test_subjects_are_the_digests_with_evidence(store: EvidenceStore) -> None:
    store.attach(IMAGE, statement_of("build"))
    store.attach(OTHER, statement_of("build"))
    assert set(store.subjects()) == {IMAGE.digest, OTHER.digest}


def test_a_build_plan_leads_to_its_last_image(index: BuildIndex) -> None:
    assert index.find("sha256:p") is None
    index.remember("sha256:p", IMAGE)
    index.remember("sha256:p", OTHER)
    assert index.find("sha256:p") == OTHER
    assert index.find("sha256:q") is None
