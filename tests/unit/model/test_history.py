from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.model.deployment_log import Ending, LogEntry
from pipeline.model.digest import Digest
from pipeline.model.evidence import Evidence
from pipeline.model.history import HistoryLine, merge
from tests.fakes.evidence import KEY, statement_of

NOON = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
DIGEST = Digest("sha256:" + "a" * 64)
BEFORE = "sha256:" + "b" * 64


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def logged(run: str = "run-1", start: float = 0, ending: Ending = Ending.RUNNING, **changes: Any) -> LogEntry:
    end = None if ending is Ending.RUNNING else at(start + 12)
    return replace(LogEntry("prod", run, str(DIGEST), "anne", at(start), end, ending), **changes)


def deployment(**changes: Any) -> dict[str, Any]:
    plain = {
        "outcome": "succeeded",
        "started_at": at(1).isoformat(),
        "healthy_at": at(8).isoformat(),
        "drained_at": at(11).isoformat(),
        "previous_digests": [BEFORE],
    }
    return plain | changes


def recorded(run: str = "run-1", facts: dict[str, Any] | None = None, **changes: Any) -> Evidence:
    told = {"deployment": deployment()} if facts is None else facts
    plain = {"environment": "prod", "run": run, "started": NOON, "finished": at(60), "facts": told}
    return Evidence(DIGEST, "sha256:1", statement_of("prod", **(plain | changes)), KEY)


def only(*, entry: LogEntry | None = None, record: Evidence | None = None) -> HistoryLine:
    (line,) = merge([entry] if entry else [], [record] if record else [], {KEY: "own"}, 10)
    return line


def test_nothing_is_told_of_an_environment_that_was_never_deployed_to() -> None:
    assert not merge([], [], {}, 10)


def test_a_record_is_told_without_a_log_by_whose_key() -> None:
    line = only(record=recorded())
    assert (line.outcome, line.recorded, line.evidence, line.who) == (
        "succeeded",
        "PASSED",
        "sha256:1",
        "own",
    )
    assert (line.started, line.finished, line.seconds) == (at(1), at(11), 10.0)
    assert (line.digest, line.previous, line.sent, line.failed) == (str(DIGEST), BEFORE, None, None)


def test_what_log_and_record_tell_of_one_run_is_one_line_and_the_record_counts() -> None:
    entry = logged(ending=Ending.STUCK, sent=3, failed=1)
    line = only(entry=entry, record=recorded())
    assert (line.outcome, line.recorded, line.who) == ("succeeded", "PASSED", "anne")
    assert (line.sent, line.failed) == (3, 1)


def test_the_probe_in_the_record_counts_before_the_one_in_the_log() -> None:
    facts = {"deployment": deployment(probe={"sent": 74, "failed": 2})}
    line = only(entry=logged(ending=Ending.SUCCEEDED, sent=3, failed=1), record=recorded(facts=facts))
    assert (line.sent, line.failed) == (74, 2)


def test_a_run_without_a_record_is_told_by_the_log() -> None:
    line = only(entry=logged(ending=Ending.DETACHED, reason="no answer", previous=BEFORE, forced="hot fix"))
    assert (line.outcome, line.recorded, line.evidence) == ("detached", "", "")
    assert (line.reason, line.previous, line.forced, line.seconds) == ("no answer", BEFORE, "hot fix", 12.0)


def test_a_killed_run_has_no_end() -> None:
    line = only(entry=logged())
    assert (line.outcome, line.finished, line.seconds) == ("running", None, None)


def test_a_record_that_tells_nothing_of_the_rollout_is_completed_by_the_log() -> None:
    record = recorded(facts={}, result="UNDECIDED")
    assert only(entry=logged(ending=Ending.DETACHED), record=record).outcome == "detached"
    assert only(entry=logged(ending=Ending.DETACHED), record=record).finished == at(12)
    assert only(entry=logged(), record=record).outcome == "undecided"
    assert only(record=record).finished == at(60)


def test_a_rollout_that_went_back_ended_when_its_log_says() -> None:
    facts = {"deployment": deployment(outcome="rolled_back", healthy_at=None, drained_at=None)}
    line = only(entry=logged(ending=Ending.ROLLED_BACK), record=recorded(facts=facts, result="FAILED"))
    assert (line.outcome, line.recorded, line.finished) == ("rolled_back", "FAILED", at(12))


def test_whoever_went_past_the_gate_is_named_with_the_reason() -> None:
    facts = {"deployment": deployment(), "override": {"reason": "hot fix", "by": "bert"}}
    assert (only(record=recorded(facts=facts)).forced, only(record=recorded(facts=facts)).who) == (
        "hot fix",
        "bert",
    )


def test_facts_of_another_form_tell_nothing() -> None:
    line = only(record=recorded(facts={"deployment": "yes", "override": None}))
    assert (line.outcome, line.started) == ("passed", NOON)


def test_the_newest_comes_first_up_to_the_limit() -> None:
    entries = [logged(f"run-{number}", start=number * 100) for number in (2, 0, 3)]
    lines = merge(
        entries, [recorded("run-1", {"deployment": deployment(started_at=at(100).isoformat())})], {}, 3
    )
    assert [line.run for line in lines] == ["run-3", "run-2", "run-1"]


def test_what_was_left_is_told_as_such_by_whom_and_why() -> None:
    said = {"reason": "it charges twice", "by": "anne", "to": BEFORE}
    left = statement_of(
        "rollback", environment="prod", result="FAILED", started=NOON, finished=NOON, facts=said
    )
    line = only(record=Evidence(DIGEST, "sha256:1", left, KEY))
    assert (line.outcome, line.who, line.reason) == ("left", "anne", "it charges twice")
