"""Leases between processes of one machine: a locked file, which the system frees when its holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import BusyError


class FileLease:
    """See `pipeline.ports.Lease`. The files lie in `root`; they stay, what counts is who has one locked."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def hold(self, environment: str, holder: str, why: str) -> Iterator[None]:
        """See `pipeline.ports.Lease.hold`."""
        self._root.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._root / f"{environment}.lease", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                other = os.read(handle, 4096).decode(errors="replace").strip()
                raise BusyError(
                    f"{environment} is being changed by {other or 'another process'}",
                    hint="wait for it to end, then run the same command again",
                ) from error
            os.ftruncate(handle, 0)
            os.write(handle, f"{holder} (process {os.getpid()}): {why}".encode())
            yield
        finally:
            os.close(handle)
