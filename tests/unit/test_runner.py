from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipeline.errors import ExitCode, UnavailableError, UndecidedError
from pipeline.model.limits import Limit
from pipeline.model.policy import GatePolicy, Requirement
from pipeline.model.run import RunReport, StageReport
from pipeline.model.verdict import Outcome, Reason, Verdict
from pipeline.ports import Candidate, Plan, Progress, Source, StageResult
from pipeline.runner import Rules, Runner
from tests.fakes.clock import FakeClock
from tests.fakes.evidence import IMAGE, MemoryBuildIndex, MemoryEvidenceStore

STAGES = ("build", "integration", "staging", "prod")


@dataclass
class FakeStage:
    name: str
    clock: FakeClock
    environment: str = ""
    content: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome = Outcome.PASSED
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: Exception | None = None
    plan_error: Exception | None = None
    stands: bool = True
    error_code: ExitCode | None = None
    runs: int = 0

    def plan(self, candidate: Candidate) -> Plan:
        if self.plan_error:
            raise self.plan_error
        return Plan(self.name, self.environment, self.content)

    def standing(self, candidate: Candidate) -> Verdict:
        return Verdict(self.name, Outcome.PASSED if self.stands else Outcome.REFUSED)

    def run(self, candidate: Candidate, progress: Progress) -> StageResult:
        self.runs += 1
        self.clock.advance(10)
        if self.error:
            raise self.error
        verdict = Verdict(self.name, self.outcome, (Reason(f"{self.name} says so", "do this"),))
        image = IMAGE if self.name == "build" else None
        return StageResult(verdict, {"n": self.runs}, self.metrics, image, self.error_code)


class Lines:
    def step(self, text: str) -> None: ...
    def share(self, done: float, text: str) -> None: ...
    def note(self, text: str) -> None: ...


class Watching:
    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[StageReport] = []

    def begin(self, stage: str) -> Lines:
        self.begun.append(stage)
        return Lines()

    def end(self, report: StageReport) -> None:
        self.ended.append(report)


@dataclass
class World:
    clock: FakeClock
    stages: dict[str, FakeStage]
    store: MemoryEvidenceStore
    watching: Watching
    limits: dict[str, Limit]
    builds: MemoryBuildIndex

    def runner(self) -> Runner:
        chain: list[Requirement] = []
        gates, standing = {}, {}
        for name in STAGES:
            if chain:
                gates[name] = GatePolicy(name, "shop", tuple(chain))
            after = (chain[-1].stage,) if chain else ()
            own = Requirement(name, after=after, limits=self.limits if name == "staging" else {})
            standing[name] = own
            chain.append(own)
        return Runner(
            tuple(self.stages.values()),
            Rules(gates, standing),
            self.store,
            self.builds,
            self.clock,
            self.watching,
            "shop",
            "run-1",
        )

    def run(self, *only: str, fresh: bool = False, built: bool = False) -> RunReport:
        candidate = Candidate(Source("c" * 40), IMAGE if built else None)
        return self.runner().run(candidate, only=only, fresh=fresh)

    def runs(self) -> list[int]:
        return [stage.runs for stage in self.stages.values()]


@pytest.fixture
def world() -> World:
    clock = FakeClock()
    stages = {name: FakeStage(name, clock) for name in STAGES}
    return World(clock, stages, MemoryEvidenceStore(), Watching(), {}, MemoryBuildIndex())


def outcomes(report: RunReport) -> list[tuple[str, Outcome, bool]]:
    return [(stage.name, stage.outcome, stage.reused) for stage in report.stages]


def test_four_stages_pass_one_digest_on(world: World) -> None:
    report = world.run()
    assert outcomes(report) == [(name, Outcome.PASSED, False) for name in STAGES]
    assert (report.image, report.exit_code, report.outcome) == (IMAGE, ExitCode.DONE, Outcome.PASSED)
    assert world.watching.begun == list(STAGES)


def test_every_record_names_the_evidence_it_was_admitted_on(world: World) -> None:
    world.run()
    by_stage = {found.statement.stage: found for found in world.store.collect(IMAGE).accepted}
    assert by_stage["prod"].statement.inputs == {name: by_stage[name].id for name in STAGES[:3]}


def test_a_second_run_reuses_every_stage_and_says_why(world: World) -> None:
    world.run()
    report = world.run()
    assert [stage.reused for stage in report.stages] == [True] * 4
    assert all("PASSED at" in stage.reasons[0].text for stage in report.stages)
    assert all(stage.evidence for stage in report.stages)
    assert world.runs() == [1, 1, 1, 1]


def test_fresh_runs_every_stage_again(world: World) -> None:
    world.run()
    assert not any(stage.reused for stage in world.run(fresh=True).stages)


