"""When a server that was asked to stop may stop: a state machine without I/O."""

from __future__ import annotations

import time
from collections.abc import Callable

QUIET_SECONDS = 1.0


class Drain:
    """Counts requests, and says after `begin()` when the server has drained.

    It has drained when nothing was in flight for `quiet` seconds (a load balancer that still sends requests has
    then noticed), or when `limit` seconds have passed since `begin()`, whichever comes first. Health checks do not
    count as use: a load balancer sends them to the end.
    """

    def __init__(
        self, limit: float, quiet: float = QUIET_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._quiet = quiet
        self._clock = clock
        self._began: float | None = None
        self._last_use = 0.0
        self.in_flight = 0

    @property
    def draining(self) -> bool:
        """Whether the server was asked to stop."""
        return self._began is not None

    def begin(self) -> None:
        """The server was asked to stop. Asking again changes nothing."""
        if self._began is None:
            self._began = self._clock()

    def request_started(self) -> None:
        """A request that counts as use has arrived."""
        self.in_flight += 1

    def request_finished(self) -> None:
        """The answer to a request that counts as use has been sent, or given up."""
        self.in_flight -= 1
        self._last_use = self._clock()

    def drained(self) -> bool:
        """Whether the server may close its listening socket now."""
        if self._began is None:
            return False
        now = self._clock()
        quiet_since = max(self._began, self._last_use)
        is_quiet = self.in_flight == 0 and now - quiet_since >= self._quiet
        return is_quiet or now - self._began >= self._limit
