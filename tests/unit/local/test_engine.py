from __future__ import annotations

import errno
import socket
import threading
from pathlib import Path

import pytest

from pipeline.errors import ExitCode, UnavailableError
from pipeline.local.debian import Release
from pipeline.local.engine import (
    Condition,
    EngineState,
    Observation,
    check,
    engine_processes,
    ensure,
    installation,
    judge,
    observe,
)

DEBIAN = Release("debian", "bookworm", "Debian GNU/Linux 12 (bookworm)")
FEDORA = Release("", "", "Fedora Linux 40")
USUAL = "unix:///var/run/docker.sock"


def state(condition: Condition, host: str = USUAL) -> EngineState:
    return EngineState(condition, host, "message")


def test_a_missing_socket_is_told_from_a_stale_one(tmp_path: Path) -> None:
    missing = tmp_path / "missing.sock"
    stale = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(stale))

    assert check({"DOCKER_HOST": f"unix://{missing}"}).condition is Condition.NO_SOCKET
    found = check({"DOCKER_HOST": f"unix://{stale}"})
    assert found.condition is Condition.STALE_SOCKET
    assert str(stale) in found.message
    assert found.hint


def test_a_socket_that_hangs_up_without_answering_is_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "mute.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(8)
        hanging_up = threading.Thread(target=hang_up, args=(server,))
        hanging_up.start()
        found = check({"DOCKER_HOST": f"unix://{path}"})
        server.shutdown(socket.SHUT_RDWR)
        hanging_up.join()

    assert found.condition is Condition.NO_ANSWER
    assert str(path) in found.message


def hang_up(server: socket.socket) -> None:
    try:
        while True:
            server.accept()[0].close()
    except OSError:
        return


def test_a_remote_host_that_refuses_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        found = check({"DOCKER_HOST": f"tcp://127.0.0.1:{port}"})

    assert found.condition is Condition.UNREACHABLE_HOST
    assert f"127.0.0.1:{port}" in found.message
    assert "DOCKER_HOST" in found.hint


def test_an_unknown_scheme_is_unreachable_and_names_the_host() -> None:
    found = check({"DOCKER_HOST": "carrier-pigeon://loft"})

    assert found.condition is Condition.UNREACHABLE_HOST
    assert "carrier-pigeon://loft" in found.message


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_socket_that_does_not_let_us_in_is_a_matter_of_permission(number: int) -> None:
    found = judge(Observation(USUAL, socket_error=number))

    assert found.condition is Condition.NO_PERMISSION
    assert "usermod" in found.hint


@pytest.mark.parametrize(
    ("api", "condition"),
    [
        ("1.40", Condition.TOO_OLD),
        ("1.9", Condition.TOO_OLD),
        ("", Condition.TOO_OLD),
        ("1.41", Condition.FINE),
        ("1.100", Condition.FINE),
        ("2.0", Condition.FINE),
    ],
)
def test_the_api_version_decides_by_number_not_by_text(api: str, condition: Condition) -> None:
    found = judge(Observation(USUAL, version="x", api=api))

    assert found.condition is condition
    assert found.fine is (condition is Condition.FINE)


def test_every_condition_but_fine_has_a_next_step() -> None:
    seen = [
        Observation(USUAL, socket_error=errno.ENOENT),
        Observation(USUAL, socket_error=errno.ECONNREFUSED),
        Observation(USUAL, socket_error=errno.EACCES),
        Observation("tcp://x", remote=True, problem="refused"),
        Observation(USUAL, problem="reset"),
        Observation(USUAL, version="19.03", api="1.40"),
    ]
    judged = [judge(one) for one in seen]

    assert {one.condition for one in judged} == set(Condition) - {Condition.FINE}
    assert all(one.hint for one in judged)
    assert len({one.message for one in judged}) == len(judged)


def test_the_observation_of_a_missing_socket_does_not_ask_the_sdk(tmp_path: Path) -> None:
    seen = observe({"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})

    assert seen.socket_error == errno.ENOENT
    assert seen.problem == ""


def test_debian_as_root_installs_then_starts_one() -> None:
    plan = installation(state(Condition.NO_SOCKET), DEBIAN, root=True, programs=frozenset({"apt-get"}))

    assert plan.refused == ""
    assert plan.commands[0] == ("apt-get", "update")
    assert {"docker.io", "iptables", "mmdebstrap"} <= set(plan.commands[1])
    assert plan.commands[-1] == ("setsid", "--fork", "dockerd")


@pytest.mark.parametrize("condition", [Condition.NO_SOCKET, Condition.STALE_SOCKET])
def test_an_installed_engine_is_only_started(condition: Condition) -> None:
    programs = frozenset({"dockerd", "iptables", "apt-get"})

    assert installation(state(condition), DEBIAN, root=True, programs=programs).commands == (
        ("setsid", "--fork", "dockerd"),
    )


def test_where_systemd_runs_it_starts_the_engine() -> None:
    programs = frozenset({"dockerd", "iptables", "systemctl"})

    plan = installation(state(Condition.NO_SOCKET), FEDORA, root=True, programs=programs)

    assert plan.commands == (("systemctl", "start", "docker"),)


@pytest.mark.parametrize(
    "condition", [Condition.NO_PERMISSION, Condition.TOO_OLD, Condition.NO_ANSWER, Condition.UNREACHABLE_HOST]
)
def test_no_second_engine_is_started_beside_one_that_is_there(condition: Condition) -> None:
    plan = installation(state(condition), DEBIAN, root=True, programs=frozenset({"dockerd", "iptables"}))

    assert plan.commands == ()
    assert plan.refused


def test_an_engine_named_by_docker_host_is_never_replaced_by_a_local_one() -> None:
    elsewhere = state(Condition.NO_SOCKET, "unix:///run/user/1000/docker.sock")

    plan = installation(elsewhere, DEBIAN, root=True, programs=frozenset({"dockerd", "iptables"}))

    assert plan.commands == ()
    assert "DOCKER_HOST" in plan.refused


@pytest.mark.parametrize(
    ("release", "root", "named"),
    [(DEBIAN, False, "root"), (FEDORA, True, "Fedora Linux 40")],
)
def test_where_we_may_not_install_the_reason_is_said(release: Release, root: bool, named: str) -> None:
    plan = installation(state(Condition.NO_SOCKET), release, root=root, programs=frozenset({"apt-get"}))

    assert plan.commands == ()
    assert named in plan.refused


def test_no_engine_where_docker_host_points_ends_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    said: list[str] = []

    with pytest.raises(UnavailableError) as refused:
        ensure(said.append)

    assert refused.value.exit_code is ExitCode.UNAVAILABLE
    assert "none.sock" in refused.value.message
    assert "DOCKER_HOST" in refused.value.hint
    assert said == []


def process(proc: Path, pid: int, command: str, namespace: str) -> None:
    (proc / str(pid) / "ns").mkdir(parents=True)
    (proc / str(pid) / "comm").write_text(f"{command}\n")
    (proc / str(pid) / "ns/net").symlink_to(namespace)


def test_an_engine_in_another_network_namespace_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/net").symlink_to("net:[1]")
    process(tmp_path, 10, "dockerd", "net:[1]")
    process(tmp_path, 11, "dockerd", "net:[2]")
    process(tmp_path, 12, "bash", "net:[1]")
    (tmp_path / "13").mkdir()

    assert engine_processes(tmp_path) == (10,)
