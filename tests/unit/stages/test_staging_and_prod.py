from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import (
    BusyError,
    ConfigurationError,
    DetachedError,
    DisplacedError,
    ExitCode,
    PipelineError,
    StuckError,
    UnavailableError,
    UnfitError,
)
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.limits import Limit
from pipeline.model.load import GeneratorLimits, LoadLimits, LoadShape
from pipeline.model.service import DeploymentState
from pipeline.model.verdict import Outcome, Reason
from pipeline.ports import StageResult
from pipeline.rollout import RolloutOutcome
from stages.prod import ProdStage
from stages.rollback import RollbackStage
from stages.staging import LoadPlan, StagingStage
from tests.fakes.environment import CANDIDATE, IMAGE, Service, Targets, World
from tests.fakes.load import FakeLoad, Measured, RecordedProgress

ENDS = {
    RolloutOutcome.SUCCEEDED: (Outcome.PASSED, ExitCode.DONE),
    RolloutOutcome.ROLLED_BACK: (Outcome.REFUSED, ExitCode.ROLLED_BACK),
    RolloutOutcome.FAILED_FIRST: (Outcome.REFUSED, None),
    RolloutOutcome.BEFORE_FAILED: (Outcome.REFUSED, None),
    RolloutOutcome.SUPERSEDED: (Outcome.UNDECIDED, ExitCode.BUSY),
}


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("end", list(RolloutOutcome))
def test_how_a_rollout_ends_is_how_prod_ends(world: World, end: RolloutOutcome) -> None:
    world.rollout.outcome = end
    result = ProdStage(world.environment("prod")).run(CANDIDATE, RecordedProgress())
    outcome, code = ENDS[end]
    assert result.outcome is outcome
    assert (result.error_code or ExitCode.DONE) == (code or ExitCode.DONE)
    assert result.verdict.reasons == (Reason("so it ended"),)


def test_only_a_good_rollout_is_kept_as_what_runs(world: World) -> None:
    ProdStage(world.environment("prod")).run(CANDIDATE, RecordedProgress())
    assert len(world.settled) == 1
    world.rollout.outcome = RolloutOutcome.ROLLED_BACK
    ProdStage(world.environment("prod")).run(CANDIDATE, RecordedProgress())
    assert len(world.settled) == 1


def test_an_environment_with_a_registry_of_its_own_runs_the_image_from_there(world: World) -> None:
    world.elsewhere = "localhost:6000/shop"
    progress = RecordedProgress()
    ProdStage(world.environment("prod")).run(CANDIDATE, progress)
    assert world.rollout.deployed == [ImageRef("localhost:6000/shop", IMAGE.digest)]


@pytest.mark.parametrize("stage", ["staging", "prod"])
def test_what_changes_an_environment_is_logged_and_made_with_its_lease(
    world: World, tmp_path: Path, stage: str
) -> None:
    if stage == "prod":
        ProdStage(world.environment("prod")).run(CANDIDATE, RecordedProgress())
    else:
        load = FakeLoad(tmp_path, {"GET /": Measured(2000, 20.0)})
        staging(world, tmp_path, load).run(CANDIDATE, RecordedProgress())
    assert world.log == [IMAGE]
    assert world.ours is not None
    assert [held for held in world.changing if held] == [world.ours]


def test_prod_is_held_while_it_changes(world: World) -> None:
    ProdStage(world.environment("prod")).run(CANDIDATE, RecordedProgress())
    assert world.held == ["rollout of " + "a" * 12, "free"]


def test_what_is_older_than_what_runs_is_refused_and_nothing_is_done(world: World) -> None:
    world.older = True
    result = ProdStage(world.environment("prod")).run(CANDIDATE, RecordedProgress())
    assert result.outcome is Outcome.REFUSED
    assert (result.error_code, result.began) == (None, False)
    assert result.verdict.reasons[0].text == "prod runs something newer"
    assert world.replaced == [frozenset({IMAGE.digest})]
    assert world.rollout.deployed == []


def test_the_order_of_releases_is_on_record(world: World) -> None:
    result = ProdStage(world.environment("prod")).run(CANDIDATE, RecordedProgress())
    assert result.facts["deployment"]["order"] == {"order": "newer"}


def back(world: World, definition: str = "arn:td:7") -> StageResult:
    stage = RollbackStage(world.environment("prod"), {"": definition}, "leaks", "ann")
    return stage.run(CANDIDATE, RecordedProgress())


