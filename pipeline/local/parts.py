"""The cloud's containers: registry, database and load balancer, and the network they share with the tasks."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from pipeline.errors import UnavailableError
from pipeline.local.balancer import (
    FIRST_FRONT_PORT,
    ORDERS_FILE,
    RUNTIME_PORT,
    Front,
    configuration,
)
from pipeline.local.launch import CLOUD_LABEL, CONFIG_LABEL, PART_LABEL

# What comes of an engine that refuses, is away, or cuts a stream.
ENGINE_ERRORS = (DockerException, requests.RequestException, urllib3.exceptions.HTTPError)

REGISTRY_IMAGE = "registry:2"
POSTGRES_IMAGE = "postgres:15-bookworm"
BALANCER_IMAGE = "haproxy:2.6-bookworm"


@dataclass(frozen=True, slots=True)
class Part:
    """A container of the cloud. `ports` maps container to loopback ports, `files` paths inside to their text."""

    name: str
    image: str
    ports: Mapping[int, int]
    options: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> str:
        """A hash of everything that makes this container what it is."""
        body = [self.image, sorted(self.ports.items()), dict(self.options), sorted(self.files.items())]
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def registry_part(state: Path, port: int) -> Part:
    """The registry on disk."""
    options = {
        "volumes": [f"{(state / 'registry').resolve()}:/var/lib/registry"],
        "user": f"{os.getuid()}:{os.getgid()}",
        "environment": {"REGISTRY_STORAGE_DELETE_ENABLED": "true", "OTEL_TRACES_EXPORTER": "none"},
    }
    return Part("registry", REGISTRY_IMAGE, {5000: port}, options)


def postgres_part(cloud: str, password: str) -> Part:
    """The database server, reachable by tasks as `postgres`, by nobody on the host."""
    options = {
        "volumes": [f"{volume_name(cloud)}:/var/lib/postgresql/data"],
        "environment": {"POSTGRES_PASSWORD": password},
        "shm_size": 64 * 1024 * 1024,
    }
    return Part("postgres", POSTGRES_IMAGE, {}, options)


def balancer_part(fronts: Sequence[Front], ports: Mapping[str, int]) -> Part:
    """HAProxy with one front end an environment."""
    published = {RUNTIME_PORT: ports["balancer"]} | {front.port: ports[front.environment] for front in fronts}
    files = {"/usr/local/etc/haproxy/haproxy.cfg": configuration(fronts), ORDERS_FILE: ""}
    return Part("balancer", BALANCER_IMAGE, published, {}, files)


def fronts_of(environments: Sequence[Any]) -> list[Front]:
    """Front ends for the environments, in their order."""
    return [
        Front(e.name, FIRST_FRONT_PORT + index, e.health_path, e.healthy_codes)
        for index, e in enumerate(environments)
    ]


def volume_name(cloud: str) -> str:
    """The database's volume."""
    return f"onedigest-{cloud}-postgres"


@contextmanager
def engine_errors() -> Iterator[None]:
    """Inside, what the engine refuses or does not answer becomes an UnavailableError."""
    try:
        yield
    except ENGINE_ERRORS as error:
        raise UnavailableError(
            f"the Docker engine does not do it: {error}", hint="run `python -m pipeline doctor`"
        ) from error


