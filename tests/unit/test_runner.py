from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from pipeline.errors import (
    BusyError,
    DetachedInterrupt,
    ExitCode,
    PipelineError,
    ShortCredentialError,
    UnavailableError,
    UndecidedError,
    UnfitError,
)
from pipeline.logbook import Ended, HalfwayInterrupt
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import Collected
from pipeline.model.limits import Limit
from pipeline.model.policy import Approval, GatePolicy, Override, Requirement
from pipeline.model.run import RunReport, StageReport
from pipeline.model.verdict import Outcome, Reason, Verdict
from pipeline.ports import Candidate, Plan, Progress, Source, StageResult
from pipeline.runner import Rules, RunInterrupt, Runner
from tests.fakes.clock import FakeClock
from tests.fakes.evidence import IMAGE, TRUST, MemoryBuildIndex, MemoryEvidenceStore, statement_of

STAGES = ("build", "integration", "staging", "prod")


@dataclass
class FakeStage:
    name: str
    clock: FakeClock
    environment: str = ""
    content: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome = Outcome.PASSED
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: BaseException | None = None
    plan_error: Exception | None = None
    stands: bool = True
    error_code: ExitCode | None = None
    begins: bool = True
    runs: int = 0
    waited_for: Callable[[], None] = lambda: None
    holds: list[str] = field(default_factory=list)

    @contextmanager
    def hold(self, candidate: Candidate) -> Iterator[None]:
        self.waited_for()
        self.holds.append("held")
        yield
        self.holds.append("free")

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
        return StageResult(verdict, {"n": self.runs}, self.metrics, image, self.error_code, self.begins)


class Lines:
    def step(self, text: str) -> None: ...
    def share(self, done: float, text: str) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass
class Recording:
    """A store whose records go through `attach`."""

    store: MemoryEvidenceStore
    attach: Callable[..., str]

    def collect(self, subject: ImageRef) -> Collected:
        return self.store.collect(subject)

    def subjects(self) -> Sequence[Digest]:
        return self.store.subjects()


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
    approval: Approval | None = None

    def runner(self) -> Runner:
        chain: list[Requirement] = []
        gates, standing = {}, {}
        for name in STAGES:
            gate = GatePolicy(name, "shop", tuple(chain), trust=TRUST, approval=self.approval)
            if chain:
                gates[name] = gate
            after = (chain[-1].stage,) if chain else ()
            own = Requirement(name, after=after, limits=self.limits if name == "staging" else {})
            standing[name] = replace(gate, requirements=(*chain, own), approval=None)
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

    def run(
        self, *only: str, fresh: bool = False, built: bool = False, override: Override | None = None
    ) -> RunReport:
        candidate = Candidate(Source("c" * 40), IMAGE if built else None)
        return self.runner().run(candidate, only=only, fresh=fresh, override=override)

    def says(self, stage: str, result: str, **facts: object) -> None:
        now = self.clock.now()
        self.store.attach(IMAGE, statement_of(stage, result=result, started=now, finished=now, facts=facts))

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


def test_what_was_refused_before_it_began_is_told_and_leaves_no_record(world: World) -> None:
    world.run()
    world.stages["prod"].outcome, world.stages["prod"].begins = Outcome.REFUSED, False
    before = world.store.collect(IMAGE)
    report = world.run("prod", built=True, fresh=True)
    assert (report.exit_code, report.stages[0].evidence) == (ExitCode.REFUSED, "")
    assert report.stages[0].reasons == (Reason("prod says so", "do this"),)
    assert report.stages[0].facts == {"n": 2}
    assert world.store.collect(IMAGE) == before


def test_what_became_known_while_somebody_was_waited_for_counts(world: World) -> None:
    world.run("build", "integration", "staging")
    prod = world.stages["prod"]
    prod.environment = "prod"
    prod.waited_for = lambda: world.says("quarantine", "FAILED", reason="it eats orders")
    report = world.run("prod", built=True)
    assert (report.exit_code, prod.runs) == (ExitCode.REFUSED, 0)
    assert "it eats orders" in report.stages[0].reasons[0].text
    assert report.stages[0].evidence == "", "nothing was begun"


def test_a_gate_that_is_open_still_when_the_environment_is_held_lets_it_go_on(world: World) -> None:
    world.run("build", "integration", "staging")
    prod = world.stages["prod"]
    prod.environment = "prod"
    assert (world.run("prod", built=True).outcome, prod.runs) == (Outcome.PASSED, 1)


