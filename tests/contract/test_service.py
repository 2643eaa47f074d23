"""What every service promises, on the fake and on the real adapter against the local cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from pipeline.adapters.clock import SystemClock
from pipeline.errors import ConfigurationError
from pipeline.model.digest import ImageRef
from pipeline.model.service import complete, deployment_of, primary_of
from pipeline.model.strategy import Kind, Strategy, to_send, wanted_configuration
from pipeline.model.task_definition import definition_for, digest_in
from pipeline.ports import Clock, OneOff, Service, TargetHealth
from pipeline.waiting import poll
from tests.fakes import ecs as fakes
from tests.fakes.clock import FakeClock
from tests.fakes.ecs import FakeEcs
from tests.releases import CONTAINER, Releases, open_releases

SECONDS = 120.0


@dataclass
class Subject:
    """A service under test that runs `good`, one task, and images it can be given."""

    service: Service
    targets: TargetHealth
    clock: Clock
    image: Callable[[str], ImageRef]

    def define(self, mode: str) -> str:
        live = self.service.task_definition(self.service.describe().task_definition)
        image = self.image(mode)
        return self.service.register(
            definition_for(live, image, CONTAINER, {"DIGEST": str(image.digest)}, {})
        )

    def until(self, becomes: Callable[[], bool]) -> bool:
        end = self.clock.monotonic() + SECONDS
        return bool(poll(lambda: becomes() or None, 0.5, end, self.clock))

    def settled(self, definition: str) -> bool:
        def done() -> bool:
            state = self.service.describe()
            primary = primary_of(state)
            assert primary is not None
            return primary.task_definition == definition and complete(state, primary)

        return self.until(done)


def _fake() -> Subject:
    clock = FakeClock()
    service = FakeEcs(clock, desired=1, runs=fakes.image("good"))
    refused = "CannotPullContainerError: manifest unknown"
    service.behave(fakes.image("missing"), refused=refused, once=OneOff(None, refused))
    service.behave(
        fakes.image("exits"), exits_after=0.2, healthy_after=None, log=("began as exits", "no licence file")
    )
    service.behave(
        fakes.image("good-2"), once=OneOff(3, "Essential container in task exited", ("asked to end with 3",))
    )
    return Subject(service, service, clock, fakes.image)


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    with open_releases(tmp_path_factory.mktemp("service")) as made:
        yield made


def _real(releases: Releases) -> Subject:
    def image(mode: str) -> ImageRef:
        return releases.missing() if mode == "missing" else releases.image(mode)

    subject = Subject(releases.service(), releases.targets(), SystemClock(), image)
    if subject.service.describe().desired == 0 or not _runs(subject, image("good")):
        definition = subject.define("good")
        subject.service.update(definition, desired=1)
        assert subject.settled(definition)
    return subject


def _runs(subject: Subject, image: ImageRef) -> bool:
    live = subject.service.task_definition(subject.service.describe().task_definition)
    return digest_in(live, CONTAINER) == image.digest


@pytest.fixture(params=["fake", "local cloud"])
def subject(request: pytest.FixtureRequest) -> Subject:
    return _fake() if request.param == "fake" else _real(request.getfixturevalue("releases"))


def test_the_primary_deployment_is_of_the_services_definition(subject: Subject) -> None:
    state = subject.service.describe()
    primary = primary_of(state)
    assert primary is not None
    assert primary.task_definition == state.task_definition
    assert (state.status, state.desired) == ("ACTIVE", 1)
    assert state.arn.split(":")[5].startswith("service/")


def test_what_is_registered_is_described_again(subject: Subject) -> None:
    definition = subject.define("good-2")
    described = subject.service.task_definition(definition)
    assert described["taskDefinitionArn"] == definition
    assert digest_in(described, CONTAINER) == subject.image("good-2").digest


def test_registering_alone_changes_nothing(subject: Subject) -> None:
    before = [d.id for d in subject.service.describe().deployments]
    subject.define("good-2")
    assert [d.id for d in subject.service.describe().deployments] == before


def test_an_unknown_definition_is_a_configuration_error(subject: Subject) -> None:
    with pytest.raises(ConfigurationError):
        subject.service.task_definition("arn:aws:ecs:us-east-1:000000000000:task-definition/nobody:1")


def test_update_answers_with_the_deployment_that_describe_lists(subject: Subject) -> None:
    before = subject.service.describe()
    definition = subject.define("good-2")
    ours = subject.service.update(definition)
    after = subject.service.describe()
    primary = primary_of(after)
    assert primary is not None
    assert (primary.id, primary.task_definition) == (ours, definition)
    assert ours not in [d.id for d in before.deployments]
    assert after.desired == before.desired
    assert subject.settled(definition)


def test_a_configuration_goes_with_the_same_call_and_is_live_afterwards(subject: Subject) -> None:
    before = subject.service.describe()
    wanted = wanted_configuration(Strategy(Kind.ROLLING), before.configuration, before.desired)
    definition = subject.define("good-2")
    ours = subject.service.update(definition, configuration=wanted)
    after = subject.service.describe()
    assert primary_of(after) == deployment_of(after, ours, definition)
    assert to_send(wanted, after.configuration) is None
    assert after.configuration["maximumPercent"] == before.configuration["maximumPercent"]
    assert subject.settled(definition)


def test_service_deployments_are_told_newest_first_or_not_at_all(subject: Subject) -> None:
    """The emulator lists none, whatever runs: nothing may follow from that."""
    definition = subject.define("good-2")
    subject.service.update(definition)
    assert subject.settled(definition)
    found = subject.service.service_deployments()
    assert found is not None
    dates = [entry.created_at for entry in found if entry.created_at]
    assert dates == sorted(dates, reverse=True)
    if found:
        assert (found[0].task_definition, found[0].status) == (definition, "SUCCESSFUL")
        assert subject.service.service_deployments(dates[0]) == found[:1]


def test_what_is_no_ongoing_service_deployment_is_not_rolled_back(subject: Subject) -> None:
    before = subject.service.describe()
    with pytest.raises(ConfigurationError):
        subject.service.roll_back("arn:aws:ecs:us-east-1:000000000000:service-deployment/nobody/nobody/x")
    assert subject.service.describe().deployments == before.deployments


def test_updating_to_what_is_live_starts_no_other_deployment(subject: Subject) -> None:
    before = subject.service.describe()
    assert subject.service.update(before.task_definition) == before.deployments[0].id
    assert [d.id for d in subject.service.describe().deployments] == [d.id for d in before.deployments]


def test_a_running_task_tells_definition_digest_and_address(subject: Subject) -> None:
    state = subject.service.describe()
    assert subject.until(lambda: len([t for t in subject.service.tasks() if t.alive]) == 1)
    (task,) = [task for task in subject.service.tasks() if task.alive]
    assert task.task_definition == state.task_definition
    assert task.image_digests == {CONTAINER: str(subject.image("good").digest)}
    assert subject.until(lambda: task.ip in {t.ip for t in subject.targets.states() if t.state == "healthy"})


def test_old_targets_drain_and_go(subject: Subject) -> None:
    old = {target.ip for target in subject.targets.states()}
    definition = subject.define("good-2")
    subject.service.update(definition)
    assert subject.settled(definition)
    assert subject.until(lambda: not old & {target.ip for target in subject.targets.states()})
    assert subject.until(lambda: len(subject.service.describe().deployments) == 1)


def test_a_missing_image_is_told_by_its_tasks_and_the_old_one_serves_on(subject: Subject) -> None:
    before = subject.service.describe().task_definition
    definition = subject.define("missing")
    subject.service.update(definition)

    def told() -> bool:
        tasks = [t for t in subject.service.tasks() if t.task_definition == definition and t.ended]
        return any("CannotPull" in f"{t.stopped_reason} {t.container_reasons}" for t in tasks)

    assert subject.until(told)
    assert subject.until(lambda: subject.service.describe().task_definition == before)
    assert [t for t in subject.service.tasks() if t.alive and t.task_definition == before]


def test_a_bad_release_on_the_heels_of_another_is_gone_back_from_as_well(subject: Subject) -> None:
    before = subject.service.describe().task_definition
    for mode in ("missing", "exits"):
        subject.service.update(subject.define(mode))
        assert subject.until(lambda: subject.service.describe().task_definition == before)
        assert [t for t in subject.service.tasks() if t.alive and t.task_definition == before]
    assert subject.settled(before)


def test_a_task_that_exits_leaves_code_and_log(subject: Subject) -> None:
    before = subject.service.describe().task_definition
    definition = subject.define("exits")
    subject.service.update(definition)

    def ended() -> bool:
        tasks = [t for t in subject.service.tasks() if t.task_definition == definition and t.ended]
        return any(
            t.exit_codes.get(CONTAINER) == 1 and "no licence file" in subject.service.log_lines(t.id, 5)
            for t in tasks
        )

    assert subject.until(ended)
    assert subject.until(lambda: subject.service.describe().task_definition == before)


def test_a_one_off_task_gives_its_exit_code_and_lines_and_is_no_task_of_the_service(subject: Subject) -> None:
    definition = subject.define("good-2")
    said: list[str] = []
    end = subject.service.run_once(definition, ["3"], "one-off-3", said.append)
    assert end.exit_code == 3
    assert "asked to end with 3" in end.log_lines
    assert "asked to end with 3" in said
    assert definition not in {task.task_definition for task in subject.service.tasks()}


def test_a_one_off_task_that_ended_well_is_taken_when_it_is_asked_for_again(subject: Subject) -> None:
    assert subject.service.run_once(subject.define("good"), ["0"], "one-off-0", print).exit_code == 0
    assert subject.service.run_once(subject.define("missing"), ["0"], "one-off-0", print).exit_code == 0
    assert subject.service.run_once(subject.define("missing"), ["0"], "one-off-1", print).exit_code is None


def test_an_unknown_task_has_no_log_lines(subject: Subject) -> None:
    assert list(subject.service.log_lines("0" * 32, 5)) == []


def test_scaling_to_zero_stops_every_task(subject: Subject) -> None:
    state = subject.service.describe()
    subject.service.update(state.task_definition, desired=0)
    assert subject.until(lambda: not [t for t in subject.service.tasks() if t.alive])
    assert subject.until(lambda: subject.service.describe().running == 0)
