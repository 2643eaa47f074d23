"""How far a machine's clock is from a server's, from the second at which the server's Date changes.

A task that loads runs this too: standard library only.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime


class Comparison:
    """Takes answers with a Date one after the other, until one tells another second than the one before."""

    def __init__(self) -> None:
        self._second: float | None = None
        self._sent = 0.0
        self.offset: float | None = None
        """Seconds by which this clock is ahead of the server's; None while it is not known."""
        self.within = 0.0
        """How many seconds the offset may be wrong, either way."""

    def answer(self, date: str, sent: float, came: float) -> None:
        """An answer with this Date was asked for at `sent` and had come at `came`, by this machine's clock.

        A better measurement replaces the one before. Raises ValueError for what is no date.
        """
        second = parsedate_to_datetime(date).timestamp()
        if self._second is not None and second > self._second:
            # The server's clock struck `second` after the last question was sent and before this answer came.
            width = (came - self._sent) / 2
            if self.offset is None or width < self.within:
                self.offset, self.within = (came + self._sent) / 2 - second, width
        self._second, self._sent = second, sent
