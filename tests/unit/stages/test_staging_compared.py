"""Staging with a baseline beside the candidate."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ExitCode, PipelineError, UnavailableError, UndecidedError
from pipeline.model.baseline import Baseline
from pipeline.model.comparison_facts import marks_of
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.limits import Limit
from pipeline.model.load import GeneratorHealth, GeneratorLimits, LoadLimits, LoadShape, LoadSummary
from pipeline.model.looks import Looks
from pipeline.model.relative_rules import RelativeRules
from pipeline.model.sides import Block, Enough, PairSummary, Sides, Tally
from pipeline.model.stored_blocks import blocks_from_json
from pipeline.model.verdict import Outcome, Reason, Verdict
from pipeline.ports import Candidate, Held, Progress, Say, StageResult
from pipeline.rollout import RolloutOutcome, RolloutResult
from stages.side_by_side import LoadPlan
from stages.staging import StagingStage
from tests.fakes.environment import CANDIDATE, IMAGE, World
from tests.fakes.load import FakeLoad, Measured, RecordedProgress

PRODUCTION = ImageRef(IMAGE.repository, Digest("sha256:" + "b" * 64))
BASELINE_URL = "http://127.0.0.1:2"
SHAPE = LoadShape(Path("locustfile.py"), 2, 2.0, 0.0, 5.0)
LIMITS = LoadLimits({"requests": Limit(min=100), "error_rate": Limit(max=0.01), "p95_ms": Limit(max=250)})
STEADY = Measured(6_400, 20.0, spread=0.3)


@dataclass
class FakeOpponent:
    """See `stages.side_by_side.Opponent`; `told` is what it was asked to do, in order."""

    against: Baseline | PipelineError = field(default_factory=lambda: Baseline(PRODUCTION))
    outcome: RolloutOutcome = RolloutOutcome.SUCCEEDED
    trouble: PipelineError | None = None
    runs_at_the_end: bool = True
    told: list[str] = field(default_factory=list)

    def choose(self, candidate: Candidate, say: Say) -> Baseline:
        if isinstance(self.against, PipelineError):
            raise self.against
        return self.against

    def begin(self, against: Baseline, held: Held, progress: Progress) -> None:
        assert against.image is not None
        self.told.append(f"begin {against.image.digest.short}")
        if self.trouble:
            raise self.trouble

    def await_healthy(self, against: Baseline, held: Held, progress: Progress) -> Mapping[str, RolloutResult]:
        self.told.append("await")
        good = RolloutResult(RolloutOutcome.SUCCEEDED, (), "arn:aws:ecs:r:1:service/c/a")
        last = RolloutResult(
            self.outcome, (Reason("so it ended"),), "arn:aws:ecs:r:1:service/c/b", diagnosis="its last words"
        )
        *first, name = against.beside
        return {**dict.fromkeys(first, good), name: last}

    def url(self) -> str:
        return BASELINE_URL

    def runs(self, against: Baseline) -> Verdict:
        self.told.append("runs")
        outcome = Outcome.PASSED if self.runs_at_the_end else Outcome.UNDECIDED
        return Verdict("b", outcome, () if self.runs_at_the_end else (Reason("the baseline ran nothing"),))

    def end(self, held: Held, progress: Progress) -> None:
        self.told.append("end")


def together(one: Tally, other: Tally) -> Tally:
    return Tally(
        one.requests + other.requests,
        one.failures + other.failures,
        one.histogram.merge(other.histogram),
    )


@dataclass
class TwoSided(FakeLoad):
    """What is measured alone is measured of the side that is asked; `alone` holds what a side answers alone."""

    alone: Mapping[str, list[float]] = field(default_factory=dict)
    health_alone: Mapping[str, GeneratorHealth] = field(default_factory=dict)
    late: Measured | None = None
    """What the candidate answers besides, but only after the looks."""

    def run(self, shape: LoadShape, base_url: str, directory: Path, progress: Progress) -> LoadSummary:
        side = "baseline" if base_url == BASELINE_URL else "candidate"
        answers = self.baseline if side == "baseline" and self.baseline else self.endpoints
        told = self.alone.get(side)
        if told:
            answers = {name: replace(each, latency=told.pop(0)) for name, each in answers.items()}
        one = FakeLoad(self.root, answers, self.health_alone.get(side, self.health), ran=self.ran)
        return one.run(shape, base_url, directory, progress)

    def compare(
        self, shape: LoadShape, sides: Sides, directory: Path, progress: Progress, enough: Enough
    ) -> PairSummary:
        def asked(blocks: Sequence[Block], seconds: float) -> bool:
            done = enough(blocks, seconds)
            progress.share(seconds / shape.duration, "80 req/s")
            return done

        pair = super().compare(shape, sides, directory, progress, asked)
        if self.late is None:
            return pair
        count = len(pair.blocks)
        blocks = [
            replace(block, candidate={"GET /": together(block.candidate["GET /"], self.late.tally(n, count))})
            for n, block in enumerate(pair.blocks)
        ]
        return replace(pair, blocks=blocks)


@dataclass
class Bench:
    """A staging stage with an opponent, and what it did."""

    folder: Path
    world: World = field(default_factory=World)
    opponent: FakeOpponent = field(default_factory=FakeOpponent)
    load: TwoSided = field(default_factory=TwoSided)
    limits: LoadLimits = LIMITS
    rules: RelativeRules = field(default_factory=RelativeRules)
    kept: list[bytes] = field(default_factory=list)
    registry: PipelineError | None = None
    progress: RecordedProgress = field(default_factory=RecordedProgress)

    def keep(self, image: ImageRef, content: bytes) -> None:
        assert image == IMAGE
        if self.registry:
            raise self.registry
        self.kept.append(content)

    def stage(self) -> StagingStage:
        (self.folder / "locustfile.py").write_text("class User: ...\nUser")
        return StagingStage(
            self.world.environment("staging"),
            LoadPlan(SHAPE, self.folder, self.limits, GeneratorLimits(), self.folder, self.rules),
            self.load,
            opponent=self.opponent,
            keep=self.keep,
        )

    def run(self) -> StageResult:
        return self.stage().run(CANDIDATE, self.progress)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, load=TwoSided(tmp_path, {"GET /": STEADY}))


def slower(by: float) -> dict[str, Measured]:
    return {"GET /": replace(STEADY, latency=STEADY.latency / by)}


def test_what_is_as_fast_as_production_passes_and_both_were_loaded_side_by_side_then_alone(
    bench: Bench,
) -> None:
    result = bench.run()
    assert result.outcome is Outcome.PASSED
    (sides,) = bench.load.compared
    assert (sides.candidate, sides.baseline) == ("http://127.0.0.1:1", BASELINE_URL)
    assert bench.load.ran == ["http://127.0.0.1:1", BASELINE_URL]
    assert bench.opponent.told == ["begin " + "b" * 12, "await", "runs", "end"]
    assert bench.world.rollout.deployed == [IMAGE], "the baseline is no rollout of staging"


def test_the_record_says_what_it_was_compared_with_and_how(bench: Bench) -> None:
    result = bench.run()
    comparison = result.facts["comparison"]
    assert comparison["baseline"]["digest"] == str(PRODUCTION.digest)
    assert comparison["baseline"]["deployment"]["outcome"] == "succeeded"
    assert comparison["all"]["outcome"] == "passed"
    assert comparison["solo"]["baseline"]["all"]["requests"] == STEADY.requests
    assert result.facts["load"]["all"]["requests"] == STEADY.requests
    assert result.metrics["p95_ratio"] == pytest.approx(1.0, abs=0.02)
    json.dumps(result.facts, allow_nan=False)


def test_a_candidate_slower_than_production_is_refused_and_not_measured_alone(bench: Bench) -> None:
    bench.load.baseline = slower(by=1.5)
    result = bench.run()
    assert result.outcome is Outcome.REFUSED
    assert "p50 of all requests is 1.5" in result.verdict.reasons[0].text
    assert bench.load.ran == []
    assert result.facts["comparison"]["solo"] == {"skipped": "refused side by side already"}
    assert result.metrics["p50_ratio"] == pytest.approx(1.5, abs=0.02)
    assert bench.opponent.told[-1] == "end"


def test_a_quantile_that_the_load_is_too_light_for_is_told_at_the_first_look_and_in_the_end(
    bench: Bench,
) -> None:
    bench.rules = RelativeRules(percentiles=("p50", "p99"))
    bench.load.endpoints = {"GET /": replace(STEADY, requests=3_200)}
    result = bench.run()
    assert result.outcome is Outcome.UNDECIDED
    (warning,) = [note for note in bench.progress.notes if "will probably stay undecided" in note]
    assert warning.startswith("p99 of all requests will probably stay undecided")
    assert "raise load.max_duration to about" in warning
    assert "requests/s a side that is about" in result.verdict.reasons[0].text
    assert result.verdict.reasons[0].remedy.startswith("raise load.max_duration to about")


def test_the_verdict_can_be_worked_out_again_from_what_was_stored(bench: Bench) -> None:
    bench.load.baseline = slower(by=1.5)
    result = bench.run()
    comparison: Mapping[str, Any] = result.facts["comparison"]
    content = (bench.folder / comparison["stored"]["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == comparison["stored"]["sha256"]
    assert bench.kept == [content]
    blocks = blocks_from_json(json.loads(gzip.decompress(content)))
    again = Looks.replay(RelativeRules(), blocks, marks_of(comparison))
    assert again.last is not None
    assert again.last.outcome is result.outcome
    assert again.last.reason.text == result.verdict.reasons[0].text


def test_answers_that_nobody_waited_for_any_more_count_in_the_end(bench: Bench) -> None:
    """Every tenth answer of the candidate comes when its block has been looked at already."""
    bench.load.late = Measured(640, 6_000.0)
    bench.load.alone = {"candidate": [20.0], "baseline": [20.0]}
    result = bench.run()
    assert result.outcome is Outcome.REFUSED
    assert "p95 of all requests" in result.verdict.reasons[0].text
    assert result.metrics["p95_ratio"] > 100


def test_blocks_that_the_registry_does_not_take_stay_in_the_runs_folder(bench: Bench) -> None:
    bench.registry = UnavailableError("the registry is away", hint="wait")
    result = bench.run()
    assert result.outcome is Outcome.PASSED
    assert result.facts["comparison"]["stored"]["attached"] is False
    assert any("the registry is away" in note for note in bench.progress.notes)


def test_what_is_much_slower_alone_is_measured_once_more_and_then_refused(bench: Bench) -> None:
    bench.load.alone = {"candidate": [60.0, 60.0]}
    result = bench.run()
    assert result.outcome is Outcome.REFUSED
    assert "alone is 3.0" in result.verdict.reasons[0].text
    assert [url == BASELINE_URL for url in bench.load.ran] == [False, True, True, False]
    assert result.facts["comparison"]["solo_before"]["candidate"]["all"]["p50_ms"] == pytest.approx(
        60, rel=0.01
    )


def test_what_is_much_slower_alone_only_once_passes(bench: Bench) -> None:
    bench.load.alone = {"candidate": [60.0, 20.0]}
    result = bench.run()
    assert (result.outcome, len(bench.load.ran)) == (Outcome.PASSED, 4)
    assert result.facts["load"]["all"]["p50_ms"] == pytest.approx(20, rel=0.01)


def test_the_absolute_limits_are_held_against_the_candidate_alone(bench: Bench) -> None:
    bench.load.alone = {"candidate": [300.0], "baseline": [290.0]}
    result = bench.run()
    assert result.outcome is Outcome.REFUSED
    assert "p95 of all requests was 3" in result.verdict.reasons[0].text


def test_requests_of_both_phases_count_for_the_least_number_of_them(bench: Bench) -> None:
    bench.limits = replace(LIMITS, total={**LIMITS.total, "requests": Limit(min=STEADY.requests + 100)})
    result = bench.run()
    assert result.outcome is Outcome.PASSED
    assert result.metrics["requests"] > STEADY.requests + 100
    bench.limits = replace(LIMITS, total={**LIMITS.total, "requests": Limit(min=10 * STEADY.requests)})
    assert bench.run().outcome is Outcome.UNDECIDED


@pytest.mark.parametrize(
    ("most", "outcome"), [(1.1, Outcome.PASSED), (0.9, Outcome.REFUSED)], ids=["within", "above"]
)
def test_a_ratio_can_be_limited_like_any_other_metric(bench: Bench, most: float, outcome: Outcome) -> None:
    bench.limits = replace(LIMITS, total={**LIMITS.total, "p95_ratio": Limit(max=most)})
    assert bench.run().outcome is outcome


STARVED = GeneratorHealth(cpu_share=0.95, lag_share=0.02, delivered_share=1.0)


@pytest.mark.parametrize("phase", ["side by side", "candidate", "baseline"])
def test_a_generator_that_was_the_bottleneck_in_any_phase_decides_nothing(bench: Bench, phase: str) -> None:
    if phase == "side by side":
        bench.load.health = STARVED
    else:
        bench.load.health_alone = {phase: STARVED}
    result = bench.run()
    assert result.outcome is Outcome.UNDECIDED
    assert "0.95" in result.verdict.reasons[0].text


@pytest.mark.parametrize("why", ["nothing runs in production yet", "production runs this very digest"])
def test_without_a_baseline_the_absolute_limits_decide_and_it_is_said(bench: Bench, why: str) -> None:
    bench.opponent.against = Baseline(why=why)
    result = bench.run()
    assert result.outcome is Outcome.PASSED
    assert why in result.verdict.reasons[-1].text
    assert result.facts["comparison"] == {"baseline": {"skipped": why}}
    assert any(why in note for note in bench.progress.notes)
    assert bench.opponent.told == ["end"], "what a killed run left is taken down"


def test_a_limit_on_a_ratio_is_not_met_where_nothing_was_compared(bench: Bench) -> None:
    bench.opponent.against = Baseline(why="nothing runs in production yet")
    bench.limits = replace(LIMITS, total={**LIMITS.total, "p95_ratio": Limit(max=1.1)})
    result = bench.run()
    assert result.outcome is Outcome.UNDECIDED
    assert "p95_ratio was not measured: nothing runs in production yet" in result.verdict.reasons[0].text


def test_what_production_runs_not_being_clear_begins_nothing(bench: Bench) -> None:
    bench.opponent.against = UndecidedError("production runs several digests", hint="wait")
    result = bench.run()
    assert (result.outcome, result.error_code, result.began) == (Outcome.UNDECIDED, ExitCode.UNDECIDED, False)
    assert bench.world.rollout.deployed == []


def test_a_baseline_that_cannot_be_begun_begins_nothing_and_is_taken_down_all_the_same(bench: Bench) -> None:
    bench.opponent.trouble = UnavailableError("ECS does not answer", hint="wait")
    result = bench.run()
    assert (result.outcome, result.error_code, result.began) == (
        Outcome.UNDECIDED,
        ExitCode.UNAVAILABLE,
        False,
    )
    assert bench.opponent.told[-1] == "end"
    assert bench.world.rollout.deployed == []


@pytest.mark.parametrize("end", sorted({*RolloutOutcome} - {RolloutOutcome.SUCCEEDED}, key=str))
def test_a_baseline_that_does_not_come_up_decides_nothing_and_is_explained(
    bench: Bench, end: RolloutOutcome
) -> None:
    bench.opponent.outcome = end
    result = bench.run()
    assert (result.outcome, result.error_code) == (Outcome.UNDECIDED, None)
    assert "so it ended" in result.verdict.reasons[0].text
    assert result.verdict.reasons[1].text == "its last words"
    assert bench.load.compared == []
    assert bench.opponent.told[-1] == "end"


SERVICES = {"web": Digest("sha256:" + "c" * 64), "api": Digest("sha256:" + "d" * 64)}
LEFT_OUT = {"mail": "production's release has none"}


def test_of_several_services_the_record_says_which_stood_beside_it_and_the_verdict_which_did_not(
    bench: Bench,
) -> None:
    bench.opponent.against = Baseline(PRODUCTION, services=SERVICES, left_out=LEFT_OUT)
    result = bench.run()
    assert result.outcome is Outcome.PASSED
    baseline = result.facts["comparison"]["baseline"]
    assert baseline["services"] == {name: str(digest) for name, digest in SERVICES.items()}
    assert {name: one["outcome"] for name, one in baseline["deployments"].items()} == dict.fromkeys(
        SERVICES, "succeeded"
    )
    assert baseline["left_out"] == LEFT_OUT
    said = "not compared with production: mail (production's release has none)"
    assert result.verdict.reasons[-1].text == said


def test_a_service_of_several_that_does_not_come_up_decides_nothing_and_is_named(bench: Bench) -> None:
    bench.opponent.against = Baseline(PRODUCTION, services=SERVICES, left_out=LEFT_OUT)
    bench.opponent.outcome = RolloutOutcome.FAILED_FIRST
    result = bench.run()
    assert result.outcome is Outcome.UNDECIDED
    assert "not healthy beside the candidate: api: so it ended" in result.verdict.reasons[0].text
    assert bench.load.compared == []


def test_a_refusal_does_not_speak_of_what_was_not_compared(bench: Bench) -> None:
    bench.opponent.against = Baseline(PRODUCTION, services=SERVICES, left_out=LEFT_OUT)
    bench.load.baseline = slower(by=2.0)
    result = bench.run()
    assert result.outcome is Outcome.REFUSED
    assert not [reason for reason in result.verdict.reasons if "not compared" in reason.text]


def test_where_none_of_several_services_is_compared_each_is_told_with_its_reason(bench: Bench) -> None:
    bench.opponent.against = Baseline(why="production has no service web", left_out=LEFT_OUT)
    result = bench.run()
    assert result.outcome is Outcome.PASSED
    assert result.verdict.reasons[-1].text == (
        "absolute limits alone, not compared with production: production has no service web; "
        "mail (production's release has none)"
    )


def test_a_candidate_that_does_not_come_up_is_refused_and_the_baseline_taken_down(bench: Bench) -> None:
    bench.world.rollout.outcome = RolloutOutcome.ROLLED_BACK
    result = bench.run()
    assert (result.outcome, result.error_code) == (Outcome.REFUSED, ExitCode.ROLLED_BACK)
    assert bench.opponent.told == ["begin " + "b" * 12, "end"]


def test_an_error_in_the_load_takes_the_baseline_down(bench: Bench) -> None:
    bench.load.endpoints, bench.load.baseline = {}, {}
    with pytest.raises(UndecidedError):
        bench.run()
    assert bench.opponent.told[-1] == "end"


def test_a_baseline_that_ran_something_else_at_the_end_decides_nothing(bench: Bench) -> None:
    bench.opponent.runs_at_the_end = False
    result = bench.run()
    assert result.outcome is Outcome.UNDECIDED
    assert "the baseline ran nothing" in result.verdict.reasons[0].text


def test_the_plan_knows_how_but_not_with_what_it_is_compared(bench: Bench) -> None:
    stage = bench.stage()
    before = stage.plan(CANDIDATE).hash
    bench.opponent.against = Baseline(why="nothing runs in production yet")
    assert stage.plan(CANDIDATE).hash == before
    assert replace(stage, opponent=None).plan(CANDIDATE).hash != before


@pytest.mark.parametrize(
    "changed",
    [
        {"rules": RelativeRules(max_duration=99.0)},
        {"rules": RelativeRules(every=4.0)},
        {"rules": RelativeRules(tolerance=0.2)},
        {"rules": RelativeRules(exclude=0.5)},
        {"rules": RelativeRules(confidence=0.9)},
        {"rules": RelativeRules(percentiles=("p50",))},
        {"rules": RelativeRules(min_delta_ms=50.0)},
        {"rules": RelativeRules(max_error_increase=0.01)},
        {"generator": GeneratorLimits(max_cpu=1.0)},
        {"solo": 1.0},
    ],
)
def test_a_pass_by_other_rules_of_comparison_is_none_by_todays(
    bench: Bench, changed: Mapping[str, Any]
) -> None:
    stage = bench.stage()
    other = replace(stage, load=replace(stage.load, **changed))
    assert other.plan(CANDIDATE).hash != stage.plan(CANDIDATE).hash


def test_a_pass_of_another_front_is_none_of_todays(bench: Bench) -> None:
    stage = bench.stage()
    web, api = (replace(stage, load=replace(stage.load, front=name)) for name in ("web", "api"))
    assert len({one.plan(CANDIDATE).hash for one in (stage, web, api)}) == 3


def test_while_it_is_compared_people_see_the_ratio(bench: Bench) -> None:
    bench.run()
    texts = [text for _, text in bench.progress.shares]
    compared = [text for text in texts if text.endswith(" · candidate 25.4 ms · production 25.4 ms")]
    assert any(text.startswith("p95 1.00 × (") for text in compared), texts
    assert any("alone" in text for text in texts)
