"""Rolling out with ECS's own strategies: one call, followed by the service deployment's states, and told right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.errors import ConfigurationError, DetachedInterrupt, StuckError, UnavailableError
from pipeline.model.digest import ImageRef
from pipeline.model.rollout import RolloutPolicy
from pipeline.model.service import Previous
from pipeline.model.strategy import Kind, Strategy
from pipeline.rollout import Check, DeploySpec, Rollout, RolloutOutcome, RolloutResult
from tests.fakes.clock import FakeClock
from tests.fakes.ecs import CONTAINER, FakeEcs, image
from tests.fakes.ecs_deployments import ADVANCED, CONFIGURATION

OLD, NEW, OTHER = image("old"), image("new"), image("other")
SPEC = DeploySpec(
    CONTAINER,
    desired=2,
    base_url="http://balancer.test",
    checks=(Check("/readyz"), Check("/version", expect_digest=True)),
)
CANARY = Strategy(Kind.CANARY, 10.0, 600.0, 300.0)
STRATEGIES = {
    "blue_green": Strategy(Kind.BLUE_GREEN, shift_bake=300.0),
    "linear": Strategy(Kind.LINEAR, 25.0, 120.0, 60.0),
    "canary": CANARY,
}
EXITS: dict[str, Any] = {"exits_after": 0.1, "healthy_after": None}


class Said:
    def __init__(self) -> None:
        self.steps: list[str] = []
        self.notes: list[str] = []

    def step(self, text: str) -> None:
        self.steps.append(text)

    def share(self, done: float, text: str) -> None:
        self.steps.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)


class Scene:
    """A service behind two target groups, and a rollout on it."""

    def __init__(self, strategy: Strategy = CANARY, *, runs: ImageRef | None = OLD, **policy: Any) -> None:
        self.clock = FakeClock()
        self.ecs = FakeEcs(self.clock, runs=runs, desired=2)
        self.ecs.advanced = ADVANCED
        self.said = Said()
        self.policy = replace(RolloutPolicy(strategy=strategy, deadline=120.0), **policy)
        self.began = self.clock.monotonic()

    def deploy(self, which: ImageRef = NEW, spec: DeploySpec = SPEC) -> RolloutResult:
        rollout = Rollout(self.ecs, self.ecs, self.ecs, self.clock, self.policy)
        self.began = self.clock.monotonic()
        return rollout.deploy(which, spec, self.said)

    @property
    def took(self) -> float:
        return self.clock.monotonic() - self.began

    @property
    def statuses(self) -> list[str]:
        """Of every service deployment after the service's birth."""
        return [record.state.status for record in self.ecs.told.records[1:]]


def rolling(**policy: Any) -> Scene:
    scene = Scene(Strategy(), **policy)
    scene.ecs.advanced = {}
    return scene


def test_a_rolling_deployment_is_followed_to_its_own_success_and_named_in_the_record() -> None:
    scene = rolling()
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert scene.statuses == ["SUCCESSFUL"]
    assert result.facts["service_deployment"] == scene.ecs.told.records[-1].state.arn


def test_the_one_call_carries_a_breaker_that_counts_and_keeps_what_is_live() -> None:
    scene = rolling()
    scene.ecs.configuration = {**CONFIGURATION, "maximumPercent": 150, "lifecycleHooks": [{"roleArn": "r"}]}
    scene.deploy()
    (sent,) = scene.ecs.configurations
    assert sent is not None
    assert (sent["maximumPercent"], sent["lifecycleHooks"]) == (150, [{"roleArn": "r"}])
    assert sent["deploymentCircuitBreaker"] == {
        "enable": True,
        "rollback": True,
        "resetOnHealthyTask": False,
        "thresholdConfiguration": {"type": "COUNT", "value": 3},
    }
    assert len(scene.ecs.updates) == 1


def test_what_the_service_has_already_is_not_sent_again() -> None:
    scene = rolling()
    scene.deploy()
    scene.deploy(OTHER)
    assert scene.ecs.configurations[1] is None


