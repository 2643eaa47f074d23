"""Which regions come next, what becomes of the others after a failure, and what all of it comes to."""

from __future__ import annotations

from itertools import combinations_with_replacement, product
from typing import Any

import pytest

from pipeline.errors import ExitCode
from pipeline.model.deployment import RolloutOutcome, RolloutResult
from pipeline.model.verdict import Outcome, Reason
from pipeline.model.waves import (
    Action,
    End,
    Fate,
    Move,
    OnFailure,
    Part,
    deployment_in,
    end_of,
    facts_of,
    mistake_in,
    next_move,
    reasons_of,
    undone,
)

WAVES = (("a",), ("b", "c"))
BEGUN = [fate for fate in Fate if fate is not Fate.WAITING]


def parts(*fates: Fate) -> dict[str, Part]:
    return {chr(ord("a") + number): Part(fate) for number, fate in enumerate(fates)}


# -- what comes next --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_failure", list(OnFailure))
def test_a_wave_begins_when_all_regions_before_it_run_the_release(on_failure: OnFailure) -> None:
    assert next_move(WAVES, {}, on_failure) == Move(Action.ROLL_OUT, ("a",))
    assert next_move(WAVES, {"a": Fate.SUCCEEDED}, on_failure) == Move(Action.ROLL_OUT, ("b", "c"))
    all_run = dict.fromkeys("abc", Fate.SUCCEEDED)
    assert next_move(WAVES, all_run, on_failure) == Move(Action.END)


@pytest.mark.parametrize("on_failure", list(OnFailure))
@pytest.mark.parametrize("fate", [fate for fate in BEGUN if fate is not Fate.SUCCEEDED])
def test_whatever_is_no_success_in_the_first_wave_ends_it(fate: Fate, on_failure: OnFailure) -> None:
    assert next_move(WAVES, {"a": fate}, on_failure) == Move(Action.END)


@pytest.mark.parametrize(
    ("b", "c"), [pair for pair in product(BEGUN, BEGUN) if set(pair) != {Fate.SUCCEEDED}]
)
def test_after_a_failure_in_the_second_wave_what_had_succeeded_goes_back(b: Fate, c: Fate) -> None:
    fates = {"a": Fate.SUCCEEDED, "b": b, "c": c}
    assert next_move(WAVES, fates, OnFailure.STOP) == Move(Action.END)
    served = tuple(name for name, fate in fates.items() if fate is Fate.SUCCEEDED)
    expected = Move(Action.END) if Fate.DISPLACED in (b, c) else Move(Action.PUT_BACK, served)
    assert next_move(WAVES, fates, OnFailure.ROLL_BACK) == expected


@pytest.mark.parametrize("fate", [Fate.PUT_BACK, Fate.EMPTIED, Fate.STUCK, Fate.DETACHED, Fate.SUPERSEDED])
def test_what_was_put_back_is_not_put_back_again(fate: Fate) -> None:
    fates = {"a": fate, "b": Fate.ROLLED_BACK, "c": Fate.PUT_BACK}
    assert next_move(WAVES, fates, OnFailure.ROLL_BACK) == Move(Action.END)


def test_no_order_of_moves_rolls_out_after_a_failure_or_goes_on_for_ever() -> None:
    """Every way the regions can end, walked to its end."""
    for on_failure, ends in product(OnFailure, product(BEGUN, repeat=3)):
        fates: dict[str, Fate] = {}
        moves = []
        while (move := next_move(WAVES, fates, on_failure)).action is not Action.END:
            moves.append(move.action)
            assert len(moves) < 5
            if move.action is Action.ROLL_OUT:
                assert set(fates.values()) <= {Fate.SUCCEEDED}
                fates |= {name: ends[ord(name) - ord("a")] for name in move.regions}
            else:
                assert {fates[name] for name in move.regions} == {Fate.SUCCEEDED}
                fates |= dict.fromkeys(move.regions, Fate.PUT_BACK)
        if on_failure is OnFailure.ROLL_BACK and Fate.DISPLACED not in fates.values():
            assert set(fates.values()) == {Fate.SUCCEEDED} or Fate.SUCCEEDED not in fates.values()


