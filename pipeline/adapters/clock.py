"""The machine's clock."""

from __future__ import annotations

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