@pytest.mark.parametrize("name", STRATEGIES)
def test_traffic_shifts_and_only_the_end_of_it_is_a_success(name: str) -> None:
    scene = Scene(STRATEGIES[name])
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert scene.ecs.running() == {str(NEW)}
    assert scene.statuses == ["SUCCESSFUL"]
    assert scene.took > 300 if name != "linear" else scene.took > 3 * 120
    assert len(scene.ecs.updates) == 1
    (sent,) = scene.ecs.configurations
    assert sent is not None
    assert sent["strategy"] == name.upper()


def test_old_targets_stay_healthy_while_traffic_shifts_and_do_not_stand_in_the_way() -> None:
    scene = Scene(STRATEGIES["blue_green"])
    seen: list[int] = []
    scene.ecs.after(
        60.0, lambda: seen.append(len({t.group for t in scene.ecs.states() if t.state == "healthy"}))
    )
    assert scene.deploy().outcome is RolloutOutcome.SUCCEEDED
    assert seen == [2]


def test_what_is_waited_for_is_said_with_traffic_stage_and_time_left() -> None:
    scene = Scene()
    scene.deploy()
    said = "\n".join(scene.said.steps)
    assert "waiting for canary: 10 % of traffic on the new revision, baking, 10 min left" in said
    assert "waiting for canary: 10 % of traffic on the new revision, baking, 3 min left" in said
    assert "waiting for canary: 100 % of traffic on the new revision, baking, 5 min left" in said
    assert "waiting for canary: 100 % of traffic on the new revision, stopping the old tasks" in said


def test_the_deadline_has_room_for_ecs_own_steps_and_no_more() -> None:
    scene = Scene(deadline=60.0)
    assert scene.deploy().outcome is RolloutOutcome.SUCCEEDED
    stuck = Scene(deadline=60.0)
    stuck.ecs.grace = 10_000.0
    stuck.ecs.behave(NEW, healthy_after=None)
    assert stuck.deploy().outcome is RolloutOutcome.ROLLED_BACK
    assert 900 + 60 <= stuck.took < 900 + 60 + 60


def test_the_second_rollout_goes_to_the_other_target_group_and_sends_no_configuration() -> None:
    scene = Scene()
    scene.deploy()
    assert scene.deploy(OTHER).outcome is RolloutOutcome.SUCCEEDED
    assert scene.ecs.configurations[1] is None
    assert {t.group for t in scene.ecs.states()} == {scene.ecs.group}


