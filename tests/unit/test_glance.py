"""What an environment is said to run, against what is on record of it."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.glance import Glance, Known, glance
from pipeline.model.digest import Digest
from pipeline.model.evidence import Collected, Evidence
from pipeline.model.verdict import Reason
from tests.fakes.clock import FakeClock
from tests.fakes.ecs import CONTAINER, FakeEcs, image
from tests.fakes.evidence import statement_of

OLD, NEW = image("old"), image("new")
SINCE = datetime(2026, 1, 1, 8, 30, tzinfo=UTC)


def record(digest: Digest, stage: str, **changes: object) -> Evidence:
    return Evidence(digest, "sha256:1", statement_of(stage, finished=SINCE, **changes))


QUARANTINED = Reason("is quarantined: leaks")


def barred(digest: Digest) -> tuple[Reason, ...]:
    return (QUARANTINED,) if digest == NEW.digest else ()


def look(fake: FakeEcs, newest: Evidence | None, *records: Evidence) -> Glance:
    return glance(
        fake,
        lambda _arn, _alternate: fake,
        CONTAINER,
        Known(lambda _digest: Collected(records), barred, lambda digest: digest, newest),
    )


def test_what_runs_and_is_recorded_has_commit_time_and_no_drift() -> None:
    fake = FakeEcs(FakeClock(), runs=OLD)
    build = record(OLD.digest, "build", facts={"commit": "c" * 40})
    seen = look(fake, record(OLD.digest, "prod"), build)
    assert (seen.digests, seen.recorded) == ([str(OLD.digest)], str(OLD.digest))
    assert (seen.commit, seen.since) == ("c" * 40, "2026-01-01T08:30:00+00:00")
    assert (seen.healthy, seen.desired, seen.in_progress, seen.drift) == (2, 2, "", "")


def test_what_runs_without_a_record_is_drift() -> None:
    seen = look(FakeEcs(FakeClock(), runs=OLD), None)
    assert seen.drift == f"runs {OLD.digest}, recorded nothing"
    assert (seen.commit, seen.since) == ("", "")


def test_what_is_recorded_and_does_not_run_is_drift() -> None:
    seen = look(FakeEcs(FakeClock()), record(NEW.digest, "prod"))
    assert seen.drift == f"runs nothing, recorded {NEW.digest}"


def test_an_environment_that_never_ran_anything_has_no_drift() -> None:
    seen = look(FakeEcs(FakeClock()), None)
    assert (seen.digests, seen.drift, seen.desired) == ([], "", 0)


def test_during_a_deployment_both_digests_and_the_deployment_are_named() -> None:
    clock = FakeClock()
    fake = FakeEcs(clock, runs=OLD)
    fake.behave(NEW, healthy_after=30.0)
    fake.someone_deploys(NEW)
    clock.advance(3)
    seen = look(fake, record(OLD.digest, "prod"))
    assert sorted(seen.digests) == sorted([str(OLD.digest), str(NEW.digest)])
    assert seen.in_progress
    assert seen.commit == ""
    assert "recorded" in seen.drift


def test_what_runs_and_would_not_be_let_in_again_is_told() -> None:
    assert look(FakeEcs(FakeClock(), runs=NEW), None).barred == [QUARANTINED]
    assert look(FakeEcs(FakeClock(), runs=OLD), None).barred == []
