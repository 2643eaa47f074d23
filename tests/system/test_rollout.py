"""Rollouts on real containers: each kind of image, and what serves afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.http_probe import FreshConnectionProbe
from pipeline.adapters.traffic_probe import SteadyProbe
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.probe import ProbeLimits
from pipeline.model.rollout import RolloutPolicy
from pipeline.model.task_definition import definition_for
from pipeline.ports import Progress
from pipeline.rollout import Check, DeploySpec, Rollout, RolloutOutcome, RolloutResult
from pipeline.waiting import poll
from tests.releases import CONTAINER, Releases, open_releases

POLICY = RolloutPolicy(deadline=120.0, stay_up=4.0, verify=3.0, poll=0.5, drain=60.0)


class Said:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def step(self, text: str) -> None: ...

    def share(self, done: float, text: str) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    with open_releases(tmp_path_factory.mktemp("rollout")) as made:
        yield made


class Serving:
    """Production with a good release in it; rolls out others."""

    def __init__(self, releases: Releases) -> None:
        self.releases = releases
        self.said = Said()

    def deploy(
        self,
        image: ImageRef,
        *,
        policy: RolloutPolicy = POLICY,
        progress: Progress | None = None,
        **spec: object,
    ) -> RolloutResult:
        releases = self.releases
        wanted = DeploySpec(
            CONTAINER,
            desired=2,
            environment={"DIGEST": str(image.digest)},
            base_url=releases.url,
            checks=(Check("/readyz"), Check("/version", expect_digest=True)),
        )
        probe, clock = FreshConnectionProbe(), SystemClock()
        traffic = SteadyProbe(clock, 10.0, ("/readyz", "/"))
        rollout = Rollout(releases.service(), releases.targets(), probe, clock, policy, traffic=traffic)
        return rollout.deploy(image, replace(wanted, **spec), progress or self.said)  # type: ignore[arg-type]

    @property
    def other(self) -> ImageRef:
        """The good image that does not run now."""
        one, two = self.releases.image("good"), self.releases.image("good-2")
        return two if self.digests == {str(one.digest)} else one

    @property
    def alone(self) -> bool:
        state = self.releases.service().describe()
        return len([d for d in state.deployments if d.rollout_state != "FAILED"]) <= 1

    @property
    def digests(self) -> set[str]:
        tasks = [task for task in self.releases.service().tasks() if task.alive]
        return {task.image_digests.get(CONTAINER, "none") for task in tasks}

    @property
    def answers(self) -> str:
        return FreshConnectionProbe().get(self.releases.url + "/version", timeout=5.0).body


@pytest.fixture
def serving(releases: Releases) -> Serving:
    made = Serving(releases)
    clock = SystemClock()
    alone = poll(lambda: made.alone or None, 0.5, clock.monotonic() + 60.0, clock)
    assert alone, "the test before left a deployment behind that does not end"
    if not made.digests:
        assert made.deploy(releases.image("good")).outcome is RolloutOutcome.SUCCEEDED
    good = {str(releases.image(mode).digest) for mode in ("good", "good-2")}
    assert len(made.digests) == 1
    assert made.digests <= good
    return made


def test_a_first_release_that_fails_leaves_the_service_at_zero(
    tmp_path_factory: pytest.TempPathFactory, releases: Releases
) -> None:
    state = releases.service().describe()
    assert state.desired == 0, "this test must come first"
    made = Serving(releases)
    result = made.deploy(releases.image("exits"))
    assert result.outcome is RolloutOutcome.FAILED_FIRST
    assert "no licence file" in result.diagnosis
    assert releases.service().describe().desired == 0
    assert made.digests == set()


def test_a_good_release_serves_and_its_digest_is_seen(serving: Serving) -> None:
    before, image = serving.digests, serving.other
    result = serving.deploy(image)
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert result.digests == (str(image.digest),)
    assert result.previous is not None
    assert {str(digest) for digest in result.previous.digests} == before
    assert str(image.digest) in serving.answers
    assert result.drained_at is not None
    assert len(serving.releases.service().describe().deployments) == 1
    assert result.probe is not None
    assert result.probe["failed"] == 0, result.probe["failures"]
    assert result.probe["phases"]["before"]["sent"] > 0
    assert result.probe["sent"] > 50


def test_what_runs_already_is_left_alone(serving: Serving) -> None:
    before = serving.releases.service().describe().deployments[0].id
    (running,) = serving.digests
    result = serving.deploy(replace(serving.other, digest=Digest(running)))
    assert result.already
    assert result.deployment == before


BAD = {
    "exits": ("exited", "no licence file"),
    "crashes": ("exited", "lost its mind"),
    "deaf": ("health check", "began as deaf"),
    "ill": ("health check", "began as ill"),
}


@pytest.mark.parametrize("mode", BAD)
def test_a_bad_release_is_rolled_back_and_explained(serving: Serving, mode: str) -> None:
    rule, line = BAD[mode]
    before = serving.digests
    result = serving.deploy(serving.releases.image(mode))
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert f"rule: {rule}" in result.diagnosis
    assert line in result.diagnosis
    assert serving.digests == before
    assert before.pop() in serving.answers


def test_an_image_that_does_not_exist_is_rolled_back_and_explained(serving: Serving) -> None:
    before = serving.digests
    result = serving.deploy(serving.releases.missing())
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert "rule: image missing" in result.diagnosis
    assert serving.digests == before


def test_a_release_that_fails_its_smoke_checks_is_rolled_back_by_us(serving: Serving) -> None:
    before = serving.digests
    result = serving.deploy(serving.releases.image("broken"), probe_limits=ProbeLimits(max_error_share=1.0))
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert "answered 500" in result.reasons[0].text
    assert serving.digests == before


def test_a_release_that_turns_sour_after_it_was_complete_is_rolled_back_with_numbers(
    serving: Serving,
) -> None:
    before = serving.digests
    patient = replace(POLICY, stay_up=60.0)
    result = serving.deploy(serving.releases.image("sours"), policy=patient)
    assert result.outcome is RolloutOutcome.ROLLED_BACK
    assert "requests failed during the bake" in result.reasons[0].text
    assert "500 on /" in result.reasons[0].text
    assert result.probe is not None
    assert result.probe["verdict"]["outcome"] == "refused"
    assert serving.digests == before


def test_a_client_that_dies_is_followed_up_without_a_second_deployment(serving: Serving) -> None:
    class Interrupted(Said):
        def step(self, text: str) -> None:
            if "new tasks" in text:
                raise KeyboardInterrupt

    image = serving.other
    with pytest.raises(KeyboardInterrupt):
        serving.deploy(image, progress=Interrupted())
    began = serving.releases.service().describe().deployments[0]
    result = serving.deploy(image)
    assert result.outcome is RolloutOutcome.SUCCEEDED
    assert result.reattached
    assert result.deployment == began.id


def test_somebody_elses_deployment_supersedes_ours(serving: Serving) -> None:
    service = serving.releases.service()
    good = service.describe().task_definition
    (running,) = serving.digests
    image = replace(serving.other, digest=Digest(running))
    begun: list[str] = []

    class Meddling(Said):
        def step(self, text: str) -> None:
            if "new tasks" in text and not begun:
                theirs = definition_for(service.task_definition(good), image, CONTAINER, {"BY": "them"}, {})
                begun.append(service.update(service.register(theirs)))

    result = serving.deploy(serving.other, progress=Meddling())
    assert result.outcome is RolloutOutcome.SUPERSEDED
    assert begun[0] in result.reasons[0].text


@pytest.mark.parametrize(
    ("code", "outcome"), [("0", RolloutOutcome.SUCCEEDED), ("3", RolloutOutcome.BEFORE_FAILED)]
)
def test_the_command_before_a_rollout_decides_whether_it_begins(
    serving: Serving, code: str, outcome: RolloutOutcome
) -> None:
    before = serving.releases.service().describe().task_definition
    result = serving.deploy(serving.other, before=(code,))
    assert result.outcome is outcome
    assert f"asked to end with {code}" in serving.said.notes
    touched = serving.releases.service().describe().task_definition != before
    assert touched is (outcome is RolloutOutcome.SUCCEEDED)
