from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.model.lease import Claim, Tenure, Terms, may_be_taken, stood_still

START = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
TERMS = Terms(length=45.0, margin=15.0)
TENURE = Tenure("prod", Claim("anne", "run-1", "rollout of aaa"), 7, START, START + timedelta(seconds=45))


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize(("seconds", "taken"), [(0, False), (45, False), (60, False), (60.1, True)])
def test_a_lease_that_was_not_renewed_may_be_taken_after_its_margin(seconds: float, *, taken: bool) -> None:
    assert may_be_taken(TENURE, at(seconds), TERMS, holder_is_gone=False) is taken


def test_a_holder_that_is_gone_is_not_waited_for() -> None:
    assert may_be_taken(TENURE, START, TERMS, holder_is_gone=True)


@pytest.mark.parametrize(
    ("wall", "monotonic", "gap"),
    [(45, 45, None), (10, 46, 46), (3600, 5, 3600), (-3600, 5, None)],
    ids=["tried in time", "stopped", "the machine slept", "the clock was put back"],
)
def test_whoever_did_not_try_for_as_long_as_a_lease_lasts_stood_still(
    wall: float, monotonic: float, gap: float | None
) -> None:
    assert stood_still((START, 100.0), (at(wall), 100.0 + monotonic), TERMS) == gap


def test_a_lease_outlives_a_lost_heartbeat_by_its_own_figures() -> None:
    assert Terms().heartbeat * 3 < Terms().length
    assert Terms().length + Terms().margin <= 60


def test_a_holder_is_told_with_run_time_and_reason() -> None:
    assert TENURE.holder == "anne, run run-1, since 2026-01-01 12:00:00 UTC (rollout of aaa)"