# -- what it comes to -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fates", "end"),
    [
        ((Fate.SUCCEEDED,) * 3, End(Outcome.PASSED, None, "succeeded")),
        (
            (Fate.PUT_BACK, Fate.ROLLED_BACK, Fate.PUT_BACK),
            End(Outcome.REFUSED, ExitCode.ROLLED_BACK, "rolled_back"),
        ),
        (
            (Fate.ROLLED_BACK, Fate.WAITING, Fate.WAITING),
            End(Outcome.REFUSED, ExitCode.ROLLED_BACK, "rolled_back"),
        ),
        (
            (Fate.PUT_BACK, Fate.NOT_BEGUN, Fate.PUT_BACK),
            End(Outcome.UNDECIDED, ExitCode.ROLLED_BACK, "rolled_back"),
        ),
        (
            (Fate.PUT_BACK, Fate.BEFORE_FAILED, Fate.PUT_BACK),
            End(Outcome.REFUSED, ExitCode.ROLLED_BACK, "rolled_back"),
        ),
        ((Fate.EMPTIED, Fate.FAILED_FIRST, Fate.EMPTIED), End(Outcome.REFUSED, None, "failed_first")),
        ((Fate.EMPTIED, Fate.NOT_BEGUN, Fate.EMPTIED), End(Outcome.UNDECIDED, None, "failed_first")),
        ((Fate.BEFORE_FAILED, Fate.WAITING, Fate.WAITING), End(Outcome.REFUSED, None, "before_failed")),
        (
            (Fate.SUCCEEDED, Fate.ROLLED_BACK, Fate.SUCCEEDED),
            End(Outcome.REFUSED, ExitCode.STUCK, "stopped"),
        ),
        ((Fate.SUCCEEDED, Fate.NOT_BEGUN, Fate.WAITING), End(Outcome.UNDECIDED, ExitCode.STUCK, "stopped")),
        ((Fate.PUT_BACK, Fate.STUCK, Fate.ROLLED_BACK), End(Outcome.UNDECIDED, ExitCode.STUCK, "stuck")),
        ((Fate.SUCCEEDED, Fate.DISPLACED, Fate.DETACHED), End(Outcome.UNDECIDED, ExitCode.BUSY, "gave_way")),
        (
            (Fate.PUT_BACK, Fate.DETACHED, Fate.SUPERSEDED),
            End(Outcome.UNDECIDED, ExitCode.UNAVAILABLE, "detached"),
        ),
        (
            (Fate.PUT_BACK, Fate.SUPERSEDED, Fate.PUT_BACK),
            End(Outcome.UNDECIDED, ExitCode.BUSY, "superseded"),
        ),
        (
            (Fate.NOT_BEGUN, Fate.WAITING, Fate.WAITING),
            End(Outcome.UNDECIDED, ExitCode.UNDECIDED, "not_done", began=False),
        ),
    ],
)
def test_how_it_ends(fates: tuple[Fate, ...], end: End) -> None:
    assert end_of(parts(*fates)) == end


def test_it_passes_only_where_every_region_runs_it() -> None:
    for fates in combinations_with_replacement(Fate, 3):
        end = end_of(parts(*fates))
        assert (end.outcome is Outcome.PASSED) == (set(fates) == {Fate.SUCCEEDED})
        assert end.outcome is not Outcome.PASSED or end.code is None
        if Fate.STUCK in fates:
            assert end.code is ExitCode.STUCK
        if end.code is ExitCode.ROLLED_BACK:
            assert not set(fates) & {Fate.SUCCEEDED, Fate.STUCK, Fate.DETACHED, Fate.DISPLACED}


def test_no_region_at_all_is_undecided() -> None:
    assert end_of({}) == End(Outcome.UNDECIDED, ExitCode.UNDECIDED, "not_done", began=False)


def test_what_could_not_begin_ends_with_the_code_of_its_error() -> None:
    found = {"a": Part(Fate.NOT_BEGUN, code=ExitCode.BUSY), "b": Part(Fate.WAITING)}
    assert end_of(found).code is ExitCode.BUSY


# -- what is told and recorded ----------------------------------------------------------------------------------------


def told(*fates: Fate) -> list[str]:
    found = parts(*fates)
    return [reason.text for reason in reasons_of(found, end_of(found))]


def test_every_region_is_told() -> None:
    assert told(*(Fate.SUCCEEDED,) * 3)[0] == "all 3 regions run it, healthy and verified"
    for fates in combinations_with_replacement(Fate, 3):
        _, a, b, c = told(*fates)
        assert (a[:2], b[:2], c[:2]) == ("a ", "b ", "c ")


@pytest.mark.parametrize(
    ("fates", "text"),
    [
        ((Fate.PUT_BACK, Fate.ROLLED_BACK), "b did not come to run it; every region runs what it ran before"),
        ((Fate.SUCCEEDED, Fate.ROLLED_BACK), "b did not come to run it; a run it and are left so"),
        ((Fate.WAITING, Fate.WAITING), "no region did not come to run it; nothing was changed anywhere"),
        ((Fate.PUT_BACK, Fate.STUCK), "b did not come to run it; what serves where is said below"),
    ],
)
def test_the_first_line_says_where_it_failed_and_what_serves(fates: tuple[Fate, ...], text: str) -> None:
    assert told(*fates)[0] == text


def test_a_regions_own_reasons_are_under_its_name() -> None:
    found = {"a": Part(Fate.ROLLED_BACK, (Reason("exit 1", "look at its log"),))}
    assert reasons_of(found, end_of(found))[-1] == Reason("a: exit 1", "look at its log")


