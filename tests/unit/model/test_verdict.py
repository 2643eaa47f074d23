from __future__ import annotations

from itertools import permutations

from pipeline.model.verdict import Outcome, Verdict, combine


def test_combining_nothing_is_undecided() -> None:
    assert combine(()) is Outcome.UNDECIDED


def test_the_strictest_outcome_wins_in_any_order() -> None:
    for outcomes in permutations(Outcome):
        assert combine(Verdict("g", outcome) for outcome in outcomes) is Outcome.REFUSED
    assert combine((Verdict("g", Outcome.PASSED), Verdict("g", Outcome.UNDECIDED))) is Outcome.UNDECIDED
    assert combine((Verdict("g", Outcome.PASSED),)) is Outcome.PASSED


def test_only_passed_is_passed() -> None:
    assert [Verdict("g", outcome).passed for outcome in Outcome] == [True, False, False]
