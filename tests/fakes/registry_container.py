"""The real registry that the local cloud uses, in a container of its own, for as long as a test module lasts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import docker
import requests

from pipeline.local.base_images import BaseImages

LABEL = "onedigest-test-registry"


@contextmanager
def registry_container() -> Iterator[str]:
    """Gives its `127.0.0.1:port`. Nothing that is pushed outlives it."""
    client = docker.from_env()
    image = BaseImages(client, print).ensure(["registry:2"])["registry:2"]
    container = client.containers.run(
        image,
        detach=True,
        labels={LABEL: "1"},
        ports={"5000/tcp": ("127.0.0.1", None)},
        environment={"REGISTRY_LOG_LEVEL": "error", "OTEL_TRACES_EXPORTER": "none"},
    )
    try:
        container.reload()
        host = f"127.0.0.1:{container.ports['5000/tcp'][0]['HostPort']}"
        _wait_for(host)
        yield host
    finally:
        container.remove(force=True, v=True)


def _wait_for(host: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(300):
            try:
                if session.get(f"http://{host}/v2/", timeout=5).ok:
                    return
            except requests.ConnectionError:
                pass
            time.sleep(0.1)
    raise AssertionError(f"no registry answers at {host}")