EARLY, LATE = "2026-01-01T00:00:00+00:00", "2026-01-01T00:05:00+00:00"
FIRST = {
    "image_digests": ["sha256:new"],
    "previous_digests": ["sha256:old"],
    "started_at": EARLY,
    "healthy_at": EARLY,
    "drained_at": None,
    "already": True,
    "probe": {"sent": 10, "failed": 1, "longest_gap_s": 0.5},
}
OF_LONGER_GAP = {"longest_gap_s": 0.9, "longest_gap_in": "switch", "longest_gap_at": LATE}
SECOND = {
    **FIRST,
    "started_at": LATE,
    "healthy_at": LATE,
    "already": False,
    "reattached": True,
    "probe": {"sent": 10, "failed": 1, **OF_LONGER_GAP},
}


def test_the_whole_is_recorded_as_one_rollout_and_each_region_beside_it() -> None:
    found = {"a": Part(Fate.SUCCEEDED, facts=FIRST), "b": Part(Fate.SUCCEEDED, facts=SECOND)}
    facts = facts_of((("a",), ("b",)), found, end_of(found))
    assert (facts["outcome"], facts["started_at"], facts["healthy_at"]) == ("succeeded", EARLY, LATE)
    assert facts["drained_at"] is None
    assert (facts["already"], facts["reattached"]) == (False, True)
    assert (facts["image_digests"], facts["previous_digests"]) == (["sha256:new"], ["sha256:old"])
    assert facts["probe"] == {"sent": 20, "failed": 2, **OF_LONGER_GAP}
    assert facts["waves"] == [["a"], ["b"]]
    assert facts["regions"] == {
        "a": {**FIRST, "outcome": "succeeded"},
        "b": {**SECOND, "outcome": "succeeded"},
    }


def test_it_is_healthy_when_the_last_region_is_and_never_where_one_is_not_known() -> None:
    found = {"a": Part(Fate.SUCCEEDED, facts=FIRST), "b": Part(Fate.WAITING)}
    facts = facts_of((("a",), ("b",)), found, end_of(found))
    assert (facts["started_at"], facts["healthy_at"]) == (EARLY, None)


def test_nothing_is_made_up_where_nothing_was_begun() -> None:
    found = parts(Fate.NOT_BEGUN)
    facts = facts_of((("a",),), found, end_of(found))
    assert (facts["started_at"], facts["probe"], facts["already"]) == (None, None, False)


ARN = "arn:aws:ecs:eu-west-1:000000000000:task-definition/shop:7"


@pytest.mark.parametrize(
    ("facts", "region", "found"),
    [
        ({"deployment": {"regions": {"eu-west-1": {"task_definition": ARN}}}}, "eu-west-1", ARN),
        ({"deployment": {"regions": {"eu-west-1": {"task_definition": ARN}}}}, "us-east-1", None),
        ({"deployment": {"regions": {"eu-west-1": "no table"}}}, "eu-west-1", None),
        ({"deployment": {"task_definition": ARN}}, "eu-west-1", ARN),
        ({"deployment": {"task_definition": ARN}}, "us-east-1", None),
        ({"deployment": {"task_definition": "shop:7"}}, "eu-west-1", None),
        ({"deployment": "no table"}, "eu-west-1", None),
        ({}, "eu-west-1", None),
    ],
)
def test_a_record_tells_a_regions_own_definition(
    facts: dict[str, Any], region: str, found: str | None
) -> None:
    assert deployment_in(facts, region).get("task_definition") == found


def test_a_part_is_what_its_rollout_came_to() -> None:
    for outcome in RolloutOutcome:
        result = RolloutResult(outcome, (Reason("so"),), "arn")
        part = Part.of(result, {"x": 1})
        assert (part.fate.value, part.reasons, part.facts, part.done) == (
            outcome.value,
            (Reason("so"),),
            {"x": 1},
            result,
        )


@pytest.mark.parametrize(
    ("outcome", "fate"),
    [
        (RolloutOutcome.ROLLED_BACK, Fate.PUT_BACK),
        (RolloutOutcome.FAILED_FIRST, Fate.EMPTIED),
        (RolloutOutcome.SUPERSEDED, Fate.SUPERSEDED),
    ],
)
def test_what_was_put_back_keeps_what_is_recorded_of_its_rollout(outcome: RolloutOutcome, fate: Fate) -> None:
    part = undone(outcome, Reason("back"), Part(Fate.SUCCEEDED, facts={"x": 1}))
    assert (part.fate, part.reasons, part.facts) == (fate, (Reason("back"),), {"x": 1})


@pytest.mark.parametrize(
    ("waves", "mistake"),
    [
        ((), ""),
        ((("a",), ("b",)), ""),
        ((("a", "b"), ("a",)), "named twice: a"),
        ((("a",), ()), "a wave without a region"),
    ],
)
def test_mistakes_in_waves_are_named(waves: tuple[tuple[str, ...], ...], mistake: str) -> None:
    assert mistake_in(waves) == mistake
