"""Reads the record that our Locust plugin writes: one JSON object a line, a second each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.model.histogram import Histogram
from pipeline.model.limits import show
from pipeline.model.load import EndpointSummary, GeneratorHealth, LoadShape, LoadSummary, Second

Line = Mapping[str, Any]

_SKEW = 0.5
"""Seconds by which the wall clock may run away from the monotonic one within an interval."""

_ERRORS = 10


class Tail:
    """Gives the complete lines that were added to a growing file, from its beginning."""

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
        return [_object(line) for line in whole.splitlines()]


def progress_of(line: Line, shape: LoadShape) -> tuple[float, str]:
    """How much of the run is done after a line of kind `second`, from 0 to 1, and what it looked like."""
    whole = shape.lead + shape.duration
    if float(line["from"]) >= whole:
        return 1.0, "waiting for the last answers"
    done = min(1.0, float(line["to"]) / whole)
    second = _second(line, shape)
    span = max(float(line["to"]) - float(line["from"]), 0.001)
    rate = f"{(second.requests + int(line['outside'])) / span:.0f} req/s"
    if float(line["to"]) <= shape.lead:
        return done, f"warming up · {rate}"
    latency = show("p95_ms", second.p95_ms) if second.p95_ms is not None else "–"
    return done, f"{rate} · p95 {latency} · {second.failures} failed"


def fault_of(lines: Sequence[Line], shape: LoadShape) -> str:
    """Why the record cannot be judged; empty when it is whole. Raises KeyError or ValueError when it is not in form."""
    seconds = [line for line in lines if line["kind"] == "second"]
    if not lines or lines[0]["kind"] != "begin":
        return "Locust ended before it had started a user"
    measured = sum(_overlap(line, shape) for line in seconds)
    if lines[-1]["kind"] != "end":
        return f"its record breaks off after {measured:.1f} of {shape.duration:g} s of measuring"
    requests = sum(int(entry[0]) for line in seconds for entry in line["endpoints"].values())
    if [line["line"] for line in seconds] != list(range(1, int(lines[-1]["lines"]) + 1)):
        return "lines of its record are missing"
    if requests != lines[-1]["requests"]:
        return f"its record holds {requests} of {lines[-1]['requests']} requests"
    jump = max((float(line["skew"]) for line in seconds), key=abs, default=0.0)
    if abs(jump) > _SKEW:
        return f"the machine's clock jumped by {jump:+.1f} s while it ran"
    return "" if requests else f"not one request was answered or failed within {shape.duration:g} s"


def summarise(lines: Sequence[Line], shape: LoadShape) -> LoadSummary:
    """What a whole record (see `fault_of`) says."""
    seconds = [line for line in lines if line["kind"] == "second"]
    endpoints = _endpoints(seconds)
    total = EndpointSummary.of(
        "all",
        sum(endpoint.requests for endpoint in endpoints),
        sum(endpoint.failures for endpoint in endpoints),
        _merged(endpoint.histogram for endpoint in endpoints),
    )
    errors = sum((Counter(line["errors"]) for line in seconds), Counter[str]())
    return LoadSummary(
        total=total,
        endpoints=endpoints,
        seconds=sum(_overlap(line, shape) for line in seconds),
        generator=_health(seconds, shape),
        errors=dict(errors.most_common(_ERRORS)),
        series=[_second(line, shape) for line in seconds if _overlap(line, shape) > 0],
        unfinished=int(lines[-1]["unfinished"]),
    )


def _object(raw: bytes) -> Line:
    line = json.loads(raw)
    if not isinstance(line, dict):
        raise ValueError(f"not a JSON object: {raw[:80]!r}")
    return line


def _overlap(line: Line, shape: LoadShape) -> float:
    begin, end = shape.lead, shape.lead + shape.duration
    return max(0.0, min(float(line["to"]), end) - max(float(line["from"]), begin))


def _health(seconds: Sequence[Line], shape: LoadShape) -> GeneratorHealth:
    within = [line for line in seconds if _overlap(line, shape) > 0]
    time = sum(float(line["to"]) - float(line["from"]) for line in within) or float("nan")
    users = sum(_overlap(line, shape) * min(1.0, int(line["users"]) / shape.users) for line in within)
    return GeneratorHealth(
        cpu_share=sum(float(line["cpu"]) for line in within) / time,
        lag_share=sum(float(line["late"]) for line in within) / time,
        delivered_share=users / shape.duration,
    )


def _endpoints(seconds: Sequence[Line]) -> list[EndpointSummary]:
    names = sorted({name for line in seconds for name in line["endpoints"]})
    return [
        _endpoint(name, [line["endpoints"][name] for line in seconds if name in line["endpoints"]])
        for name in names
    ]


def _endpoint(name: str, entries: Sequence[Sequence[Any]]) -> EndpointSummary:
    requests, failures = sum(int(entry[0]) for entry in entries), sum(int(entry[1]) for entry in entries)
    return EndpointSummary.of(name, requests, failures, _merged(_histogram(entry[2]) for entry in entries))


def _second(line: Line, shape: LoadShape) -> Second:
    entries = list(line["endpoints"].values())
    return Second(
        at=round(max(0.0, float(line["from"]) - shape.lead), 3),
        requests=sum(int(entry[0]) for entry in entries),
        failures=sum(int(entry[1]) for entry in entries),
        users=int(line["users"]),
        p95_ms=_merged(_histogram(entry[2]) for entry in entries).quantile(0.95),
    )


def _histogram(bins: Mapping[str, int]) -> Histogram:
    return Histogram({int(number): int(count) for number, count in bins.items()})


def _merged(histograms: Iterable[Histogram]) -> Histogram:
    whole = Histogram()
    for histogram in histograms:
        whole = whole.merge(histogram)
    return whole
