"""What is asked beside ECS while a rollout goes on: requests through the load balancer, smoke checks, alarms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from pipeline.errors import UnavailableError, UndecidedError
from pipeline.model.digest import ImageRef
from pipeline.model.probe import ProbeLimits
from pipeline.model.rollout import RolloutPolicy
from pipeline.ports import HttpAnswer
from pipeline.rollout import Check, DeploySpec, Rollout, RolloutOutcome, RolloutResult
from tests.fakes.clock import FakeClock
from tests.fakes.ecs import CONTAINER, FakeEcs, image
from tests.fakes.traffic import FakeAlarms, FakeTraffic

OLD, NEW = image("old"), image("new")
CHECKS = (Check("/version", expect_digest=True),)
SPEC = DeploySpec(CONTAINER, desired=2, base_url="http://balancer.test", checks=CHECKS)
ALARM = "errors-too-high"


class Said:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def step(self, text: str) -> None: ...

    def share(self, done: float, text: str) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)


class Scene:
    """A service with traffic on it, alarms, and rollouts."""

    def __init__(self, *, runs: ImageRef | None = OLD, stay_up: float = 10.0) -> None:
        self.clock = FakeClock()
        self.ecs = FakeEcs(self.clock, runs=runs)
        self.traffic = FakeTraffic(self.clock, self.ecs)
        self.alarms = FakeAlarms({ALARM: "OK"})
        self.said = Said()
        self.policy = RolloutPolicy(stay_up=stay_up)

    def deploy(self, which: ImageRef = NEW, **spec: Any) -> RolloutResult:
        rollout = Rollout(
            self.ecs, self.ecs, self.ecs, self.clock, self.policy, traffic=self.traffic, alarms=self.alarms
        )
        return rollout.deploy(which, replace(SPEC, **spec), self.said)

    def when_it_serves(self, seconds: float, happens: Callable[[], object]) -> None:
        """`seconds` after a task of the new image gets healthy (they take 3)."""
        self.ecs.after(3.0 + seconds, happens)

    def answers(self, status: int) -> None:
        """From now on every task of the new image answers so; its version and health stay good."""
        get = self.ecs.get

        def changed(url: str, *, timeout: float) -> HttpAnswer:
            answer = get(url, timeout=timeout)
            return answer if url.endswith("/version") else replace(answer, status=status)

        self.ecs.get = changed  # type: ignore[method-assign]

    def mends(self) -> None:
        del self.ecs.get


def probe_of(result: RolloutResult) -> dict[str, Any]:
    assert result.probe is not None
    return dict(result.probe)


def test_a_rollout_is_probed_from_before_the_update_until_the_old_tasks_are_gone() -> None:
    scene = Scene()
    result = scene.deploy()
    probe = probe_of(result)
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert probe["failed"] == 0
    assert set(probe["phases"]) == {"before", "bake", "drain"}, "both tasks get healthy at the same moment"
    assert probe["phases"]["before"]["sent"] > 0
    assert probe["phases"]["bake"]["sent"] >= 45
    assert sum(phase["sent"] for phase in probe["phases"].values()) == probe["sent"]
    assert probe["verdict"]["outcome"] == "passed"
    assert result.started_at is not None
    assert datetime.fromisoformat(probe["longest_gap_at"]) >= result.started_at
    assert result.facts["probe"] == probe
    assert scene.said.notes[-1] == f"probe: {probe['sent']} requests, 0 failed, longest gap 0.2 s"
    assert scene.traffic.running[0].stopped


def test_old_and_new_tasks_side_by_side_are_a_phase_of_their_own() -> None:
    scene = Scene()
    behaviours = iter([2.0, 6.0])
    start = scene.ecs._start

    def one_after_the_other(deployment: Any) -> None:
        scene.ecs.behave(NEW, healthy_after=next(behaviours, 2.0))
        start(deployment)

    scene.ecs._start = one_after_the_other  # type: ignore[method-assign]
    phases = probe_of(scene.deploy())["phases"]
    assert phases["switch"]["sent"] >= 15
    assert phases["before"]["sent"] >= 10


def test_a_release_that_begins_to_fail_during_the_bake_is_rolled_back_with_numbers() -> None:
    scene = Scene(stay_up=30.0)
    scene.when_it_serves(8.0, lambda: scene.answers(500))
    result = scene.deploy(checks=())
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert "requests failed during the bake; before it 0 of" in result.reasons[0].text
    assert "500 on /" in result.reasons[0].text
    assert scene.ecs.running() == {str(OLD)}
    assert len(scene.ecs.updates) == 2
    assert probe_of(result)["verdict"]["outcome"] == "refused"
    assert "back" in probe_of(result)["phases"]


def test_a_release_that_begins_to_fail_while_the_old_tasks_drain_is_rolled_back() -> None:
    scene = Scene(stay_up=1.0)
    scene.ecs.drain_seconds = 60.0
    scene.when_it_serves(10.0, lambda: scene.answers(500))
    result = scene.deploy(checks=())
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert result.healthy_at is not None
    assert "since the bake began" in result.reasons[0].text


def test_failed_requests_are_recorded_where_no_limit_is_set() -> None:
    scene = Scene()
    scene.when_it_serves(2.0, lambda: scene.answers(502))
    scene.when_it_serves(2.3, scene.mends)
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert 1 <= probe_of(result)["failed"] <= 2
    assert any("failed (502 on /" in note for note in scene.said.notes)


def test_more_failed_requests_than_allowed_roll_back_before_the_new_tasks_are_all_healthy() -> None:
    scene = Scene()
    behaviours = iter([2.0, 20.0])
    start = scene.ecs._start

    def one_after_the_other(deployment: Any) -> None:
        scene.ecs.behave(NEW, healthy_after=next(behaviours, 2.0))
        start(deployment)

    scene.ecs._start = one_after_the_other  # type: ignore[method-assign]
    scene.when_it_serves(3.0, lambda: scene.answers(500))
    scene.when_it_serves(4.0, scene.mends)
    result = scene.deploy(probe_limits=ProbeLimits(max_failed=0))
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert "requests failed during the rollout, 0 may" in result.reasons[0].text
    assert result.healthy_at is None


def test_an_outage_before_the_rollout_is_not_held_against_the_release_that_ends_it() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, healthy_after=8.0)
    scene.answers(500)
    scene.ecs.after(9.0, scene.mends)
    result = scene.deploy(probe_limits=ProbeLimits(max_failed=0))
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert probe_of(result)["phases"]["before"]["failed"] > 0


def test_a_first_rollout_counts_from_when_its_tasks_are_healthy() -> None:
    scene = Scene(runs=None)
    scene.ecs.behave(NEW, healthy_after=20.0)
    probe = probe_of(scene.deploy())
    assert probe["failed"] == 0
    assert set(probe["phases"]) == {"bake", "drain"}
    assert probe["longest_gap_s"] < 1


def test_a_first_rollout_that_fails_is_probed_no_longer_when_it_is_scaled_to_zero() -> None:
    scene = Scene(runs=None, stay_up=30.0)
    scene.when_it_serves(8.0, lambda: scene.answers(500))
    result = scene.deploy(checks=())
    assert result.outcome is RolloutOutcome.FAILED_FIRST
    assert {kind.split()[0] for kind in probe_of(result)["failures"]} == {"500"}


def test_without_a_target_group_the_new_tasks_may_serve_from_when_they_run() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, healthy_after=9.0)
    rollout = Rollout(scene.ecs, None, scene.ecs, scene.clock, scene.policy, traffic=scene.traffic)
    phases = probe_of(rollout.deploy(NEW, SPEC, scene.said))["phases"]
    assert phases["before"]["sent"] < 10
    assert phases["switch"]["sent"] > 30


def test_what_already_runs_is_not_probed() -> None:
    scene = Scene()
    scene.deploy()
    again = scene.deploy()
    assert again.already
    assert again.probe is None
    assert again.facts["probe"] is None
    assert scene.traffic.started == 1


def test_a_rollout_that_is_under_way_is_probed_from_then_on() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, healthy_after=25.0)
    scene.ecs.after(6.0, _interrupt)
    with pytest.raises(KeyboardInterrupt):
        scene.deploy()
    assert [probe.stopped for probe in scene.traffic.running] == [True]
    result = scene.deploy()
    assert result.reattached
    assert probe_of(result)["phases"]["before"]["sent"] > 0
    assert scene.traffic.started == 2


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_a_rollout_that_is_never_begun_stops_its_probe() -> None:
    scene = Scene()
    scene.ecs.refuses_updates = "AccessDenied"
    with pytest.raises(Exception, match="AccessDenied"):
        scene.deploy()
    assert [probe.stopped for probe in scene.traffic.running] == [True]


def test_without_an_address_nothing_is_sent() -> None:
    scene = Scene()
    assert scene.deploy(base_url="", checks=()).probe is None
    assert scene.traffic.started == 0


def test_smoke_checks_that_fail_late_in_the_bake_are_noticed() -> None:
    scene = Scene(stay_up=10.0)
    scene.policy = replace(scene.policy, verify=5.0)
    scene.when_it_serves(7.0, lambda: scene.answers(404))
    result = scene.deploy(checks=(Check("/readyz"),))
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert "answered 404, not 200" in result.reasons[0].text
    assert probe_of(result)["failed"] == 0
    assert probe_of(result)["client_errors"] > 0


def test_smoke_checks_that_held_during_the_bake_cost_no_time_after_it() -> None:
    scene = Scene()
    asked: list[float] = []
    get = scene.ecs.get

    def noted(url: str, *, timeout: float) -> HttpAnswer:
        if url.endswith("/version"):
            asked.append(scene.clock.monotonic())
        return get(url, timeout=timeout)

    scene.ecs.get = noted  # type: ignore[method-assign]
    result = scene.deploy()
    assert result.healthy_at == result.drained_at
    assert asked[-1] - asked[0] == pytest.approx(10.0)
    assert len(asked) >= 10


def test_smoke_checks_that_hold_again_in_time_are_no_failure() -> None:
    scene = Scene(stay_up=20.0)
    scene.policy = replace(scene.policy, verify=6.0)
    for begin in (3.0, 11.0):
        scene.when_it_serves(begin, lambda: scene.answers(404))
        scene.when_it_serves(begin + 2.0, scene.mends)
    assert scene.deploy(checks=(Check("/readyz"),)).outcome is RolloutOutcome.SUCCEEDED


def test_a_release_that_fails_while_smoke_checks_are_still_asked_is_rolled_back() -> None:
    scene = Scene(stay_up=0.0)
    scene.when_it_serves(0.0, lambda: scene.answers(500))
    result = scene.deploy(checks=(Check("/readyz"),))
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert "requests failed during the bake" in result.reasons[0].text


def test_an_alarm_that_fires_during_the_bake_takes_the_rollout_back() -> None:
    scene = Scene(stay_up=60.0)
    scene.when_it_serves(20.0, lambda: scene.alarms.states.update({ALARM: "ALARM"}))
    result = scene.deploy(alarms=(ALARM,))
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert result.reasons[0].text == f"firing during the bake: {ALARM}"


def test_an_alarm_is_asked_at_the_end_of_the_bake_however_short() -> None:
    scene = Scene(stay_up=0.0)
    scene.when_it_serves(0.0, lambda: scene.alarms.states.update({ALARM: "ALARM"}))
    assert scene.deploy(alarms=(ALARM,)).outcome is RolloutOutcome.ROLLED_BACK


def test_alarms_are_not_asked_at_every_look() -> None:
    scene = Scene(stay_up=60.0)
    assert scene.deploy(alarms=(ALARM,)).outcome is RolloutOutcome.SUCCEEDED
    assert scene.alarms.asked <= 2 + 60 / 5


def test_an_alarm_that_is_not_there_decides_nothing_and_nothing_is_changed() -> None:
    scene = Scene()
    with pytest.raises(UndecidedError, match="no alarm gone"):
        scene.deploy(alarms=("gone",))
    assert scene.ecs.updates == []
    assert "register" not in scene.ecs.calls[2:]


def test_alarms_that_cannot_be_asked_are_waited_for_and_then_decide_nothing() -> None:
    scene = Scene(stay_up=10.0)

    def silent(names: object) -> Any:
        raise UnavailableError("Rate exceeded", hint="wait")

    scene.when_it_serves(1.0, lambda: setattr(scene.alarms, "firing", silent))
    with pytest.raises(UnavailableError, match="detached, still running"):
        scene.deploy(alarms=(ALARM,))
    assert scene.ecs.running() == {str(NEW)}


def test_an_alarm_that_is_deleted_during_the_bake_takes_the_rollout_back() -> None:
    scene = Scene(stay_up=60.0)
    scene.when_it_serves(20.0, scene.alarms.states.clear)
    result = scene.deploy(alarms=(ALARM,))
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert f"no alarm {ALARM}" in result.reasons[0].text
    assert scene.ecs.running() == {str(OLD)}
