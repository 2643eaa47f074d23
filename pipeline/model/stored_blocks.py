"""Blocks as compact JSON, so that a verdict can be worked out again from what is stored beside the evidence.

    {"blocks": 1, "endpoints": ["GET /", …], "counted": [[index, CANDIDATE, BASELINE], …]}

A side is a list with an item for every endpoint that was asked: [endpoint's place in the list, requests, failures,
bin, count, further bin, count, …]; every bin after the first is the distance from the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.model.histogram import Histogram
from pipeline.model.sides import Block, Tally

FORMAT = 1


def blocks_to_json(blocks: Sequence[Block]) -> dict[str, Any]:
    """The blocks as JSON values."""
    names = sorted({name for block in blocks for side in (block.candidate, block.baseline) for name in side})
    places = {name: place for place, name in enumerate(names)}
    counted = [
        [block.index, list(_side(block.candidate, places)), list(_side(block.baseline, places))]
        for block in blocks
    ]
    return {"blocks": FORMAT, "endpoints": names, "counted": counted}


def blocks_from_json(stored: object) -> Sequence[Block]:
    """The blocks that `blocks_to_json` was given. Raises ValueError for anything that it does not write."""
    if not isinstance(stored, dict) or stored.get("blocks") != FORMAT:
        raise ValueError(f"these are no blocks of a load in format {FORMAT}")
    try:
        names = [_text(name) for name in stored["endpoints"]]
        return [
            Block(_whole(index, None), _read(candidate, names), _read(baseline, names))
            for index, candidate, baseline in stored["counted"]
        ]
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise ValueError(f"the stored blocks of the load are damaged: {error}") from error


def _side(side: Mapping[str, Tally], places: Mapping[str, int]) -> Iterator[list[int]]:
    for name in sorted(side):
        tally = side[name]
        item, before = [places[name], tally.requests, tally.failures], 0
        for number in sorted(tally.histogram.bins):
            item += (number - before, tally.histogram.bins[number])
            before = number
        yield item


def _read(items: Sequence[Sequence[int]], names: Sequence[str]) -> Mapping[str, Tally]:
    side: dict[str, Tally] = {}
    for place, requests, failures, *steps in items:
        if _whole(failures) > _whole(requests):
            raise ValueError(f"{failures} of {requests} requests failed")
        number, bins = 0, {}
        for step, count in zip(steps[::2], steps[1::2], strict=True):
            number += _whole(step)
            bins[number] = _whole(count, 1)
        side[names[_whole(place)]] = Tally(requests, failures, Histogram(bins))
    return side


def _whole(value: object, least: int | None = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or (least is not None and value < least):
        raise ValueError(f"not a count: {value!r}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not an endpoint's name: {value!r}")
    return value
