"""Going back on purpose, and what it takes when the definition to go back to was deregistered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.errors import ConfigurationError, DetachedInterrupt, StuckError
from pipeline.model.service import Previous
from pipeline.rollout import RolloutOutcome, RolloutResult
from tests.fakes.ecs import image
from tests.unit.test_rollout import BAD_IMAGES, NEW, OLD, SPEC, Scene, _interrupt


def deregister(scene: Scene, definition: str) -> None:
    scene.ecs._definitions[definition]["status"] = "INACTIVE"


def content(scene: Scene, definition: str) -> object:
    return scene.ecs._definitions[definition]["containerDefinitions"]


def after_a_release() -> tuple[Scene, str, str]:
    """A scene in which NEW replaced OLD, and both definitions."""
    scene = Scene()
    old = scene.ecs.current
    new = scene.deploy(spec=replace(SPEC, environment={"COLOUR": "green"})).task_definition
    scene.ecs.updates.clear()
    return scene, old, new


def back(scene: Scene, old: str, new: str) -> RolloutResult:
    spec = replace(SPEC, environment={"COLOUR": "red"}, definition=old, last_good=Previous(new))
    return scene.deploy(OLD, spec)


def test_the_recorded_definition_runs_again_as_it_was() -> None:
    scene, old, new = after_a_release()
    registered = len(scene.ecs._definitions)
    result = back(scene, old, new)
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert scene.ecs.updates == [(old, None)]
    assert len(scene.ecs._definitions) == registered, "nothing was registered"
    assert scene.serves == {str(OLD)}


def test_a_deregistered_definition_is_registered_again_key_for_key() -> None:
    scene, old, new = after_a_release()
    deregister(scene, old)
    result = back(scene, old, new)
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert result.task_definition not in (old, new)
    assert content(scene, result.task_definition) == content(scene, old)
    assert "was deregistered; registering the same again" in scene.said.text


def hanging() -> tuple[Scene, str]:
    """A rollout that hangs and was left; and what ran before it."""
    scene = Scene()
    old = scene.ecs.current
    scene.ecs.breaker, scene.ecs.grace = False, 100_000.0
    scene.ecs.behave(NEW, healthy_after=None)
    scene.ecs.after(6.0, _interrupt)
    with pytest.raises(DetachedInterrupt):
        scene.deploy()
    return scene, old


def test_going_back_does_not_wait_for_a_rollout_that_hangs() -> None:
    scene, old = hanging()
    result = scene.deploy(OLD, replace(SPEC, definition=old, supersedes=True))
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert scene.serves == {str(OLD)}
    assert scene.took < 60


def test_going_back_from_a_rollout_that_hangs_to_what_fails_now_is_not_taken_for_a_first_rollout() -> None:
    scene, old = hanging()
    scene.ecs.behave(OLD, **BAD_IMAGES["exited"])
    with pytest.raises(StuckError, match="nothing is known to go back to"):
        scene.deploy(OLD, replace(SPEC, definition=old, supersedes=True))
    assert scene.ecs.desired == 2


def test_going_back_to_what_runs_changes_nothing() -> None:
    scene, _, new = after_a_release()
    result = scene.deploy(NEW, replace(SPEC, definition=new))
    assert (result.outcome, result.already) == (RolloutOutcome.SUCCEEDED, True)
    assert scene.ecs.updates == []


def test_when_what_was_gone_back_to_fails_now_the_other_one_serves_again() -> None:
    scene, old, new = after_a_release()
    scene.ecs.behave(OLD, **BAD_IMAGES["exited"])
    result = back(scene, old, new)
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert scene.serves == {str(NEW)}


def test_a_definition_that_nobody_knows_is_an_error_before_anything_changes() -> None:
    scene, _, new = after_a_release()
    with pytest.raises(ConfigurationError):
        back(scene, "arn:aws:ecs:eu-west-1:000000000000:task-definition/gone:1", new)
    assert scene.ecs.updates == []


def failing_with_old_deregistered() -> Scene:
    scene = Scene()
    scene.ecs.breaker = False
    deregister(scene, scene.ecs.current)
    scene.ecs.behave(NEW, **BAD_IMAGES["exited"])
    return scene


def test_a_failed_rollout_goes_back_though_the_old_definition_was_deregistered() -> None:
    scene = failing_with_old_deregistered()
    assert scene.deploy().outcome is RolloutOutcome.ROLLED_BACK
    assert scene.serves == {str(OLD)}


def test_the_way_back_knows_the_digests_on_record() -> None:
    """A task that runs something else under the old definition is not what was good."""
    scene = Scene(deadline=60.0)
    scene.ecs.breaker = False
    old = scene.ecs.current
    scene.ecs.behave(NEW, **BAD_IMAGES["exited"])
    scene.ecs.someone_deploys(image("other"))
    scene.clock.advance(60)
    scene.ecs.behave(OLD, runs_digest="sha256:" + "9" * 64)
    with pytest.raises(StuckError, match="not the digest that was promoted"):
        scene.deploy(spec=replace(SPEC, last_good=Previous(old, digests=frozenset({OLD.digest}))))
