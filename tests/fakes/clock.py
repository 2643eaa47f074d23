"""A clock for tests: sleeping moves it on, and what was planned for a moment happens on the way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """`pipeline.ports.Clock` without waiting. `slept` holds every sleep in seconds."""

    def __init__(self, start: datetime = _BEGINNING) -> None:
        self._start = start
        self._elapsed = 0.0
        self._planned: list[tuple[float, Callable[[], object]]] = []
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(max(0.0, seconds))

    def at(self, seconds: float, happens: Callable[[], object]) -> None:
        """Plans `happens` for `monotonic() == seconds`."""
        self._planned.append((seconds, happens))
        self._planned.sort(key=lambda planned: planned[0])

    def advance(self, seconds: float) -> None:
        """Moves on, through every planned moment on the way."""
        until = self._elapsed + seconds
        while self._planned and self._planned[0][0] <= until:
            moment, happens = self._planned.pop(0)
            self._elapsed = max(self._elapsed, moment)
            happens()
        self._elapsed = max(self._elapsed, until)
