"""The ground we stand on: the emulator's version, and the functions we wrap, known by the hash of their source."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.errors import UnavailableError

VERSION = "1.5.33"


@dataclass(frozen=True, slots=True)
class Emulator:
    """The emulator's modules, imported after its environment is set."""

    ecs: Any
    alb: Any
    logs: Any
    provisioners: Any
    responses: Any
    concurrency: Any

    @contextmanager
    def scope(self, account: str, region: str) -> Iterator[None]:
        """Inside, the stores show this account and region."""
        with self.responses.request_scope(account, region):
            yield

    def background(self, name: str, work: Any, *arguments: Any) -> None:
        """Runs `work` on its own thread, in the caller's account and region; what it raises is logged."""
        self.concurrency.spawn_background(work, *arguments, thread_name=f"onedigest-{name}")


def check() -> None:
    """Raises UnavailableError unless the emulator and what its ECS needs can be imported, in the pinned version."""
    try:
        found = importlib.metadata.version("ministack")
    except importlib.metadata.PackageNotFoundError as error:
        raise UnavailableError("the AWS emulator ministack is not installed", hint=_HINT) from error
    if found != VERSION:
        raise UnavailableError(f"ministack {found} is installed; the local cloud needs {VERSION}", hint=_HINT)
    for module, why in (
        ("docker", "ECS would only pretend to run tasks"),
        ("cryptography", "KMS keys would fail"),
    ):
        if importlib.util.find_spec(module) is None:
            raise UnavailableError(f"the package {module} is not importable: {why}", hint=_HINT)


_HINT = "run `make setup`, which installs what requirements/run.txt pins"


def load() -> Emulator:
    """Imports the emulator. Its environment variables must be set before."""
    return Emulator(
        ecs=importlib.import_module("ministack.services.ecs"),
        alb=importlib.import_module("ministack.services.alb"),
        logs=importlib.import_module("ministack.services.cloudwatch_logs"),
        provisioners=importlib.import_module("ministack.services.cloudformation.provisioners"),
        responses=importlib.import_module("ministack.core.responses"),
        concurrency=importlib.import_module("ministack.core.concurrency"),
    )


WRAPPED: Mapping[str, tuple[str, ...]] = {
    "ministack.services.ecs": (
        "_make_deployment",
        "_schedule_service_deployment_completion",
        "_record_service_task_healthy",
        "_record_service_task_failure",
        "_reconcile_service_tasks",
        "_complete_service_deployment",
        "_refresh_service_state",
        "_describe_services",
        "_run_task",
        "_stop_task",
        "_mark_task_stopped",
        "_watch_task_lifecycle",
        "_maybe_mark_stopped",
        "_build_task_containers",
        "_build_run_kwargs",
        "_register_metadata",
        "_remove_docker_container",
        "_start_awslogs_forwarder",
        "_ensure_awslogs_stream",
        "_awslogs_config",
        "_sync_service_targets",
    ),
    "ministack.services.alb": ("_describe_target_health", "set_targets_for_group"),
    "ministack.services.cloudformation.provisioners": (
        "_physical_name",
        "_normalize_container_defs",
        "_ecs_task_def_create",
        "_ecs_service_create",
        "_ecs_service_update",
    ),
}


def fingerprints() -> dict[str, str]:
    """Function → first twelve hex digits of its source's SHA-256, for everything we wrap or lean on."""
    prints = {}
    for module, names in WRAPPED.items():
        for name in names:
            source = inspect.getsource(getattr(importlib.import_module(module), name))
            prints[f"{module}.{name}"] = hashlib.sha256(source.encode()).hexdigest()[:12]
    return prints
