"""Rolling out on a fake service: whatever the image, the API or somebody else does, the outcome is told right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipeline.errors import (
    BusyError,
    ConfigurationError,
    CredentialError,
    DetachedError,
    DetachedInterrupt,
    DisplacedError,
    StuckError,
    UnavailableError,
    UnfencedError,
)
from pipeline.model.digest import ImageRef
from pipeline.model.rollout import Busy, RolloutPolicy
from pipeline.model.service import Previous
from pipeline.ports import HttpAnswer, OneOff
from pipeline.rollout import Check, DeploySpec, Rollout, RolloutOutcome, RolloutResult
from tests.fakes.clock import FakeClock
from tests.fakes.ecs import CONTAINER, FakeEcs, image

OLD, NEW, OTHER = image("old"), image("new"), image("other")
CHECKS = (Check("/readyz"), Check("/version", expect_digest=True))
SPEC = DeploySpec(CONTAINER, desired=2, base_url="http://balancer.test", checks=CHECKS)
NO_PATH = "CannotPullContainerError: manifest for registry.test/demo not found: manifest unknown"


class Said:
    """Keeps what a rollout said."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.notes: list[str] = []

    def step(self, text: str) -> None:
        self.steps.append(text)

    def share(self, done: float, text: str) -> None:
        self.steps.append(f"{done} {text}")

    def note(self, text: str) -> None:
        self.notes.append(text)

    @property
    def text(self) -> str:
        return "\n".join(self.notes)


class Scene:
    """A service, what was said, and a rollout on it."""

    def __init__(self, *, runs: ImageRef | None = OLD, desired: int = 2, **policy: object) -> None:
        self.clock = FakeClock()
        self.ecs = FakeEcs(self.clock, runs=runs, desired=desired)
        self.said = Said()
        self.policy = replace(RolloutPolicy(), **policy)  # type: ignore[arg-type]
        self.began = self.clock.monotonic()

    def deploy(self, which: ImageRef = NEW, spec: DeploySpec = SPEC) -> RolloutResult:
        rollout = Rollout(self.ecs, self.ecs, self.ecs, self.clock, self.policy)
        self.began = self.clock.monotonic()
        return rollout.deploy(which, spec, self.said)

    @property
    def took(self) -> float:
        return self.clock.monotonic() - self.began

    @property
    def serves(self) -> set[str]:
        return self.ecs.running()


def test_a_good_image_replaces_the_old_one() -> None:
    scene = Scene()
    before = scene.ecs.current
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert scene.serves == {str(NEW)}
    assert result.digests == (str(NEW.digest),)
    assert result.previous is not None
    assert result.previous.task_definition == before
    assert result.previous.digests == {OLD.digest}
    assert result.healthy_at is not None
    assert result.drained_at is not None
    assert result.healthy_at <= result.drained_at
    assert "asking the smoke checks" in scene.said.steps


def test_a_rollout_is_exactly_one_update_without_a_desired_count() -> None:
    scene = Scene()
    result = scene.deploy()
    assert scene.ecs.updates == [(result.task_definition, None)]


def test_facts_are_json_values_for_the_record() -> None:
    scene = Scene()
    facts = scene.deploy().facts
    assert facts["cluster"] == "cluster"
    assert facts["service"] == "demo"
    assert facts["outcome"] == "succeeded"
    assert facts["image_digests"] == [str(NEW.digest)]
    assert facts["previous_digests"] == [str(OLD.digest)]
    assert facts["healthy_at"].startswith("2026-01-01T")


def test_the_declared_keys_are_in_the_new_definition() -> None:
    scene = Scene()
    spec = replace(SPEC, environment={"COMMIT": "abc"}, secrets={"DATABASE_URL": "arn:secret"})
    result = scene.deploy(spec=spec)
    container = scene.ecs.task_definition(result.task_definition)["containerDefinitions"][0]
    assert container["environment"] == [{"name": "COMMIT", "value": "abc"}]
    assert container["secrets"] == [{"name": "DATABASE_URL", "valueFrom": "arn:secret"}]


BAD_IMAGES: dict[str, dict[str, Any]] = {
    "image missing": {"refused": NO_PATH},
    "exited": {"exits_after": 0.1, "healthy_after": None, "log": ("Traceback", "KeyError: 'PORT'")},
    "crashes after five seconds": {"exits_after": 5.0},
    "health check": {"healthy_after": None},
    "memory": {
        "exits_after": 1.5,
        "healthy_after": None,
        "exit_code": 137,
        "reason": "OutOfMemoryError: Container killed due to memory usage",
    },
    "architecture": {
        "exits_after": 0.1,
        "healthy_after": None,
        "log": ("exec /usr/bin/app: exec format error",),
    },
    "secret": {
        "refused": "ResourceInitializationError: unable to pull secrets or registry auth: no such secret"
    },
}


