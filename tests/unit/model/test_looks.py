"""When looks are taken, and what they say together: twice slower refuses, once does not."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice

import pytest

from pipeline.model.histogram import Histogram, bin_of
from pipeline.model.looks import Looks
from pipeline.model.relative_rules import RelativeRules
from pipeline.model.sides import Block, Tally
from pipeline.model.verdict import Outcome
from tests.simulated_load import Load, blocks

RULES = RelativeRules()


def part(seconds: float, slower: float = 1.0, rate: float = 110) -> list[Block]:
    return list(islice(blocks(Load(slower=slower, rate=rate), random.Random(1)), int(2 * seconds)))


SAME = part(64)
SLOWER = part(64, 1.3)
MUCH_SLOWER = part(20, 2.0)
FEW = part(64, rate=4)


def asked(looks: Looks, source: list[Block], *seconds: float) -> list[bool]:
    return [looks.look(source[: int(2 * at)], at) for at in seconds]


def test_the_first_look_is_taken_when_enough_was_measured() -> None:
    looks = Looks(RULES)
    assert asked(looks, SAME, 1, 8, 15.9) == [False] * 3
    assert (looks.taken, looks.last, looks.decided) == ((), None, False)
    assert asked(looks, SAME, 16.2) == [True]
    assert looks.last is not None
    assert (looks.last.at, looks.last.outcome) == (16.2, Outcome.PASSED)


def test_nothing_is_looked_at_once_it_is_decided() -> None:
    looks = Looks(RULES)
    assert asked(looks, SAME, 16, 17, 24) == [True] * 3
    assert len(looks.taken) == 1
    assert looks.close(SAME, 30) is looks.last
    assert len(looks.taken) == 1


def test_looks_keep_to_their_times_up_to_the_cap() -> None:
    looks = Looks(RelativeRules(min_duration=10, every=8, max_duration=30))
    times = [at / 2 for at in range(1, 61)]
    done = asked(looks, FEW, *times)
    assert [look.at for look in looks.taken] == [10, 18, 26, 30]
    assert done == [False] * 59 + [True]


def test_a_late_look_does_not_shift_the_next_ones() -> None:
    looks = Looks(RULES)
    asked(looks, FEW, 19, 23.5, 24, 31, 33)
    assert [look.at for look in looks.taken] == [19, 24, 33]


def test_slower_is_refused_when_the_next_look_says_so_too() -> None:
    looks = Looks(RULES)
    assert asked(looks, SLOWER, 16, 20) == [False, False]
    first = looks.taken[0]
    assert (first.outcome, first.confirmed) == (Outcome.UNDECIDED, ())
    assert first.reason.text.endswith("only the last look says so")
    assert "two looks running" in first.reason.remedy
    assert asked(looks, SLOWER, 24) == [True]
    second = looks.taken[1]
    assert second.outcome is Outcome.REFUSED
    assert second.reasons == tuple(found.reason for found in second.confirmed)
    assert second.reason.text.startswith("p50 of all requests is 1.28 × production's")


def test_slower_once_and_then_no_more_is_no_refusal() -> None:
    looks = Looks(RULES)
    looks.take(SLOWER[:32], 16)
    assert asked(looks, SAME, 24) == [True]
    assert [look.outcome for look in looks.taken] == [Outcome.UNDECIDED, Outcome.PASSED]


def test_surely_slower_is_refused_at_once() -> None:
    looks = Looks(RULES)
    assert asked(looks, MUCH_SLOWER, 16) == [True]
    assert looks.taken[0].outcome is Outcome.REFUSED


def test_two_looks_close_to_each_other_are_no_two_looks() -> None:
    looks = Looks(RULES)
    looks.take(SLOWER[:32], 16)
    close = looks.close(SLOWER[:36], 18)
    assert close is not None
    assert (close.at, close.outcome) == (18, Outcome.UNDECIDED)


def test_the_end_of_the_load_is_a_look() -> None:
    looks = Looks(RULES)
    looks.take(SLOWER[:32], 16)
    close = looks.close(SLOWER[:40], 20)
    assert close is not None
    assert close.outcome is Outcome.REFUSED


def test_a_load_that_ended_before_the_first_look_was_not_looked_at() -> None:
    assert Looks(RULES).close(SAME[:20], 10) is None


def test_the_end_at_the_time_of_the_last_look_is_no_other() -> None:
    looks = Looks(RULES)
    asked(looks, FEW, 16)
    assert looks.close(FEW[:32], 16) is looks.taken[0]
    assert len(looks.taken) == 1


def test_at_the_cap_it_says_what_was_missing() -> None:
    looks = Looks(RULES)
    assert asked(looks, FEW, 64) == [True]
    assert looks.last is not None
    assert looks.last.outcome is Outcome.UNDECIDED
    texts = [reason.text for reason in looks.last.reasons]
    assert [text.split(" rests")[0] for text in texts[:2]] == ["p50 of all requests", "p95 of all requests"]
    assert len(texts) == 3
    assert "percentage points" in texts[2]


P99 = RelativeRules(percentiles=("p95", "p99"))


def test_at_the_cap_it_says_how_much_more_time_or_load_would_have_told() -> None:
    looks = Looks(P99)
    assert asked(looks, SAME, 64) == [True]
    assert looks.last is not None
    (reason,) = looks.last.reasons
    assert "p99 of all requests rests on 3,5" in reason.text
    assert " requests/s a side that is about " in reason.text
    assert reason.remedy.startswith("raise load.max_duration to about ")
    assert "load.users" in reason.remedy


def test_the_first_look_tells_already_what_will_stay_undecided() -> None:
    looks = Looks(P99)
    assert not looks.warnings
    assert asked(looks, SAME, 16) == [False]
    (warning,) = looks.warnings
    assert warning.startswith("p99 of all requests will probably stay undecided (at 5")
    assert "raise load.max_duration" in warning


def test_what_there_is_time_for_is_not_warned_of() -> None:
    few = Looks(RelativeRules(max_duration=1000))
    assert asked(few, FEW, 16) == [False]
    assert not few.warnings
    decided = Looks(RULES)
    assert asked(decided, SAME, 16) == [True]
    assert not decided.warnings


def test_a_load_without_a_request_warns_of_nothing() -> None:
    looks = Looks(P99)
    looks.take([], 16)
    assert not looks.warnings


def test_disturbed_blocks_are_the_reason_by_themselves() -> None:
    chance = random.Random(2)
    machine = [90.0 if at % 12 < 5 else 10.0 for at in range(60)]
    uneven = [next(blocks(Load(rate=600, mix={"/": (speed, 1.0)}), chance)) for speed in machine]
    looks = Looks(RULES)
    looks.take(uneven, 30)
    assert looks.last is not None
    assert looks.last.outcome is Outcome.UNDECIDED
    assert "disturbed" in looks.last.reason.text
    assert len(looks.last.reasons) == 1


def late(block: Block) -> Block:
    """With a tenth of the candidate's answers five seconds late."""
    (name, tally), *others = block.candidate.items()
    bins = dict(tally.histogram.bins)
    bins[bin_of(6_000)] = 6
    more = Tally(tally.requests + 6, tally.failures, Histogram(bins))
    return replace(block, candidate={name: more, **dict(others)})


