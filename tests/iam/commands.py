"""Commands of the program record what they ask of AWS, and are judged by what their project prints as policies."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.config import load
from pipeline.errors import ConfigurationError
from pipeline.iam import policies
from pipeline.locations import places_of
from tests.iam.calls import read
from tests.iam.judging import Policies, of_command, refused
from tests.iam.parameters import faults
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


def amiss_in(root: Path) -> dict[str, set[str]]:
    """By command, what AWS would have refused of what those asked that were begun with `recording`, and why."""
    found: dict[str, set[str]] = {}
    for path in sorted(_folder(root).glob("*.json")):
        told = json.loads(path.read_text("utf-8"))
        calls = read(path.with_suffix(".calls"))
        amiss = {f"{call.name}: {fault}" for call in calls for fault in faults(call)}
        if printed := told["printed"]:
            amiss.update(refused(calls, printed, of_command(printed, told["command"])))
        if amiss:
            found.setdefault(" ".join(told["command"]), set()).update(amiss)
    return found


def asked_in(root: Path) -> set[str]:
    """The names of all calls that were recorded."""
    return {call.name for path in _folder(root).glob("*.calls") for call in read(path)}


def _folder(root: Path) -> Path:
    """Beside the project: what is in it goes, or counts as a change of it."""
    return root.with_name(f"{root.name}-calls")


def _printed(root: Path) -> Policies | None:
    """None where none are printed: pipeline.toml is wrong, which the command says."""
    try:
        settings = load(root)
    except ConfigurationError:
        return None
    return policies(settings, places_of(settings, ("staging", "prod")))
