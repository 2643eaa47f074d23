"""Records of load on their way through a task's log: packed, cut to short lines, numbered, put together again.

A line of the log that carries a piece is `onedigest-load NUMBER PIECE/PIECES TEXT`. Messages are JSON objects, counted
from 1 for each task; TEXT is a piece of the compressed message in base64. Other lines are what the task says to people.
A task that loads runs this too: standard library only.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

Message = Mapping[str, Any]

LENGTH = 12_000
"""Characters of a piece. Docker cuts what is above 16 kB, and CloudWatch Logs what is above 256 kB."""

_SAID = 50
_LINE = re.compile(r"^onedigest-load ([0-9]+) ([0-9]+)/([0-9]+) ([A-Za-z0-9+/=]+)$")


def lines_of(number: int, message: Message) -> Iterator[str]:
    """The lines that carry message `number`."""
    packed = zlib.compress(json.dumps(message, separators=(",", ":"), allow_nan=False).encode())
    text = base64.b64encode(packed).decode()
    pieces = [text[start : start + LENGTH] for start in range(0, len(text), LENGTH)]
    for piece, part in enumerate(pieces, 1):
        yield f"onedigest-load {number} {piece}/{len(pieces)} {part}"


class Assembly:
    """Puts a task's messages together, whatever the order and number of times in which its lines come."""

    def __init__(self) -> None:
        self._pieces: dict[int, dict[int, str]] = {}
        self._wanted: dict[int, int] = {}
        self._next = 1
        self.said: list[str] = []
        """The last lines for people."""

    def add(self, line: str) -> None:
        """Takes one line of the log."""
        found = _LINE.match(line)
        if not found:
            if line.strip():
                self.said = [*self.said, line.rstrip()][-_SAID:]
            return
        number, piece, pieces = (int(found[group]) for group in (1, 2, 3))
        if number >= self._next:
            self._pieces.setdefault(number, {})[piece] = found[4]
            self._wanted[number] = pieces

    def take(self) -> Iterator[Message]:
        """The messages that follow on what was taken before, as far as there is no gap.

        Raises ValueError for one that is not in form.
        """
        while len(self._pieces.get(self._next, ())) == self._wanted.get(self._next, -1):
            pieces = self._pieces.pop(self._next)
            del self._wanted[self._next]
            text = "".join(pieces[piece] for piece in sorted(pieces))
            self._next += 1
            yield _message(text)

    @property
    def missing(self) -> int | None:
        """The number of a message that is not whole although a later one has come; None where there is none."""
        return self._next if self._wanted else None


def _message(text: str) -> Message:
    try:
        message = json.loads(zlib.decompress(base64.b64decode(text, validate=True)))
    except zlib.error as error:
        raise ValueError(f"a line of the log does not unpack: {error}") from error
    if not isinstance(message, dict):
        raise ValueError(f"not a JSON object: {str(message)[:80]}")
    return message