@pytest.mark.parametrize("rule", BAD_IMAGES)
def test_a_bad_image_is_rolled_back_and_explained(rule: str) -> None:
    scene = Scene()
    scene.ecs.behave(NEW, **BAD_IMAGES[rule])
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert scene.serves == {str(OLD)}
    assert result.digests == (str(OLD.digest),)
    assert result.drained_at is None
    expected = rule if rule != "crashes after five seconds" else "exited"
    assert f"rule: {expected}" in result.diagnosis
    assert "fix: " in result.diagnosis
    assert result.diagnosis in scene.said.text
    assert result.reasons[0].remedy


@pytest.mark.parametrize("rule", [rule for rule in BAD_IMAGES if rule != "health check"])
def test_a_bad_image_is_explained_within_a_poll_of_the_second_like_failure(rule: str) -> None:
    scene = Scene(desired=1)
    scene.ecs.breaker = False
    scene.ecs.behave(NEW, **BAD_IMAGES[rule])
    scene.deploy()
    assert scene.took < 60


def test_the_last_log_lines_are_on_screen() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, **BAD_IMAGES["exited"])
    assert "KeyError: 'PORT'" in scene.deploy().diagnosis


def test_without_a_circuit_breaker_we_go_back_ourselves() -> None:
    scene = Scene()
    before = scene.ecs.current
    scene.ecs.breaker = False
    scene.ecs.behave(NEW, **BAD_IMAGES["exited"])
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert scene.ecs.updates == [(result.task_definition, None), (before, None)]


def test_when_ecs_goes_back_by_itself_no_second_deployment_is_started() -> None:
    scene = Scene(desired=8)
    scene.ecs.retries_after = 0.0
    scene.ecs.behave(NEW, **BAD_IMAGES["exited"], starts_after=0.0)
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert "circuit breaker" in result.reasons[0].text
    assert scene.ecs.updates == [(result.task_definition, None)]
    assert scene.serves == {str(OLD)}


def test_a_service_that_never_gets_healthy_is_rolled_back_at_our_deadline() -> None:
    scene = Scene(deadline=120.0)
    scene.ecs.grace = 10_000.0
    scene.ecs.behave(NEW, healthy_after=None, log=("listening on 127.0.0.1",))
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert "healthy (0 of 2 new tasks)" in result.reasons[0].text
    assert "listening on 127.0.0.1" in result.diagnosis
    assert scene.serves == {str(OLD)}


def test_a_slow_image_is_given_its_time() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, healthy_after=25.0)
    assert scene.deploy().outcome is RolloutOutcome.SUCCEEDED


def test_a_task_with_another_digest_is_never_called_done() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, runs_digest=str(OTHER.digest))
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert str(OTHER.digest) in result.reasons[0].text


def test_the_platform_digest_of_an_index_counts_as_ours() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, runs_digest=str(OTHER.digest))
    spec = replace(SPEC, platform_digests=(OTHER.digest,))
    assert scene.deploy(spec=spec).outcome is RolloutOutcome.SUCCEEDED


def test_a_digest_that_ecs_does_not_report_is_not_a_success() -> None:
    scene = Scene(deadline=60.0)
    scene.ecs.behave(NEW, reports_digest=False)
    result = scene.deploy()
    assert result.outcome is not RolloutOutcome.SUCCEEDED
    assert "report the image digest" in result.reasons[0].text


def test_superseded_is_not_rolled_back() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, healthy_after=25.0)
    scene.ecs.after(5.0, lambda: scene.ecs.someone_deploys(OTHER))
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUPERSEDED
    assert "demo:3" in result.reasons[0].text
    assert len(scene.ecs.updates) == 1


def test_somebody_who_puts_the_old_one_back_supersedes_us() -> None:
    scene = Scene()
    before = scene.ecs.current
    scene.ecs.behave(NEW, healthy_after=25.0)
    scene.ecs.after(5.0, lambda: scene.ecs.someone_puts_back(before))
    assert scene.deploy().outcome is RolloutOutcome.SUPERSEDED


def test_superseded_while_old_tasks_drain_is_noticed() -> None:
    scene = Scene()
    scene.ecs.drain_seconds = 60.0
    scene.ecs.after(30.0, lambda: scene.ecs.someone_deploys(OTHER))
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUPERSEDED
    assert result.healthy_at is not None