class Engine:
    """The Docker engine, as far as this cloud's own objects go: everything is found and removed by its label."""

    def __init__(self, cloud: str) -> None:
        """Raises UnavailableError when no engine answers."""
        self.cloud = cloud
        self.network = f"onedigest-{cloud}"
        try:
            self.client = docker.from_env()
        except DockerException as error:
            raise UnavailableError(
                f"the Docker engine does not answer: {error}", hint="run `python -m pipeline doctor`"
            ) from error

    def containers(self) -> dict[str, Any]:
        """Part name → listing of its container, tasks left out."""
        listed = self._listed([f"{CLOUD_LABEL}={self.cloud}", PART_LABEL])
        return {c["Labels"][PART_LABEL]: c for c in listed if c["Labels"][PART_LABEL] != "task"}

    def task_ids(self) -> list[str]:
        """Ids of the task containers."""
        return [c["Id"] for c in self._listed([f"{CLOUD_LABEL}={self.cloud}", f"{PART_LABEL}=task"])]

    def _listed(self, labels: Sequence[str]) -> list[Any]:
        return list(self.client.api.containers(all=True, filters={"label": list(labels)}))

    def ensure_network(self) -> None:
        """Makes the tasks' network unless it is there."""
        if not self.client.api.networks(names=[self.network]):
            self.client.networks.create(self.network, labels={CLOUD_LABEL: self.cloud}, check_duplicate=True)

    def ensure_volume(self) -> None:
        """Makes the database's volume unless it is there."""
        self.client.volumes.create(volume_name(self.cloud), labels={CLOUD_LABEL: self.cloud})

    def start(self, part: Part, image: str) -> None:
        """Replaces whatever has the part's name by a container as the part says."""
        name = f"onedigest-{self.cloud}-{part.name}"
        self.discard(part.name)
        try:
            container = self.client.containers.create(
                image,
                name=name,
                labels={CLOUD_LABEL: self.cloud, PART_LABEL: part.name, CONFIG_LABEL: part.config},
                ports={f"{inside}/tcp": ("127.0.0.1", outside) for inside, outside in part.ports.items()},
                restart_policy={"Name": "unless-stopped"},
                log_config={"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
                network=self.network,
                networking_config={self.network: self.client.api.create_endpoint_config(aliases=[part.name])},
                **part.options,
            )
            if part.files:
                container.put_archive("/", archive(part.files))
            container.start()
        except (APIError, ImageNotFound) as error:
            raise UnavailableError(
                f"the local cloud's {part.name} ({image}) does not start: {error.explanation or error}",
                hint="`python -m pipeline local status` shows the parts; `local reset` begins anew",
            ) from error

    def execute(self, part: str, argv: Sequence[str], user: str = "") -> tuple[int, str]:
        """Runs a program inside a part; exit code and output."""
        container = self.client.containers.get(f"onedigest-{self.cloud}-{part}")
        code, output = container.exec_run(list(argv), user=user)
        return int(code), output.decode("utf-8", "replace")

    def put(self, part: str, files: Mapping[str, str]) -> None:
        """Puts files into a part."""
        self.client.containers.get(f"onedigest-{self.cloud}-{part}").put_archive("/", archive(files))

    def last_lines(self, part: str, count: int = 15) -> str:
        """The last lines a part wrote."""
        try:
            text = self.client.containers.get(f"onedigest-{self.cloud}-{part}").logs(tail=count)
        except DockerException as error:
            return f"(no log: {error})"
        return str(text.decode("utf-8", "replace").strip())

    def stop_tasks(self, seconds: int) -> int:
        """Asks every task container to stop, gives it the time, and removes it. Returns how many there were."""
        ids = self.task_ids()
        for task in ids:
            self._quietly(self.client.api.kill, task, "SIGTERM")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.client.api.containers(
            filters={"label": [f"{CLOUD_LABEL}={self.cloud}", f"{PART_LABEL}=task"]}
        ):
            time.sleep(0.1)
        for task in {*ids, *self.task_ids()}:
            self._quietly(self.client.api.remove_container, task, force=True, v=True)
        return len(ids)

    def remove_all(self, *, volumes: bool) -> None:
        """Removes every container and network of this cloud, looking again until none is left."""
        label = [f"{CLOUD_LABEL}={self.cloud}"]
        while found := self._listed(label):
            for container in found:
                self._quietly(self.client.api.remove_container, container["Id"], force=True, v=True)
        for network in self.client.api.networks(filters={"label": label}):
            self._quietly(self.client.api.remove_network, network["Id"])
        if volumes:
            for volume in self.client.volumes.list(filters={"label": label}):
                self._quietly(volume.remove, force=True)

    def discard(self, part: str) -> None:
        """Removes a part's container, if there is one."""
        name = f"onedigest-{self.cloud}-{part}"
        self._quietly(self.client.api.remove_container, name, force=True, v=True)

    @staticmethod
    def _quietly(call: Any, *arguments: Any, **options: Any) -> None:
        try:
            call(*arguments, **options)
        except NotFound:
            return
        except APIError as error:
            if error.status_code != 409:  # 409: stopped already, or being removed by somebody else
                raise


def archive(files: Mapping[str, str]) -> bytes:
    """A tar of text files at absolute paths, readable by everybody inside."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text in files.items():
            body = text.encode()
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(body), 0o644
            tar.addfile(entry, io.BytesIO(body))
    return buffer.getvalue()
