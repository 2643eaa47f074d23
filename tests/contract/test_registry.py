"""What the registry client promises, on a real registry and on one that has what the real one lacks."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest

from pipeline.adapters.registry import INDEX_TYPE, MANIFEST_TYPE, OciRegistry
from pipeline.adapters.registry_copy import Copied, ImageCopier
from pipeline.adapters.registry_referrers import Artifact, Referrers
from pipeline.errors import UnavailableError
from pipeline.model.digest import Digest, ImageRef
from tests.fakes.registry_container import registry_container
from tests.fakes.registry_images import push_image
from tests.fakes.registry_server import Traits, registry_server

KINDS = ["api", "api, logged in", "no api", "docker-registry"]
NOWHERE = Digest("sha256:" + "0" * 64)


def open_registry() -> OciRegistry:
    return OciRegistry(lambda: {"username": "robot", "password": "s3cret"})


def unlocked(_: str) -> AbstractContextManager[None]:
    return nullcontext()


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, str]]:
    with (
        registry_server() as api,
        registry_server(Traits(login="bearer", redirect_blobs=True)) as bearer,
        registry_server(Traits(referrers="xml")) as plain,
        registry_container() as real,
    ):
        yield dict(zip(KINDS, (api.host, bearer.host, plain.host, real), strict=True))


@pytest.fixture(params=KINDS)
def repository(request: pytest.FixtureRequest, hosts: dict[str, str]) -> str:
    return f"{hosts[request.param]}/shop-{uuid.uuid4().hex[:12]}"


def test_a_tag_and_a_digest_resolve_to_the_hash_of_the_manifest(repository: str) -> None:
    registry = open_registry()
    image = push_image(registry, repository, tag="v1")
    assert registry.resolve(repository, "v1") == image.digest
    assert registry.resolve(repository, str(image.digest)) == image.digest


def test_what_the_registry_does_not_have_is_none(repository: str) -> None:
    registry = open_registry()
    assert registry.resolve(repository, "v1") is None
    push_image(registry, repository, tag="v1")
    assert registry.resolve(repository, "v2") is None
    assert registry.resolve(repository, str(NOWHERE)) is None
    assert not registry.has(ImageRef(repository, NOWHERE), "blobs")


def test_an_image_that_is_not_there_is_an_error_where_it_is_needed(repository: str) -> None:
    with pytest.raises(UnavailableError, match="answered 404"):
        open_registry().image_facts(ImageRef(repository, NOWHERE))


def test_facts_come_from_manifest_and_config(repository: str) -> None:
    facts = open_registry().image_facts(push_image(open_registry(), repository, "12345"))
    assert (facts.size, facts.platform, facts.labels) == (5, "linux/amd64", {"text": "12345"})
    assert facts.platform_digests == ()


def push_index(registry: OciRegistry, repository: str) -> tuple[ImageRef, ImageRef]:
    image = push_image(registry, repository, "part")
    size = len(registry.manifest(image).content)
    entry = {"mediaType": MANIFEST_TYPE, "digest": str(image.digest), "size": size}
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [{**entry, "platform": {"os": "linux", "architecture": "amd64"}}],
    }
    content = json.dumps(index).encode()
    return ImageRef(repository, registry.put_manifest(repository, "multi", INDEX_TYPE, content)), image


def test_of_an_index_the_platform_image_is_looked_at(repository: str) -> None:
    registry = open_registry()
    index, image = push_index(registry, repository)
    facts = registry.image_facts(index)
    assert facts.platform_digests == (image.digest,)
    assert facts.labels == {"text": "part"}


def test_a_blob_comes_back_whole_and_in_pieces(repository: str) -> None:
    registry = open_registry()
    content = b"0123456789abcdef" * 200_000
    blob = ImageRef(repository, registry.put_blob(repository, content))
    assert registry.blob(blob) == content
    assert b"".join(registry.stream_blob(blob)) == content
    assert blob.digest.hex == hashlib.sha256(content).hexdigest()


def test_a_blob_larger_than_asked_for_is_not_read_to_its_end(repository: str) -> None:
    registry = open_registry()
    blob = ImageRef(repository, registry.put_blob(repository, b"x" * 200_000))
    with pytest.raises(UnavailableError, match="more than 100000 bytes"):
        registry.blob(blob, limit=100_000)


def test_a_blob_is_sent_in_pieces(repository: str) -> None:
    registry = open_registry()
    registry.put_blob(repository, b"first")
    pieces = [b"a" * 300_000, b"b" * 300_000, b"c"]
    blob = ImageRef(repository, Digest("sha256:" + hashlib.sha256(b"".join(pieces)).hexdigest()))
    registry.put_blob_stream(blob, iter(pieces), 600_001)
    assert registry.blob(blob) == b"".join(pieces)


def test_tags_are_listed_and_an_unknown_repository_has_none(repository: str) -> None:
    registry = open_registry()
    assert registry.tags(repository) == []
    for tag in ("v1", "v2"):
        push_image(registry, repository, tag=tag)
    assert set(registry.tags(repository)) == {"v1", "v2"}


def test_what_is_attached_is_listed_in_its_order_and_once(repository: str) -> None:
    registry = open_registry()
    image, other = push_image(registry, repository, "one"), push_image(registry, repository, "two")
    referrers = Referrers(registry, unlocked)
    assert referrers.listed(image) == ()
    artifacts = [
        Artifact("application/vnd.test", f"{number}".encode(), {"n": str(number)}) for number in range(8)
    ]
    attached = [referrers.attach(image, artifact) for artifact in artifacts]
    assert referrers.attach(image, artifacts[0]) == attached[0]
    assert sorted(referrers.listed(image)) == sorted(attached)
    assert referrers.listed(other) == ()


def test_what_is_attached_is_listed_by_its_kind(repository: str) -> None:
    registry = open_registry()
    image, referrers = push_image(registry, repository), Referrers(registry, unlocked)
    one, two = (referrers.attach(image, Artifact(f"application/vnd.{kind}", b"{}")) for kind in ("a", "b"))
    assert (referrers.listed(image, "application/vnd.a"), referrers.listed(image, "application/vnd.b")) == (
        (one,),
        (two,),
    )
    assert referrers.listed(image, "application/vnd.c") == ()


def test_an_attached_manifest_names_its_subject_and_its_kind(repository: str) -> None:
    registry = open_registry()
    image = push_image(registry, repository)
    digest = Referrers(registry, unlocked).attach(image, Artifact("application/vnd.test", b"bom", {"a": "b"}))
    document = registry.manifest(ImageRef(repository, digest)).document()
    assert document["subject"]["digest"] == str(image.digest)
    assert document["subject"]["size"] == len(registry.manifest(image).content)
    assert document["artifactType"] == document["layers"][0]["mediaType"] == "application/vnd.test"
    assert document["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert document["annotations"] == {"a": "b"}
    assert registry.blob(ImageRef(repository, Digest(document["layers"][0]["digest"]))) == b"bom"


def test_nothing_is_attached_to_an_image_that_is_not_there(repository: str) -> None:
    with pytest.raises(UnavailableError, match="404"):
        Referrers(open_registry(), unlocked).attach(
            ImageRef(repository, NOWHERE), Artifact("application/vnd.test", b"x")
        )


@pytest.mark.parametrize("target", KINDS)
def test_an_image_and_all_attached_to_it_are_copied_digest_for_digest(
    repository: str, hosts: dict[str, str], target: str
) -> None:
    registry = open_registry()
    index, image = push_index(registry, repository)
    attached = {
        Referrers(registry, unlocked).attach(index, Artifact("application/vnd.test", b"%d" % n))
        for n in range(4)
    }
    copier = ImageCopier(registry, open_registry(), unlocked)
    there = ImageRef(f"{hosts[target]}/copy-{uuid.uuid4().hex[:12]}", index.digest)
    first = copier.copy(index, there.repository, tag="promoted")
    again = open_registry()
    assert first.manifests == 6
    assert first.sent > 0
    assert again.resolve(there.repository, "promoted") == index.digest
    assert again.manifest(there).content == registry.manifest(index).content
    assert again.image_facts(there).platform_digests == (image.digest,)
    assert set(Referrers(again, unlocked).listed(there)) == attached
    second = copier.copy(index, there.repository, tag="promoted")
    assert second == Copied(present=5)


def test_within_one_registry_blobs_are_taken_over_and_not_sent(repository: str) -> None:
    registry = open_registry()
    image = push_image(registry, repository, uuid.uuid4().hex)
    done = ImageCopier(registry, registry, unlocked).copy(image, f"{repository}-2")
    assert (done.blobs, done.manifests) == (0, 1)
    assert registry.resolve(f"{repository}-2", str(image.digest)) == image.digest