def test_an_environment_is_held_until_its_record_is_written(world: World) -> None:
    world.run("build", "integration", "staging")
    prod = world.stages["prod"]
    attach = world.store.attach

    def noted(*arguments: Any) -> str:
        prod.holds.append("recorded")
        return attach(*arguments)

    runner = replace(world.runner(), evidence=Recording(world.store, noted))
    runner.run(Candidate(Source("c" * 40), IMAGE), only=("prod",))
    assert prod.holds == ["held", "recorded", "free"]


def test_an_environment_that_cannot_be_held_leaves_no_record(world: World) -> None:
    world.run("build", "integration", "staging")
    before = world.store.collect(IMAGE)

    def broken() -> None:
        raise UnavailableError("the table of leases does not answer", hint="wait")

    world.stages["prod"].waited_for = broken
    report = world.run("prod", built=True)
    assert (report.exit_code, world.stages["prod"].runs) == (ExitCode.UNAVAILABLE, 0)
    assert world.store.collect(IMAGE) == before


PROD = GatePolicy("prod", "shop", (), environment="prod", trust=TRUST)


def back(world: World, **stage: Any) -> RunReport:
    rollback = FakeStage("rollback", world.clock, "prod", **stage)
    return world.runner().roll_back(rollback, Candidate(Source(""), IMAGE), PROD)


def deployed(world: World, **changes: Any) -> str:
    now = world.clock.now()
    said = statement_of("prod", environment="prod", started=now, finished=now, **changes)
    return world.store.attach(IMAGE, said)


def test_a_rollback_stands_on_the_good_deployment_it_goes_back_to(world: World) -> None:
    good = deployed(world)
    report = back(world)
    assert (report.outcome, report.image) == (Outcome.PASSED, IMAGE)
    recorded = [found for found in world.store.collect(IMAGE).accepted if found.statement.stage == "rollback"]
    assert [found.id for found in recorded] == [report.stages[0].evidence]
    assert recorded[0].statement.inputs == {"prod": good}
    assert recorded[0].statement.facts["policy"] == PROD.hash
    assert world.watching.begun == ["rollback"]
    assert world.watching.ended == list(report.stages)


def test_a_rollback_to_what_never_ran_well_there_does_not_begin(world: World) -> None:
    deployed(world, result="FAILED")
    report = back(world)
    assert report.exit_code is ExitCode.REFUSED
    assert "no good deployment to prod on record" in report.stages[0].reasons[0].text
    assert len(world.store.collect(IMAGE).accepted) == 1


def test_a_rollback_whose_evidence_cannot_be_read_is_not_begun(world: World) -> None:
    world.store.unreadable = UnavailableError("the registry does not answer", hint="start it")
    report = back(world)
    assert (report.outcome, report.exit_code) == (Outcome.UNDECIDED, ExitCode.UNAVAILABLE)


def test_a_rollback_that_fails_is_on_record(world: World) -> None:
    deployed(world)
    report = back(world, outcome=Outcome.REFUSED, error_code=ExitCode.ROLLED_BACK)
    assert report.exit_code is ExitCode.ROLLED_BACK
    newest = world.store.collect(IMAGE).accepted[-1].statement
    assert (newest.stage, newest.result) == ("rollback", "FAILED")


def test_nothing_to_go_back_to_is_a_refusal_with_the_reasons(world: World) -> None:
    report = world.runner().refused("rollback", "prod", (Reason("nothing good", "promote one"),))
    assert (report.exit_code, report.image) == (ExitCode.REFUSED, None)
    assert report.stages[0].reasons == (Reason("nothing good", "promote one"),)
    assert world.watching.ended == list(report.stages)


def test_every_record_names_the_evidence_it_was_admitted_on(world: World) -> None:
    report = world.run()
    by_stage = {found.statement.stage: found for found in world.store.collect(IMAGE).accepted}
    assert by_stage["prod"].statement.inputs == {name: by_stage[name].id for name in STAGES[:3]}
    assert report.stages[-1].inputs == by_stage["prod"].statement.inputs
    assert world.run().stages[-1].inputs == by_stage["prod"].statement.inputs, "a reused record's, too"


