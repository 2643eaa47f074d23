"""Containers of one sandbox: start, wait until ready or ended, log lines. Every port is on loopback only."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.network import Network

from pipeline.errors import UnavailableError
from pipeline.ports import Clock
from pipeline.waiting import poll

LOOPBACK = "127.0.0.1"
_LOOK_EVERY = 0.15
_PROBE_TIMEOUT = 2.0
_NO_PORT = "no published port"
_STAYS_OPEN = 0.2
_KEPT_LINES = 20_000
_IMAGES_FAULT = (
    "OCI runtime create failed",
    "exec format error",
    "executable file not found",
    "No command specified",
)


class CannotStartError(Exception):
    """The engine refused to start a container for a reason that lies in its image."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A container: its host name in the sandbox, its image, and the port to publish on loopback, if any."""

    name: str
    image: str
    environment: Mapping[str, str]
    command: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended; `str()` says it in words."""

    code: int
    out_of_memory: bool

    def __str__(self) -> str:
        return f"exit code {self.code}" + " (out of memory)" * self.out_of_memory


Probe = Callable[[], str]
"""Looks once; the empty string means ready, anything else says what was seen instead."""


class Started:
    """A running (or ended) container."""

    def __init__(self, container: Any, name: str, clock: Clock) -> None:
        self._container = container
        self._clock = clock
        self.name = name
        self.began = clock.monotonic()

    @property
    def id(self) -> str:
        """The engine's id."""
        return str(self._container.id)

    def address(self, port: int) -> tuple[str, int] | None:
        """Where the container's port is reached from here; None when it has ended, for then it has no port."""
        self._container.reload()
        bindings = self._container.attrs["NetworkSettings"]["Ports"].get(f"{port}/tcp")
        return (LOOPBACK, int(bindings[0]["HostPort"])) if bindings else None

    def ended(self) -> Exit | None:
        """How the container ended; None while it runs."""
        self._container.reload()
        state = self._container.attrs["State"]
        if state["Status"] not in ("exited", "dead"):
            return None
        return Exit(int(state["ExitCode"]), bool(state.get("OOMKilled")))

    def wait_for_end(self, timeout: float) -> Exit | None:
        """As `ended`, within `timeout` seconds; None when it runs on."""
        return poll(self.ended, _LOOK_EVERY, self._clock.monotonic() + timeout, self._clock)

    def wait_until(self, probe: Probe, timeout: float) -> str:
        """Probes until ready, for at most `timeout` seconds, and no longer than the container runs.

        Empty when it got ready, else why it did not.
        """
        seen = "nothing"

        def look() -> str | None:
            nonlocal seen
            ended = self.ended()
            if ended is not None:
                return f"ended with {ended} after {self._clock.monotonic() - self.began:.1f} s"
            seen = probe()
            return None if seen else ""

        failed = poll(look, _LOOK_EVERY, self._clock.monotonic() + timeout, self._clock)
        return f"was not ready within {timeout:g} s; last seen: {seen}" if failed is None else failed

    def runs(self, command: tuple[str, ...]) -> Probe:
        """Ready when the command, run inside, ends with exit code 0."""

        def probe() -> str:
            code, output = self._container.exec_run(list(command))
            return "" if code == 0 else f"{command[0]}: exit code {code}: {_text(output).strip()}"

        return probe

    def answers(self, port: int, path: str) -> Probe:
        """Ready when GET `path` is answered with a status from 200 to 299."""

        def probe() -> str:
            address = self.address(port)
            return get(address, path) if address else _NO_PORT

        return probe

    def accepts(self, port: int) -> Probe:
        """Ready when a TCP connection is accepted and stays open."""

        def probe() -> str:
            address = self.address(port)
            return connect_to(address) if address else _NO_PORT

        return probe

    def lines(self, last: int = _KEPT_LINES) -> tuple[str, ...]:
        """The last lines it wrote to stdout and stderr."""
        return tuple(_text(self._container.logs(tail=last)).splitlines())