def test_superseded_on_the_way_back_is_told() -> None:
    scene = Scene()
    scene.ecs.breaker = False
    scene.ecs.behave(NEW, **BAD_IMAGES["exited"])
    scene.ecs.behave(OLD, healthy_after=40.0)
    scene.ecs.after(12.0, lambda: scene.ecs.someone_deploys(OTHER))
    assert scene.deploy().outcome is RolloutOutcome.SUPERSEDED


def test_failing_smoke_checks_after_completion_roll_back() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, status=500)
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert "answered 500, not 200" in result.reasons[0].text
    assert result.healthy_at is not None
    assert scene.serves == {str(OLD)}


def test_a_version_path_that_shows_another_digest_rolls_back() -> None:
    scene = Scene()
    scene.ecs.get = lambda url, *, timeout: _answer('{"digest": "sha256:else"}')  # type: ignore[method-assign]
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert "shows digest sha256:else" in result.reasons[0].text


@pytest.mark.parametrize("body", ["", "no json", "[]", "{}"])
def test_a_version_path_without_a_digest_rolls_back(body: str) -> None:
    scene = Scene()
    scene.ecs.get = lambda url, *, timeout: _answer(body)  # type: ignore[method-assign]
    assert "shows digest none" in scene.deploy().reasons[0].text


def test_a_balancer_that_does_not_answer_rolls_back() -> None:
    scene = Scene()
    scene.ecs.get = lambda url, *, timeout: _answer("", status=0, error="refused")  # type: ignore[method-assign]
    assert "did not answer: refused" in scene.deploy().reasons[0].text


def test_smoke_checks_must_agree_several_times_in_a_row() -> None:
    scene = Scene(stay_up=0.0)
    answers = iter([200, 200, 500] + [200] * 50)
    scene.ecs.get = lambda url, *, timeout: _answer("", status=next(answers))  # type: ignore[method-assign]
    spec = replace(SPEC, checks=(Check("/readyz"),))
    assert scene.deploy(spec=spec).outcome is RolloutOutcome.SUCCEEDED
    assert len(list(answers)) == 50 - 5


def test_without_checks_health_alone_decides() -> None:
    scene = Scene()
    assert scene.deploy(spec=replace(SPEC, checks=())).outcome is RolloutOutcome.SUCCEEDED
    assert "asking the smoke checks" not in scene.said.steps


def test_thirty_seconds_of_throttling_are_not_a_failure() -> None:
    scene = Scene()
    scene.ecs.silent(2.0, 32.0)
    assert scene.deploy().outcome is RolloutOutcome.SUCCEEDED
    assert any("waiting for the API" in step for step in scene.said.steps)


def test_an_api_that_stays_silent_detaches_and_says_so() -> None:
    scene = Scene()
    scene.ecs.silent(3.0, 10_000.0)
    with pytest.raises(UnavailableError) as caught:
        scene.deploy()
    assert "detached, still running" in caught.value.message
    assert "run the same command again" in caught.value.hint


def test_a_credential_that_expires_midway_is_not_waited_out() -> None:
    scene = Scene()

    def refuse() -> None:
        raise CredentialError("the security token is expired (ExpiredTokenException)", hint="renew it")

    def expire() -> None:
        scene.ecs.tasks = refuse  # type: ignore[method-assign, assignment]

    scene.ecs.after(3.0, expire)
    with pytest.raises(UnavailableError) as caught:
        scene.deploy()
    assert "detached, still running" in caught.value.message
    assert "renew it; then run the same command again" in caught.value.hint
    assert scene.took < 10


def raises(error: BaseException) -> Callable[..., Any]:
    def refuse(*_arguments: object, **_named: object) -> Any:
        raise error

    return refuse


def test_a_permission_that_is_lacking_after_the_update_detaches_and_says_so() -> None:
    scene = Scene()
    denied = ConfigurationError("elbv2:DescribeTargetHealth: not authorized", hint="allow it")
    scene.ecs.after(3.0, lambda: setattr(scene.ecs, "states", raises(denied)))
    with pytest.raises(DetachedError, match="not authorized – detached, still running") as caught:
        scene.deploy()
    assert caught.value.hint.startswith("allow it; then run the same command again")


def test_an_api_that_falls_silent_on_the_way_back_does_not_tell_to_deploy_the_failed_one_again() -> None:
    scene = Scene()
    scene.ecs.breaker = False
    before = scene.ecs.current
    scene.ecs.behave(NEW, **BAD_IMAGES["exited"])
    scene.ecs.behave(OLD, healthy_after=5_000.0)
    scene.ecs.silent(30.0, 100_000.0)
    with pytest.raises(DetachedError) as caught:
        scene.deploy()
    assert "failed alike" in caught.value.message
    assert "going back to demo:1 is perhaps not done" in caught.value.message
    assert "same command again" not in caught.value.hint
    assert f"--task-definition {before}" in caught.value.hint


