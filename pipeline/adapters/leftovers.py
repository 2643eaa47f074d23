"""What marks our containers as ours, and the removal of what a dead run left behind."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import docker
from docker.errors import APIError, NotFound

RUN = "dev.onedigest.run"
KIND = "dev.onedigest.kind"
HOST = "dev.onedigest.host"
LOCK = "dev.onedigest.lock"
BATCH = "dev.onedigest.batch"


class Batch:
    """Containers and networks that live and die together, owned by this process while it is entered.

    A context manager: entering takes a lock file `STATE/<kind>-<name>.lock` that the kernel lets go when this
    process dies, leaving removes the file. `name` must be new; `run` is the run's id, for people.
    """

    def __init__(self, state: Path, kind: str, name: str, run: str) -> None:
        self._lock = state.absolute() / f"{kind}-{name}.lock"
        self._file = -1
        self.labels: Mapping[str, str] = {
            RUN: run,
            KIND: kind,
            BATCH: name,
            HOST: host_id(),
            LOCK: str(self._lock),
        }

    @property
    def key(self) -> Mapping[str, str]:
        """The labels that tell this batch from every other."""
        return {BATCH: self.labels[BATCH], HOST: self.labels[HOST]}

    def __enter__(self) -> Self:
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._lock.unlink(missing_ok=True)
        os.close(self._file)


def host_id() -> str:
    """Tells this machine (or container) from others that may use the same engine."""
    with contextlib.suppress(OSError):
        machine = Path("/etc/machine-id").read_text(encoding="ascii")
        return hashlib.sha256(f"{machine}{socket.gethostname()}".encode()).hexdigest()[:16]
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:16]


def sweep(engine: docker.DockerClient, kind: str) -> int:
    """Removes every batch of `kind` made on this host whose lock nobody holds; gives how many batches."""
    ours = {KIND: kind, HOST: host_id()}
    locks = {labels.get(BATCH, ""): labels.get(LOCK, "") for labels in _labels_of(engine, ours)}
    dead = [batch for batch, lock in locks.items() if batch and not _is_held(Path(lock))]
    for batch in dead:
        remove(engine, {**ours, BATCH: batch})
        with contextlib.suppress(OSError):
            Path(locks[batch]).unlink(missing_ok=True)
    return len(dead)


def remove(engine: docker.DockerClient, labels: Mapping[str, str]) -> None:
    """Removes every container with all of these labels, running or not, with its volumes; then the networks."""
    for container in engine.api.containers(all=True, filters=_filter(labels)):
        with contextlib.suppress(NotFound), _already_on_its_way():
            engine.api.remove_container(container["Id"], force=True, v=True)
    for network in engine.api.networks(filters=_filter(labels)):
        with contextlib.suppress(NotFound):
            engine.api.remove_network(network["Id"])


@contextlib.contextmanager
def _already_on_its_way() -> Iterator[None]:
    """Two may remove the same container at once: the engine answers the second one 409."""
    try:
        yield
    except APIError as error:
        if error.status_code != 409:
            raise


def _labels_of(engine: docker.DockerClient, labels: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    for thing in engine.api.containers(all=True, filters=_filter(labels)):
        yield thing.get("Labels") or {}
    for thing in engine.api.networks(filters=_filter(labels)):
        yield thing.get("Labels") or {}


def _filter(labels: Mapping[str, str]) -> dict[str, list[str]]:
    return {"label": [f"{name}={value}" for name, value in labels.items()]}


def _is_held(lock: Path) -> bool:
    """Whether a living process holds the lock. One that we may not look at counts as held."""
    try:
        file = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
