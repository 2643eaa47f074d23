"""Follows a load while it runs: how far it is, and whether it is enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pipeline.adapters.locust_gathering import Gathering
from pipeline.model.sides import Enough
from pipeline.ports import Progress

_ASKED_EVERY = 1.0


class Crew(Protocol):
    """The Locust processes of one load, wherever they run."""

    def ended(self) -> Sequence[bool]:
        """Which of them run no more, in the order of their numbers. What those wrote can be read by then."""
        ...

    def end_early(self) -> None:
        """Asks them to close their records and to end; does not wait for it."""
        ...


class Follower:
    """Reads what the processes write, tells how far they are, and ends them when it is enough."""

    def __init__(self, crew: Crew, gathering: Gathering, progress: Progress, enough: Enough | None) -> None:
        self._crew, self._gathering, self._progress, self._enough = crew, gathering, progress, enough
        self._next = _ASKED_EVERY
        self.asked = False
        """Whether they were told to end early."""
        self.lost: tuple[int, str] | None = None
        """A process that ended without its record's end, by its number, and why: nothing is worth waiting for."""

    @property
    def missing(self) -> int:
        """The number of the first process that is not ready."""
        return next((n for n, record in enumerate(self._gathering.records, 1) if not record.ready), 1)

    def ready(self) -> bool | None:
        """True once all have loaded the locustfile, or one is lost."""
        self._read()
        return True if self.lost or self._gathering.ready else None

    def look(self) -> bool | None:
        """True once all have ended, or one is lost."""
        ended, moved = self._read()
        if moved:
            self._progress.share(*self._gathering.progress())
            self._ask()
        if self.lost:
            return True
        if not all(ended):
            return None
        if self.asked:
            self._progress.share(1.0, self._gathering.progress()[1])
        return True

    def _read(self) -> tuple[Sequence[bool], bool]:
        # Asked before reading: what is in the file after the process has ended is all there will be.
        ended = self._crew.ended()
        moved = self._gathering.read()
        self.lost = self.lost or self._gathering.lost(ended)
        return ended, moved

    def _ask(self) -> None:
        if self._enough is None or self.asked or self._gathering.ended:
            return
        blocks = self._gathering.blocks()
        seconds = self._gathering.seconds
        if seconds >= self._next:
            self._next = (seconds // _ASKED_EVERY + 1) * _ASKED_EVERY
            if self._enough(blocks, seconds):
                self.asked = True
                self._crew.end_early()
