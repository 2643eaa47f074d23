"""Two people, one production: who holds it, who waits, who is put out, and what is remembered of it."""

from __future__ import annotations

import itertools
import json
import os
import signal
from typing import Any

import pytest

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.lease import DynamoLease
from pipeline.adapters.table import Table
from pipeline.model.lease import Claim
from tests.bare_emulator import client
from tests.e2e.conftest import ANY_ORDER, Copy, Done, kill, wait_for

BEFORE = "prod        running python -m app.migrate"
_greetings = itertools.count()


@pytest.fixture
def differing(changed: Copy) -> Copy:
    """Production is to be told something new, so that promoting the same digest is a rollout."""
    greeting = f'[environments.prod]\nenvironment = {{ GREETING = "hello {next(_greetings)}" }}'
    changed.change("pipeline.toml", "[environments.prod]", greeting)
    return changed


def lease(project: Copy) -> Any:
    answer = project.pipeline("--json", "status").answer
    return next(each["lease"] for each in answer["environments"] if each["name"] == "prod")


def lease_of(project: Copy) -> DynamoLease:
    """The lease that the commands use, for the test itself to hold."""
    ports = json.loads((project.root / ".pipeline" / "local" / "ports.json").read_text())
    dynamodb = client("dynamodb", ports["aws"], "eu-central-1")
    return DynamoLease(Table(dynamodb, "onedigest-petclinic", "petclinic"), SystemClock())


def history(project: Copy, environment: str = "prod") -> Any:
    return project.pipeline("--json", "history", environment, "--limit", "1000").answer["deployments"]


def newest(project: Copy) -> Any:
    return history(project)[0]


def of(released: Done, lines: Any) -> Any:
    (found,) = [line for line in lines if line["run"] == released.answer["run_id"]]
    return found


def test_a_release_is_in_the_history_with_its_record_and_who_did_it(project: Copy, released: Done) -> None:
    staging, prod = (of(released, history(project, name)) for name in ("staging", "prod"))
    for line in (staging, prod):
        assert (line["outcome"], line["recorded"]) == ("succeeded", "PASSED")
        assert line["digest"] == released.answer["digest"]
        assert "this machine" in line["who"]
        assert line["seconds"] > 0
    assert prod["evidence"] == released.stages["prod"]["evidence"]
    assert lease(project) is None


def test_while_somebody_holds_production_others_are_refused_or_wait(differing: Copy, released: Done) -> None:
    digest = released.answer["digest"]
    with lease_of(differing).hold("prod", Claim("anne", "run-a", "looking at it", digest)):
        assert (lease(differing)["holder"], lease(differing)["digest"]) == ("anne", digest)
        assert "held by anne, run run-a, since " in differing.pipeline("status").said
        refused = differing.pipeline("promote", digest, "prod", *ANY_ORDER)
        assert refused.code == 8
        assert "prod is held by anne, run run-a, since " in refused.said
        assert "--wait" in refused.said
        waiting = differing.start("promote", "--wait", "300", digest, "prod", *ANY_ORDER)
        wait_for("prod is held by anne", waiting)
    _, said = waiting.communicate(timeout=300)
    assert waiting.returncode == 0, said
    assert lease(differing) is None


def test_whoever_is_unlocked_changes_nothing_more_and_is_told_why(differing: Copy, released: Done) -> None:
    digest = released.answer["digest"]
    served = differing.serves("prod")
    first = differing.start("promote", digest, "prod", *ANY_ORDER)
    wait_for(BEFORE, first)
    first.send_signal(signal.SIGSTOP)
    assert newest(differing)["under_way"]
    unlocked = differing.pipeline("--json", "unlock", "prod", "--reason", "the wrong button")
    first.send_signal(signal.SIGCONT)
    _, said = first.communicate(timeout=300)
    assert first.returncode == 8, said
    assert "cleared it: the wrong button" in said
    assert unlocked.answer["cleared"]["digest"] == digest
    assert differing.serves("prod") == served
    cleared, gave_way, *_ = history(differing)
    assert (cleared["outcome"], cleared["run"] != gave_way["run"]) == ("cleared", True)
    assert cleared["reason"].startswith("the wrong button (was held by ")
    assert (gave_way["outcome"], gave_way["recorded"]) == ("gave_way", "")
    again = differing.pipeline("unlock", "prod", "--reason", "once more")
    assert (again.code, again.out.strip()) == (0, "nobody holds prod")


def test_a_killed_rollout_has_no_end_and_holds_nobody_up(differing: Copy, released: Done) -> None:
    digest = released.answer["digest"]
    first = differing.start("promote", digest, "prod", *ANY_ORDER)
    wait_for("prod        waiting for", first)
    kill(first)
    line = newest(differing)
    assert (line["outcome"], line["finished"], line["under_way"]) == ("running", None, False)
    assert "no end recorded" in differing.pipeline("history", "prod").said
    assert lease(differing) is None
    assert differing.pipeline("promote", digest, "prod", *ANY_ORDER).code == 0
    assert newest(differing)["outcome"] == "succeeded"


def test_an_emulator_that_was_killed_has_its_table_again_and_the_history_its_evidence(
    project: Copy, released: Done
) -> None:
    emulator = int((project.root / ".pipeline" / "local" / "emulator.pid").read_text())
    os.kill(emulator, signal.SIGKILL)
    assert project.pipeline("local", "up").code == 0
    assert lease(project) is None
    line = of(released, history(project))
    assert (line["outcome"], line["recorded"], line["who"]) == ("succeeded", "PASSED", "this machine")


def test_unlocking_needs_a_reason(project: Copy, released: Done) -> None:
    done = project.pipeline("unlock", "prod")
    assert done.code == 2
    assert "--reason" in done.said