def test_an_interrupt_on_the_way_back_says_what_is_perhaps_not_done() -> None:
    scene = Scene()
    scene.ecs.breaker = False
    scene.ecs.behave(NEW, **BAD_IMAGES["exited"])
    scene.ecs.behave(OLD, healthy_after=5_000.0)
    scene.ecs.after(30.0, _interrupt)
    with pytest.raises(DetachedInterrupt):
        scene.deploy()
    assert "going back to demo:1 is perhaps not done" in scene.said.notes[-1]


def test_a_lease_that_is_lost_before_the_update_has_begun_nothing() -> None:
    scene = Scene()
    scene.ecs.update = raises(BusyError("cleared by bert", hint="look"))  # type: ignore[method-assign]
    with pytest.raises(BusyError, match="cleared by bert"):
        scene.deploy()


NO_FENCE = UnfencedError("PutItem: no answer, nothing was sent", hint="wait")


def test_a_lease_that_cannot_be_asked_for_is_waited_for_and_told_as_that() -> None:
    scene = Scene()
    update, answers = scene.ecs.update, [NO_FENCE, NO_FENCE]

    def fenced(definition: str, **more: Any) -> str:
        if answers:
            raise answers.pop()
        return update(definition, **more)

    scene.ecs.update = fenced  # type: ignore[method-assign, assignment]
    assert scene.deploy().outcome is RolloutOutcome.SUCCEEDED
    assert "waiting to send UpdateService: PutItem: no answer, nothing was sent" in scene.said.steps
    assert not any("no answer to UpdateService" in step for step in scene.said.steps)


def test_a_lease_that_can_never_be_asked_for_has_begun_nothing() -> None:
    scene = Scene()
    scene.ecs.update = raises(NO_FENCE)  # type: ignore[method-assign]
    with pytest.raises(UnfencedError) as caught:
        scene.deploy()
    assert "detached" not in caught.value.message


def test_an_update_without_an_answer_is_looked_for_while_the_lease_cannot_be_asked_for() -> None:
    scene = Scene()
    update, sent = scene.ecs.update, list[str]()

    def lost(definition: str, **more: Any) -> str:
        if sent:
            raise NO_FENCE
        sent.append(definition)
        scene.ecs.after(10.0, lambda: update(definition, **more))
        raise UnavailableError("the connection broke", hint="try again")

    scene.ecs.update = lost  # type: ignore[method-assign, assignment]
    assert scene.deploy().outcome is RolloutOutcome.SUCCEEDED
    assert len(scene.ecs.updates) == 1


def test_a_lease_that_is_lost_after_the_update_is_no_rollout_that_never_began() -> None:
    scene = Scene()
    scene.ecs.breaker = False
    scene.ecs.behave(NEW, **BAD_IMAGES["exited"])
    lost = raises(BusyError("cleared by bert", hint="look"))
    scene.ecs.after(0.5, lambda: setattr(scene.ecs, "update", lost))
    with pytest.raises(DisplacedError, match="cleared by bert – detached: 2 tasks failed alike"):
        scene.deploy()
    assert len(scene.ecs.updates) == 1


def test_an_api_that_is_silent_from_the_start_has_nothing_to_detach_from() -> None:
    scene = Scene()
    scene.ecs.silent(0.0, 10_000.0)
    with pytest.raises(UnavailableError) as caught:
        scene.deploy()
    assert "detached" not in caught.value.message


def test_a_lost_answer_to_update_service_does_not_deploy_twice() -> None:
    scene = Scene()
    scene.ecs.loses_answers = 1
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert len(scene.ecs.updates) == 1


def test_a_lease_that_is_lost_after_an_answer_was_leaves_perhaps_a_deployment_behind() -> None:
    """ECS took it, and does not show it yet when we look; before it is sent again somebody else has the lease."""
    scene = Scene()
    scene.ecs.loses_answers, scene.ecs.lag = 1, 60.0
    update = scene.ecs.update

    def fenced(definition: str, *, desired: int | None = None, **_: object) -> str:
        if scene.ecs.updates:
            raise BusyError("carl cleared it: wrong button", hint="ask carl")
        return update(definition, desired=desired)

    scene.ecs.update = fenced  # type: ignore[method-assign, assignment]
    with pytest.raises(
        DisplacedError, match="carl cleared it: wrong button – detached, perhaps running: ECS goes on"
    ):
        scene.deploy()
    assert len(scene.ecs.updates) == 1


