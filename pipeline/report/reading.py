"""Reads a run's JSON document without trusting its shape: what is missing or of another type is simply not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.model.limits import number


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a document says at one place; `value` None: nothing."""

    value: Any = None

    def __getitem__(self, key: str) -> Recorded:
        """What it says under a key."""
        return Recorded(self.value.get(key)) if isinstance(self.value, Mapping) else Recorded()

    def __iter__(self) -> Iterator[Recorded]:
        """The entries of a list."""
        values: Sequence[Any] = self.value if isinstance(self.value, list | tuple) else ()
        return iter([Recorded(value) for value in values])

    def __bool__(self) -> bool:
        """Whether anything is said; zero and false are something, empty texts and lists are not."""
        return self.value is not None and self.value not in ("", [], {}, ())

    def items(self) -> list[tuple[str, Recorded]]:
        """The entries of a table."""
        table = self.value if isinstance(self.value, Mapping) else {}
        return [(str(key), Recorded(value)) for key, value in table.items()]

    @property
    def text(self) -> str:
        """A text, or a number as one; empty for anything else."""
        return str(self.value) if isinstance(self.value, str | int | float) else ""

    @property
    def number(self) -> float | None:
        """A finite number."""
        return number(self.value)

    @property
    def flag(self) -> bool:
        """True for true alone."""
        return self.value is True

    @property
    def moment(self) -> datetime | None:
        """A moment in ISO 8601; without a time zone it is taken for UTC."""
        try:
            found = datetime.fromisoformat(self.value)
        except (TypeError, ValueError):
            return None
        return found if found.tzinfo else found.replace(tzinfo=UTC)

    @property
    def interval(self) -> tuple[float, float] | None:
        """A list of two finite numbers, the lower one first."""
        ends = [end.number for end in self]
        if len(ends) != 2 or ends[0] is None or ends[1] is None or ends[0] > ends[1]:
            return None
        return ends[0], ends[1]
