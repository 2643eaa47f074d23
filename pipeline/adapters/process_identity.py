"""A process as others can recognise it, and whether it is gone for certain."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """`table` names the process table (this boot of this kernel, this namespace of process ids), empty where unknown.

    `started` is the kernel's start time of process `pid`, so that a later process of the same id is another one.
    """

    table: str
    pid: int
    started: str


def own_identity() -> ProcessIdentity:
    """The process that asks."""
    return ProcessIdentity(_table(), os.getpid(), _stat(os.getpid())[1])


def is_gone(process: ProcessIdentity) -> bool:
    """True only when it was a process of this very table and runs no more; False also for all that is not known.

    Signal 0 tells apart what is not there from what we may not look at.
    """
    if not process.table or process.table != _table():
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    state, started = _stat(process.pid)
    return bool(started) and (started != process.started or state in "ZX")


def _table() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _stat(pid: int) -> tuple[str, str]:
    """State and start time (field 22 of /proc/PID/stat); empty where they cannot be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rsplit(")", 1)[1].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return "", ""