def test_a_rollback_runs_the_recorded_definition_and_says_who_and_why(world: World) -> None:
    world.older = True
    result = back(world)
    assert result.outcome is Outcome.PASSED
    assert world.rollout.definitions == ["arn:td:7"]
    assert world.rollout.supersedes == [True], "what is in progress is what is gone back from"
    assert (result.facts["reason"], result.facts["by"]) == ("leaks", "ann")
    assert result.facts["deployment"]["outcome"] == "succeeded"
    assert world.held == ["rollback to " + "a" * 12, "free"]
    assert len(world.settled) == 1


def test_a_rollback_that_fails_ends_as_a_rollout_does(world: World) -> None:
    world.rollout.outcome = RolloutOutcome.ROLLED_BACK
    result = back(world)
    assert (result.outcome, result.error_code) == (Outcome.REFUSED, ExitCode.ROLLED_BACK)


def test_a_rollback_is_never_taken_as_done(world: World) -> None:
    stage = RollbackStage(world.environment("prod"), {"": "arn:td:7"}, "", "ann")
    assert (stage.name, stage.environment) == ("rollback", "prod")
    assert not stage.standing(CANDIDATE).passed
    other = RollbackStage(world.environment("prod"), {"": "arn:td:8"}, "", "ann")
    assert stage.plan(CANDIDATE).hash != other.plan(CANDIDATE).hash


OURS, OTHER = str(IMAGE.digest), "sha256:" + "b" * 64


@pytest.mark.parametrize(
    ("running", "health", "stands"),
    [
        ([OURS] * 2, ["healthy"] * 2, True),
        ([], [], False),
        ([OURS, OTHER], ["healthy"] * 2, False),
        ([OURS], ["healthy"], False),
        ([OURS] * 2, ["healthy", "unhealthy"], False),
        ([OURS] * 2, [], False),
    ],
    ids=["both", "none", "one of another digest", "one of two", "one unhealthy", "none a target"],
)
def test_prod_stands_only_where_every_task_there_should_be_serves_the_digest(
    world: World, running: list[str], health: list[str], *, stands: bool
) -> None:
    world.rollout.service = Service(running, desired=2)
    world.rollout.targets = Targets(health)
    assert ProdStage(world.environment("prod")).standing(CANDIDATE).passed is stands


def test_without_a_target_group_prod_stands_on_its_tasks(world: World) -> None:
    world.rollout.targets = None
    assert ProdStage(world.environment("prod")).standing(CANDIDATE).passed


def test_prod_does_not_stand_while_something_is_rolled_out(world: World) -> None:
    moving = DeploymentState("ecs-svc/2", "PRIMARY", "td:1", "IN_PROGRESS", "", 1, 1, 0)
    world.rollout.service = Service(deployments=(moving,))
    verdict = ProdStage(world.environment("prod")).standing(CANDIDATE)
    assert "ecs-svc/2 is in progress" in verdict.reasons[0].text


@pytest.mark.parametrize("newest", [None, Digest(OTHER)])
def test_prod_does_not_stand_on_a_record_that_a_later_rollout_made_old(
    world: World, newest: Digest | None
) -> None:
    world.recorded = newest
    assert not ProdStage(world.environment("prod")).standing(CANDIDATE).passed


def staging(world: World, tmp_path: Path, generator: FakeLoad) -> StagingStage:
    (tmp_path / "locustfile.py").write_text("class User: ...\nUser")
    shape = LoadShape(Path("locustfile.py"), 2, 2.0, 0.0, 5.0)
    limits = LoadLimits({"requests": Limit(min=100), "error_rate": Limit(max=0.01), "p95_ms": Limit(max=250)})
    return StagingStage(
        world.environment("staging"),
        LoadPlan(shape, tmp_path, limits, GeneratorLimits(), tmp_path),
        generator,
    )


def test_staging_loads_what_it_rolled_out_and_records_what_was_measured(world: World, tmp_path: Path) -> None:
    generator = FakeLoad(tmp_path, {"GET /": Measured(2000, 20.0)})
    result = staging(world, tmp_path, generator).run(CANDIDATE, RecordedProgress())
    assert result.outcome is Outcome.PASSED
    assert result.metrics["requests"] == 2000
    assert world.rollout.deployed == [IMAGE]
    assert result.facts["load"]["all"]["requests"] == 2000


def test_slow_answers_refuse(world: World, tmp_path: Path) -> None:
    generator = FakeLoad(tmp_path, {"GET /": Measured(2000, 1000.0)})
    result = staging(world, tmp_path, generator).run(CANDIDATE, RecordedProgress())
    assert result.outcome is Outcome.REFUSED
    assert "p95" in result.verdict.reasons[0].text


def test_too_few_requests_decide_nothing(world: World, tmp_path: Path) -> None:
    generator = FakeLoad(tmp_path, {"GET /": Measured(50, 1.0)})
    assert staging(world, tmp_path, generator).run(CANDIDATE, RecordedProgress()).outcome is Outcome.UNDECIDED


