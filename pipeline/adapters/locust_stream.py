"""Reads the record that our Locust plugin writes, one JSON object a line, and says whether it is whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline.model.histogram import Histogram
from pipeline.model.load import GeneratorHealth, LoadShape

Line = Mapping[str, Any]

_SKEW = 0.5
"""Seconds by which the wall clock may run away from the monotonic one within an interval."""

_TOGETHER = 0.5
"""Seconds by which a process may begin after the moment that was agreed on."""


class Stream(Protocol):
    """Where the lines of one Locust process come from: a file, or a task's log."""

    def lines(self) -> Sequence[Line]:
        """Those that were not given yet. Raises ValueError for one that is no JSON object."""
        ...


class Tail:
    """The complete lines that were added to a growing file, from its beginning: a `Stream`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def lines(self) -> list[Line]:
        """The new ones; empty while there is no file. Raises ValueError for a line that is no JSON object."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        return [line_of(line) for line in whole.splitlines()]


def line_of(raw: bytes) -> Line:
    """One line of a record. Raises ValueError for what is no JSON object."""
    line = json.loads(raw)
    if not isinstance(line, dict):
        raise ValueError(f"not a JSON object: {raw[:80]!r}")
    return line


class Record:
    """What one Locust process wrote so far.

    Methods raise KeyError, TypeError or ValueError when a line is not in form.
    """

    def __init__(self) -> None:
        self.ready = self.begun = False
        self.intervals: list[Line] = []
        self.end: Line | None = None
        self._late = 0.0

    def add(self, line: Line) -> None:
        """Takes the next line."""
        kind = line["kind"]
        self.ready = True
        if kind == "begin":
            self.begun = True
            self._late = float(line["late"])
        elif kind == "interval":
            self.intervals.append(line)
        elif kind == "end":
            self.end = line

    @property
    def whole(self) -> int:
        """The last block of which every answer is in; -1 before the first."""
        return max((int(line["whole"]) for line in self.intervals[-1:]), default=-1)

    @property
    def measured(self) -> float | None:
        """Seconds of measuring that its end tells; None while it has none."""
        return None if self.end is None else float(self.end["measured"])

    def fault(self, shape: LoadShape) -> str:
        """Why the record cannot be judged; empty when it is whole."""
        if not self.begun:
            return "Locust ended before it had started a user"
        if self.end is None:
            measured = sum(overlap(line, shape, shape.duration) for line in self.intervals)
            return f"its record breaks off after {measured:.1f} of {shape.duration:g} s of measuring"
        if self._late > _TOGETHER:
            return f"it began {self._late:.1f} s after the others"
        if [line["line"] for line in self.intervals] != list(range(1, int(self.end["lines"]) + 1)):
            return "lines of its record are missing"
        requests = sum(cell.requests for line in self.intervals for *_, cell in cells_of(line))
        if requests != self.end["requests"]:
            return f"its record holds {requests} of {self.end['requests']} requests"
        jump = max((float(line["skew"]) for line in self.intervals), key=abs, default=0.0)
        return f"the machine's clock jumped by {jump:+.1f} s while it ran" if abs(jump) > _SKEW else ""


class Cell:
    """One endpoint of one side within one block, as it adds up."""

    __slots__ = ("bins", "failures", "requests")

    def __init__(self, entry: Sequence[Any] = (0, 0, {})) -> None:
        self.requests, self.failures = int(entry[0]), int(entry[1])
        self.bins: dict[int, int] = {int(number): int(count) for number, count in entry[2].items()}

    def add(self, other: Cell) -> None:
        """Takes the other's counts in."""
        self.requests += other.requests
        self.failures += other.failures
        for number, count in other.bins.items():
            self.bins[number] = self.bins.get(number, 0) + count


def cells_of(line: Line) -> Iterable[tuple[int, str, str, Cell]]:
    """Block, side, endpoint and counts that a line of kind `interval` adds."""
    for block, sides in line["blocks"].items():
        for side, endpoints in sides.items():
            for name, entry in endpoints.items():
                yield int(block), side, name, Cell(entry)


def merged(cells: Iterable[Cell]) -> Cell:
    """All of them together; none is changed."""
    whole = Cell()
    for cell in cells:
        whole.add(cell)
    return whole


def histogram_of(cells: Iterable[Cell]) -> Histogram:
    """The latencies of all of them."""
    return Histogram(merged(cells).bins)


def overlap(line: Line, shape: LoadShape, measured: float) -> float:
    """Seconds of measuring within an interval."""
    begin, end = shape.lead, shape.lead + measured
    return max(0.0, min(float(line["to"]), end) - max(float(line["from"]), begin))


def health_of(records: Sequence[Record], shape: LoadShape, sides: Sequence[str]) -> GeneratorHealth:
    """The worst process's figures, and what was delivered of the whole load on the side that got least of its own."""
    each = [_health(record, shape) for record in records]
    delivered = [_delivered(records, shape, side, len(sides)) for side in sides]
    pressures = [pressure for *_, pressure in each if pressure is not None]
    return GeneratorHealth(
        cpu_share=max((cpu for cpu, *_ in each), default=float("nan")),
        lag_share=max((lag for _, lag, _ in each), default=float("nan")),
        delivered_share=min(delivered, default=float("nan")),
        pressure_share=max(pressures) if len(pressures) == len(each) else None,
    )


def _health(record: Record, shape: LoadShape) -> tuple[float, float, float | None]:
    measured = shape.duration if record.measured is None else record.measured
    within = [line for line in record.intervals if overlap(line, shape, measured) > 0]
    time = sum(float(line["to"]) - float(line["from"]) for line in within) or float("nan")
    pressures = [line["pressure"] for line in within]
    cpu, late = (sum(float(line[key]) for line in within) / time for key in ("cpu", "late"))
    return cpu, late, None if None in pressures else sum(map(float, pressures)) / time


def _delivered(records: Sequence[Record], shape: LoadShape, side: str, sides: int) -> float:
    if shape.arrivals:
        counts = [record.end["arrivals"][side] for record in records if record.end]
        planned, begun = (sum(int(count[which]) for count in counts) for which in (0, 1))
        return begun / planned if planned else float("nan")
    planned_users = shape.users / (sides * len(records))
    share = 0.0
    for record in records:
        measured = shape.duration if record.measured is None else record.measured
        users = sum(
            overlap(line, shape, measured) * min(1.0, int(line["users"][side]) / planned_users)
            for line in record.intervals
        )
        share += users / measured if measured > 0 else float("nan")
    return share / len(records)