class Containers:
    """Starts the containers of one sandbox in a network of their own. `labels` mark everything made here."""

    def __init__(self, prefix: str, labels: Mapping[str, str], clock: Clock) -> None:
        self._prefix = prefix
        self._labels = dict(labels)
        self._clock = clock
        self._network = Network(docker_network_kw={"labels": self._labels})
        self._network.name = prefix
        self.started: list[Started] = []

    def create_network(self) -> None:
        """Comes before the first container."""
        self._network.create()

    def start(self, spec: Spec) -> Started:
        """Starts a container. Raises CannotStartError when the image is at fault."""
        container = DockerContainer(spec.image, network=self._network, network_aliases=[spec.name])
        container.image = spec.image
        container.with_name(f"{self._prefix}-{spec.name}").with_envs(**spec.environment)
        container.with_kwargs(labels=self._labels)
        if spec.command:
            container.with_command(list(spec.command))
        for path in spec.tmpfs:
            container.with_tmpfs_mount(path)
        if spec.port is not None:
            container.ports[f"{spec.port}/tcp"] = (LOOPBACK, None)  # type: ignore[assignment] # docker-py's form
        try:
            container.start()
        except APIError as error:
            text = str(error.explanation or error)
            if any(sign in text for sign in _IMAGES_FAULT):
                raise CannotStartError(text) from error
            raise
        started = Started(container.get_wrapped_container(), spec.name, self._clock)
        self.started.append(started)
        return started


def connect() -> docker.DockerClient:
    """The engine that testcontainers uses. Raises UnavailableError when it does not answer."""
    with engine_errors():
        engine = DockerClient().client
        engine.ping()
        if not testcontainers_config.ryuk_disabled:
            testcontainers_config.ryuk_disabled = not _has(engine, testcontainers_config.ryuk_image)
        return engine


def labels_of_image(engine: docker.DockerClient, reference: str) -> Mapping[str, str]:
    """The image's labels, after pulling it when the engine does not have it. Raises UnavailableError when it cannot."""
    try:
        image = engine.images.get(reference) if _has(engine, reference) else engine.images.pull(reference)
    except APIError as error:
        raise UnavailableError(
            f"cannot pull {reference}: {error.explanation or error}",
            hint="check that the registry is up (`python -m pipeline local status`) and still has this image",
        ) from error
    return dict(image.labels)


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turns what the engine's client raises into UnavailableError."""
    try:
        yield
    except (DockerException, requests.RequestException) as error:
        text = str(getattr(error, "explanation", None) or error)
        raise UnavailableError(
            f"the container engine failed: {text}",
            hint="`python -m pipeline doctor` says what is wrong with the engine; then run the stage again",
        ) from error


def get(address: tuple[str, int], path: str) -> str:
    """Empty when GET `path` is answered with a status from 200 to 299, else what was answered instead."""
    connection = http.client.HTTPConnection(*address, timeout=_PROBE_TIMEOUT)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(300).decode("utf-8", "replace")
        return "" if 200 <= answer.status < 300 else f"GET {path} answered {answer.status} {body}".strip()
    except (OSError, http.client.HTTPException) as error:
        return f"GET {path}: {str(error) or type(error).__name__}"
    finally:
        connection.close()


def connect_to(address: tuple[str, int]) -> str:
    """Empty when a connection stays open, else what happened: the engine's own proxy accepts, and then hangs up,
    before there is a server behind it.
    """
    try:
        with socket.create_connection(address, timeout=_PROBE_TIMEOUT) as connection:
            connection.settimeout(_STAYS_OPEN)
            return "" if _stays_open(connection) else "the port is closed"
    except OSError as error:
        return str(error)


def _stays_open(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(1))
    except TimeoutError:
        return True


def _has(engine: docker.DockerClient, reference: str) -> bool:
    try:
        engine.images.get(reference)
    except ImageNotFound:
        return False
    return True


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")
