"""Commands of the program record what they ask of AWS, and are judged by what their project prints as policies."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.config import load
from pipeline.errors import ConfigurationError
from pipeline.locations import places_of
from pipeline.stacks import policies
from tests.iam.calls import read
from tests.iam.judging import Policies, of_command, refused
from tests.iam.recorder.sitecustomize import FILE

_RECORDER = str(Path(__file__).parent / "recorder")


def recording(root: Path, command: Sequence[str]) -> Mapping[str, str]:
    """The environment with which a command records its calls; beside them, what it is judged by as things are now."""
    folder = _folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    number = secrets.token_hex(4)
    told = {"command": list(command), "printed": _printed(root)}
    (folder / f"{number}.json").write_text(json.dumps(told), "utf-8")
    path = os.pathsep.join(filter(None, (_RECORDER, os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path, FILE: str(folder / f"{number}.calls")}


def refused_in(root: Path) -> dict[str, list[str]]:
    """By command, what IAM would have refused to those that were begun with `recording`."""
    found: dict[str, list[str]] = {}
    for path in sorted(_folder(root).glob("*.json")):
        told = json.loads(path.read_text("utf-8"))
        if told["printed"] is not None:
            calls = read(path.with_suffix(".calls"))
            judged_by = of_command(told["printed"], told["command"])
            found.setdefault(" ".join(told["command"]), []).extend(refused(calls, told["printed"], judged_by))
    return {command: asked for command, asked in found.items() if asked}


def asked_in(root: Path) -> set[str]:
    """The names of all calls that were recorded."""
    return {call.name for path in _folder(root).glob("*.calls") for call in read(path)}


def _folder(root: Path) -> Path:
    """Beside the project: what is in it goes, or counts as a change of it."""
    return root.with_name(f"{root.name}-calls")


def _printed(root: Path) -> Policies | None:
    """None where none are printed: pipeline.toml is wrong, which the command says, or is of several services."""
    try:
        settings = load(root)
    except ConfigurationError:
        return None
    if settings.services:
        return None
    return policies(settings, places_of(settings, ("staging", "prod")))
