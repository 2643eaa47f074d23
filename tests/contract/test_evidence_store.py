"""What every evidence store and build index promises, whatever it is kept on."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.adapters.build_index import FileBuildIndex
from pipeline.adapters.evidence_store import FileEvidenceStore
from pipeline.adapters.registry import OciRegistry
from pipeline.adapters.registry_evidence import DigestLocks, RegistryEvidenceStore
from pipeline.adapters.signer import TrustedKeys, file_signer
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import PREDICATE_TYPES, Collected
from pipeline.model.statement import encode
from pipeline.ports import BuildIndex, EvidenceStore
from tests.fakes.evidence import IMAGE, MemoryBuildIndex, MemoryEvidenceStore, statement_of
from tests.fakes.registry_container import registry_container
from tests.fakes.registry_images import push_image
from tests.fakes.registry_server import Traits, registry_server

OTHER = ImageRef(IMAGE.repository, Digest("sha256:" + "d" * 64))
LOCAL = ["memory", "files"]
REGISTRIES = ["registry with the referrers API", "registry without it", "docker-registry"]


@dataclass(frozen=True)
class Case:
    """A store, empty, and two images that it may keep evidence of."""

    store: EvidenceStore
    image: ImageRef = IMAGE
    other: ImageRef = OTHER


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, str]]:
    with (
        registry_server() as api,
        registry_server(Traits(referrers="404")) as plain,
        registry_container() as real,
    ):
        yield dict(zip(REGISTRIES, (api.host, plain.host, real), strict=True))


@pytest.fixture(params=[*LOCAL, *REGISTRIES])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    if request.param == "memory":
        return Case(MemoryEvidenceStore())
    if request.param == "files":
        return Case(FileEvidenceStore(tmp_path / "evidence"))
    host = request.getfixturevalue("hosts")[request.param]
    registry, repository = OciRegistry(lambda: None), f"{host}/shop-{uuid.uuid4().hex[:12]}"
    signer = file_signer(tmp_path / "signing.key", create=True)
    trusted, locks = TrustedKeys({"own": signer.public_key}), DigestLocks(tmp_path / "locks")
    store = RegistryEvidenceStore(registry, repository, lambda: signer, trusted, locks)
    images = [push_image(registry, repository, text, tag=f"build-{text}") for text in ("one", "two")]
    return Case(store, *images)


@pytest.fixture(params=["memory", "files"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> BuildIndex:
    return MemoryBuildIndex() if request.param == "memory" else FileBuildIndex(tmp_path / "builds")


def test_an_empty_store_knows_nothing(case: Case) -> None:
    assert case.store.collect(case.image) == Collected()


@pytest.mark.parametrize("case", LOCAL, indirect=True)
def test_an_empty_store_has_no_subjects(case: Case) -> None:
    assert not case.store.subjects()


def test_what_is_attached_is_collected_whole(case: Case) -> None:
    statement = statement_of(
        "build", metrics={"image_bytes": 12.0}, facts={"commit": "abc"}, inputs={"x": "sha256:y"}
    )
    name = case.store.attach(case.image, statement)
    (found,) = case.store.collect(case.image).accepted
    assert (found.subject, found.id, found.statement) == (case.image.digest, name, statement)


@pytest.mark.parametrize("stage", list(PREDICATE_TYPES))
def test_statements_of_every_stage_are_kept(case: Case, stage: str) -> None:
    case.store.attach(case.image, statement_of(stage, result="UNDECIDED", environment="staging"))
    (found,) = case.store.collect(case.image).accepted
    assert found.statement == statement_of(stage, result="UNDECIDED", environment="staging")


def test_evidence_belongs_to_its_digest_alone(case: Case) -> None:
    case.store.attach(case.image, statement_of("build"))
    assert not case.store.collect(case.other).accepted


@pytest.mark.parametrize("case", LOCAL, indirect=True)
def test_on_this_machine_the_repository_plays_no_part_only_the_digest_does(case: Case) -> None:
    case.store.attach(case.image, statement_of("build"))
    elsewhere = ImageRef("example.test/other", case.image.digest)
    assert len(case.store.collect(elsewhere).accepted) == 1


def test_different_statements_all_stay(case: Case) -> None:
    names = {case.store.attach(case.image, statement_of("build", run=f"r{number}")) for number in range(20)}
    assert {found.id for found in case.store.collect(case.image).accepted} == names
    assert len(names) == 20


def test_the_same_statement_twice_is_one_record(case: Case) -> None:
    first = case.store.attach(case.image, statement_of("build"))
    assert case.store.attach(case.image, statement_of("build")) == first
    assert len(case.store.collect(case.image).accepted) == 1


def test_subjects_are_the_digests_with_evidence(case: Case) -> None:
    case.store.attach(case.image, statement_of("build"))
    case.store.attach(case.other, statement_of("build"))
    assert set(case.store.subjects()) == {case.image.digest, case.other.digest}


@pytest.mark.parametrize("case", REGISTRIES, indirect=True)
def test_what_a_registry_keeps_names_its_signer_and_the_bytes_that_were_signed(case: Case) -> None:
    statement = statement_of("build")
    case.store.attach(case.image, statement)
    (found,) = case.store.collect(case.image).accepted
    assert found.signer.startswith("SHA256:")
    assert found.payload == "sha256:" + hashlib.sha256(encode(case.image, statement)).hexdigest()


def test_a_build_plan_leads_to_its_last_image(index: BuildIndex) -> None:
    assert index.find("sha256:p") is None
    index.remember("sha256:p", IMAGE)
    index.remember("sha256:p", OTHER)
    assert index.find("sha256:p") == OTHER
    assert index.find("sha256:q") is None