def test_a_changed_test_runs_that_stage_and_what_comes_after_it(world: World) -> None:
    world.run()
    world.stages["integration"].content = {"tests": "other"}
    report = world.run()
    assert [stage.reused for stage in report.stages] == [True, False, False, False]


def test_a_tightened_limit_is_judged_on_the_record_that_is_there(world: World) -> None:
    world.stages["staging"].metrics = {"p95_ms": 200.0}
    world.limits["p95_ms"] = Limit(max=250)
    world.run()
    world.limits["p95_ms"] = Limit(max=100)
    report = world.run("prod", built=True)
    assert report.exit_code is ExitCode.REFUSED
    assert "200" in report.stages[0].reasons[0].text
    assert world.stages["staging"].runs == 1


@pytest.mark.parametrize(
    ("outcome", "code"), [(Outcome.REFUSED, ExitCode.REFUSED), (Outcome.UNDECIDED, ExitCode.UNDECIDED)]
)
def test_a_stage_that_does_not_pass_ends_the_run_and_is_recorded(
    world: World, outcome: Outcome, code: ExitCode
) -> None:
    world.stages["integration"].outcome = outcome
    report = world.run()
    assert report.exit_code is code
    assert world.runs() == [1, 1, 0, 0]
    results = {found.statement.stage: found.statement.result for found in world.store.collect(IMAGE).accepted}
    assert results["integration"] == {"REFUSED": "FAILED"}.get(outcome.name, "UNDECIDED")


def test_a_failed_stage_is_run_again_next_time(world: World) -> None:
    world.stages["staging"].outcome = Outcome.REFUSED
    world.run()
    world.stages["staging"].outcome = Outcome.PASSED
    assert [stage.reused for stage in world.run().stages] == [True, True, False, False]


def test_a_digest_without_evidence_is_refused_at_the_gate_and_nothing_runs(world: World) -> None:
    report = world.run("prod", built=True)
    assert report.exit_code is ExitCode.REFUSED
    assert "no staging evidence" in " ".join(reason.text for reason in report.stages[0].reasons)
    assert world.runs() == [0, 0, 0, 0]
    assert not world.store.collect(IMAGE).accepted


def test_could_not_decide_is_recorded_as_undecided_with_its_own_exit_code(world: World) -> None:
    world.stages["integration"].error = UnavailableError("no Docker", hint="start it")
    report = world.run()
    assert (report.outcome, report.exit_code) == (Outcome.UNDECIDED, ExitCode.UNAVAILABLE)
    assert report.stages[-1].reasons == (Reason("no Docker", "start it"),)
    assert report.stages[-1].evidence


def test_a_build_that_fails_leaves_no_record_since_there_is_no_digest(world: World) -> None:
    world.stages["build"].error = UndecidedError("no", hint="yes")
    report = world.run()
    assert (report.image, report.stages[0].evidence, report.exit_code) == (None, "", ExitCode.UNDECIDED)


def test_a_plan_that_cannot_be_made_ends_the_run_without_a_record(world: World) -> None:
    world.stages["staging"].plan_error = UndecidedError("no locustfile", hint="write one")
    report = world.run()
    assert outcomes(report)[-1] == ("staging", Outcome.UNDECIDED, False)
    assert world.stages["staging"].runs == 0
    assert len(world.store.collect(IMAGE).accepted) == 2


def test_what_cannot_be_recorded_does_not_count(world: World) -> None:
    world.run("build")
    world.store.broken = UnavailableError("disk full", hint="free space")
    report = world.run("integration", built=True)
    assert (report.outcome, report.exit_code) == (Outcome.UNDECIDED, ExitCode.UNAVAILABLE)
    assert "not recorded: disk full" in report.stages[0].reasons[-1].text


def test_a_record_that_the_world_no_longer_bears_out_is_not_reused(world: World) -> None:
    world.run()
    world.stages["prod"].stands = False
    assert [stage.reused for stage in world.run().stages] == [True, True, True, False]


def test_a_rollback_gives_its_own_exit_code(world: World) -> None:
    world.stages["prod"].outcome = Outcome.REFUSED
    world.stages["prod"].error_code = ExitCode.ROLLED_BACK
    assert world.run().exit_code is ExitCode.ROLLED_BACK


def test_a_run_of_nothing_is_undecided() -> None:
    report = RunReport("r", ())
    assert (report.outcome, report.exit_code) == (Outcome.UNDECIDED, ExitCode.UNDECIDED)


def test_a_change_before_the_build_means_a_new_build(world: World) -> None:
    world.run()
    world.stages["build"].content = {"files": "other"}
    assert world.run().stages[0].reused is False
