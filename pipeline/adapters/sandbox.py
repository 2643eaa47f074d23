"""The integration sandbox: a candidate with its real dependencies in containers, and pytest against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """A dependency of the app, started beside it.

    `name` is its host name for the app. `image` is a reference the engine has or can pull. `port` is the TCP port
    whose answer means ready; with `ready`, a command run inside the container, its exit code 0 means ready instead.
    `tmpfs` lists paths kept in memory. `command` replaces the image's. `timeout` is in seconds.
    """

    name: str
    image: str
    port: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    ready: tuple[str, ...] = ()
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """What to run around a candidate, and the suite to run against it.

    `root` is the project's folder: pytest runs there and `tests` is relative to it. `environment` is the app's;
    in its values `{digest}` and `{commit}` are replaced. `before`, when given, runs once in a container of the
    candidate before the app starts. Timeouts are in seconds; `suite_timeout` is for the whole pytest run.
    `state` is where lock files are kept; every sandbox of one host and user should share it.
    """

    root: Path
    tests: Path
    state: Path
    python: str
    port: int
    ready_path: str = "/"
    ready_timeout: float = 60.0
    environment: Mapping[str, str] = field(default_factory=dict)
    services: tuple[ServiceSettings, ...] = ()
    before: tuple[str, ...] = ()
    before_timeout: float = 120.0
    pytest_args: tuple[str, ...] = ()
    suite_timeout: float = 900.0
