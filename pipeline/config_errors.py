"""Words for what is wrong in pipeline.toml: path, mistake, and the nearest name that would be right."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def describe(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line a mistake, in the order of the paths."""
    return sorted(_line(details, model) for details in error.errors())


def _line(details: Any, model: type[BaseModel]) -> str:
    path = tuple(details["loc"])
    return f"  {_dotted(path)}: {_message(details, path, model)}"


def _dotted(path: Sequence[str | int]) -> str:
    parts = [
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in path if part != "function-before"
    ]
    return "".join(parts).removeprefix(".") or "(file)"


def _message(details: Any, path: Sequence[str | int], model: type[BaseModel]) -> str:
    kind = details["type"]
    if kind == "extra_forbidden":
        return "no such key" + _suggestion(str(path[-1]), _keys(model, path[:-1]))
    if kind == "missing":
        return "is missing"
    given = details.get("input")
    text: str = details["msg"].removeprefix("Value error, ")
    shown = f", got {given!r}" if isinstance(given, str | int | float | bool) else ""
    wanted = _literals(details)
    return text[0].lower() + text[1:] + shown + (_suggestion(str(given), wanted) if wanted else "")


def _literals(details: Any) -> list[str]:
    expected = details.get("ctx", {}).get("expected", "") if details["type"] == "literal_error" else ""
    return [part.strip(" '") for part in expected.replace(" or ", ",").split(",") if part]


def _suggestion(word: str, choices: Sequence[str]) -> str:
    near = get_close_matches(word, choices, n=1, cutoff=0.5)
    if near:
        return f" (did you mean {near[0]!r}?)"
    return f" (keys here: {', '.join(choices)})" if choices else ""


def _keys(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    current: type[BaseModel] | None = model
    for part in path:
        current = _child(current, str(part))
    return list(current.model_fields) if current else []


def _child(model: type[BaseModel] | None, name: str) -> type[BaseModel] | None:
    """The table below key `name`; a key of a dict or an index of a list stays at its value's model."""
    if model is None or name not in model.model_fields:
        return model
    return _table(model.model_fields[name].annotation)


def _table(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _table(part))), None)
