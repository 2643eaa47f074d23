"""Puts the records of all Locust processes together: whole blocks while the load runs, and in the end what it gave."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

from pipeline.adapters.locust_stream import (
    Cell,
    Line,
    Record,
    Stream,
    cells_of,
    health_of,
    histogram_of,
    merged,
    overlap,
)
from pipeline.model.histogram import Histogram
from pipeline.model.limits import show
from pipeline.model.load import QUANTILES, EndpointSummary, GeneratorHealth, LoadShape, LoadSummary, Second
from pipeline.model.sides import BLOCK_SECONDS, Block, PairSummary, Side, Tally

_ERRORS = 10
_CANDIDATE, _BASELINE = Side.CANDIDATE.value, Side.BASELINE.value

Endpoints = dict[str, Cell]
P = ParamSpec("P")
T = TypeVar("T")


class RecordError(Exception):
    """A record is not in form: it was not written by our plugin, or not by this version of it."""


def _in_form(method: Callable[P, T]) -> Callable[P, T]:
    @wraps(method)
    def read(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return method(*arguments, **named)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise RecordError(repr(error)) from error

    return read


class Gathering:
    """The records of one load. `sides` are their names in it: both of `Side`, or the candidate alone.

    `streams` are the processes' lines, in the order of their numbers. Everything but `read` is about what was read.
    Methods raise RecordError when a record is not in form.
    """

    def __init__(self, streams: Sequence[Stream], shape: LoadShape, sides: Sequence[str]) -> None:
        self._shape, self._sides = shape, sides
        self._streams = streams
        self.records = [Record() for _ in streams]
        self._blocks: dict[int, dict[str, Endpoints]] = {}
        self._whole: list[Block] = []
        self._until = 0
        self._late = False

    @_in_form
    def read(self) -> bool:
        """Takes what is new in every stream; whether an interval was among it."""
        moved = False
        for stream, record in zip(self._streams, self.records, strict=True):
            for line in stream.lines():
                record.add(line)
                if line["kind"] == "interval":
                    moved = True
                    self._take(line)
        return moved

    @property
    def ready(self) -> bool:
        """Whether every process has loaded the locustfile."""
        return all(record.ready for record in self.records)

    @property
    def ended(self) -> bool:
        """Whether every record has its end."""
        return all(record.end is not None for record in self.records)

    @_in_form
    def blocks(self) -> Sequence[Block]:
        """The blocks of which every process has every answer, in order; those with no request are left out.

        An answer that nobody waited for any more belongs to a block that was given before: it is given again with it.
        """
        whole = min(record.whole for record in self.records) + 1
        if self.ended:
            whole = min(whole, self._measured_blocks())
        if self._late:
            self._late = False
            self._whole = [self._block(index) for index in sorted(self._blocks) if index < self._until]
        for index in range(self._until, whole):
            self._until = index + 1
            if index in self._blocks:
                self._whole.append(self._block(index))
        return tuple(self._whole)

    @property
    def seconds(self) -> float:
        """Seconds of measuring that `blocks` has given."""
        return self._until * BLOCK_SECONDS

    @_in_form
    def progress(self) -> tuple[float, str]:
        """How much of the run is done, from 0 to 1, and what its last intervals looked like."""
        last = [record.intervals[-1] for record in self.records if record.intervals]
        if len(last) < len(self.records):
            return 0.0, "starting"
        return progress_of(last, self._shape, self._sides)

    @_in_form
    def fault(self, *, asked: bool = False) -> tuple[int, str] | None:
        """The number of a process, from 1, and why nothing can be judged; None when everything is whole.

        `asked` is whether an early end was our wish.
        """
        for number, record in enumerate(self.records, 1):
            fault = record.fault(self._shape)
            if not fault and not asked and (record.measured or 0.0) < self._shape.duration - 0.001:
                fault = f"it was ended after {record.measured:.1f} of {self._shape.duration:g} s of measuring"
            if fault:
                return number, fault
        if any(self._all(side) for side in self._sides):
            return None
        return 1, f"not one request was answered or failed within {self._measured():g} s"

    def lost(self, ended: Sequence[bool]) -> tuple[int, str] | None:
        """The number of a process that runs no more, and why its record is not whole; None while there is none."""
        for number, (over, record) in enumerate(zip(ended, self.records, strict=True), 1):
            if over and record.end is None:
                return number, record.fault(self._shape)
        return None

    @_in_form
    def summary(self) -> LoadSummary:
        """What a load on one side gave, once there is no fault."""
        return self._summary(self._sides[0], health_of(self.records, self._shape, self._sides))

    @_in_form
    def pair(self) -> PairSummary:
        """What a load on both sides gave, once there is no fault."""
        health = health_of(self.records, self._shape, self._sides)
        indices = sorted(index for index in self._blocks if index < self._measured_blocks())
        return PairSummary(
            candidate=self._summary(_CANDIDATE, health),
            baseline=self._summary(_BASELINE, health),
            blocks=[self._block(index) for index in indices],
            generator=health,
        )

    def _take(self, line: Line) -> None:
        for index, side, name, cell in cells_of(line):
            self._late = self._late or index < self._until
            endpoints = self._blocks.setdefault(index, {}).setdefault(side, {})
            if name in endpoints:
                endpoints[name].add(cell)
            else:
                endpoints[name] = cell

    def _block(self, index: int) -> Block:
        sides = self._blocks[index]
        return Block(index, _tallies(sides.get(_CANDIDATE, {})), _tallies(sides.get(_BASELINE, {})))

    def _measured(self) -> float:
        """Seconds that every process measured: those that one has more, having ended later, count for nothing."""
        return min((r.measured for r in self.records if r.measured is not None), default=self._shape.duration)

    def _measured_blocks(self) -> int:
        return math.ceil(self._measured() / BLOCK_SECONDS - 1e-6)

    def _all(self, side: str) -> list[tuple[int, str, Cell]]:
        end = self._measured_blocks()
        return [
            (index, name, cell)
            for index, sides in self._blocks.items()
            if index < end
            for name, cell in sides.get(side, {}).items()
        ]

    def _summary(self, side: str, health: GeneratorHealth) -> LoadSummary:
        cells = self._all(side)
        names = sorted({name for _, name, _ in cells})
        lines = [line for record in self.records for line in record.intervals]
        errors: Counter[str] = Counter()
        for line in lines:
            errors.update(line["errors"].get(side, {}))
        ends = [record.end for record in self.records if record.end is not None]
        return LoadSummary(
            total=_endpoint("all", (cell for *_, cell in cells)),
            endpoints=[_endpoint(name, (c for _, of, c in cells if of == name)) for name in names],
            seconds=self._measured(),
            generator=health,
            errors=dict(errors.most_common(_ERRORS)),
            series=list(self._series(side, cells)),
            unfinished=sum(int(end["unfinished"][side]) for end in ends),
            as_sent=_as_sent(lines, side),
            crossed=sum(int(end["crossed"][side]) for end in ends),
            idle=tuple(sorted(set.intersection(*(set(map(str, end["idle"])) for end in ends)))),
        )

    def _series(self, side: str, cells: Iterable[tuple[int, str, Cell]]) -> Iterator[Second]:
        by_second: dict[int, list[Cell]] = {}
        for index, _, cell in cells:
            by_second.setdefault(math.floor(index * BLOCK_SECONDS), []).append(cell)
        for second in range(math.ceil(self._measured() - 1e-6)):
            whole = merged(by_second.get(second, ()))
            latencies = Histogram(whole.bins)
            yield Second(
                at=float(second),
                requests=whole.requests,
                failures=whole.failures,
                users=sum(self._users(record, side, second) for record in self.records),
                p50_ms=latencies.quantile(QUANTILES["p50"]),
                p95_ms=latencies.quantile(QUANTILES["p95"]),
            )

    def _users(self, record: Record, side: str, second: int) -> int:
        end = self._shape.lead + second + 1
        within = [line for line in record.intervals if float(line["from"]) < end]
        return int(within[-1]["users"][side]) if within else 0


def progress_of(last: Sequence[Line], shape: LoadShape, sides: Sequence[str]) -> tuple[float, str]:
    """How much of the run is done, from 0 to 1, after each process's last interval, and what those looked like."""
    whole = shape.lead + shape.duration
    if min(float(line["from"]) for line in last) >= whole:
        return 1.0, "waiting for the last answers"
    to = min(float(line["to"]) for line in last)
    cells = {side: [c for line in last for _, of, _, c in cells_of(line) if of == side] for side in sides}
    rate = sum(_rate(line) for line in last)
    done = min(1.0, to / whole)
    if all(overlap(line, shape, shape.duration) == 0 for line in last):
        return done, f"warming up · {rate:.0f} req/s"
    latencies = [histogram_of(of).quantile(0.95) for of in cells.values()]
    told = " against ".join("–" if p95 is None else show("p95_ms", p95) for p95 in latencies)
    failures = " against ".join(str(merged(of).failures) for of in cells.values())
    return done, f"{rate:.0f} req/s · p95 {told} · {failures} failed"


def _rate(line: Line) -> float:
    span = max(float(line["to"]) - float(line["from"]), 0.001)
    return float(sum(cell.requests for *_, cell in cells_of(line)) + int(line["outside"])) / span


def _tallies(endpoints: Mapping[str, Cell]) -> dict[str, Tally]:
    return {
        name: Tally(cell.requests, cell.failures, Histogram(dict(cell.bins)))
        for name, cell in endpoints.items()
    }


def _endpoint(name: str, cells: Iterable[Cell]) -> EndpointSummary:
    whole = merged(cells)
    return EndpointSummary.of(name, whole.requests, whole.failures, Histogram(whole.bins))


def _as_sent(lines: Sequence[Line], side: str) -> dict[str, float]:
    whole = histogram_of(Cell((0, 0, line["as_sent"].get(side, {}))) for line in lines)
    found = {label: whole.quantile(share) for label, share in QUANTILES.items()}
    return {label: value for label, value in found.items() if value is not None}
