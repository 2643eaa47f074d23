"""Whether an image may replace what runs: git decides where it knows, else the build times do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.model.digest import Digest
from pipeline.model.order import Ancestry, Origin, judge_order
from pipeline.model.policy import Override
from pipeline.model.verdict import Outcome

NOON = datetime(2026, 3, 6, 12, tzinfo=UTC)
ONE, TWO = Digest("sha256:" + "1" * 64), Digest("sha256:" + "2" * 64)


def origin(digest: Digest, commit: str = "", hour: float | None = None) -> Origin:
    return Origin(digest, commit * 40, None if hour is None else NOON + timedelta(hours=hour))


NEW, OLD = origin(TWO, "b", 1), origin(ONE, "a", 0)


@pytest.mark.parametrize("ancestry", [Ancestry.AFTER, Ancestry.SAME, Ancestry.APART, Ancestry.UNKNOWN])
def test_a_newer_one_may_replace_an_older_one(ancestry: Ancestry) -> None:
    order = judge_order("prod", NEW, [(OLD, ancestry)])
    assert order.verdict.outcome is Outcome.PASSED
    assert order.facts["order"] == "newer or the same"


@pytest.mark.parametrize("ancestry", [Ancestry.BEFORE, Ancestry.SAME, Ancestry.APART, Ancestry.UNKNOWN])
def test_an_older_one_is_refused_with_both_named(ancestry: Ancestry) -> None:
    order = judge_order("prod", OLD, [(NEW, ancestry)])
    assert order.verdict.outcome is Outcome.REFUSED
    (reason,) = order.verdict.reasons
    assert (
        f"prod runs something newer ({TWO.short}, commit bbbbbbbbbbbb, built 2026-03-06 13:00:00 UTC)"
        in reason.text
    )
    assert f"than {ONE.short}, commit aaaaaaaaaaaa, built 2026-03-06 12:00:00 UTC" in reason.text
    assert "--allow-older --reason TEXT" in reason.remedy
    assert order.facts["order"] == "older"


def test_history_decides_before_the_clock() -> None:
    """An old commit that was built today is old all the same."""
    rebuilt, newer = origin(ONE, "a", 9), origin(TWO, "b", 1)
    assert not judge_order("prod", rebuilt, [(newer, Ancestry.BEFORE)]).verdict.passed
    assert judge_order("prod", newer, [(rebuilt, Ancestry.AFTER)]).verdict.passed


def test_the_same_digest_is_in_order_whatever_is_on_record_of_it() -> None:
    order = judge_order("prod", origin(ONE, hour=0), [(origin(ONE, hour=5), Ancestry.UNKNOWN)])
    assert order.verdict.passed
    assert order.facts["order"] == "newer or the same"


@pytest.mark.parametrize(("ours", "theirs"), [(0, None), (None, 0), (None, None)])
def test_where_no_times_are_on_record_the_order_is_said_to_be_unknown(
    ours: float | None, theirs: float | None
) -> None:
    order = judge_order("prod", origin(ONE, hour=ours), [(origin(TWO, hour=theirs), Ancestry.UNKNOWN)])
    assert order.verdict.passed
    assert order.facts["order"] == "not known"


def test_of_several_that_run_one_newer_is_enough() -> None:
    middle = origin(ONE, "a", 1)
    others = [
        (origin(Digest("sha256:" + "0" * 64), "9", 0), Ancestry.AFTER),
        (origin(TWO, "b", 2), Ancestry.BEFORE),
    ]
    assert not judge_order("prod", middle, others).verdict.passed


def test_where_nothing_runs_nothing_is_in_the_way() -> None:
    order = judge_order("prod", OLD, [])
    assert order.verdict.passed
    assert order.facts == {"candidate": OLD.words, "replaces": [], "order": "newer or the same"}


def test_an_override_lets_the_older_one_in_and_is_on_record() -> None:
    order = judge_order("prod", OLD, [(NEW, Ancestry.BEFORE)], Override("a bad week", "ann"))
    assert order.verdict.passed
    assert order.facts["override"] == {"reason": "a bad week", "by": "ann"}
    assert order.facts["order"] == "older"


def test_an_image_without_digest_is_named_all_the_same() -> None:
    assert Origin(None).words == "the image"