def test_an_interrupted_run_tells_what_there_is_of_it_and_records_nothing_of_the_stage(world: World) -> None:
    world.stages["staging"].error = KeyboardInterrupt()
    with pytest.raises(RunInterrupt) as caught:
        world.run()
    report = caught.value.report
    assert [stage.name for stage in report.stages] == list(STAGES[:3])
    assert (report.outcome, report.exit_code, report.image) == (
        Outcome.UNDECIDED,
        ExitCode.INTERRUPTED,
        IMAGE,
    )
    last = report.stages[-1]
    assert (last.seconds, last.evidence, last.facts) == (10, "", {})
    assert last.reasons == (Reason("interrupted", "run the same command again"),)
    assert {found.statement.stage for found in world.store.collect(IMAGE).accepted} == set(STAGES[:2])


def test_an_interrupt_that_leaves_a_rollout_to_itself_says_so(world: World) -> None:
    world.stages["prod"].error = DetachedInterrupt()
    with pytest.raises(RunInterrupt) as caught:
        world.run()
    assert "detached, still running" in caught.value.report.stages[-1].reasons[0].text


def test_an_interrupt_between_two_waves_says_what_runs_where(world: World) -> None:
    told, facts = (
        Reason("interrupted: eu runs it; us runs what it ran", "run it again"),
        {"outcome": "stopped"},
    )
    world.stages["prod"].error = HalfwayInterrupt(Ended("stopped", (told,), facts))
    with pytest.raises(RunInterrupt) as caught:
        world.run()
    last = caught.value.report.stages[-1]
    assert (last.outcome, last.error_code) == (Outcome.UNDECIDED, ExitCode.INTERRUPTED)
    assert (last.reasons, last.facts, last.evidence) == ((told,), {"deployment": facts}, "")


def test_an_interrupted_rollback_is_told_too(world: World) -> None:
    deployed(world)
    with pytest.raises(RunInterrupt) as caught:
        back(world, error=KeyboardInterrupt())
    report = caught.value.report
    assert ([stage.name for stage in report.stages], report.image) == (["rollback"], IMAGE)
    assert report.exit_code is ExitCode.INTERRUPTED


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


def texts(report: RunReport) -> str:
    return " / ".join(reason.text for reason in report.stages[-1].reasons)


def test_every_record_says_by_which_rules_it_was_admitted(world: World) -> None:
    world.run()
    facts = {found.statement.stage: found.statement.facts for found in world.store.collect(IMAGE).accepted}
    gates = world.runner().rules.gates
    assert "policy" not in facts["build"]
    assert facts["integration"]["policy"] == gates["integration"].hash
    assert len({facts[name]["policy"] for name in STAGES[1:]}) == 3


@pytest.mark.parametrize("only", [STAGES, ("integration",), ("prod",)])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_quarantined_image_is_refused_by_every_stage_that_would_use_it(
    world: World, only: tuple[str, ...], fresh: bool
) -> None:
    world.run()
    world.says("quarantine", "FAILED", reason="leaks memory")
    if only == STAGES and fresh:
        only = STAGES[1:]  # a fresh build is another image
    report = world.run(*only, fresh=fresh, built=only != STAGES)
    assert report.exit_code is ExitCode.REFUSED
    assert "quarantined: leaks memory" in texts(report)
    assert world.runs() == [1, 1, 1, 1]


def test_the_source_of_a_quarantined_image_is_not_built_again_to_get_around_it(world: World) -> None:
    world.run()
    world.says("quarantine", "FAILED", reason="leaks memory")
    world.run()
    assert world.stages["build"].runs == 1


def test_a_quarantine_that_was_lifted_holds_nothing_back(world: World) -> None:
    world.run()
    world.says("quarantine", "FAILED", reason="leaks memory")
    world.clock.advance(1)
    world.says("quarantine", "PASSED")
    assert world.run().exit_code is ExitCode.DONE


OVERRIDE = Override("the fix cannot wait", "ada")


def test_a_gate_that_was_overridden_is_so_in_the_record_and_on_screen(world: World) -> None:
    world.run("build", "integration")
    report = world.run("prod", built=True, override=OVERRIDE)
    assert report.exit_code is ExitCode.DONE
    (record,) = [each for each in world.store.collect(IMAGE).accepted if each.statement.stage == "prod"]
    said = record.statement.facts["override"]
    assert (said["reason"], said["by"]) == ("the fix cannot wait", "ada")
    assert any("no staging evidence" in text for text in said["refused"])
    assert "forced by ada: the fix cannot wait" in texts(report)


