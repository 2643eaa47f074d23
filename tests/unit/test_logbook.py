"""What the deployment log says of a rollout, however it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from pipeline.errors import (
    BusyError,
    ConfigurationError,
    DetachedError,
    DetachedInterrupt,
    StuckError,
    UnavailableError,
)
from pipeline.logbook import Ended, HalfwayInterrupt, Logbook
from pipeline.model.deployment_log import Ending, LogEntry
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.lease import Claim
from pipeline.model.service import Previous
from pipeline.model.verdict import Reason
from pipeline.ports import Progress
from pipeline.rollout import DeploySpec, RolloutOutcome, RolloutResult
from tests.fakes.clock import FakeClock
from tests.fakes.lease import FakeLease, MemoryDeploymentLog
from tests.fakes.load import RecordedProgress

IMAGE = ImageRef("localhost:5000/shop", Digest("sha256:" + "a" * 64))
OLD = Digest("sha256:" + "b" * 64)
RESULT = RolloutResult(
    RolloutOutcome.SUCCEEDED,
    (Reason("runs aaa"),),
    "arn:aws:ecs:r:1:service/c/s",
    previous=Previous("td:1", digests=frozenset({OLD})),
)


@dataclass
class FakeRollout:
    """Takes twelve seconds and ends as told."""

    clock: FakeClock
    log: MemoryDeploymentLog
    end: RolloutResult | BaseException = RESULT
    meanwhile: list[LogEntry] = field(default_factory=list)

    def deploy(self, image: ImageRef, spec: DeploySpec, progress: Progress) -> RolloutResult:
        self.meanwhile = self.log.entries("prod", 10)
        self.clock.advance(12)
        if isinstance(self.end, BaseException):
            raise self.end
        return self.end


class Desk:
    """A log, a rollout, and what was said."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.log = MemoryDeploymentLog()
        self.rollout = FakeRollout(self.clock, self.log)
        self.progress = RecordedProgress()
        self.book = Logbook(self.log, self.clock, "prod", "run-1", "anne", "hot fix")

    def deploy(self) -> RolloutResult:
        return self.book.deploy(self.rollout, IMAGE, DeploySpec("app"), self.progress)  # type: ignore[arg-type]

    def only(self) -> LogEntry:
        (entry,) = self.log.entries("prod", 10)
        return entry


def test_a_rollout_is_in_the_log_before_anything_is_done() -> None:
    desk = Desk()
    desk.deploy()
    (begun,) = desk.rollout.meanwhile
    assert (begun.run, begun.digest, begun.who, begun.forced) == (
        "run-1",
        str(IMAGE.digest),
        "anne",
        "hot fix",
    )
    assert (begun.ending, begun.finished) == (Ending.RUNNING, None)


def test_its_end_tells_how_long_it_took_why_it_ended_and_what_ran_before() -> None:
    desk = Desk()
    assert desk.deploy() is RESULT
    entry = desk.only()
    assert entry.finished is not None
    assert (entry.finished - entry.started).total_seconds() == 12
    assert (entry.ending, entry.reason, entry.previous) == (Ending.SUCCEEDED, "runs aaa", str(OLD))
    assert (entry.sent, entry.failed) == (None, None)


class Probed(RolloutResult):
    """A result with figures of the traffic probe."""

    @property
    def facts(self) -> Mapping[str, Any]:
        return {**RESULT.facts, "probe": {"sent": 74, "failed": 2, "longest_gap_s": 0.2}}


def test_requests_that_were_sent_and_failed_meanwhile_are_counted() -> None:
    desk = Desk()
    desk.rollout.end = Probed(RolloutOutcome.SUCCEEDED, (), RESULT.service_arn)
    desk.deploy()
    assert (desk.only().sent, desk.only().failed) == (74, 2)


@pytest.mark.parametrize("outcome", list(RolloutOutcome))
def test_every_outcome_of_a_rollout_is_an_ending(outcome: RolloutOutcome) -> None:
    desk = Desk()
    desk.rollout.end = replace(RESULT, outcome=outcome, reasons=(), previous=None)
    desk.deploy()
    entry = desk.only()
    assert (entry.ending.value, entry.reason, entry.previous) == (outcome.value, "", "")


@pytest.mark.parametrize(
    ("error", "ending", "reason"),
    [
        (StuckError("going back failed", hint="look"), Ending.STUCK, "going back failed"),
        (BusyError("now with bert", hint="wait"), Ending.GAVE_WAY, "now with bert"),
        (DetachedError("no answer – detached", hint="again"), Ending.DETACHED, "no answer – detached"),
        (UnavailableError("no answer", hint="again"), Ending.NOT_DONE, "no answer"),
        (ConfigurationError("no such service", hint="mend"), Ending.NOT_DONE, "no such service"),
        (DetachedInterrupt(), Ending.DETACHED, "interrupted"),
        (KeyboardInterrupt(), Ending.NOT_DONE, "interrupted"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_an_ending_too_and_goes_on(error: BaseException, ending: Ending, reason: str) -> None:
    desk = Desk()
    desk.rollout.end = error
    with pytest.raises(type(error)):
        desk.deploy()
    assert (desk.only().ending, desk.only().reason) == (ending, reason)
    assert desk.only().finished is not None


def test_an_interrupt_between_two_waves_is_in_the_log_with_what_runs_where() -> None:
    desk = Desk()
    told = Reason("interrupted: eu runs it; us runs what it ran")
    desk.rollout.end = HalfwayInterrupt(Ended("stopped", (told,), {"previous_digests": ["sha256:old"]}))
    with pytest.raises(HalfwayInterrupt):
        desk.deploy()
    entry = desk.only()
    assert (entry.ending, entry.reason, entry.previous) == (Ending.STOPPED, told.text, "sha256:old")


def test_a_log_that_cannot_be_written_is_said_and_stops_nothing() -> None:
    desk = Desk()
    desk.log.trouble = UnavailableError("PutItem: no answer", hint="wait")
    assert desk.deploy() is RESULT
    assert desk.progress.notes == [
        "the deployment log cannot be written: PutItem: no answer",
        "the end is not in the deployment log: PutItem: no answer",
    ]


def test_a_reason_without_end_is_cut() -> None:
    desk = Desk()
    desk.rollout.end = replace(RESULT, reasons=(Reason("long " * 10_000),))
    desk.deploy()
    assert len(desk.only().reason) <= 1000


def test_a_lease_that_was_taken_away_is_in_the_log_with_who_had_it() -> None:
    desk = Desk()
    claim = Claim("bert", "run-0", "rollout of bbb", str(OLD))
    with FakeLease(desk.clock).hold("prod", claim) as held:
        desk.book.cleared(held.seat.tenure, "his laptop is gone")
    entry = desk.only()
    assert (entry.ending, entry.digest, entry.who, entry.run) == (Ending.CLEARED, str(OLD), "anne", "run-1")
    assert entry.finished == entry.started
    assert entry.reason.startswith("his laptop is gone (was held by bert, run run-0, since ")
