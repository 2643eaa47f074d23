"""Putting back what ran before a rollout that had succeeded, because the release failed elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.errors import (
    BusyError,
    DetachedError,
    DetachedInterrupt,
    DisplacedError,
    StuckError,
    UnavailableError,
)
from pipeline.model.rollout import RolloutPolicy
from pipeline.model.service import Previous
from pipeline.model.verdict import Reason
from pipeline.rollout import DeploySpec, Rollout, RolloutOutcome, RolloutResult
from tests.fakes.ecs import CONTAINER
from tests.unit.test_rollout import BAD_IMAGES, NEW, OLD, OTHER, Scene, _interrupt

WHY = Reason("the release failed in us-west-2")


def after_a_release(scene: Scene) -> RolloutResult:
    done = scene.deploy()
    assert done.outcome is RolloutOutcome.SUCCEEDED
    scene.ecs.updates.clear()
    return done


def undo(
    scene: Scene, done: RolloutResult, last_good: Previous | None = None
) -> tuple[RolloutOutcome, Reason]:
    rollout = Rollout(scene.ecs, scene.ecs, scene.ecs, scene.clock, RolloutPolicy())
    return rollout.undo(done, DeploySpec(CONTAINER, last_good=last_good), WHY, scene.said)


def test_what_ran_before_serves_again_by_its_own_definition() -> None:
    scene = Scene()
    old = scene.ecs.current
    done = after_a_release(scene)
    outcome, reason = undo(scene, done)
    assert outcome is RolloutOutcome.ROLLED_BACK
    assert "which serves again" in reason.text
    assert scene.ecs.updates == [(old, None)]
    assert scene.serves == {str(OLD)}


def test_where_nothing_ran_before_it_is_scaled_to_zero() -> None:
    scene = Scene(runs=None)
    outcome, _ = undo(scene, after_a_release(scene))
    assert outcome is RolloutOutcome.FAILED_FIRST
    assert scene.serves == set()


def test_what_ran_already_before_the_release_is_left_and_not_scaled_to_zero() -> None:
    scene = Scene()
    scene.deploy()
    scene.clock.advance(300)
    again = after_a_release(scene)
    assert (again.already, again.previous) == (True, None)
    outcome, reason = undo(scene, again)
    assert outcome is RolloutOutcome.ROLLED_BACK
    assert "ran here before the release already" in reason.text
    assert scene.ecs.updates == []
    assert scene.serves == {str(NEW)}


def test_what_is_the_last_good_one_is_not_put_back_to_what_drains_beside_it() -> None:
    scene = Scene()
    draining = Previous(scene.ecs.current)
    done = after_a_release(scene)
    again = replace(done, already=True, previous=draining)
    outcome, _ = undo(scene, again, Previous(done.task_definition))
    assert outcome is RolloutOutcome.ROLLED_BACK
    assert scene.ecs.updates == []
    assert scene.serves == {str(NEW)}


def test_what_an_earlier_run_began_is_put_back_to_the_last_good_one() -> None:
    scene = Scene()
    good = Previous(scene.ecs.current)
    done = replace(after_a_release(scene), already=True, previous=good)
    outcome, _ = undo(scene, done, good)
    assert outcome is RolloutOutcome.ROLLED_BACK
    assert scene.serves == {str(OLD)}


def test_what_somebody_else_has_deployed_by_then_is_left() -> None:
    scene = Scene()
    done = after_a_release(scene)
    scene.ecs.someone_deploys(OTHER)
    scene.clock.advance(300)
    outcome, reason = undo(scene, done)
    assert outcome is RolloutOutcome.SUPERSEDED
    assert "not ours" in reason.text
    assert scene.ecs.updates == []
    assert scene.serves == {str(OTHER)}


def test_what_does_not_come_up_again_needs_a_person() -> None:
    scene = Scene()
    done = after_a_release(scene)
    scene.ecs.breaker = False
    scene.ecs.behave(OLD, **BAD_IMAGES["exited"])
    with pytest.raises(StuckError, match="the release failed in us-west-2"):
        undo(scene, done)


def test_ctrl_c_leaves_ecs_going_back() -> None:
    scene = Scene()
    done = after_a_release(scene)
    scene.ecs.after(2.0, _interrupt)
    with pytest.raises(DetachedInterrupt):
        undo(scene, done)
    assert "detached: the release failed in us-west-2; going back" in scene.said.text


@pytest.mark.parametrize(
    ("error", "family"), [(UnavailableError, DetachedError), (BusyError, DisplacedError)]
)
def test_an_error_on_the_way_tells_how_to_end_it(
    error: type[UnavailableError | BusyError], family: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene()
    done = after_a_release(scene)

    def refuse(*_: object, **__: object) -> str:
        raise error("not now", hint="later")

    monkeypatch.setattr(scene.ecs, "update", refuse)
    with pytest.raises(family, match="not now – detached: ") as caught:
        undo(scene, replace(done))
    assert "aws ecs update-service" in caught.value.hint  # type: ignore[attr-defined]
    assert scene.serves == {str(NEW)}