def test_a_strategy_that_nobody_declares_is_the_services_own() -> None:
    scene = Scene(Strategy())
    scene.ecs.configuration = {**CONFIGURATION, "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 4}
    assert scene.deploy().outcome is RolloutOutcome.SUCCEEDED
    assert scene.took > 240


@pytest.mark.parametrize("missing", [*ADVANCED, "everything"])
def test_a_service_that_cannot_shift_traffic_is_a_mistake_told_before_anything_changes(missing: str) -> None:
    scene = Scene()
    scene.ecs.advanced = {} if missing == "everything" else {**ADVANCED, missing: ""}
    before = len(scene.ecs._definitions)
    with pytest.raises(ConfigurationError, match="cannot shift traffic") as caught:
        scene.deploy()
    assert (missing in caught.value.message) is (missing != "everything")
    assert "AdvancedConfiguration" in caught.value.hint
    assert (scene.ecs.updates, len(scene.ecs._definitions)) == ([], before)


@pytest.mark.parametrize("tells", [False, None])
def test_where_the_api_tells_no_service_deployments_it_rolls_and_that_is_said(tells: bool | None) -> None:
    scene = Scene()
    scene.ecs.told.tells, scene.ecs.advanced = tells, {}
    assert scene.deploy().outcome is RolloutOutcome.SUCCEEDED
    assert any("strategy canary: the API tells no service deployments" in note for note in scene.said.notes)
    assert scene.took < 60


@pytest.mark.parametrize("tells", [False, None])
@pytest.mark.parametrize("breaker", [False, True])
def test_where_the_api_tells_none_the_list_of_deployments_decides(tells: bool | None, breaker: bool) -> None:
    scene = rolling()
    scene.ecs.told.tells, scene.ecs.breaker = tells, breaker
    scene.ecs.behave(NEW, **EXITS)
    assert scene.deploy().outcome is RolloutOutcome.ROLLED_BACK
    assert scene.ecs.running() == {str(OLD)}
    assert any("allow ecs:ListServiceDeployments" in note for note in scene.said.notes) is (tells is None)


def test_a_service_deployment_that_is_listed_late_is_waited_for() -> None:
    scene = Scene()
    scene.ecs.told.lag = 40.0
    assert scene.deploy().outcome is RolloutOutcome.SUCCEEDED
    assert scene.statuses == ["SUCCESSFUL"]
    assert any("service deployment of demo:2 to be listed" in step for step in scene.said.steps)


def test_one_that_is_never_listed_leaves_the_word_to_a_completed_deployment() -> None:
    scene = rolling()
    scene.ecs.told.lag = 50.0
    scene.policy = replace(scene.policy, appear=30.0)
    scene.ecs.after(1.0, lambda: setattr(scene.ecs.told, "lag", 100_000.0))
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert result.service_deployment == ""
    assert scene.took > 30


def test_where_traffic_shifts_one_that_is_never_listed_is_no_success() -> None:
    scene = Scene(appear=30.0)
    scene.ecs.told.lag = 50.0
    scene.ecs.after(1.0, lambda: setattr(scene.ecs.told, "lag", 100_000.0))
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert "to be listed" in result.reasons[0].text


def test_a_pending_deployment_is_waited_for_and_not_sent_twice() -> None:
    scene = rolling(appear=10.0)
    scene.ecs.pending_for = 45.0
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert len(scene.ecs.updates) == 1
    assert result.deployment == scene.ecs._deployments[0].state.id
    assert any("(PENDING)" in step for step in scene.said.steps)


def test_a_client_that_died_while_its_deployment_was_pending_finds_it_again() -> None:
    scene = rolling()
    scene.ecs.pending_for = 45.0
    scene.ecs.after(12.0, _interrupt)
    with pytest.raises(KeyboardInterrupt):
        scene.deploy()
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert result.reattached
    assert len(scene.ecs.updates) == 1


@pytest.mark.parametrize("seconds", [2.0, 30.0, 400.0, 700.0, 910.0, 925.0])
def test_killed_at_any_stage_and_run_again_it_is_one_deployment(seconds: float) -> None:
    scene = Scene()
    scene.ecs.after(seconds, _interrupt)
    with pytest.raises(KeyboardInterrupt):
        scene.deploy()
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert scene.statuses == ["SUCCESSFUL"]
    assert len(scene.ecs.updates) == 1


def test_what_runs_already_after_a_shift_is_left_alone() -> None:
    scene = Scene()
    scene.deploy()
    again = scene.deploy()
    assert again.already
    assert scene.took < 5
    assert again.service_deployment == scene.ecs.told.records[-1].state.arn


def test_what_ran_before_a_deployment_that_was_rolled_back_is_not_superseded_by_it() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, **EXITS)
    scene.deploy()
    again = scene.deploy(OLD)
    assert (again.outcome, again.already) == (RolloutOutcome.SUCCEEDED, True)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_bad_image_goes_back_through_ecs_without_another_deployment(name: str) -> None:
    scene = Scene(STRATEGIES[name])
    scene.ecs.behave(NEW, **EXITS)
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert scene.ecs.running() == {str(OLD)}
    assert scene.statuses == ["ROLLBACK_SUCCESSFUL"]
    assert len(scene.ecs.updates) == 1
    assert scene.ecs.calls.count("roll_back") == 1
    assert scene.took < 60
    assert "rule: exited" in result.diagnosis


@pytest.mark.parametrize("slowest", [1.0, 15.0], ids=["seen while it goes back", "seen when it has"])
def test_an_alarm_during_the_bake_is_ecs_going_back_with_its_reason(slowest: float) -> None:
    scene = Scene(slowest=slowest)
    scene.ecs.after(300.0, lambda: scene.ecs.alarm("prod-5xx"))
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert "alarms fired: prod-5xx" in result.reasons[0].text
    assert "ECS went back to demo:1" in result.reasons[0].text
    assert scene.ecs.running() == {str(OLD)}
    assert "roll_back" not in scene.ecs.calls
    assert scene.took < 400


