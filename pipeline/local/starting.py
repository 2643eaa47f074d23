"""Starting the cloud's parts: only what does not stand as it should is touched."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import UnavailableError
from pipeline.local import databases
from pipeline.local.balancer import RuntimeApi
from pipeline.local.emulator_process import EmulatorProcess, Identity
from pipeline.local.launch import CONFIG_LABEL, LaunchSettings, code_fingerprint, replace_text
from pipeline.local.loopback import require_free
from pipeline.local.parts import Engine, Part, balancer_part, fronts_of, postgres_part, registry_part
from pipeline.local.spec import Images, LocalSpec

READY_SECONDS = 30.0


class Starting:
    """One pass over the parts of one cloud."""

    def __init__(self, state: Path, spec: LocalSpec, engine: Engine, say: Callable[[str], None]) -> None:
        """`state` is the cloud's state directory."""
        self._state = state
        self._spec = spec
        self._engine = engine
        self._say = say

    def containers(self, ports: Mapping[str, int], known: databases.Passwords, images: Images) -> None:
        """Registry, database and balancer: started or replaced where they are not as they should be, and answering."""
        listed = self._engine.containers()
        broken = [part for part in self._parts(ports, known) if not stands(part, listed.get(part.name))]
        if broken:
            self._engine.ensure_network()
            self._engine.ensure_volume()
            tags = images([part.image for part in broken])
            for part in broken:
                self._start(part, tags[part.image], existed=part.name in listed)
            self._await_answers(ports)
        if any(
            part.name == "postgres" for part in broken
        ) or self._databases_made() != self._databases_wanted(known):
            databases.set_up(self._engine, self._spec.app, known)
            replace_text(self._state / "databases", self._databases_wanted(known))

    def emulator(self, process: EmulatorProcess, ports: Mapping[str, int]) -> Identity:
        """The emulator, running with the settings it should have."""
        fronts = zip(self._spec.environments, fronts_of(self._spec.environments), strict=True)
        backends = {self._spec.place(environment): front.backend for environment, front in fronts}
        settings = LaunchSettings(
            cloud=self._engine.cloud,
            port=ports["aws"],
            region=self._spec.region,
            network=self._engine.network,
            balancer_port=ports["balancer"],
            backends=backends,
            code=code_fingerprint(),
        )
        running = process.identity(settings.port)
        if running is not None and launched_as(self._state, settings):
            return running
        again = process.was_started()
        process.stop()
        require_free(settings.port, "emulator", self._state / "ports.json")
        settings.save(self._state)
        identity = process.start(settings.port)
        self._say(
            f"emulator: {'restarted' if again else 'started'} on port {settings.port} (pid {identity.pid})"
        )
        return identity

    def _parts(self, ports: Mapping[str, int], known: databases.Passwords) -> list[Part]:
        (self._state / "registry").mkdir(exist_ok=True)
        return [
            registry_part(self._state, ports["registry"]),
            postgres_part(self._engine.cloud, known.server),
            balancer_part(fronts_of(self._spec.environments), ports),
        ]

    def _start(self, part: Part, image: str, *, existed: bool) -> None:
        self._engine.discard(part.name)
        for port in part.ports.values():
            require_free(port, part.name, self._state / "ports.json")
        self._engine.start(part, image)
        self._say(f"{part.name}: {'replaced' if existed else 'started'}{_on(part.ports)}")

    def _databases_made(self) -> str:
        try:
            return (self._state / "databases").read_text("utf-8")
        except OSError:
            return ""

    def _databases_wanted(self, known: databases.Passwords) -> str:
        return "\n".join(sorted(known.environments))

    def _await_answers(self, ports: Mapping[str, int]) -> None:
        self._await("registry", lambda: _web_answers(f"http://127.0.0.1:{ports['registry']}/v2/"))
        self._await("balancer", lambda: _balancer_answers(ports["balancer"]))

    def _await(self, part: str, answers: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not answers():
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"the local cloud's {part} does not answer; its last lines:\n{self._engine.last_lines(part)}",
                    hint="`python -m pipeline local down` and `local up` start it afresh",
                )
            time.sleep(0.05)


def stands(part: Part, listed: Any) -> bool:
    """True when the listed container runs and was made from this very configuration."""
    return bool(
        listed is not None
        and listed["State"] == "running"
        and listed["Labels"].get(CONFIG_LABEL) == part.config
    )


def launched_as(state: Path, settings: LaunchSettings) -> bool:
    """True when the emulator was last started with these settings."""
    try:
        return LaunchSettings.load(state) == settings
    except (OSError, ValueError, TypeError):
        return False


def _on(ports: Mapping[int, int]) -> str:
    return f" on port {', '.join(str(port) for port in sorted(ports.values()))}" if ports else ""


def _web_answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2.0) as answer:
            return int(answer.status) == 200
    except (OSError, urllib.error.URLError):
        return False


def _balancer_answers(port: int) -> bool:
    try:
        return bool(RuntimeApi(port).slots())
    except (OSError, ValueError):
        return False
