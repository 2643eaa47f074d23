from __future__ import annotations

import pytest

from pipeline.errors import UndecidedError
from pipeline.model.baseline import Baseline, production_runs, shown, sizes
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.service import DeploymentState, ServiceState

ONE, TWO, PLATFORM = (Digest("sha256:" + letter * 64) for letter in "abc")


def service(desired: int = 2, state: str = "COMPLETED") -> ServiceState:
    deployment = DeploymentState("ecs-svc/1", "PRIMARY", "shop:1", state, "", desired, desired, 0)
    return ServiceState("arn", "ACTIVE", "shop:1", desired, desired, (deployment,), "group")


@pytest.mark.parametrize(
    ("pinned", "running", "platforms", "found"),
    [
        (ONE, {ONE}, set(), ONE),
        (ONE, {PLATFORM}, {PLATFORM}, ONE),
        (ONE, {ONE, PLATFORM}, {PLATFORM}, ONE),
        (None, {TWO}, set(), TWO),
    ],
    ids=["pinned", "a platform of it", "both names of it", "told by a tag"],
)
def test_production_runs_the_digest_that_its_tasks_report(
    pinned: Digest | None, running: set[Digest], platforms: set[Digest], found: Digest
) -> None:
    assert production_runs(service(), pinned, frozenset(running), frozenset(platforms)) == found


def test_production_at_zero_runs_nothing() -> None:
    assert production_runs(service(0), ONE, frozenset(), frozenset()) is None


@pytest.mark.parametrize(
    ("live", "pinned", "running", "words"),
    [
        (service(state="IN_PROGRESS"), ONE, {ONE}, "deployment ecs-svc/1 of shop:1 is in progress"),
        (service(), ONE, set(), "should have 2 tasks, and none that runs tells its digest"),
        (service(), ONE, {TWO}, "several digests: " + ", ".join(map(str, (ONE, TWO)))),
        (service(), ONE, {ONE, TWO}, "several digests"),
        (service(), None, {ONE, TWO}, "several digests"),
        (service(0), ONE, {ONE, TWO}, "several digests"),
    ],
    ids=["rollout", "none runs", "another than pinned", "two", "two under a tag", "two at zero"],
)
def test_without_one_answer_nothing_is_decided(
    live: ServiceState, pinned: Digest | None, running: set[Digest], words: str
) -> None:
    with pytest.raises(UndecidedError) as caught:
        production_runs(live, pinned, frozenset(running), frozenset())
    assert words in caught.value.message
    assert caught.value.hint


def test_a_baseline_is_on_record_as_what_it_is_or_why_there_is_none() -> None:
    image = ImageRef("localhost:5000/shop", ONE)
    assert Baseline(image, recorded=str(TWO)).facts == {
        "digest": str(ONE),
        "image": str(image),
        "recorded": str(TWO),
    }
    assert Baseline(why="nothing runs").facts == {"skipped": "nothing runs"}


def test_sizes_are_those_of_the_task_and_of_its_container() -> None:
    told = {"cpu": "256", "memory": "512", "containerDefinitions": [{"name": "app", "cpu": 0, "memory": 100}]}
    assert sizes(told, "app") == {"cpu": "256", "memory": "512", "container memory": "100"}
    assert shown(sizes(told, "app")) == "cpu 256, memory 512, container memory 100"
    assert shown(sizes({}, "app")) == "no size"
