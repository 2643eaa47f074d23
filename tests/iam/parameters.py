"""Whether AWS would take the parameters of a call: what botocore's models say and boto3 does not look at.

boto3 looks at types, at what is required, and at least lengths. Models of some services say more: greatest lengths and
numbers, patterns, enumerations. That of ECS does not, so what its API reference says in words is here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from botocore.session import Session

from tests.iam.calls import Call

_SESSION = Session()
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,255}")
_STARTED_BY = re.compile(r"[a-zA-Z0-9_/.-]{1,128}")
_TAG = re.compile(r"[\w\s_.:/=+\-@]*")


def faults(call: Call) -> list[str]:
    """What AWS would not take, as `parameter: why`."""
    model = _SESSION.get_service_model(call.service).operation_model(call.operation)
    found = [] if model.input_shape is None else list(_in_shape(model.input_shape, call.parameters, ""))
    return [*found, *_in_ecs(call)]


def _in_shape(shape: Any, value: Any, path: str) -> Iterator[str]:
    if shape.type_name in ("list", "map"):
        yield from _size(shape, len(value), path)
    elif shape.type_name in ("integer", "long"):
        yield from _size(shape, value, path)
    elif shape.type_name == "string":
        yield from _in_text(shape, str(value), path)
    for inner, one, key in _parts(shape, value):
        yield from _in_shape(inner, one, f"{path}{key}".lstrip("."))


def _parts(shape: Any, value: Any) -> Iterator[tuple[Any, Any, str]]:
    """What is in it: each with its own shape, and what it adds to the path."""
    if shape.type_name == "structure":
        yield from ((shape.members[key], one, f".{key}") for key, one in value.items())
    if shape.type_name == "list":
        yield from ((shape.member, one, "[]") for one in value)
    if shape.type_name == "map":
        yield from ((shape.value, one, f"[{key}]") for key, one in value.items())


def _in_text(shape: Any, value: str, path: str) -> Iterator[str]:
    yield from _size(shape, len(value), path)
    pattern = _compiled(shape.metadata.get("pattern", ""))
    if pattern is not None and not pattern.search(value):
        yield f"{path}: {value!r} is not {shape.metadata['pattern']}"
    # The emulator describes task definitions with such empty texts, which ECS leaves out.
    if shape.metadata.get("enum") and value and value not in shape.metadata["enum"]:
        yield f"{path}: {value!r} is none of {', '.join(shape.metadata['enum'])}"


def _size(shape: Any, size: int, path: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if (least is not None and size < least) or (most is not None and size > most):
        yield f"{path}: {size}, where {least} to {most} may be"


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """The whole text must fit. None where there is no pattern, or not one of Python's: `\\p{L}`."""
    try:
        return re.compile(rf"^(?:{pattern})$", re.DOTALL) if pattern else None
    except re.error:
        return None


def _in_ecs(call: Call) -> Iterator[str]:
    if call.service != "ecs":
        return
    for key, most in _MOST.get(call.operation, {}).items():
        size = call.parameters.get(key)
        if size is not None and (size if isinstance(size, int) else len(size)) > most:
            yield f"{key}: more than {most}"
    for key, fits in _FITS.items():
        if key in call.parameters and not fits(call.parameters[key]):
            yield f"{key}: {call.parameters[key]!r}"


def _tags_fit(tags: list[Mapping[str, str]]) -> bool:
    return len(tags) <= 50 and all(
        0 < len(tag["key"]) <= 128
        and not tag["key"].lower().startswith("aws:")
        and len(tag.get("value", "")) <= 256
        and _TAG.fullmatch(tag["key"] + tag.get("value", ""))
        for tag in tags
    )


_MOST: Mapping[str, Mapping[str, int]] = {
    "DeleteTaskDefinitions": {"taskDefinitions": 10},
    "DescribeClusters": {"clusters": 100},
    "DescribeServiceDeployments": {"serviceDeploymentArns": 20},
    "DescribeServiceRevisions": {"serviceRevisionArns": 20},
    "DescribeServices": {"services": 10},
    "DescribeTasks": {"tasks": 100},
    "ListServiceDeployments": {"maxResults": 100},
    "RunTask": {"count": 10},
}
_FITS: Mapping[str, Callable[[Any], bool]] = {
    "clientToken": lambda told: bool(re.fullmatch(r"[!-~]{1,64}", told)),
    "family": lambda told: bool(_NAME.fullmatch(told)),
    "overrides": lambda told: len(json.dumps(told)) <= 8192,
    "reason": lambda told: len(told) <= 1024,
    "startedBy": lambda told: bool(_STARTED_BY.fullmatch(told)),
    "tags": _tags_fit,
}
