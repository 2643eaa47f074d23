"""The local cloud: emulator, load balancer, registry and database on loopback, started, repaired and stopped."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError, UnavailableError
from pipeline.local import databases
from pipeline.local.balancer import RuntimeApi
from pipeline.local.emulator_process import EmulatorProcess, Identity
from pipeline.local.launch import ACCOUNT, CONFIG_LABEL, LaunchSettings, replace_text
from pipeline.local.loopback import Ports, require_free
from pipeline.local.parts import Engine, Part, balancer_part, fronts_of, postgres_part, registry_part
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
READY_SECONDS = 30.0
TASK_STOP_SECONDS = 10


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

    def up(self) -> Endpoints:
        """Starts what is not up, repairs what is broken, restores what the environments ran, and says what it did.

        Idempotent; under half a second when all is up. Raises UnavailableError when Docker does not answer,
        a recorded port is taken, or a part does not come up (with its last log lines).
        """
        with self._lock():
            engine = Engine(self._id)
            ports = self._ports.assign([*_PART_PORTS, *self._environment_names()])
            known = databases.passwords(self._state, self._environment_names())
            self._start_parts(engine, ports, known)
            identity = self._start_emulator(engine, ports)
            endpoints = self._endpoints(ports, known)
            self._populate(identity, endpoints)
        return endpoints

    def endpoints(self) -> Endpoints | None:
        """Where everything is when all of it is up; None otherwise. Starts nothing."""
        if not self.status().up:
            return None
        return self._endpoints(self._ports.known(), databases.passwords(self._state, self._environment_names()))

    def status(self) -> LocalStatus:
        """Every part as it is now. Starts nothing."""
        ports = self._ports.known()
        recorded = {name: self._record.of(name) for name in self._environment_names()}
        images = {name: desired.image if desired else "" for name, desired in recorded.items()}
        if not ports:
            return LocalStatus(tuple(PartStatus(n, False, None, "never started") for n in _PARTS), images)
        listed = Engine(self._id).containers()
        parts = [self._container_status(name, listed.get(name), ports) for name in ("registry", "postgres", "balancer")]
        return LocalStatus((self._emulator_status(ports), *parts), images)

    def down(self) -> None:
        """Stops tasks, emulator and containers. Images, databases and the record of what ran stay on disk."""
        with self._lock():
            self._down(volumes=False)

    def reset(self) -> None:
        """`down`, then deletes the state directory and the databases, saying what goes."""
        with self._lock():
            self._down(volumes=True)
            for entry in sorted(self._state.iterdir()):
                if entry.name == _LOCK:
                    continue
                self._say(f"deleting {entry}")
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            self._say("deleted the databases")

    def record(self, desired: Desired) -> None:
        """Keeps what an environment runs now, so that `up` brings it back. Call it after each good rollout."""
        self._record.keep(desired)

    def _environment_names(self) -> list[str]:
        return [environment.name for environment in self._spec.environments]

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self._state.mkdir(parents=True, exist_ok=True)
        with (self._state / _LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say("waiting for another process that works on the local cloud")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _parts(self, ports: Mapping[str, int], known: databases.Passwords) -> list[Part]:
        (self._state / "registry").mkdir(exist_ok=True)
        return [
            registry_part(self._state, ports["registry"]),
            postgres_part(self._id, known.server),
            balancer_part(fronts_of(self._spec.environments), ports),
        ]

    def _start_parts(self, engine: Engine, ports: Mapping[str, int], known: databases.Passwords) -> None:
        listed = engine.containers()
        broken = [part for part in self._parts(ports, known) if not _stands(part, listed.get(part.name))]
        made = self._databases_file().exists() and not any(part.name == "postgres" for part in broken)
        if broken:
            engine.ensure_network()
            engine.ensure_volume()
            tags = self._images([part.image for part in broken])
            for part in broken:
                self._start_part(engine, part, tags[part.image], existed=part.name in listed)
        if not made or self._databases_file().read_text("utf-8") != self._databases_text():
            databases.set_up(engine, self._spec.app, known)
            replace_text(self._databases_file(), self._databases_text())
        if broken:
            self._await_answers(engine, ports)

    def _start_part(self, engine: Engine, part: Part, image: str, *, existed: bool) -> None:
        if existed:
            engine.discard(part.name)
        for port in part.ports.values():
            require_free(port, part.name, self._state / "ports.json")
        engine.start(part, image)
        self._say(f"{part.name}: {'replaced' if existed else 'started'}{_on(part.ports)}")

    def _databases_file(self) -> Path:
        return self._state / "databases"

    def _databases_text(self) -> str:
        return "\n".join(self._environment_names())

    def _await_answers(self, engine: Engine, ports: Mapping[str, int]) -> None:
        questions = {
            "registry": lambda: _answers(f"http://127.0.0.1:{ports['registry']}/v2/"),
            "balancer": lambda: _balancer_answers(ports["balancer"]),
        }
        for name, answers in questions.items():
            deadline = time.monotonic() + READY_SECONDS
            while not answers():
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"the local cloud's {name} does not answer; its last lines:\n{engine.last_lines(name)}",
                        hint="`python -m pipeline local down` and `local up` start it afresh",
                    )
                time.sleep(0.05)

    def _start_emulator(self, engine: Engine, ports: Mapping[str, int]) -> Identity:
        settings = LaunchSettings(
            self._id,
            ports["aws"],
            self._spec.region,
            engine.network,
            ports["balancer"],
            {front.environment: front.backend for front in fronts_of(self._spec.environments)},
        )
        running = self._process.identity(ports["aws"])
        if running is not None and self._launched_as(settings):
            return running
        existed = self._process.pid() is not None
        self._process.stop()
        require_free(ports["aws"], "emulator", self._state / "ports.json")
        settings.save(self._state)
        identity = self._process.start(ports["aws"])
        self._say(f"emulator: {'restarted' if existed else 'started'} on port {ports['aws']} (pid {identity.pid})")
        return identity

    def _launched_as(self, settings: LaunchSettings) -> bool:
        try:
            return LaunchSettings.load(self._state) == settings
        except (OSError, ValueError, TypeError):
            return False

    def _endpoints(self, ports: Mapping[str, int], known: databases.Passwords) -> Endpoints:
        return Endpoints(
            aws=f"http://127.0.0.1:{ports['aws']}",
            registry=f"localhost:{ports['registry']}",
            region=self._spec.region,
            account=ACCOUNT,
            urls={name: f"http://127.0.0.1:{ports[name]}" for name in self._environment_names()},
            database_urls=databases.database_urls(self._spec.app, known),
        )

    def _populate(self, identity: Identity, endpoints: Endpoints) -> None:
        progress = _Progress.load(self._state, identity.boot)
        for environment in self._spec.environments:
            if progress.provisioned.get(environment.name) != environment.provision_key:
                self._provision(endpoints, environment)
                progress.provisioned[environment.name] = environment.provision_key
                progress.save(self._state)
        names = [name for name in self._environment_names() if name not in progress.restored]
        wanted = [desired for name in names if (desired := self._record.of(name)) and desired.count > 0]
        if wanted:
            self._restore(endpoints, wanted)
        if names:
            progress.restored.extend(names)
            progress.save(self._state)

    def _restore(self, endpoints: Endpoints, wanted: list[Desired]) -> None:
        restore = Restore(endpoints, self._say)
        begun = [(desired, restore.begin(desired)) for desired in wanted]
        with ThreadPoolExecutor(max_workers=4) as pool:
            for desired, arn in begun:
                if arn is not None:
                    pool.submit(restore.finish, desired, arn)

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

    def _emulator_status(self, ports: Mapping[str, int]) -> PartStatus:
        found = self._process.identity(ports["aws"])
        if found is None:
            return PartStatus("emulator", False, ports["aws"], f"not running; log in {self._process.log}")
        return PartStatus("emulator", True, ports["aws"], f"pid {found.pid}")

    def _container_status(self, name: str, listed: Any, ports: Mapping[str, int]) -> PartStatus:
        if listed is None:
            return PartStatus(name, False, ports.get(name), "no container")
        up = listed["State"] == "running"
        return PartStatus(name, up, ports.get(name), f"container {listed['Id'][:12]}, {listed['Status']}")


_LOCK = "lock"
_PARTS = ("emulator", "registry", "postgres", "balancer")
_PART_PORTS = ("aws", "registry", "balancer")


class _Progress:
    """What `up` has done for the emulator that runs now; a new emulator (another boot) begins at nothing."""

    def __init__(self, boot: str, provisioned: dict[str, str], restored: list[str]) -> None:
        self.boot, self.provisioned, self.restored = boot, provisioned, restored

    @classmethod
    def load(cls, state: Path, boot: str) -> _Progress:
        try:
            kept = json.loads((state / "progress.json").read_text("utf-8"))
            if kept["boot"] == boot:
                return cls(boot, dict(kept["provisioned"]), list(kept["restored"]))
        except (OSError, ValueError, LookupError, TypeError):
            pass
        return cls(boot, {}, [])

    def save(self, state: Path) -> None:
        replace_text(state / "progress.json", json.dumps(vars(self), indent=1))


def cloud_id(state: Path) -> str:
    """Ten hex digits that tell this cloud's containers from any other's: label `dev.onedigest.cloud`."""
    return hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:10]


def _stands(part: Part, listed: Any) -> bool:
    return listed is not None and listed["State"] == "running" and listed["Labels"].get(CONFIG_LABEL) == part.config


def _on(ports: Mapping[int, int]) -> str:
    return f" on port {', '.join(str(port) for port in sorted(ports.values()))}" if ports else ""


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2.0) as answer:
            return int(answer.status) == 200
    except (OSError, urllib.error.URLError):
        return False


def _balancer_answers(port: int) -> bool:
    try:
        return bool(RuntimeApi(port).slots())
    except (OSError, ValueError, PipelineError):
        return False
