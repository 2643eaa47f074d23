"""Messages through a log: cut, numbered, and whole again only when every piece has come."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.load_frames import LENGTH, Assembly, Message, lines_of


def large() -> Message:
    draw = random.Random(1)
    return {"line": "".join(chr(draw.randrange(32, 0x2FFF)) for _ in range(40_000))}


def test_a_large_message_is_cut_into_lines_that_no_log_driver_cuts() -> None:
    lines = list(lines_of(7, large()))
    assert len(lines) > 1
    assert all(len(line) < LENGTH + 100 < 16_384 for line in lines)
    assembly = Assembly()
    for line in lines_of(1, large()):
        assert not list(assembly.take())
        assembly.add(line)
    assert list(assembly.take()) == [large()]


@given(st.lists(st.dictionaries(st.text(), st.integers() | st.text()), max_size=6), st.randoms())
def test_messages_come_in_their_order_whatever_the_order_of_the_lines(
    messages: list[dict[str, int | str]], draw: random.Random
) -> None:
    lines = [line for number, message in enumerate(messages, 1) for line in lines_of(number, message)]
    lines += lines[:2]
    draw.shuffle(lines)
    assembly, taken = Assembly(), []
    for line in lines:
        assembly.add(line)
        taken += list(assembly.take())
    assert taken == messages
    assert assembly.missing is None


def test_a_gap_holds_back_what_follows_and_is_told() -> None:
    assembly = Assembly()
    for number in (1, 3):
        for line in lines_of(number, {"n": number}):
            assembly.add(line)
    assert list(assembly.take()) == [{"n": 1}]
    assert assembly.missing == 2


def test_other_lines_are_kept_for_people_the_last_ones() -> None:
    assembly = Assembly()
    for number in range(70):
        assembly.add(f"line {number}\n")
    assembly.add("")
    assert assembly.said[0] == "line 20"
    assert assembly.said[-1] == "line 69"
    assert assembly.missing is None


@pytest.mark.parametrize("text", ["AAAA", "eJyrVkoqLVGqBQAJCgJ4", "eJxTMlACAACdADE="])
def test_what_does_not_unpack_is_not_in_form(text: str) -> None:
    assembly = Assembly()
    assembly.add(f"onedigest-load 1 1/1 {text}")
    with pytest.raises(ValueError, match=r".+"):
        list(assembly.take())
