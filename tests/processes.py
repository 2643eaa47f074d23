"""Whether processes that were ended are gone. A kill takes effect when the kernel gets to it, so there is a wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 30.0
"""Seconds after which what still runs counts as not ended."""


def within(seconds: float, seen: Callable[[], bool]) -> bool:
    """Whether it is seen before so many seconds have passed."""
    end = time.monotonic() + seconds
    while not seen():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def runs(pid: int) -> bool:
    """Whether it runs now; one that waits for its last rites does not."""
    return any(found == pid and state not in "ZX" for found, _, state in _processes())


def has_ended(pid: int) -> bool:
    return within(PATIENCE, lambda: not runs(pid))


def group_has_ended(group: int) -> bool:
    return within(PATIENCE, lambda: not _running(group))


def _running(group: int) -> list[int]:
    return [pid for pid, found, state in _processes() if found == group and state not in "ZX"]


def _processes() -> list[tuple[int, int, str]]:
    """Process id, process group and state of everything there is."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group, *_ = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        found.append((int(path.parent.name), int(group), state))
    return found
