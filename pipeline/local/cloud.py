"""The local cloud: emulator, load balancer, registry and database on loopback, started, repaired and stopped."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import UnavailableError
from pipeline.local import databases
from pipeline.local.balancer import ORDERS_PORT, RuntimeApi
from pipeline.local.emulator_process import EmulatorProcess, Identity
from pipeline.local.launch import ACCOUNT
from pipeline.local.loopback import Ports
from pipeline.local.parts import Engine, engine_errors, fronts_of
from pipeline.local.progress import Progress
from pipeline.local.restore import Record, Restore
from pipeline.local.spec import (
    Desired,
    Endpoints,
    Images,
    LocalEnvironment,
    LocalSpec,
    LocalStatus,
    PartStatus,
    Provision,
)
from pipeline.local.starting import Starting

__all__ = [
    "Desired",
    "Endpoints",
    "LocalCloud",
    "LocalEnvironment",
    "LocalSpec",
    "LocalStatus",
    "PartStatus",
    "cloud_id",
]

Say = Callable[[str], None]
TASK_STOP_SECONDS = 10
LOCK = "lock"
CONTAINER_PARTS = ("registry", "postgres", "balancer")


class LocalCloud:
    """One cloud per state directory. Several may run side by side; every call is safe from several processes."""

    def __init__(self, state: Path, spec: LocalSpec, images: Images, provision: Provision, say: Say) -> None:
        """`state` is `.pipeline/local` of the project; it is created. `provision` is called by `up` where needed."""
        self._state = state.resolve()
        self._spec = spec
        self._images = images
        self._provision = provision
        self._say = say
        self._id = cloud_id(state)
        self._ports = Ports(self._state, spec.port_base)
        self._process = EmulatorProcess(self._state, self._id)
        self._record = Record(self._state)

    def up(self, *, populate: bool = True) -> Endpoints:
        """Starts what is not up, repairs what is broken, restores what the environments ran, and says what it did.

        Idempotent; under half a second when all is up. `populate` False: the parts alone, the environments are left as
        they are. Raises UnavailableError when Docker does not answer,
        a recorded port is taken, or a part does not come up (with its last log lines).
        """
        with self._lock(), engine_errors():
            engine = Engine(self._id)
            ports = self._ports.assign(["aws", "registry", "balancer", *self._environment_names()])
            known = databases.passwords(self._state, self._lasting_names())
            starting = Starting(self._state, self._spec, engine, self._say)
            starting.containers(ports, known, self._images)
            identity = starting.emulator(self._process, ports)
            endpoints = self._endpoints(ports, known)
            if populate:
                self._populate(identity, endpoints)
        return endpoints

    def endpoints(self) -> Endpoints | None:
        """Where everything is when all of it is up; None otherwise. Starts nothing.

        An older version's cloud, which has no front for one of the environments, is not up.
        """
        if not self.status().up or not {*self._environment_names()} <= {*self._ports.known()}:
            return None
        known = databases.passwords(self._state, self._lasting_names())
        return self._endpoints(self._ports.known(), known)

    def status(self) -> LocalStatus:
        """Every part as it is now. Starts nothing. Raises UnavailableError when Docker does not answer."""
        ports = self._ports.known()
        recorded = {name: self._record.of(name) for name in self._lasting_names()}
        images = {name: desired.image if desired else "" for name, desired in recorded.items()}
        if "aws" not in ports:
            never = [
                PartStatus(name, up=False, port=None, detail="never started")
                for name in ("emulator", *CONTAINER_PARTS)
            ]
            return LocalStatus(tuple(never), images)
        with engine_errors():
            listed = Engine(self._id).containers()
        parts = [container_status(name, listed.get(name), ports) for name in CONTAINER_PARTS]
        return LocalStatus((self._emulator_status(ports["aws"]), *parts), images)

    def down(self) -> None:
        """Stops tasks, emulator and containers. Images, databases and the record of what ran stay on disk."""
        with self._lock(), engine_errors():
            self._down(volumes=False)

    def reset(self) -> None:
        """`down`, then deletes the state directory and the databases, saying what goes."""
        with self._lock(), engine_errors():
            self._down(volumes=True)
            for entry in sorted(self._state.iterdir()):
                if entry.name != LOCK:
                    self._say(f"deleting {entry}")
                    _delete(entry)
            self._say("deleted the databases")

    def forget(self, environment: str) -> None:
        """The environment's stack is gone: `up` makes it anew, and brings nothing back in it."""
        with self._lock():
            self._record.drop(environment)
            Progress.drop(self._state, environment)

    def record(self, desired: Desired) -> None:
        """Keeps what an environment runs now, so that `up` brings it back. Call it after each good rollout."""
        self._record.keep(desired)

    def order(self, text: str) -> None:
        """Tells tasks that load an environment when to begin. Raises UnavailableError when the balancer is not up."""
        try:
            RuntimeApi(self._ports.known()["balancer"]).order(text)
        except (OSError, KeyError) as error:
            raise UnavailableError(
                f"the local cloud's balancer takes no order: {error}",
                hint="`python -m pipeline local up` repairs it",
            ) from error

    def _environment_names(self) -> list[str]:
        return [environment.name for environment in self._spec.environments]

    def _lasting_names(self) -> list[str]:
        """Those that have a database of their own, and whose rollouts are brought back."""
        return [environment.name for environment in self._spec.environments if not environment.beside]

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self._state.mkdir(parents=True, exist_ok=True)
        with (self._state / LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say("waiting for another process that works on the local cloud")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _endpoints(self, ports: Mapping[str, int], known: databases.Passwords) -> Endpoints:
        return Endpoints(
            aws=f"http://127.0.0.1:{ports['aws']}",
            registry=f"localhost:{ports['registry']}",
            region=self._spec.region,
            account=ACCOUNT,
            urls={name: f"http://127.0.0.1:{ports[name]}" for name in self._environment_names()},
            database_urls=databases.database_urls(self._spec.app, known),
            inside={f.environment: f"http://balancer:{f.port}" for f in fronts_of(self._spec.environments)},
            orders=f"http://balancer:{ORDERS_PORT}/",
        )

    def _populate(self, identity: Identity, endpoints: Endpoints) -> None:
        progress = Progress.load(self._state, identity.boot)
        for environment in self._spec.environments:
            if progress.provisioned.get(environment.name) != environment.provision_key:
                self._provision(endpoints, environment)
                progress.provisioned[environment.name] = environment.provision_key
                progress.save(self._state)
        waiting = progress.to_restore(self._lasting_names())
        if waiting:
            progress.restored += self._restore(endpoints, waiting)
            progress.save(self._state)

    def _restore(self, endpoints: Endpoints, names: list[str]) -> list[str]:
        """Brings back what was recorded; returns the environments that need no further attempt."""
        records = {name: self._record.of(name) for name in names}
        wanted = [desired for desired in records.values() if desired is not None and desired.count > 0]
        if not wanted:
            return names
        restores = [Restore(endpoints, self._say, desired.region) for desired in wanted]
        with ThreadPoolExecutor(max_workers=4) as pool:
            done = pool.map(Restore.bring_back, restores, wanted)
            back = {desired.environment for desired, good in zip(wanted, done, strict=True) if good}
        failed = {desired.environment for desired in wanted} - back
        return [name for name in names if name not in failed]

    def _down(self, *, volumes: bool) -> None:
        engine = Engine(self._id)
        running = self._process.pid() is not None
        self._process.stop()
        tasks = engine.stop_tasks(TASK_STOP_SECONDS)
        containers = len(engine.containers())
        engine.remove_all(volumes=volumes)
        if running or tasks or containers:
            self._say(f"stopped the emulator, {tasks} task containers and {containers} other containers")
        else:
            self._say("nothing was running")

    def _emulator_status(self, port: int) -> PartStatus:
        found = self._process.identity(port)
        if found is None:
            return PartStatus(
                "emulator", up=False, port=port, detail=f"not running; log in {self._process.log}"
            )
        return PartStatus("emulator", up=True, port=port, detail=f"pid {found.pid}")


def container_status(name: str, listed: Any, ports: Mapping[str, int]) -> PartStatus:
    """A container's part, out of the engine's listing (None when there is no such container)."""
    if listed is None:
        return PartStatus(name, up=False, port=ports.get(name), detail="no container")
    detail = f"container {listed['Id'][:12]}, {listed['Status']}"
    return PartStatus(name, up=listed["State"] == "running", port=ports.get(name), detail=detail)


def cloud_id(state: Path) -> str:
    """Ten hex digits that tell this cloud's containers from any other's: label `dev.onedigest.cloud`."""
    return hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:10]


def _delete(entry: Path) -> None:
    if entry.is_dir():
        shutil.rmtree(entry)
    else:
        entry.unlink()
