"""The integration stage's sandbox out of pipeline.toml. Imported when one is needed: testcontainers takes its time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.sandbox import SandboxSettings, ServiceSettings, TestcontainersSandbox
from pipeline.config import ServiceSettings as ToldService
from pipeline.config import Settings
from pipeline.ports import IntegrationSandbox

Images = Callable[[list[str]], Mapping[str, str]]


def make_sandbox(
    root: Path, settings: Settings, environment: Mapping[str, str], images: Images, run_id: str
) -> IntegrationSandbox:
    """Runs a candidate with the services that pipeline.toml names, told `environment`.

    `images` gives references that the engine has for the images of services.
    """
    told = settings.integration
    found = images([service.image for service in told.services.values()]) if told.services else {}
    wanted = SandboxSettings(
        root=root,
        tests=Path(told.tests),
        state=root / ".pipeline" / "sandboxes",
        python=sys.executable,
        port=settings.app.port,
        ready_path=settings.app.ready,
        ready_timeout=told.ready_timeout,
        environment=environment,
        services=tuple(_service(name, service, found) for name, service in told.services.items()),
        before=told.before,
        pytest_args=told.pytest_args,
        suite_timeout=told.timeout,
    )
    return TestcontainersSandbox(wanted, SystemClock(), run_id=run_id)


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