def test_a_rollout_that_fails_is_not_loaded(world: World, tmp_path: Path) -> None:
    world.rollout.outcome = RolloutOutcome.ROLLED_BACK
    generator = FakeLoad(tmp_path, {})
    result = staging(world, tmp_path, generator).run(CANDIDATE, RecordedProgress())
    assert (result.outcome, result.error_code) == (Outcome.REFUSED, ExitCode.ROLLED_BACK)
    assert not generator.ran


def test_something_older_is_not_staged(world: World, tmp_path: Path) -> None:
    world.older, generator = True, FakeLoad(tmp_path, {})
    result = staging(world, tmp_path, generator).run(CANDIDATE, RecordedProgress())
    assert (result.outcome, result.began, generator.ran) == (Outcome.REFUSED, False, [])


BEFORE = ImageRef("localhost:5000/shop", Digest("sha256:" + "d" * 64))


def rehearsing(world: World, tmp_path: Path, goes_back_to: ImageRef | None) -> StageResult:
    generator = FakeLoad(tmp_path, {"GET /": Measured(2000, 20.0)})
    stage = replace(staging(world, tmp_path, generator), rehearse=lambda: goes_back_to)
    return stage.run(CANDIDATE, RecordedProgress())


def test_the_rollback_is_rehearsed_before_the_load_back_and_forward(world: World, tmp_path: Path) -> None:
    result = rehearsing(world, tmp_path, BEFORE)
    assert result.outcome is Outcome.PASSED
    assert world.rollout.deployed == [IMAGE, BEFORE, IMAGE]
    assert world.rollout.supersedes == [False, False, False]
    rehearsal = result.facts["rehearsal"]
    assert rehearsal["digest"] == str(BEFORE.digest)
    assert (rehearsal["back"]["outcome"], rehearsal["again"]["outcome"]) == ("succeeded", "succeeded")
    assert result.facts["load"]


@pytest.mark.parametrize("there", [None, IMAGE], ids=["nothing", "the candidate"])
def test_with_nothing_else_in_production_no_rollback_is_rehearsed(
    world: World, tmp_path: Path, there: ImageRef | None
) -> None:
    result = rehearsing(world, tmp_path, there)
    assert (result.outcome, world.rollout.deployed) == (Outcome.PASSED, [IMAGE])
    assert "skipped" in result.facts["rehearsal"]


def test_a_rollback_that_fails_in_the_rehearsal_refuses_and_nothing_is_loaded(
    world: World, tmp_path: Path
) -> None:
    world.rollout.fails = {BEFORE: RolloutOutcome.ROLLED_BACK}
    result = rehearsing(world, tmp_path, BEFORE)
    assert (result.outcome, result.error_code) == (Outcome.REFUSED, ExitCode.ROLLED_BACK)
    assert result.verdict.reasons[0].text == "rehearsing the rollback: so it ended"
    assert result.facts["rehearsal"]["back"]["outcome"] == "rolled_back"
    assert "load" not in result.facts


def test_staging_is_held_until_the_load_is_over(world: World, tmp_path: Path) -> None:
    staging(world, tmp_path, FakeLoad(tmp_path, {"GET /": Measured(2000, 1.0)})).run(
        CANDIDATE, RecordedProgress()
    )
    assert world.held == ["rollout and load of " + "a" * 12, "free"]


def test_a_load_that_another_digest_answered_decides_nothing(world: World, tmp_path: Path) -> None:
    world.rollout.service.running = [OURS, OTHER]
    generator = FakeLoad(tmp_path, {"GET /": Measured(2000, 20.0)})
    result = staging(world, tmp_path, generator).run(CANDIDATE, RecordedProgress())
    assert result.outcome is Outcome.UNDECIDED
    assert OTHER in result.verdict.reasons[0].text
    assert result.metrics["requests"] == 2000


def test_what_the_locustfile_may_import_is_part_of_the_plan(world: World, tmp_path: Path) -> None:
    stage = staging(world, tmp_path, FakeLoad(tmp_path, {"GET /": Measured(1, 1.0)}))
    (tmp_path / "load").mkdir()
    (tmp_path / "load" / "locustfile.py").write_text("from journeys import User")
    shape = replace(stage.load.shape, locustfile=Path("load/locustfile.py"))
    stage = replace(stage, load=replace(stage.load, shape=shape))
    before = stage.plan(CANDIDATE).hash
    (tmp_path / "elsewhere.py").write_text("")
    assert stage.plan(CANDIDATE).hash == before
    (tmp_path / "load" / "journeys.py").write_text("class User: ...")
    assert stage.plan(CANDIDATE).hash != before


