"""The task definition a rollout registers: the live one with another image and the declared keys, nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import ConfigurationError
from pipeline.model.digest import Digest, ImageRef

READ_ONLY = frozenset(
    {
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
        "deregisteredAt",
        "deleteRequestedAt",
    }
)
"""What DescribeTaskDefinition adds and RegisterTaskDefinition does not take."""


def registrable(described: Mapping[str, Any]) -> dict[str, Any]:
    """A described definition with the keys alone that RegisterTaskDefinition takes; tags of AWS's own are left out."""
    wanted = {key: value for key, value in described.items() if key not in READ_ONLY}
    if "tags" in wanted:
        wanted["tags"] = [tag for tag in wanted["tags"] if not str(tag.get("key", "")).startswith("aws:")]
        if not wanted["tags"]:
            del wanted["tags"]
    return wanted


def definition_for(
    live: Mapping[str, Any],
    image: ImageRef,
    container: str,
    environment: Mapping[str, str],
    secrets: Mapping[str, str],
) -> Mapping[str, Any]:
    """The live definition with `container` on `image` and the given environment and secret keys set.

    `secrets` maps a variable to the ARN it comes from. A key that moves from one kind to the other is taken out of the
    first. Everything else stays as it is, in its order. Raises ConfigurationError when no container has that name.
    """
    wanted = registrable(live)
    containers = list(live.get("containerDefinitions", ()))
    names = [str(entry.get("name", "")) for entry in containers]
    if container not in names:
        raise ConfigurationError(
            f"task definition {live.get('family', '?')} has no container {container!r}",
            hint=f"name one of its containers in pipeline.toml: {', '.join(names) or 'it has none'}",
        )
    wanted["containerDefinitions"] = [
        _with(entry, image, environment, secrets) if entry.get("name") == container else entry
        for entry in containers
    ]
    return wanted


def differs(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether registering `wanted` would make a definition that does something else than `live`.

    The order of environment and secrets, empty lists and what only DescribeTaskDefinition says make no difference.
    """
    return _essence(live) != _essence(wanted)


def task_name(definition: Mapping[str, Any], command: Sequence[str], *, replaced: str) -> str:
    """What the task of a command before a rollout is known by: its definition and the deployment `replaced` by it.

    So it is found again by whoever takes the rollout up, and not by a later rollout of the same image, nor by one with
    other variables. It has 36 characters, which every version of ECS takes as `startedBy`.
    """
    told = json.dumps([_essence(definition), replaced, *command], sort_keys=True)
    return f"onedigest-{hashlib.sha256(told.encode()).hexdigest()[:26]}"


def digest_in(definition: Mapping[str, Any], container: str) -> Digest | None:
    """The digest the definition pins for `container`; None when it names a tag or has no such container."""
    for entry in definition.get("containerDefinitions", ()):
        repository, _, digest = str(entry.get("image", "")).partition("@")
        if entry.get("name") == container and repository and digest:
            return Digest(digest)
    return None


def _with(
    entry: Mapping[str, Any], image: ImageRef, environment: Mapping[str, str], secrets: Mapping[str, str]
) -> dict[str, Any]:
    changed = {**entry, "image": str(image)}
    for key, value_key, own, other in (
        ("environment", "value", environment, secrets),
        ("secrets", "valueFrom", secrets, environment),
    ):
        merged = _merged(entry.get(key, ()), own, other, value_key)
        if merged or key in entry:
            changed[key] = merged
    return changed


def _merged(
    entries: Sequence[Mapping[str, str]], own: Mapping[str, str], other: Mapping[str, str], value_key: str
) -> list[dict[str, str]]:
    kept = [dict(entry) for entry in entries if entry["name"] not in other]
    for entry in kept:
        if entry["name"] in own:
            entry[value_key] = own[entry["name"]]
    names = {entry["name"] for entry in kept}
    return kept + [{"name": name, value_key: value} for name, value in own.items() if name not in names]


def _essence(definition: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in definition.items() if key not in READ_ONLY and key != "tags"}
    kept["containerDefinitions"] = [_container_essence(c) for c in definition.get("containerDefinitions", ())]
    return {key: value for key, value in kept.items() if value not in ([], {}, None)}


def _container_essence(entry: Mapping[str, Any]) -> dict[str, Any]:
    ordered = {
        key: sorted(value, key=lambda pair: str(pair["name"])) if key in ("environment", "secrets") else value
        for key, value in entry.items()
    }
    return {key: value for key, value in ordered.items() if value not in ([], {}, None)}