def test_an_update_that_did_not_arrive_is_sent_again() -> None:
    scene = Scene()
    refused: list[str] = []
    update = scene.ecs.update

    def once_refused(definition: str, *, desired: int | None = None, **_: object) -> str:
        if not refused:
            refused.append(definition)
            raise UnavailableError("connection refused", hint="")
        return update(definition, desired=desired)

    scene.ecs.update = once_refused  # type: ignore[method-assign, assignment]
    assert scene.deploy().outcome is RolloutOutcome.SUCCEEDED
    assert len(scene.ecs.updates) == 1


def test_an_update_that_never_arrives_says_that_it_is_not_known_to_run() -> None:
    scene = Scene()

    def refuse(definition: str, **_: object) -> str:
        raise UnavailableError("connection refused", hint="look at the network")

    scene.ecs.update = refuse  # type: ignore[method-assign, assignment]
    with pytest.raises(UnavailableError) as caught:
        scene.deploy()
    assert "perhaps running" in caught.value.message
    assert scene.serves == {str(OLD)}


def test_a_list_that_lags_is_not_taken_for_an_end() -> None:
    scene = Scene()
    scene.ecs.lag = 20.0
    assert scene.deploy().outcome is RolloutOutcome.SUCCEEDED


def test_a_deployment_that_is_never_listed_is_not_called_done() -> None:
    scene = Scene(appear=30.0)
    scene.ecs.update = lambda definition, **_: "ecs-svc/ghost"  # type: ignore[method-assign]
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert "never listed" in result.reasons[0].text


def test_the_first_rollout_sends_the_desired_count() -> None:
    scene = Scene(runs=None)
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert scene.ecs.updates == [(result.task_definition, 2)]
    assert result.previous is None


def test_a_first_rollout_that_fails_is_scaled_to_zero() -> None:
    scene = Scene(runs=None)
    scene.ecs.behave(NEW, **BAD_IMAGES["exited"])
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.FAILED_FIRST
    assert scene.serves == set()
    assert scene.ecs.desired == 0
    assert "nothing to go back to" in result.reasons[1].text
    assert "stands at zero" in result.reasons[1].text


def test_a_first_rollout_that_fails_its_smoke_checks_is_scaled_to_zero() -> None:
    scene = Scene(runs=None)
    scene.ecs.behave(NEW, status=500)
    assert scene.deploy().outcome is RolloutOutcome.FAILED_FIRST
    assert scene.ecs.desired == 0


def test_after_a_failed_first_rollout_the_same_digest_can_be_promoted_again() -> None:
    scene = Scene(runs=None)
    scene.ecs.behave(NEW, **BAD_IMAGES["exited"])
    scene.deploy()
    scene.ecs.behave(NEW)
    assert scene.deploy().outcome is RolloutOutcome.SUCCEEDED
    assert scene.serves == {str(NEW)}


def test_a_service_that_somebody_scaled_to_zero_is_not_scaled_up_silently() -> None:
    scene = Scene()
    scene.ecs.update(scene.ecs.current, desired=0)
    with pytest.raises(ConfigurationError, match="scaled to zero") as caught:
        scene.deploy(spec=replace(SPEC, last_good=Previous(scene.ecs.current)))
    assert "--desired-count 2" in caught.value.hint
    assert len(scene.ecs.updates) == 1


def test_what_already_runs_is_not_deployed_again() -> None:
    scene = Scene()
    scene.deploy()
    scene.said = Said()
    again = scene.deploy()
    assert again.outcome is RolloutOutcome.SUCCEEDED
    assert again.already
    assert "already runs" in again.reasons[0].text
    assert len(scene.ecs.updates) == 1
    assert scene.took < 5


def test_a_killed_client_is_followed_up_by_the_next_one() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, healthy_after=25.0)
    scene.ecs.after(6.0, _interrupt)
    with pytest.raises(KeyboardInterrupt):
        scene.deploy()
    assert "detached, still running" in scene.said.text
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert result.reattached
    assert len(scene.ecs.updates) == 1
    assert result.previous is not None


def test_an_interrupt_before_anything_was_changed_detaches_from_nothing() -> None:
    scene = Scene()
    scene.ecs.register = lambda _definition: _interrupt()  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(KeyboardInterrupt):
        scene.deploy()
    assert "detached" not in scene.said.text


def test_a_bad_image_is_rolled_back_by_the_client_that_follows_up() -> None:
    scene = Scene()
    scene.ecs.breaker = False
    scene.ecs.behave(NEW, exits_after=10.0, healthy_after=None)
    scene.ecs.after(6.0, _interrupt)
    with pytest.raises(KeyboardInterrupt):
        scene.deploy()
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert scene.serves == {str(OLD)}


