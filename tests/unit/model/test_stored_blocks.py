"""Blocks that were stored are the blocks that were measured, and nothing else is taken for them."""

from __future__ import annotations

import json
import random
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.model.histogram import Histogram
from pipeline.model.sides import Block, Tally
from pipeline.model.stored_blocks import blocks_from_json, blocks_to_json
from tests.simulated_load import Load, blocks

tallies = st.builds(
    lambda failures, more, bins: Tally(failures + more, failures, Histogram(bins)),
    st.integers(0, 9),
    st.integers(0, 99),
    st.dictionaries(st.integers(0, 3000), st.integers(1, 99), max_size=5),
)
sides = st.dictionaries(st.sampled_from(["GET /", "ä", "", "all"]), tallies, max_size=3)


@settings(max_examples=40)
@given(st.lists(st.builds(Block, st.integers(-5, 10**6), sides, sides), max_size=6))
def test_what_is_stored_comes_back(measured: list[Block]) -> None:
    assert blocks_from_json(json.loads(json.dumps(blocks_to_json(measured), allow_nan=False))) == measured


def test_they_are_stored_in_few_bytes() -> None:
    load = list(islice(blocks(Load(), random.Random(1)), 128))
    requests = sum(t.requests for b in load for side in (b.candidate, b.baseline) for t in side.values())
    assert len(json.dumps(blocks_to_json(load), separators=(",", ":"))) < 10 * requests


GOOD: dict[str, Any] = {"blocks": 1, "endpoints": ["/"], "counted": [[0, [[0, 3, 1, 700, 2, 5, 1]], []]]}


def test_the_format_is_as_described() -> None:
    assert blocks_from_json(GOOD) == [Block(0, {"/": Tally(3, 1, Histogram({700: 2, 705: 1}))}, {})]


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        [],
        {},
        {**GOOD, "blocks": 2},
        {"blocks": 1, "endpoints": ["/"]},
        {**GOOD, "endpoints": [7]},
        {**GOOD, "counted": 5},
        {**GOOD, "counted": [[0, []]]},
        {**GOOD, "counted": [["0", [], []]]},
        {**GOOD, "counted": [[0, [[0]], []]]},
        {**GOOD, "counted": [[0, [[1, 3, 1]], []]]},
        {**GOOD, "counted": [[0, [[-1, 3, 1]], []]]},
        {**GOOD, "counted": [[0, [[0, 1, 2]], []]]},
        {**GOOD, "counted": [[0, [[0, -1, -1]], []]]},
        {**GOOD, "counted": [[0, [[0, True, 0]], []]]},
        {**GOOD, "counted": [[0, [[0, 3, 1, 700]], []]]},
        {**GOOD, "counted": [[0, [[0, 3, 1, 700, 0]], []]]},
        {**GOOD, "counted": [[0, [[0, 3, 1, -7, 1]], []]]},
        {**GOOD, "counted": [[0, [[0, 3, 1, 7.5, 1]], []]]},
    ],
    ids=str,
)
def test_what_is_damaged_is_no_blocks(damaged: object) -> None:
    with pytest.raises(ValueError, match=r"no blocks|damaged"):
        blocks_from_json(damaged)