def test_a_forced_run_that_could_not_decide_says_that_it_was_forced(world: World) -> None:
    world.run("build", "integration")
    world.stages["prod"].error = UnavailableError("ECS is down", hint="wait")
    report = world.run("prod", built=True, override=OVERRIDE)
    assert report.exit_code is ExitCode.UNAVAILABLE
    assert "forced by ada" in texts(report)
    assert report.stages[0].facts["override"]["by"] == "ada"


def test_a_forced_record_opens_nothing_by_itself(world: World) -> None:
    world.run("build", "integration")
    world.run("prod", built=True, override=OVERRIDE)
    assert world.run("prod", built=True).exit_code is ExitCode.REFUSED


def test_an_override_where_the_gate_is_open_overrides_nothing(world: World) -> None:
    world.run("build", "integration", "staging")
    report = world.run("prod", built=True, override=OVERRIDE)
    assert report.exit_code is ExitCode.DONE
    assert "override" not in report.stages[0].facts


@pytest.mark.parametrize(
    ("stage", "result", "why"),
    [("quarantine", "FAILED", "is quarantined"), ("build", "FAILED", "nobody who is trusted")],
)
def test_no_override_gets_past_what_bars_the_image(world: World, stage: str, result: str, why: str) -> None:
    world.run()
    world.clock.advance(1)
    world.says(stage, result)
    report = world.run("prod", built=True, fresh=True, override=OVERRIDE)
    assert report.exit_code is ExitCode.REFUSED
    assert why in texts(report)
    assert world.stages["prod"].runs == 1


def test_an_approval_is_asked_for_before_a_rollout_and_not_before_a_reuse(world: World) -> None:
    world.run()
    world.approval = Approval()
    assert world.run("prod", built=True).stages[0].reused
    report = world.run("prod", built=True, fresh=True)
    assert "is not approved" in texts(report)


def test_a_try_that_never_began_takes_nothing_away_from_what_is_on_record(world: World) -> None:
    world.run()
    world.stages["staging"].error = BusyError("staging is being changed by run 7", hint="wait")
    report = world.run("staging", fresh=True, built=True)
    assert (report.exit_code, report.stages[0].evidence) == (ExitCode.BUSY, "")
    assert world.runner().admission("prod", Candidate(Source(""), IMAGE)).verdict.passed


@pytest.mark.parametrize(
    "error",
    [
        BusyError("held by run 7", hint="wait"),
        UnfitError("no log group", hint="create it"),
        ShortCredentialError("the credential ends in 20 s", hint="renew it"),
    ],
)
def test_neither_a_held_nor_an_unfit_environment_takes_anything_away(
    world: World, error: PipelineError
) -> None:
    world.run()
    world.stages["staging"].error = error
    report = world.run("staging", fresh=True, built=True)
    assert (report.exit_code, report.stages[0].evidence) == (error.exit_code, "")
    assert error.message in texts(report)
    assert world.runner().admission("prod", Candidate(Source(""), IMAGE)).verdict.passed


def foreseen(world: World, stage: str, **asked: Any) -> StageReport | None:
    runs, kept = world.runs(), len(world.store.collect(IMAGE).accepted)
    found = world.runner().foresee(stage, Candidate(Source("c" * 40), IMAGE), **asked)
    assert (world.runs(), len(world.store.collect(IMAGE).accepted)) == (runs, kept), "looking changes nothing"
    return found


def test_a_stage_is_foreseen_without_being_run(world: World) -> None:
    world.run("build", "integration")
    refused = foreseen(world, "prod")
    assert refused is not None
    assert refused.outcome is Outcome.REFUSED
    assert foreseen(world, "prod", override=OVERRIDE) is None
    assert foreseen(world, "staging") is None
    world.run("staging", built=True)
    assert foreseen(world, "prod") is None
    reused = foreseen(world, "staging")
    assert reused is not None
    assert reused.reused
    assert foreseen(world, "staging", fresh=True) is None


def test_a_plan_that_cannot_be_made_is_foreseen_as_what_it_will_end_with(world: World) -> None:
    world.stages["staging"].plan_error = UnavailableError("no registry", hint="start it")
    found = foreseen(world, "staging")
    assert found is not None
    assert found.exit_code is ExitCode.UNAVAILABLE