def test_what_served_before_we_came_is_never_scaled_to_zero() -> None:
    scene = Scene(runs=NEW)
    scene.ecs.behave(NEW, status=500)
    for task in scene.ecs._tasks.values():
        task.behaviour = scene.ecs.behaviours[str(NEW)]
    with pytest.raises(StuckError, match="served before we came"):
        scene.deploy()
    assert scene.serves == {str(NEW)}
    assert scene.ecs.updates == []


def test_a_digest_that_already_runs_badly_goes_back_to_the_last_good_one() -> None:
    scene = Scene()
    good = scene.ecs.current
    scene.deploy()
    for task in scene.ecs._tasks.values():
        task.behaviour.status = 500
    scene.ecs.behave(OLD)
    result = scene.deploy(spec=replace(SPEC, last_good=Previous(good)))
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert scene.serves == {str(OLD)}


def _crash_everything(scene: Scene) -> None:
    for task in list(scene.ecs._tasks.values()):
        scene.ecs._exit(task)
    scene.clock.advance(60)


def test_failures_of_long_ago_do_not_count_against_what_runs() -> None:
    scene = Scene()
    scene.deploy()
    _crash_everything(scene)
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert result.already


def test_failures_of_long_ago_do_not_bar_the_way_back() -> None:
    scene = Scene()
    _crash_everything(scene)
    scene.ecs.breaker = False
    scene.ecs.behave(NEW, **BAD_IMAGES["exited"])
    assert scene.deploy().outcome is RolloutOutcome.ROLLED_BACK


def test_the_way_back_does_not_wait_for_the_old_one_to_stay_up() -> None:
    scene = Scene(stay_up=500.0)
    scene.ecs.behave(NEW, **BAD_IMAGES["exited"])
    assert scene.deploy().outcome is RolloutOutcome.ROLLED_BACK
    assert scene.took < 60


def test_a_wobble_while_old_tasks_drain_after_the_deadline_is_no_failure() -> None:
    scene = Scene(deadline=60.0)
    scene.ecs.drain_seconds = 200.0
    scene.ecs.after(100.0, lambda: _one_exits(scene))
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert result.drained_at is not None


def _one_exits(scene: Scene) -> None:
    alive = [t for t in scene.ecs._tasks.values() if t.state.alive]
    scene.ecs._exit(next(t for t in alive if scene.ecs._image(t.state.task_definition) == str(NEW)))


def test_the_last_good_one_on_record_is_preferred_to_the_previous_one() -> None:
    scene = Scene()
    good = scene.ecs.current
    scene.ecs.someone_deploys(OTHER)
    scene.clock.advance(60)
    scene.ecs.behave(NEW, **BAD_IMAGES["exited"])
    scene.ecs.breaker = False
    scene.deploy(spec=replace(SPEC, last_good=Previous(good)))
    assert scene.serves == {str(OLD)}


def test_a_failed_way_back_is_stuck_with_state_and_commands() -> None:
    scene = Scene(deadline=120.0)
    scene.ecs.breaker = False
    before = scene.ecs.current
    scene.ecs.behave(NEW, **BAD_IMAGES["exited"])
    scene.ecs.behave(OLD, **BAD_IMAGES["image missing"])
    with pytest.raises(StuckError) as caught:
        scene.deploy()
    assert "going back to demo:1 failed" in caught.value.message
    assert f"--task-definition {before}" in caught.value.hint
    assert "aws ecs describe-services --cluster cluster" in caught.value.hint


def test_a_refused_way_back_is_stuck() -> None:
    scene = Scene()
    scene.ecs.breaker = False
    scene.ecs.behave(NEW, **BAD_IMAGES["exited"])
    scene.ecs.after(0.5, lambda: setattr(scene.ecs, "refuses_updates", "AccessDenied"))
    with pytest.raises(StuckError, match="AccessDenied"):
        scene.deploy()


def test_a_hundred_and_fifty_tasks_are_all_seen() -> None:
    scene = Scene(desired=150)
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert len(scene.ecs.tasks()) >= 300


def test_one_flapping_task_among_many_does_not_fail_a_rollout() -> None:
    scene = Scene(desired=10)
    kill = iter(range(3))

    def one_dies() -> None:
        next(kill)
        _one_exits(scene)

    scene.ecs.behave(NEW, healthy_after=6.0)
    for moment in (7.5, 8.5, 9.5):
        scene.ecs.after(moment, one_dies)
    assert scene.deploy().outcome is RolloutOutcome.SUCCEEDED
    assert list(kill) == []