def test_limits_are_no_part_of_the_plan_the_locustfile_is(world: World, tmp_path: Path) -> None:
    stage = staging(world, tmp_path, FakeLoad(tmp_path, {"GET /": Measured(1, 1.0)}))
    before = stage.plan(CANDIDATE).hash
    tighter = replace(stage, load=replace(stage.load, limits=LoadLimits({"p95_ms": Limit(max=1)})))
    assert tighter.plan(CANDIDATE).hash == before
    (tmp_path / "locustfile.py").write_text("class User: ...\nOther = User")
    assert stage.plan(CANDIDATE).hash != before


def test_the_tasks_that_load_and_what_is_put_into_them_are_part_of_the_plan(
    world: World, tmp_path: Path
) -> None:
    here = staging(world, tmp_path, FakeLoad(tmp_path, {"GET /": Measured(1, 1.0)}))
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "names.csv").write_text("anne")
    (tmp_path / "own.txt").write_text("faker")
    told = {"tasks": 2, "requirements": "own.txt", "files": ["people"]}
    there = replace(here, load=replace(here.load, workers=told))
    hashes = [here.plan(CANDIDATE).hash, there.plan(CANDIDATE).hash]
    bare = {"tasks": 2, "requirements": "", "files": []}
    hashes.append(replace(here, load=replace(here.load, workers=bare)).plan(CANDIDATE).hash)
    (tmp_path / "people" / "names.csv").write_text("bert")
    hashes.append(there.plan(CANDIDATE).hash)
    (tmp_path / "own.txt").write_text("faker==1")
    hashes.append(there.plan(CANDIDATE).hash)
    assert len(set(hashes)) == 5


def test_a_locustfile_that_does_not_import_begins_nothing(world: World, tmp_path: Path) -> None:
    stage = staging(world, tmp_path, FakeLoad(tmp_path, {}))
    (tmp_path / "locustfile.py").write_text("class User:")
    result = stage.run(CANDIDATE, RecordedProgress())
    assert (result.outcome, result.error_code, result.began) == (
        Outcome.UNDECIDED,
        ExitCode.CONFIGURATION,
        False,
    )
    assert "does not import" in result.verdict.reasons[0].text
    assert world.rollout.deployed == []


def test_a_missing_locustfile_is_named(world: World, tmp_path: Path) -> None:
    stage = staging(world, tmp_path, FakeLoad(tmp_path, {"GET /": Measured(1, 1.0)}))
    (tmp_path / "locustfile.py").unlink()
    with pytest.raises(ConfigurationError, match=r"locustfile\.py"):
        stage.plan(CANDIDATE)


@pytest.mark.parametrize("name", ["staging", "prod"])
def test_an_environment_that_is_not_fit_is_left_alone(world: World, name: str, tmp_path: Path) -> None:
    world.unfit, world.elsewhere = "no log group", "localhost:6000/shop"
    progress = RecordedProgress()
    environment = world.environment(name)
    with (
        environment.held("a rollout", str(IMAGE.digest)) as held,
        pytest.raises(UnfitError, match="no log group"),
    ):
        environment.deploy(CANDIDATE, held, progress)
    assert world.rollout.deployed == []
    assert world.settled == []
    assert not any("taken to" in note for note in progress.notes), "nor is the image taken there"


def test_what_was_expected_is_recorded_beside_what_happened(world: World) -> None:
    progress = RecordedProgress()
    result = ProdStage(world.environment("prod")).run(CANDIDATE, progress)
    assert result.facts["deployment"]["predicted"] == {"healthy_s": 1.0}
    assert result.facts["deployment"]["outcome"] == "succeeded"
    assert "expected: at once" in progress.notes


def test_an_outage_before_anything_is_changed_takes_nothing_from_the_record(world: World) -> None:
    world.rollout.error = UnavailableError("ECS is down", hint="wait")
    for result in (ProdStage(world.environment("prod")).run(CANDIDATE, RecordedProgress()), back(world)):
        assert (result.outcome, result.error_code) == (Outcome.UNDECIDED, ExitCode.UNAVAILABLE)
        assert result.verdict.reasons == (Reason("ECS is down", "wait"),)
        assert not result.began


@pytest.mark.parametrize("family", [DetachedError, DisplacedError, StuckError, BusyError])
def test_an_error_of_a_rollout_that_had_begun_goes_on(world: World, family: type[PipelineError]) -> None:
    world.rollout.error = family("gone", hint="look")
    with pytest.raises(family):
        ProdStage(world.environment("prod")).run(CANDIDATE, RecordedProgress())