def test_answers_that_came_after_a_look_are_seen_in_the_end() -> None:
    looks = Looks(RULES)
    assert asked(looks, SAME, 16) == [True]
    assert looks.settled(SAME[:40]).taken == looks.taken
    settled = looks.settled([late(block) for block in SAME[:40]])
    assert [look.at for look in settled.taken] == [16]
    assert settled.taken[0].comparison.blocks == 32
    assert settled.taken[0].outcome is Outcome.REFUSED
    assert "p95 of all requests" in settled.taken[0].reason.text


def test_a_block_that_was_empty_when_it_was_looked_at_does_not_move_the_others() -> None:
    looks = Looks(RULES)
    looks.take([*SAME[:5], *SAME[6:32]], 16)
    assert looks.settled(SAME).taken[0].until == 31
    assert Looks(RULES).settled(SAME).taken == ()


@pytest.mark.parametrize("source", [SAME, SLOWER, FEW], ids=["same", "slower", "few"])
def test_the_same_blocks_say_the_same_again(source: list[Block]) -> None:
    looks = Looks(RULES)
    asked(looks, source, 16, 24, 32, 64)
    marks = [(look.at, look.comparison.blocks) for look in looks.taken]
    assert Looks.replay(RULES, source, marks).taken == looks.taken
    assert looks.rules is RULES