def test_the_circuit_breaker_of_a_rolling_deployment_is_followed_with_its_count() -> None:
    scene = rolling()
    scene.ecs.retries_after = 0.0
    scene.ecs.behave(NEW, **EXITS, starts_after=0.0)
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert "circuit breaker: 3 failed tasks of 3 tolerated" in result.reasons[0].text
    assert scene.statuses == ["ROLLBACK_SUCCESSFUL"]
    assert len(scene.ecs.updates) == 1


def test_a_rollback_that_ecs_cannot_finish_needs_a_person() -> None:
    scene = rolling()
    scene.ecs.rollback_fails, scene.ecs.retries_after = True, 0.0
    scene.ecs.behave(NEW, **EXITS, starts_after=0.0)
    with pytest.raises(StuckError, match=r"No rollback candidate was found") as caught:
        scene.deploy()
    assert "aws ecs update-service" in caught.value.hint


def test_a_rollback_that_has_failed_when_we_look_needs_a_person_at_once() -> None:
    scene = Scene()
    scene.ecs.rollback_fails = True
    scene.ecs.silent(299.0, 305.0)
    scene.ecs.after(300.0, lambda: scene.ecs.alarm("prod-5xx"))
    with pytest.raises(StuckError, match="ECS tried to go back"):
        scene.deploy()
    assert len(scene.ecs.updates) == 1


def test_a_first_rollout_that_ecs_cannot_take_back_is_scaled_to_zero() -> None:
    scene = Scene(STRATEGIES["blue_green"], runs=None)
    scene.ecs.behave(NEW, **EXITS)
    assert scene.deploy().outcome is RolloutOutcome.FAILED_FIRST
    assert scene.ecs.running() == set()


def test_a_deployment_that_somebody_stops_is_theirs_and_named() -> None:
    scene = Scene()
    scene.ecs.after(100.0, lambda: scene.ecs.someone_stops("Stopped by alice"))
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUPERSEDED
    assert "somebody stopped service deployment sd001 of demo:2" in result.reasons[0].text
    assert "Stopped by alice" in result.reasons[0].text
    assert any("to stop: somebody asked for it" in step for step in scene.said.steps)
    assert len(scene.ecs.updates) == 1


def test_a_deployment_that_ecs_stops_without_going_back_is_taken_back_by_us() -> None:
    scene = rolling()
    scene.ecs.rollback, scene.ecs.retries_after = False, 0.0
    scene.ecs.behave(NEW, **EXITS, starts_after=0.0)
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert "did not go back" in result.reasons[0].text
    assert len(scene.ecs.updates) == 2


def test_a_later_deployment_of_somebody_supersedes_ours_in_the_middle_of_the_bake() -> None:
    scene = Scene()
    scene.ecs.after(300.0, lambda: scene.ecs.someone_deploys(OTHER))
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUPERSEDED
    assert "service deployment sd002 of demo:3 (IN_PROGRESS) replaced ours, sd001" in result.reasons[0].text


def test_after_the_shift_the_way_back_takes_no_steps_and_no_bake() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, status=500)
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    back = scene.ecs.configurations[1]
    assert back is not None
    assert (back["strategy"], back["bakeTimeInMinutes"]) == ("BLUE_GREEN", 0)
    assert "canaryConfiguration" not in back
    assert scene.statuses == ["SUCCESSFUL", "SUCCESSFUL"]
    assert scene.took < 900 + 150


def test_when_ecs_will_not_roll_back_we_deploy_what_was_before() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, **EXITS)
    scene.ecs.roll_back = _refused  # type: ignore[method-assign]
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert any("does not roll service deployment sd001 back" in note for note in scene.said.notes)
    assert [update[0].rpartition(":")[2] for update in scene.ecs.updates] == ["2", "1"]


