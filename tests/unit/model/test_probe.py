"""What a probe's requests say: counted right, and never more than they can say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.model.probe import (
    Log,
    Mark,
    Pause,
    Phase,
    ProbeLimits,
    ProbeSummary,
    Shot,
    judge_probe,
    summarise,
)
from pipeline.model.verdict import Outcome

MARKS = (Mark(Phase.BEFORE, 0.0), Mark(Phase.SWITCH, 10.0), Mark(Phase.BAKE, 20.0), Mark(Phase.DRAIN, 30.0))


def shot(at: float, status: int = 200, *, took: float = 0.02, path: str = "/", error: str = "") -> Shot:
    return Shot(at, at, at + took, path, status, error)


def every(
    start: float, end: float, status: int = 200, *, took: float = 0.02, step: float = 0.2
) -> list[Shot]:
    return [shot(start + n * step, status, took=took) for n in range(round((end - start) / step))]


def summary(shots: Sequence[Shot], *, until: float = 40.0, pauses: Sequence[Pause] = ()) -> ProbeSummary:
    return summarise(Log(shots, pauses), MARKS, until)


def test_every_request_counts_in_the_phase_it_was_planned_in() -> None:
    found = summary([shot(1.0), shot(9.9, took=5.0), shot(10.0), shot(25.0, 500), shot(35.0), shot(36.0)])
    sent = {phase: figures.sent for phase, figures in found.phases.items()}
    assert sent == {Phase.BEFORE: 2, Phase.SWITCH: 1, Phase.BAKE: 1, Phase.DRAIN: 2}
    assert (found.whole.sent, found.whole.failed) == (6, 1)
    assert (found.settled.sent, found.settled.failed) == (3, 1)
    assert found.of(Phase.BACK).sent == 0


def test_what_was_planned_before_it_counts_is_left_out() -> None:
    found = summarise(Log([shot(1.0, 500), shot(21.0)]), (Mark(Phase.BAKE, 20.0),), 22.0)
    assert (found.whole.sent, found.whole.failed) == (1, 0)


def test_without_a_beginning_nothing_counts() -> None:
    found = summarise(Log([shot(1.0, 500)]), (), 2.0)
    assert found.whole.sent == 0
    assert found.longest_gap == 0.0


@pytest.mark.parametrize(
    ("status", "failed", "client_errors"),
    [(200, 0, 0), (302, 0, 0), (404, 0, 1), (499, 0, 1), (500, 1, 0), (503, 1, 0), (0, 1, 0)],
)
def test_a_server_error_or_no_answer_fails_and_a_client_error_is_counted_apart(
    status: int, failed: int, client_errors: int
) -> None:
    found = summary([shot(1.0, status)])
    assert (found.whole.failed, found.whole.client_errors) == (failed, client_errors)


def test_the_longest_gap_is_between_good_answers_and_sees_both_ends() -> None:
    middle = [shot(0.1), shot(2.0, 500), shot(4.0, 404), shot(5.0)]
    assert summary(middle, until=5.2).longest_gap == pytest.approx(3.9)
    assert summary([shot(7.0), shot(8.0)], until=8.1).longest_gap == pytest.approx(7.02)
    assert summary([shot(0.5)], until=9.52).longest_gap == pytest.approx(9.0)
    assert summary([shot(0.5, 500)], until=9.0).longest_gap == pytest.approx(9.0)


def test_the_longest_gap_is_told_with_the_phase_it_began_in() -> None:
    assert summary([*every(0, 9), *every(12, 40)]).facts["longest_gap_in"] == "before"
    assert summary([*every(0, 25), *every(32, 40)]).facts["longest_gap_in"] == "bake"
    assert summarise(Log(), (), 2.0).facts["longest_gap_in"] == ""


def test_the_longest_gap_is_told_with_the_time_of_day_at_which_it_began() -> None:
    shots = [*every(0, 25), *every(32, 40)]
    now = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    found = summarise(Log(shots), MARKS, 40.0, now)
    assert found.gap_at is not None
    assert abs(found.gap_at - (now - timedelta(seconds=15))) < timedelta(seconds=0.3)
    assert found.facts["longest_gap_at"] == "2026-01-01T11:59:44.820+00:00"
    assert found.line.endswith("longest gap 7.2 s from 11:59:44 UTC on")
    assert summarise(Log(shots), MARKS, 40.0).facts["longest_gap_at"] is None


def test_a_slow_answer_that_comes_after_the_end_makes_no_negative_gap() -> None:
    assert summary([shot(1.0, took=3.0)], until=2.0).longest_gap == pytest.approx(4.0)


def test_the_time_in_which_the_probe_itself_stood_still_is_no_gap() -> None:
    found = summary([*every(0, 2), *every(12, 14)], until=14.0, pauses=[Pause(2.0, 12.0)])
    assert found.longest_gap < 0.5
    assert found.paused == pytest.approx(10.0)


def test_latency_counts_from_the_planned_moment_and_not_for_what_was_sent_late() -> None:
    late = Shot(3.0, 4.0, 4.1, "/", 200)
    queued = Shot(5.0, 5.2, 5.3, "/", 200)
    found = summary([shot(1.0), late, queued])
    assert found.late == 1
    assert found.whole.p95_ms == pytest.approx(300.0)
    assert found.whole.p50_ms == pytest.approx(20.0)


def test_a_request_that_was_sent_late_and_failed_has_failed() -> None:
    found = summary([Shot(3.0, 4.0, 4.1, "/", 500)])
    assert (found.whole.failed, found.whole.p95_ms) == (1, None)


def test_failures_of_a_kind_are_counted_together() -> None:
    shots = [shot(1.0, 500, path="/readyz")] * 3 + [shot(2.0, 0, error="no connection")]
    assert summary(shots).whole.failures == (("500 on /readyz", 3), ("no connection on /", 1))


def test_the_line_for_people_and_the_values_for_the_record() -> None:
    found = summary([*every(0, 10), shot(12.0, 500), *every(20, 30)])
    assert found.line == "101 requests, 1 failed (500 on /), longest gap 10.2 s"
    facts = found.facts
    assert (facts["sent"], facts["failed"], facts["failures"]) == (101, 1, {"500 on /": 1})
    assert facts["longest_gap_s"] == pytest.approx(10.2)
    assert facts["phases"]["bake"]["sent"] == 50


LIMITS = ProbeLimits()


def said(found: ProbeSummary, limits: ProbeLimits = LIMITS) -> tuple[Outcome, str]:
    verdict = judge_probe(found, limits)
    return verdict.outcome, verdict.reasons[0].text


def test_a_good_bake_passes_with_its_numbers() -> None:
    assert said(summary([*every(0, 10), *every(20, 30)])) == (
        Outcome.PASSED,
        "0 of 50 requests failed during the bake",
    )


def test_too_few_requests_say_nothing() -> None:
    assert said(summary([*every(0, 10), *every(20, 21)]))[0] is Outcome.UNDECIDED
    assert said(ProbeSummary())[0] is Outcome.UNDECIDED
    assert said(summary(every(20, 20.8, 500)))[0] is Outcome.UNDECIDED


def test_failures_during_the_bake_refuse_with_their_numbers() -> None:
    bad = [replace(s, status=500, path="/readyz") for s in every(24, 24.8)]
    outcome, text = said(summary([*every(0, 10), *every(20, 29.2), *bad]))
    assert outcome is Outcome.REFUSED
    assert text == "4 of 50 requests failed during the bake; before it 0 of 50: 500 on /readyz"


def test_failures_while_the_old_tasks_leave_count_as_well() -> None:
    outcome, text = said(summary([*every(20, 30), *every(30, 35, 502)]))
    assert outcome is Outcome.REFUSED
    assert text.startswith("25 of 75 requests failed since the bake began: 502 on /")


def test_two_failures_are_no_share() -> None:
    assert said(summary([*every(20, 22), *[shot(22.0, 500)] * 2]))[0] is Outcome.PASSED
    assert said(summary([*every(20, 22), *[shot(22.0, 500)] * 3]))[0] is Outcome.REFUSED


def test_what_failed_before_at_the_same_rate_is_not_held_against_the_new_release() -> None:
    failing_before = every(0, 10, 500)
    found = summary([*failing_before, *every(10, 20, 500), *every(20, 30, 500)])
    assert said(found)[0] is Outcome.PASSED
    assert said(found, ProbeLimits(max_failed=0))[0] is Outcome.PASSED


def test_too_short_a_time_before_is_no_measure_of_what_may_fail() -> None:
    assert said(summary([shot(1.0, 500), *every(20, 26), *every(26, 30, 500)]))[0] is Outcome.REFUSED


def test_more_failed_requests_than_allowed_refuse_at_any_time() -> None:
    found = summary([*every(0, 10), shot(12.0, 503), shot(13.0, 0, error="no connection")])
    assert said(found)[0] is Outcome.UNDECIDED
    assert said(found, ProbeLimits(max_failed=2))[0] is Outcome.UNDECIDED
    outcome, text = said(found, ProbeLimits(max_failed=1))
    assert outcome is Outcome.REFUSED
    assert text.startswith(
        "2 of 2 requests failed during the rollout, 1 may: 503 on / (1), no connection on / (1)"
    )


def test_what_failed_before_the_switch_or_on_the_way_back_is_not_counted_as_the_rollouts() -> None:
    marks = (*MARKS, Mark(Phase.BACK, 40.0))
    found = summarise(Log([shot(1.0, 500), shot(41.0, 500)]), marks, 50.0)
    assert said(found, ProbeLimits(max_failed=0))[0] is Outcome.UNDECIDED


SLOW = ProbeLimits(max_slowdown=10.0)


def test_a_release_that_is_many_times_as_slow_is_refused() -> None:
    outcome, text = said(summary([*every(0, 10), *every(20, 30, took=0.9)]), SLOW)
    assert outcome is Outcome.REFUSED
    assert text == "p95 is 900 ms during the bake, and was 20 ms before it"


@pytest.mark.parametrize(
    ("before", "bake", "limits"),
    [
        (0.02, 0.4, SLOW),
        (0.2, 1.5, SLOW),
        (0.02, 3.0, LIMITS),
    ],
)
def test_what_is_hardly_slower_or_not_to_be_judged_is_not_refused(
    before: float, bake: float, limits: ProbeLimits
) -> None:
    found = summary([*every(0, 10, took=before), *every(20, 30, took=bake)])
    assert said(found, limits)[0] is Outcome.PASSED


def test_without_a_time_before_nothing_is_said_of_slowness() -> None:
    assert said(summary(every(20, 30, took=3.0)), SLOW)[0] is Outcome.PASSED
