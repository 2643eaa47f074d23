from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import UnavailableError
from pipeline.local.loopback import Ports, holder, is_free, require_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_ports_once_picked_stay(tmp_path: Path) -> None:
    first = Ports(tmp_path, 23000, tmp_path / "clouds").assign(["aws", "registry"])

    assert Ports(tmp_path, 29000, tmp_path / "clouds").assign(["registry", "aws"]) == first
    assert len(set(first.values())) == 2


def test_a_later_part_gets_a_port_next_to_the_others(tmp_path: Path) -> None:
    ports = Ports(tmp_path, 23000, tmp_path / "clouds")
    first = ports.assign(["aws"])

    both = ports.assign(["aws", "prod"])

    assert both["aws"] == first["aws"]
    assert both["prod"] != both["aws"]
    assert abs(both["prod"] - both["aws"]) < 20


def test_a_cloud_of_many_services_gets_as_many_ports(tmp_path: Path) -> None:
    names = [f"prod-s{number}" for number in range(44)]
    ports = Ports(tmp_path, 23000, tmp_path / "clouds").assign(names)
    assert len(set(ports.values())) == len(names)
    assert max(ports.values()) - min(ports.values()) < 60


def test_a_taken_port_is_not_picked(tmp_path: Path, taken: int) -> None:
    assert taken not in Ports(tmp_path, taken, tmp_path / "clouds").assign(["aws"]).values()


def test_a_taken_port_is_refused_with_who_holds_it_and_the_way_out(
    tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.local.loopback.LET_GO_SECONDS", 0.0)
    with pytest.raises(UnavailableError) as caught:
        require_free(taken, "registry", tmp_path / "ports.json")

    assert f"port {taken}" in caught.value.message
    assert f"pid {os.getpid()} (" in caught.value.message
    assert "ports.json" in caught.value.hint


def test_a_free_port_is_free_and_held_by_nobody_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)
    assert holder(port) == "a program that /proc does not show"


def test_a_broken_record_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("{not json")

    assert Ports(tmp_path, 23000, tmp_path / "clouds").known() == {}


def test_two_clouds_that_start_at_once_pick_different_ports_and_keep_them_while_down(tmp_path: Path) -> None:
    neighbours = tmp_path / "clouds"
    one = Ports(tmp_path / "one", 23000, neighbours).assign(["aws", "registry"])
    two = Ports(tmp_path / "two", 23000, neighbours).assign(["aws", "registry"])

    assert not set(one.values()) & set(two.values())


def test_a_cloud_that_was_reset_gives_its_ports_back(tmp_path: Path) -> None:
    neighbours = tmp_path / "clouds"
    one = Ports(tmp_path / "one", 23000, neighbours).assign(["aws"])
    (tmp_path / "one" / "ports.json").unlink()

    assert Ports(tmp_path / "two", 23000, neighbours).assign(["aws"]) == one