def test_a_lack_of_capacity_does_not_count_against_the_image() -> None:
    scene = Scene()
    scene.ecs.breaker = False
    scene.ecs.behave(NEW, refused="Capacity is unavailable at this time")
    scene.ecs.after(20.0, lambda: _let_start(scene))
    assert scene.deploy().outcome is RolloutOutcome.SUCCEEDED


def _let_start(scene: Scene) -> None:
    scene.ecs.behave(NEW)


def test_where_the_api_tells_no_rollout_state_stability_decides() -> None:
    scene = Scene()
    scene.ecs.tells_rollout_state = False
    assert scene.deploy().outcome is RolloutOutcome.SUCCEEDED


def test_a_crash_right_after_completion_is_not_a_success() -> None:
    scene = Scene(runs=None)
    scene.ecs.behave(NEW, healthy_after=0.5, exits_after=4.0)
    assert scene.deploy().outcome is RolloutOutcome.FAILED_FIRST


def test_an_unhealthy_container_is_waited_for() -> None:
    scene = Scene(deadline=60.0)
    scene.ecs.behave(NEW, health="UNHEALTHY")
    assert "container health check" in scene.deploy().reasons[0].text


def test_the_before_command_runs_with_the_new_definition_and_its_lines_are_shown() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, once=OneOff(0, "", ("migrated to 7",)))
    result = scene.deploy(spec=replace(SPEC, before=("python", "-m", "app.migrate")))
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert "migrated to 7" in scene.said.text
    assert scene.ecs.calls.index("run_once python -m app.migrate") < scene.ecs.calls.index("update")


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (OneOff(3, "Essential container in task exited", ("no such column",)), "exit code 3"),
        (OneOff(None, "CannotPullContainerError"), "did not run: CannotPullContainerError"),
    ],
)
def test_a_failing_before_command_leaves_the_service_untouched(end: OneOff, text: str) -> None:
    scene = Scene()
    scene.ecs.behave(NEW, once=end)
    result = scene.deploy(spec=replace(SPEC, before=("migrate",)))
    assert result.outcome is RolloutOutcome.BEFORE_FAILED
    assert text in result.reasons[0].text
    assert result.diagnosis == "\n".join(end.log_lines)
    assert scene.ecs.updates == []
    assert scene.serves == {str(OLD)}


MIGRATING = replace(SPEC, before=("migrate",))


def test_a_before_command_whose_end_was_not_seen_is_taken_up_and_not_run_again() -> None:
    scene = Scene()
    scene.ecs.loses_ends = 1
    with pytest.raises(DetachedError):
        scene.deploy(spec=MIGRATING)
    assert scene.ecs.updates == []
    assert scene.deploy(spec=MIGRATING).outcome is RolloutOutcome.SUCCEEDED
    assert len(scene.ecs.commands) == 1
    assert len(scene.ecs.commands[0]) <= 36


def test_a_before_command_is_run_again_with_variables_that_were_mended_since() -> None:
    scene = Scene()
    scene.ecs.loses_ends = 1
    with pytest.raises(DetachedError):
        scene.deploy(spec=replace(MIGRATING, environment={"DATABASE": "wrong"}))
    mended = replace(MIGRATING, environment={"DATABASE": "right"})
    assert scene.deploy(spec=mended).outcome is RolloutOutcome.SUCCEEDED
    assert len(set(scene.ecs.commands)) == 2


def test_a_before_command_that_failed_is_run_again() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, once=OneOff(3, "Essential container in task exited"))
    assert scene.deploy(spec=MIGRATING).outcome is RolloutOutcome.BEFORE_FAILED
    scene.ecs.behave(NEW)
    assert scene.deploy(spec=MIGRATING).outcome is RolloutOutcome.SUCCEEDED
    assert len(scene.ecs.commands) == 2


def test_a_later_rollout_of_the_same_image_and_another_image_run_their_own_command() -> None:
    scene = Scene()
    for which in (NEW, OTHER, NEW):
        assert scene.deploy(which, MIGRATING).outcome is RolloutOutcome.SUCCEEDED
    assert len(set(scene.ecs.commands)) == 3


def test_an_interrupt_during_the_before_command_says_that_it_perhaps_runs() -> None:
    scene = Scene()
    scene.ecs.run_once = raises(KeyboardInterrupt())  # type: ignore[method-assign]
    with pytest.raises(DetachedInterrupt):
        scene.deploy(spec=MIGRATING)
    assert "migrate perhaps runs" in scene.said.text


def test_a_deployment_in_progress_is_waited_for() -> None:
    scene = Scene()
    scene.ecs.behave(OTHER, healthy_after=20.0)
    scene.ecs.someone_deploys(OTHER)
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert result.previous is not None
    assert result.previous.digests == {OTHER.digest}


