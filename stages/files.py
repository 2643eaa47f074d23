"""Hashes of what a stage would run, so that a changed test or load script is another plan."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigurationError

_PASSING = frozenset({"__pycache__", ".pytest_cache"})
_PYTEST_FILES = ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


def hash_file(path: Path, what: str) -> str:
    """`sha256:…` of a file. Raises ConfigurationError naming `what` when it cannot be read."""
    try:
        return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigurationError(
            f"no {what} at {path}: {error.strerror}", hint="create it, or mend the path in pipeline.toml"
        ) from error


def hash_tree(folder: Path, what: str) -> dict[str, str]:
    """`sha256:…` of every file below a folder, by relative path. Raises ConfigurationError when there is none."""
    if not folder.is_dir():
        raise ConfigurationError(
            f"no {what} at {folder}", hint="create it, or mend the path in pipeline.toml"
        )
    files = (
        path for path in sorted(folder.rglob("*")) if path.is_file() and not _PASSING.intersection(path.parts)
    )
    return {str(path.relative_to(folder)): hash_file(path, what) for path in files}


def hash_suite(root: Path, tests: str, what: str) -> dict[str, str]:
    """As `hash_tree` for `tests` below `root`, and with it what pytest reads on the way there: its configuration in
    `root`, and every conftest.py between the two.
    """
    folder = root / tests
    within = [place for place in folder.parents if place.is_relative_to(root)]
    beside = [root / name for name in _PYTEST_FILES] + [place / "conftest.py" for place in within]
    read = {os.path.relpath(path, folder): hash_file(path, what) for path in beside if path.is_file()}
    return {**read, **hash_tree(folder, what)}


def hash_program(root: Path, file: Path, what: str) -> dict[str, str]:
    """`sha256:…` of `file` below `root` and of all else in its folder, which it may import or read.

    Of a file that lies in `root` itself only its own: the rest of the project is not beside it by intention.
    """
    own = {file.name: hash_file(root / file, what)}
    folder = (root / file).parent
    return own if folder.resolve() == root.resolve() else {**hash_tree(folder, what), **own}


def hash_parts(root: Path, names: Iterable[str], what: str) -> dict[str, Any]:
    """For each name below `root` the hash of the file, or those of all files in the folder."""
    return {
        name: hash_tree(root / name, what) if (root / name).is_dir() else hash_file(root / name, what)
        for name in names
    }
