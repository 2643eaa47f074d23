"""The task definition of tasks that load an environment: made after the one of its service."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import ConfigurationError
from pipeline.model.digest import ImageRef

CONTAINER = "load"
"""The container's name, and the prefix of its log."""

_KEPT = ("networkMode", "requiresCompatibilities", "executionRoleArn", "runtimePlatform")
_LOG = ("awslogs-group", "awslogs-region")
_ENDING = 25
_LONGEST = 120


@dataclass(frozen=True, slots=True)
class LoadSize:
    """How large a task is (CPU units, MiB), and what the locustfile gets: variables, and secrets' ARNs by variable."""

    cpu: int
    memory: int
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)


def load_definition(
    family: str, service: Mapping[str, Any], container: str, image: ImageRef, size: LoadSize, grace: float
) -> dict[str, Any]:
    """What RegisterTaskDefinition takes: the service's network, execution role, platform, log group, tags; our image.

    It gets no task role: the load needs no permission in the account. `grace` is for how many seconds answers are
    waited for when it is told to end. Raises ConfigurationError unless `container` of the service's definition logs to
    CloudWatch Logs, by which the records come.
    """
    containers: Sequence[Mapping[str, Any]] = service.get("containerDefinitions", ())
    entry: Mapping[str, Any] = next((c for c in containers if c.get("name") == container), {})
    log = entry.get("logConfiguration") or {}
    options = {key: value for key, value in (log.get("options") or {}).items() if key in _LOG}
    if log.get("logDriver") != "awslogs" or "awslogs-group" not in options:
        raise ConfigurationError(
            f"container {container!r} of {service.get('family', 'the service')} does not log to CloudWatch Logs, by "
            "which the tasks of load.workers tell what they measured",
            hint="give it the log driver awslogs, or load from this machine: load.workers.tasks = 0",
        )
    told: dict[str, Any] = {
        "name": CONTAINER,
        "image": str(image),
        "essential": True,
        "stopTimeout": min(_LONGEST, math.ceil(grace) + _ENDING),
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {**options, "awslogs-stream-prefix": CONTAINER},
        },
        "environment": [{"name": key, "value": value} for key, value in sorted(size.environment.items())],
        "secrets": [{"name": key, "valueFrom": arn} for key, arn in sorted(size.secrets.items())],
    }
    kept = {key: service[key] for key in _KEPT if service.get(key)}
    if tags := [tag for tag in service.get("tags", ()) if not str(tag.get("key", "")).startswith("aws:")]:
        kept["tags"] = tags
    return {
        "family": family,
        **kept,
        "cpu": str(size.cpu),
        "memory": str(size.memory),
        "containerDefinitions": [{key: value for key, value in told.items() if value != []}],
    }


def runs_the_same(described: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a described definition is what `wanted` would make. What ECS adds by itself makes no difference."""
    if not _holds(described, {key: value for key, value in wanted.items() if key != "containerDefinitions"}):
        return False
    ours, theirs = wanted["containerDefinitions"], described.get("containerDefinitions", ())
    return len(ours) == len(theirs) and all(
        _holds(there, {"environment": [], "secrets": [], **one})
        for one, there in zip(ours, theirs, strict=True)
    )


def _holds(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(_sorted(there.get(key) or []) == _sorted(value) for key, value in wanted.items())


def _sorted(value: Any) -> Any:
    return sorted(value, key=str) if isinstance(value, list) else value
