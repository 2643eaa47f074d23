"""Production's digest beside the candidate, on two fake services."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from pipeline.beside import Beside
from pipeline.errors import BusyError, ConfigurationError, UndecidedError
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.lease import Claim
from pipeline.model.rollout import Busy, RolloutPolicy
from pipeline.model.service import ServiceState
from pipeline.model.verdict import Outcome
from pipeline.ports import Held, Service
from pipeline.rollout import Check, DeploySpec, Rollout, RolloutOutcome, RolloutResult
from tests.fakes.clock import FakeClock
from tests.fakes.ecs import CONTAINER, Behaviour, FakeEcs, image
from tests.fakes.ecs_deployments import ADVANCED
from tests.fakes.lease import FakeLease
from tests.fakes.load import RecordedProgress

CANDIDATE, PRODUCTION, OTHER = image("candidate"), image("production"), image("other")
SPEC = DeploySpec(
    CONTAINER,
    environment={"COLOUR": "green"},
    base_url="http://beside.test",
    checks=(Check("/version", expect_digest=True),),
)


class Pair:
    """Staging's service with the candidate, and the baseline's, which stands at zero."""

    def __init__(self, *, desired: int = 2, left: ImageRef | None = None) -> None:
        self.clock = FakeClock()
        self.staging = FakeEcs(self.clock, runs=CANDIDATE, desired=desired)
        self.baseline = FakeEcs(self.clock, runs=left, desired=1, name="demo-baseline")
        self.progress = RecordedProgress()
        self.lease = FakeLease(self.clock)
        self.beside = Beside(
            self.staging,
            self.baseline,
            3,
            self.rollout,
            lambda _image: SPEC,
            lambda which, _say: which,
            self.clock,
        )

    def rollout(self, service: Service) -> Rollout:
        policy = RolloutPolicy(stay_up=0.0, busy=Busy.SUPERSEDE)
        return Rollout(service, self.baseline, self.baseline, self.clock, policy)

    @contextmanager
    def held(self) -> Iterator[Held]:
        with self.lease.hold("staging", Claim("anne", "run-1", "load", "")) as held:
            yield held

    def up(self, which: ImageRef = PRODUCTION, *, meanwhile: float = 3) -> RolloutResult:
        with self.held() as held:
            self.beside.begin(which, held, self.progress)
            self.clock.advance(meanwhile)
            return self.beside.await_healthy(which, held, self.progress)

    def end(self) -> None:
        with self.held() as held:
            self.beside.end(held, self.progress)


def test_productions_digest_runs_beside_the_candidate_as_often_and_as_large() -> None:
    pair = Pair()
    assert pair.up().outcome is RolloutOutcome.SUCCEEDED
    assert pair.baseline.running() == {str(PRODUCTION)}
    assert [count for _, count in pair.baseline.updates] == [2]
    definition = pair.baseline.task_definition(pair.baseline.current)
    assert definition["containerDefinitions"][0]["environment"] == [{"name": "COLOUR", "value": "green"}]
    assert pair.staging.running() == {str(CANDIDATE)}
    assert pair.staging.updates == []
    assert pair.beside.runs(PRODUCTION).passed


def test_a_staging_that_has_no_tasks_yet_is_told_to_have_as_many_as_a_first_rollout() -> None:
    pair = Pair()
    pair.staging.desired = 0
    with pair.held() as held:
        pair.beside.begin(PRODUCTION, held, pair.progress)
    assert [count for _, count in pair.baseline.updates] == [3]


def test_it_ends_at_zero_and_ending_twice_changes_nothing_more() -> None:
    pair = Pair()
    pair.up()
    pair.end()
    pair.end()
    pair.clock.advance(60)
    assert pair.baseline.running() == set()
    assert [count for _, count in pair.baseline.updates] == [2, 0]
    assert not pair.beside.runs(PRODUCTION).passed


def test_what_a_killed_run_left_is_taken_over() -> None:
    pair = Pair()
    pair.up()
    again = pair.up()
    assert (again.outcome, again.already) == (RolloutOutcome.SUCCEEDED, True)
    assert len(pair.baseline.updates) == 1


def test_what_a_killed_run_left_gets_as_many_tasks_as_staging_has_now() -> None:
    pair = Pair(desired=1)
    pair.up()
    pair.staging.desired = 2
    assert pair.up().outcome is RolloutOutcome.SUCCEEDED
    assert [count for _, count in pair.baseline.updates] == [1, 2]


def test_another_digest_that_a_killed_run_left_is_replaced() -> None:
    pair = Pair(left=OTHER)
    assert pair.up().outcome is RolloutOutcome.SUCCEEDED
    assert pair.baseline.running() == {str(PRODUCTION)}


@pytest.mark.parametrize("meanwhile", [3, 40], ids=["it is seen to fail", "ECS has given up already"])
def test_one_that_does_not_start_is_told_with_its_last_words_and_ends_at_zero(meanwhile: float) -> None:
    pair = Pair()
    pair.baseline.behave(PRODUCTION, exits_after=0.5, log=("no licence file",))
    result = pair.up(meanwhile=meanwhile)
    assert result.outcome is not RolloutOutcome.SUCCEEDED
    assert "no licence file" in result.diagnosis
    pair.end()
    assert pair.baseline.desired == 0


def test_one_that_fails_after_it_was_taken_over_needs_no_person() -> None:
    pair = Pair()
    pair.up()
    for task in pair.baseline._tasks.values():
        task.behaviour = Behaviour(status=500)
    with pytest.raises(UndecidedError, match="the baseline is not healthy"):
        pair.up()


def test_sides_of_different_size_are_not_compared_and_both_sizes_are_told() -> None:
    pair = Pair()
    with pair.held() as held:
        pair.beside.begin(PRODUCTION, held, pair.progress)
        pair.staging.desired = 4
        pair.clock.advance(3)
        with pytest.raises(UndecidedError) as caught:
            pair.beside.await_healthy(PRODUCTION, held, pair.progress)
    assert "the candidate has 4 tasks of cpu 256, memory 512, the baseline 2 tasks of" in caught.value.message


def test_stagings_own_service_is_no_other_side_even_where_both_run_the_same_image() -> None:
    """As of several services the front, where only one behind it has changed."""
    pair = Pair()
    pair.beside = replace(pair.beside, service=pair.staging)
    with pytest.raises(
        ConfigurationError, match="service/cluster/demo is staging's own service: the candidate"
    ):
        pair.up(CANDIDATE)
    assert pair.staging.updates == []


@pytest.mark.parametrize("turns", [False, True], ids=["the one", "the one that takes turns with it"])
def test_two_services_behind_one_target_group_are_no_two_sides(turns: bool) -> None:
    pair = Pair()
    if turns:
        pair.staging.advanced = ADVANCED
        pair.baseline.group = str(ADVANCED["alternateTargetGroupArn"])
    else:
        pair.baseline.group = pair.staging.group
    with pytest.raises(ConfigurationError, match=f"both services are behind {pair.baseline.group}"):
        pair.up()
    assert pair.baseline.updates == []


@pytest.mark.parametrize(
    ("hosted", "group", "words"),
    [
        ({"launchType": "EC2"}, "arn:tg", "launchType is EC2 for the baseline, none for staging"),
        ({}, "", "demo-baseline has no target group, staging's service has"),
    ],
    ids=["on other machines", "reached otherwise"],
)
def test_services_that_are_not_alike_are_not_compared(hosted: dict[str, str], group: str, words: str) -> None:
    pair = Pair()
    pair.baseline.hosted, pair.baseline.group = hosted, group
    with pytest.raises(ConfigurationError, match=words) as caught:
        pair.up()
    assert caught.value.hint == "make both services alike: they are compared"
    assert pair.baseline.updates == []


def test_nothing_is_begun_under_a_lease_that_was_lost() -> None:
    pair = Pair()
    with pair.held() as held:
        pair.lease.clear("staging", Claim("ben", "run-2", "unlock", ""))
        with pytest.raises(BusyError):
            pair.beside.begin(PRODUCTION, held, pair.progress)
        pair.beside.end(held, pair.progress)
    assert pair.baseline.updates == []


def test_one_that_cannot_be_ended_is_told_with_the_command_that_does_it() -> None:
    pair = Pair()
    pair.up()
    with pair.held() as held:
        pair.lease.clear("staging", Claim("ben", "run-2", "unlock", ""))
        pair.beside.end(held, pair.progress)
    assert "perhaps still runs" in pair.progress.notes[-1]
    assert "aws ecs update-service" in pair.progress.notes[-1]
    assert "--desired-count 0" in pair.progress.notes[-1]


def test_one_that_cannot_even_be_described_is_left_to_the_next_run() -> None:
    pair = Pair()
    pair.up()
    pair.baseline.silent(0, 10_000)
    pair.end()
    assert "the next run of staging takes it over" in pair.progress.notes[-1]


def test_where_there_is_no_service_there_is_nothing_to_end() -> None:
    pair = Pair()

    class NoService(FakeEcs):
        def describe(self) -> ServiceState:
            raise ConfigurationError("no service of that name", hint="make one")

    pair.beside = replace(pair.beside, service=NoService(pair.clock))
    pair.end()
    assert pair.progress.notes == []


def test_a_candidate_that_was_scaled_out_under_load_is_not_compared() -> None:
    pair = Pair()
    pair.up()
    pair.staging.desired = 4
    verdict = pair.beside.runs(PRODUCTION)
    assert verdict.outcome is Outcome.UNDECIDED
    assert verdict.reasons[0].text == "the candidate had 4 tasks, the baseline 2 (autoscaling?)"


def test_something_else_beside_the_candidate_is_noticed() -> None:
    pair = Pair()
    pair.up()
    pair.baseline.someone_deploys(OTHER)
    pair.clock.advance(60)
    verdict = pair.beside.runs(PRODUCTION)
    assert not verdict.passed
    assert str(OTHER.digest) in verdict.reasons[0].text


def test_an_image_of_several_platforms_is_known_by_any_of_them() -> None:
    pair = Pair()
    pair.up()
    index = ImageRef(PRODUCTION.repository, Digest("sha256:" + "e" * 64))
    spec = replace(SPEC, platform_digests=(PRODUCTION.digest,))
    assert replace(pair.beside, spec=lambda _image: spec).runs(index).passed


def test_the_image_that_runs_is_the_one_that_was_delivered_of_the_release() -> None:
    pair = Pair()
    release = ImageRef(PRODUCTION.repository, Digest("sha256:" + "e" * 64))
    specs = []

    def spec(told: ImageRef) -> DeploySpec:
        specs.append(told)
        return replace(SPEC, platform_digests=(PRODUCTION.digest,))

    pair.beside = replace(pair.beside, spec=spec, delivered=lambda _release, _say: PRODUCTION)
    assert pair.up(release).outcome is RolloutOutcome.SUCCEEDED
    assert pair.baseline.running() == {str(PRODUCTION)}
    assert pair.beside.runs(release).passed
    assert set(specs) == {release}
