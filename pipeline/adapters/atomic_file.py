"""Writing a file whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from pipeline.errors import UnavailableError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def write_whole(path: Path, content: bytes) -> None:
    """Writes `content` to `path` by way of a synced temporary file beside it and a rename.

    A reader sees the old file or the new one, after a crash too. Raises UnavailableError when it cannot be written;
    then nothing has changed.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, content)
        _sync_folder(path.parent)
    except OSError as error:
        full = error.errno in _NO_SPACE
        raise UnavailableError(
            f"{path} cannot be written: {error.strerror or error}",
            hint=f"free space on the disk of {path.parent} and run again; nothing half-written counts"
            if full
            else f"make {path.parent} writable and run again",
        ) from error


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=".", suffix=".partial", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
