"""What system tests share: one local cloud, started when the first asks, and an emulator alone for a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bare_emulator import bare_emulator
from tests.foundations import Grounds
from tests.iam.recorder.sitecustomize import recorded
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


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where an emulator without any container answers."""
    with bare_emulator(tmp_path_factory.mktemp("emulator")) as found:
        yield found


@pytest.fixture
def calls(grounds: Grounds, tmp_path: Path) -> Iterator[Path]:
    """The file with every call of AWS that is made in the test."""
    with recorded(str(tmp_path / "calls")):
        yield tmp_path / "calls"
