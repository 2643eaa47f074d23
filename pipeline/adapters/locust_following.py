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

    def look(self) -> bool | None:
        """True once all have ended, or one has without its record's end: there is nothing to wait for any more."""
        # Asked before reading: what is in the file after the process has ended is all there will be.
        ended = self._crew.ended()
        if self._gathering.read():
            self._progress.share(*self._gathering.progress())
            self._ask()
        lost = any(over and r.end is None for over, r in zip(ended, self._gathering.records, strict=True))
        if not lost and not all(ended):
            return None
        if not lost and self.asked:
            self._progress.share(1.0, self._gathering.progress()[1])
        return True

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
