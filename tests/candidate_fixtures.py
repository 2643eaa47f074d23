"""Fixtures, as a pytest plugin: the engine, the base images, and a candidate in a registry of its own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping

import docker
import pytest

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.leftovers import Batch, remove
from pipeline.adapters.sandbox_containers import Containers, Spec, connect
from pipeline.adapters.watchdog import Watchdog
from pipeline.local.base_images import BaseImages
from pipeline.model.digest import ImageRef
from tests.candidates import POSTGRES, PYTHON, REGISTRY, push


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    engine = connect()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def bases(engine: docker.DockerClient) -> Mapping[str, str]:
    """The base images' tags by the names a user writes."""
    return BaseImages(engine, print).ensure([PYTHON, REGISTRY, POSTGRES])


@pytest.fixture(scope="session")
def candidate(
    engine: docker.DockerClient, bases: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ImageRef]:
    """The image, pushed to a registry on loopback, by its digest."""
    name = secrets.token_hex(6)
    with (
        Batch(tmp_path_factory.mktemp("state"), "test", name, name) as batch,
        Watchdog(batch.key) as watchdog,
    ):
        containers = Containers(f"onedigest-test-{name}", batch.labels, SystemClock())
        containers.create_network()
        registry = containers.start(Spec("registry", bases[REGISTRY], {}, port=5000))
        assert registry.wait_until(registry.answers(5000, "/v2/"), 60) == ""
        address = registry.address(5000)
        assert address is not None
        image = push(engine, bases[PYTHON], f"{address[0]}:{address[1]}/candidate")
        yield image
        engine.images.remove(str(image), force=True)
        remove(engine, batch.key)
        watchdog.stand_down()
