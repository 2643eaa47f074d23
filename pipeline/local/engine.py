"""The Docker engine: what state it is in, and getting one where none runs and we may install it."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import docker
from docker.errors import DockerException
from requests import RequestException

from pipeline.errors import UnavailableError
from pipeline.local.debian import Release, install_commands, read_release, run_as_root
from pipeline.ports import Say

MINIMUM_API = (1, 41)
"""Docker 20.10's; older engines lack what containers of ours are started with."""

PACKAGES = ("docker.io", "iptables", "ca-certificates", "mmdebstrap")
_DEFAULT_HOST = "unix:///var/run/docker.sock"
_START_SECONDS = 30.0
_LOCK = Path("/run/lock/onedigest-engine.lock")
_LOG = Path("/var/log/onedigest-dockerd.log")


class Condition(StrEnum):
    """What is the matter with the engine, if anything."""

    FINE = "fine"
    NO_SOCKET = "no socket"
    STALE_SOCKET = "stale socket"
    NO_PERMISSION = "no permission"
    UNREACHABLE_HOST = "unreachable host"
    TOO_OLD = "too old"
    NO_ANSWER = "no answer"


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of an engine, before any judgement.

    `socket_error` is the errno of connecting to its Unix socket (0: it took the connection). `remote` is true for a
    host that is not a Unix socket. `problem` is what the SDK said, empty when the engine answered.
    """

    host: str
    remote: bool = False
    socket_error: int = 0
    problem: str = ""
    version: str = ""
    api: str = ""
    storage: str = ""


@dataclass(frozen=True, slots=True)
class EngineState:
    """The judgement: `message` is what is so, `hint` the next step (empty when fine)."""

    condition: Condition
    host: str
    message: str
    hint: str = ""
    version: str = ""
    api: str = ""
    storage: str = ""

    @property
    def fine(self) -> bool:
        """Whether containers can be started."""
        return self.condition is Condition.FINE


@dataclass(frozen=True, slots=True)
class Installation:
    """What is needed to get an engine: programs to run in order, or `refused`, which says why not."""

    commands: tuple[tuple[str, ...], ...] = ()
    refused: str = ""


def check(environment: Mapping[str, str] = os.environ) -> EngineState:
    """The state of the engine that DOCKER_HOST names, or of the one on the usual socket. Changes nothing."""
    return judge(observe(environment))


def ensure(say: Say, *, dry_run: bool = False) -> EngineState:
    """An engine that answers: the one there is, else one started or, on Debian and Ubuntu as root, installed.

    With `dry_run` the commands are said instead of run. Raises UnavailableError with the fix when there is none to
    be had. Never starts a second engine beside one that runs or is starting.
    """
    state = check()
    if state.fine:
        return state
    plan = installation(state, read_release(), root=os.geteuid() == 0, programs=_installed())
    if plan.refused:
        raise UnavailableError(state.message, hint=f"{state.hint}{'; ' if state.hint else ''}{plan.refused}")
    if dry_run:
        for command in plan.commands:
            say(f"would run: {' '.join(command)}")
        return state
    with _alone():
        state = check()
        if not state.fine:
            say(
                f"{state.message}; {'starting it' if len(plan.commands) == 1 else 'installing and starting it'}"
            )
            return _bring_up(plan)
    return state


def observe(environment: Mapping[str, str]) -> Observation:
    """Connect to the socket, then ask the engine who it is."""
    host = environment.get("DOCKER_HOST") or _DEFAULT_HOST
    parts = urlsplit(host)
    if parts.scheme == "unix":
        failure = _connect(parts.path)
        if failure:
            return Observation(host, socket_error=failure)
    return _ask(host, remote=parts.scheme != "unix", environment=environment)


def judge(seen: Observation) -> EngineState:
    """Tell the cases apart, each with its fix. Pure."""
    condition = _condition(seen)
    message, hint = _WORDS[condition]
    values = {
        "host": seen.host,
        "path": urlsplit(seen.host).path,
        "problem": seen.problem or os.strerror(seen.socket_error),
        "version": seen.version,
        "api": seen.api,
        "minimum": ".".join(map(str, MINIMUM_API)),
    }
    return EngineState(
        condition,
        seen.host,
        message.format(**values),
        hint.format(**values),
        seen.version,
        seen.api,
        seen.storage,
    )


def installation(
    state: EngineState, release: Release, *, root: bool, programs: frozenset[str]
) -> Installation:
    """How to get an engine here, or why we do not. Pure.

    `programs` are those of dockerd, iptables and apt-get that are installed, and systemctl where systemd runs.
    """
    if state.host != _DEFAULT_HOST:
        return Installation(
            refused="DOCKER_HOST names this engine, so no other one is installed or started here"
        )
    if state.condition not in (Condition.NO_SOCKET, Condition.STALE_SOCKET):
        return Installation(refused="there is an engine, so no other one is started beside it")
    if not root:
        return Installation(refused="or run this as root, which may install and start one")
    start = ("systemctl", "start", "docker") if "systemctl" in programs else ("setsid", "--fork", "dockerd")
    if {"dockerd", "iptables"} <= programs:
        return Installation((start,))
    if not release.family or "apt-get" not in programs:
        return Installation(
            refused=f"installing one is known for Debian and Ubuntu, and this is {release.name}"
        )
    return Installation((*install_commands(PACKAGES), start))


_WORDS: Mapping[Condition, tuple[str, str]] = {
    Condition.FINE: ("Docker engine {version} answers on {host}", ""),
    Condition.NO_SOCKET: (
        "no Docker engine: {path} does not exist",
        "install and start Docker (Debian, Ubuntu: apt-get install docker.io), or point DOCKER_HOST at an engine",
    ),
    Condition.STALE_SOCKET: (
        "no Docker engine behind {path}: the socket is left over from one that ended",
        "start it again: systemctl start docker, or dockerd as root",
    ),
    Condition.NO_PERMISSION: (
        "the Docker engine's socket {path} does not let this user in",
        "add the user to its group and log in again: sudo usermod -aG docker $USER",
    ),
    Condition.UNREACHABLE_HOST: (
        "the Docker engine at DOCKER_HOST={host} cannot be reached: {problem}",
        "check the host and the network, or unset DOCKER_HOST to use the local engine",
    ),
    Condition.TOO_OLD: (
        "the Docker engine {version} on {host} is too old: its API is {api}, and {minimum} is the least",
        "upgrade it to Docker 20.10 or newer",
    ),
    Condition.NO_ANSWER: (
        "the Docker engine on {host} takes connections and does not answer: {problem}",
        "see its log (journalctl -u docker) and restart it: systemctl restart docker",
    ),
}


def _condition(seen: Observation) -> Condition:
    if seen.socket_error in (errno.ENOENT, errno.ENOTDIR):
        return Condition.NO_SOCKET
    if seen.socket_error in (errno.EACCES, errno.EPERM):
        return Condition.NO_PERMISSION
    if seen.socket_error:
        return Condition.STALE_SOCKET
    if seen.problem:
        return Condition.UNREACHABLE_HOST if seen.remote else Condition.NO_ANSWER
    return Condition.FINE if _api(seen.api) >= MINIMUM_API else Condition.TOO_OLD


def _api(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _connect(path: str) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(path)
        except OSError as problem:
            return problem.errno or errno.ETIMEDOUT
    return 0


def _ask(host: str, *, remote: bool, environment: Mapping[str, str]) -> Observation:
    try:
        client = docker.from_env(timeout=10, environment={**environment, "DOCKER_HOST": host})
        try:
            said = client.version()
            storage = client.info()["Driver"]
        finally:
            client.close()
    except (DockerException, RequestException, OSError) as problem:
        return Observation(host, remote=remote, problem=str(problem))
    return Observation(host, remote=remote, version=said["Version"], api=said["ApiVersion"], storage=storage)


def _installed() -> frozenset[str]:
    found = {name for name in ("dockerd", "iptables", "apt-get") if shutil.which(name)}
    return frozenset(found | ({"systemctl"} if Path("/run/systemd/system").is_dir() else set()))


@contextmanager
def _alone() -> Iterator[None]:
    """One process of this machine at a time installs or starts the engine; the next finds it running."""
    _LOCK.parent.mkdir(parents=True, exist_ok=True)
    with _LOCK.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _bring_up(plan: Installation) -> EngineState:
    for command in plan.commands[:-1]:
        run_as_root(command)
    # The package's own start script may have started one by now, or one may be starting: wait for that one.
    running = engine_processes()
    if not running:
        _start(plan.commands[-1])
    return _wait(check, time.monotonic() + _START_SECONDS, running)


def _start(command: Sequence[str]) -> None:
    with _LOG.open("ab") as log:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    if done.returncode:
        raise UnavailableError(f"{' '.join(command)} ended with {done.returncode}", hint=f"read {_LOG}")


def engine_processes(proc: Path = Path("/proc")) -> tuple[int, ...]:
    """The process ids of every dockerd that shares this process's network namespace, starting ones included.

    A second one there would take down the first one's bridge.
    """
    own = _namespace(proc / "self")
    found = (entry for entry in proc.iterdir() if entry.name.isdigit() and _command(entry) == "dockerd")
    return tuple(sorted(int(entry.name) for entry in found if _namespace(entry) in (own, "")))


def _command(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return ""


def _namespace(process: Path) -> str:
    """The network namespace, or the empty string where it is not shown: it then counts as ours, to be safe."""
    try:
        return str((process / "ns/net").readlink())
    except OSError:
        return ""


def _wait(look: Callable[[], EngineState], deadline: float, running: Sequence[int]) -> EngineState:
    while True:
        state = look()
        if state.fine:
            return state
        if time.monotonic() > deadline:
            raise _no_answer(running)
        time.sleep(0.1)


def _no_answer(running: Sequence[int]) -> UnavailableError:
    if running:
        return UnavailableError(
            f"a Docker engine runs here (process {running[0]}) and does not listen on {_DEFAULT_HOST}",
            hint="set DOCKER_HOST to where it listens; a second engine beside it would break its network",
        )
    tail = _LOG.read_text(errors="replace").splitlines()[-3:] if _LOG.is_file() else []
    return UnavailableError(
        "\n".join([f"dockerd was started and does not answer within {_START_SECONDS:.0f} s", *tail]),
        hint=f"read {_LOG}; containers need a kernel with overlayfs, namespaces and iptables, and root",
    )
