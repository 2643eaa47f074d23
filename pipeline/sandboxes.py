"""The integration stage's sandbox out of pipeline.toml. Imported when one is needed: testcontainers takes its time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.sandbox import (
    APP,
    BesideSettings,
    SandboxSettings,
    ServiceSettings,
    TestcontainersSandbox,
)
from pipeline.config import ServiceSettings as ToldService
from pipeline.config import Settings
from pipeline.model.calls import with_addresses
from pipeline.model.digest import Digest
from pipeline.ports import IntegrationSandbox

Images = Callable[[list[str]], Mapping[str, str]]


Shares = Callable[[Digest], Mapping[str, Digest]]


def make_sandbox(
    root: Path, settings: Settings, images: Images, shares: Shares, run_id: str
) -> IntegrationSandbox:
    """Runs a candidate with the dependencies that pipeline.toml names; of a release of several services, all of them.

    `images` gives references that the engine has for the images of dependencies, `shares` the images of a release.
    """
    told, front = settings.integration, settings.front
    own = settings.of(front).app
    found = images([service.image for service in told.services.values()]) if told.services else {}
    wanted = SandboxSettings(
        root=root,
        tests=Path(told.tests),
        state=root / ".pipeline" / "sandboxes",
        python=sys.executable,
        port=own.port,
        ready_path=own.ready,
        ready_timeout=told.ready_timeout,
        environment=_variables(settings, front),
        services=tuple(_service(name, service, found) for name, service in told.services.items()),
        before=told.before,
        pytest_args=told.pytest_args,
        suite_timeout=told.timeout,
        name=front or APP,
        beside=tuple(_beside(settings, name) for name in settings.services if name != front),
        shares=shares,
    )
    return TestcontainersSandbox(wanted, SystemClock(), run_id=run_id)


def _beside(settings: Settings, name: str) -> BesideSettings:
    app = settings.of(name).app
    return BesideSettings(name, app.port, app.ready, _variables(settings, name))


def _variables(settings: Settings, service: str) -> Mapping[str, str]:
    """A service's variables; the others of its release are reached by their names."""

    def address(other: str) -> str:
        return f"http://{other}:{settings.of(other).app.port}"

    told = {**settings.of(service).app.environment, **settings.integration.environment}
    return {key: with_addresses(value, address) for key, value in told.items()}


def _service(name: str, told: ToldService, images: Mapping[str, str]) -> ServiceSettings:
    return ServiceSettings(
        name=name,
        image=images[told.image],
        port=told.port,
        environment=told.environment,
        command=told.command,
        tmpfs=told.tmpfs,
        ready=told.ready,
        timeout=told.timeout,
    )