def test_a_lost_answer_to_the_rollback_does_not_start_a_second_way_back() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, **EXITS)
    roll_back = scene.ecs.roll_back
    asked: list[str] = []

    def loses_the_answer(service_deployment: str) -> None:
        if asked:
            _refused(service_deployment)
        asked.append(service_deployment)
        roll_back(service_deployment)
        raise UnavailableError("the connection broke", hint="")

    scene.ecs.roll_back = loses_the_answer  # type: ignore[method-assign]
    assert scene.deploy().outcome is RolloutOutcome.ROLLED_BACK
    assert len(scene.ecs.updates) == 1
    assert scene.statuses == ["ROLLBACK_SUCCESSFUL"]


def test_when_ecs_would_go_back_to_something_else_than_the_last_good_one_we_go_there_ourselves() -> None:
    scene = Scene()
    good = scene.ecs.current
    scene.ecs.someone_deploys(OTHER)
    scene.clock.advance(60)
    scene.ecs.behave(NEW, **EXITS)
    result = scene.deploy(spec=replace(SPEC, last_good=Previous(good)))
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert "roll_back" not in scene.ecs.calls
    assert scene.ecs.running() == {str(OLD)}


def in_the_middle_of_a_shift(strategy: Strategy = CANARY) -> tuple[Scene, DeploySpec]:
    """A scene whose rollout of NEW was left to itself, and what goes back from there."""
    scene = Scene(strategy)
    old = scene.ecs.current
    scene.ecs.after(60.0, _interrupt)
    with pytest.raises(DetachedInterrupt):
        scene.deploy()
    return scene, replace(SPEC, definition=old, supersedes=True)


@pytest.mark.parametrize("name", STRATEGIES)
def test_going_back_in_the_middle_of_a_shift_is_ecs_own_way_back_and_no_other_deployment(name: str) -> None:
    scene, back = in_the_middle_of_a_shift(STRATEGIES[name])
    result = scene.deploy(OLD, back)
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert scene.ecs.running() == {str(OLD)}
    assert scene.statuses == ["ROLLBACK_SUCCESSFUL"]
    assert (len(scene.ecs.updates), scene.ecs.calls.count("roll_back")) == (1, 1)
    assert result.task_definition == back.definition


def test_going_back_in_the_middle_of_a_shift_to_something_else_is_another_deployment() -> None:
    scene = Scene(STRATEGIES["blue_green"])
    older = scene.ecs.current
    scene.deploy(OTHER)
    scene.ecs.after(60.0, _interrupt)
    with pytest.raises(DetachedInterrupt):
        scene.deploy()
    assert (
        scene.deploy(OLD, replace(SPEC, definition=older, supersedes=True)).outcome
        is RolloutOutcome.SUCCEEDED
    )
    assert "roll_back" not in scene.ecs.calls
    assert scene.ecs.running() == {str(OLD)}


def test_where_ecs_will_not_take_its_deployment_back_another_one_leads_back() -> None:
    scene, back = in_the_middle_of_a_shift()
    scene.ecs.roll_back = _refused  # type: ignore[method-assign]
    assert scene.deploy(OLD, back).outcome is RolloutOutcome.SUCCEEDED
    assert len(scene.ecs.updates) == 2
    assert scene.ecs.running() == {str(OLD)}


def test_a_way_back_that_ecs_does_not_come_to_the_end_of_needs_a_person_and_nothing_is_scaled_to_zero() -> (
    None
):
    scene, back = in_the_middle_of_a_shift()
    scene.ecs.roll_back = lambda _arn: scene.ecs.told.records[-1].become("ROLLBACK_FAILED")  # type: ignore[method-assign, assignment]
    with pytest.raises(StuckError):
        scene.deploy(OLD, back)
    assert scene.ecs.desired == 2


def test_thirty_seconds_of_throttling_in_the_middle_of_a_shift_are_not_a_failure() -> None:
    scene = Scene()
    scene.ecs.silent(290.0, 320.0)
    assert scene.deploy().outcome is RolloutOutcome.SUCCEEDED


def _interrupt() -> None:
    raise KeyboardInterrupt


def _refused(service_deployment: str) -> None:
    raise ConfigurationError("ecs:StopServiceDeployment: not allowed (AccessDeniedException)", hint="")
