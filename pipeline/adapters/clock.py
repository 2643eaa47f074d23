"""The machine's clock."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime


class SystemClock:
    """Real time, for `pipeline.ports.Clock`."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back, from an unnamed beginning."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Waits; a negative time is no wait."""
        time.sleep(max(0.0, seconds))


class InterruptibleClock(SystemClock):
    """Real time for work on a thread of its own, where no Ctrl-C arrives: `interrupted` ends every wait there."""

    def __init__(self, interrupted: threading.Event) -> None:
        self._interrupted = interrupted

    def sleep(self, seconds: float) -> None:
        """Waits. Raises KeyboardInterrupt at once when it is interrupted, or was."""
        if self._interrupted.wait(max(0.0, seconds)):
            raise KeyboardInterrupt
