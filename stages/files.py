"""Hashes of what a stage would run, so that a changed test or load script is another plan."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.errors import ConfigurationError

_PASSING = frozenset({"__pycache__", ".pytest_cache"})


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
