"""A release of several services in a registry: pushed, read again, and taken elsewhere, on a real one and on a fake."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest

from pipeline.adapters.registry import OciRegistry
from pipeline.adapters.registry_copy import ImageCopier
from pipeline.adapters.registry_release import Releases, push_release
from pipeline.errors import UnavailableError
from pipeline.model.digest import Digest, ImageRef
from tests.fakes.registry_container import registry_container
from tests.fakes.registry_images import push_image
from tests.fakes.registry_server import registry_server

KINDS = ["api", "docker-registry"]
REGISTRY = OciRegistry(lambda: None)


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, str]]:
    with registry_server() as fake, registry_container() as real:
        yield dict(zip(KINDS, (fake.host, real), strict=True))


@pytest.fixture(params=KINDS)
def repository(request: pytest.FixtureRequest, hosts: dict[str, str]) -> str:
    return f"{hosts[request.param]}/shop-{uuid.uuid4().hex[:12]}"


def images(repository: str) -> dict[str, ImageRef]:
    return {name: push_image(REGISTRY, repository, name) for name in ("web", "api")}


def test_what_was_pushed_is_read_by_its_digest(repository: str) -> None:
    pushed = images(repository)
    release = push_release(REGISTRY, pushed, "release-1")
    assert REGISTRY.resolve(repository, "release-1") == release.digest
    found = Releases(REGISTRY, repository)(release.digest)
    assert found == {name: image.digest for name, image in pushed.items()}
    assert REGISTRY.image_facts(release).platform_digests == tuple(found[name] for name in ("api", "web"))


def test_the_same_images_are_the_same_release(repository: str) -> None:
    pushed = images(repository)
    first = push_release(REGISTRY, pushed, "release-1")
    assert push_release(REGISTRY, dict(reversed(pushed.items())), "release-2") == first


def test_an_image_and_what_is_not_there_are_no_release(repository: str) -> None:
    releases = Releases(REGISTRY, repository)
    assert releases(push_image(REGISTRY, repository).digest) == {}
    nowhere = Digest("sha256:" + "0" * 64)
    assert releases(nowhere) == {}
    assert releases.find(nowhere) is None


def test_what_was_not_there_is_asked_for_again(repository: str) -> None:
    releases, pushed = Releases(REGISTRY, repository), images(repository)
    release = push_release(REGISTRY, pushed, "other")
    assert set(releases(release.digest)) == {"web", "api"}


def test_a_release_of_an_image_that_is_not_there_is_not_made(repository: str) -> None:
    pushed = {**images(repository), "lost": ImageRef(repository, Digest("sha256:" + "0" * 64))}
    with pytest.raises(UnavailableError):
        push_release(REGISTRY, pushed, "release-1")
    assert REGISTRY.resolve(repository, "release-1") is None


def test_a_release_is_copied_with_all_its_images(repository: str) -> None:
    def unlocked(_: str) -> AbstractContextManager[None]:
        return nullcontext()

    pushed = images(repository)
    release = push_release(REGISTRY, pushed, "release-1")
    there = f"{repository}-copy"
    ImageCopier(REGISTRY, REGISTRY, unlocked).copy(release, there)
    assert Releases(REGISTRY, there)(release.digest) == {n: image.digest for n, image in pushed.items()}
    for image in pushed.values():
        assert REGISTRY.resolve(there, str(image.digest)) == image.digest