def test_a_deployment_in_progress_is_refused_where_so_configured() -> None:
    scene = Scene(busy=Busy.REFUSE)
    scene.ecs.someone_deploys(OTHER)
    with pytest.raises(BusyError, match="is in progress"):
        scene.deploy()


def test_a_deployment_in_progress_is_superseded_where_so_configured() -> None:
    scene = Scene(busy=Busy.SUPERSEDE)
    scene.ecs.behave(OTHER, healthy_after=500.0)
    scene.ecs.someone_deploys(OTHER)
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert result.previous is not None
    assert result.previous.digests == {OLD.digest}


def test_a_deployment_that_never_ends_is_busy() -> None:
    scene = Scene(deadline=60.0)
    scene.ecs.grace = 10_000.0
    scene.ecs.behave(OTHER, healthy_after=None)
    scene.ecs.someone_deploys(OTHER)
    with pytest.raises(BusyError):
        scene.deploy()


def test_a_deployment_that_plainly_fails_is_not_waited_for() -> None:
    scene = Scene()
    scene.ecs.breaker = False
    scene.ecs.behave(OTHER, **BAD_IMAGES["image missing"])
    scene.ecs.someone_deploys(OTHER)
    scene.clock.advance(10)
    assert scene.deploy().outcome is RolloutOutcome.SUCCEEDED


def test_old_tasks_that_drain_for_ever_are_told_not_waited_for() -> None:
    scene = Scene(drain=30.0)
    scene.ecs.drain_seconds = 10_000.0
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert result.drained_at is None
    assert "still draining" in result.reasons[1].text


def test_a_service_without_a_target_group_is_judged_by_its_tasks() -> None:
    scene = Scene()
    rollout = Rollout(scene.ecs, None, scene.ecs, scene.clock, scene.policy)
    assert rollout.deploy(NEW, SPEC, scene.said).outcome is RolloutOutcome.SUCCEEDED


def test_a_service_that_somebody_deletes_is_told() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, healthy_after=25.0)
    scene.ecs.after(5.0, lambda: setattr(scene.ecs, "status", "DRAINING"))
    result = scene.deploy()
    assert result.outcome is RolloutOutcome.SUPERSEDED
    assert "DRAINING" in result.reasons[0].text


def test_a_log_that_cannot_be_read_leaves_the_rest_of_the_diagnosis() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, **BAD_IMAGES["exited"])

    def refuse(task: str, last: int) -> list[str]:
        raise ConfigurationError("logs:GetLogEvents denied", hint="")

    scene.ecs.log_lines = refuse  # type: ignore[method-assign, assignment]
    diagnosis = scene.deploy().diagnosis
    assert "logs:GetLogEvents denied" in diagnosis
    assert "rule: exited" in diagnosis


def test_polling_slows_down_while_nothing_changes_and_never_beyond_the_slowest() -> None:
    scene = Scene(deadline=800.0)
    scene.ecs.grace = 10_000.0
    scene.ecs.behave(NEW, healthy_after=700.0)
    scene.deploy()
    assert scene.clock.slept.count(1.0) >= 10
    assert 12.0 < max(scene.clock.slept) <= 15.0 * 1.1


def test_polling_is_quickest_right_after_a_change_and_not_during_the_bake() -> None:
    scene = Scene()
    scene.ecs.behave(NEW, healthy_after=20.0)
    scene.deploy()
    assert scene.clock.slept[:10] == [0.25] * 10
    assert scene.clock.slept.count(1.0) >= 10
    baked = scene.clock.slept[-10:]
    assert min(baked[:9]) >= 1.0


def test_tasks_are_read_anew_when_anything_changes_else_once_a_poll() -> None:
    scene = Scene()
    scene.deploy()
    looks, reads = scene.ecs.calls.count("states"), scene.ecs.calls.count("tasks")
    assert reads < looks
    assert reads >= scene.took


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.5, 3.5, 5.0, 12.0, 20.0])
def test_killed_at_any_moment_and_run_again_there_is_one_deployment_of_the_digest(seconds: float) -> None:
    scene = Scene()
    scene.ecs.after(seconds, _interrupt)
    try:
        scene.deploy()
    except KeyboardInterrupt:
        scene.deploy()
    assert scene.serves == {str(NEW)}
    assert len(scene.ecs.updates) == 1


def _interrupt() -> None:
    raise KeyboardInterrupt


def _answer(body: str, status: int = 200, error: str = "") -> HttpAnswer:
    return HttpAnswer(status, body, 0.01, error)
