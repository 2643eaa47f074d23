"""The judge of turns is judged itself: it must see what overlaps, and nothing else."""

from __future__ import annotations

from tests.chaos.aftermath import interleaved
from tests.chaos.fault_proxy import ECS, Call


def call(caller: str, name: str, began: float, ended: float, status: int = 200) -> Call:
    return Call(ECS, name, caller, began, ended, status)


def turn(caller: str, begin: float) -> list[Call]:
    return [
        call(caller, "RegisterTaskDefinition", begin, begin + 0.1),
        call(caller, "UpdateService", begin + 1, begin + 1.1),
        call(caller, "DescribeServices", begin + 5, begin + 5.1),
    ]


def test_turns_one_after_the_other_are_none_of_its_business() -> None:
    assert list(interleaved([*turn("a", 0.0), *turn("b", 6.0)])) == []


def test_a_change_within_anothers_turn_is_seen() -> None:
    late = call("b", "UpdateService", 3.0, 3.1)
    assert list(interleaved([*turn("a", 0.0), late])) == ["UpdateService of b within the turn of a"]


def test_looking_while_another_changes_is_allowed() -> None:
    looking = call("b", "DescribeServices", 3.0, 3.1)
    assert list(interleaved([*turn("a", 0.0), looking, *turn("b", 6.0)])) == []


def test_a_change_that_did_not_arrive_changed_nothing() -> None:
    refused = call("b", "UpdateService", 3.0, 3.1, status=400)
    assert list(interleaved([*turn("a", 0.0), refused])) == []


def test_two_at_the_very_same_time_are_both_seen() -> None:
    found = list(interleaved([*turn("a", 0.0), *turn("b", 0.05)]))
    assert any("within the turn of a" in each for each in found)
    assert any("within the turn of b" in each for each in found)
