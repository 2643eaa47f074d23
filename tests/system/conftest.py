"""One local cloud for all system tests that want one; it is started when the first asks, and taken away at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.cloud_in_hand import CloudInHand


@pytest.fixture(scope="session")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudInHand]:
    """A cloud with two environments on a state directory of its own."""
    hand = CloudInHand(tmp_path_factory.mktemp("cloud") / "local")
    try:
        yield hand
    finally:
        hand.cloud.reset()
        hand.engine.close()
