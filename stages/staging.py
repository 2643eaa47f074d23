"""staging: that digest is rolled out on staging, and Locust loads it beside what production runs; we judge both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.errors import ConfigurationError, PipelineError
from pipeline.model.alone import candidate_metrics, judge_alone, judge_relative_limits, strictest
from pipeline.model.baseline import WITHOUT, Baseline
from pipeline.model.digest import ImageRef
from pipeline.model.load import facts_of
from pipeline.model.sides import Sides
from pipeline.model.verdict import Outcome, Reason, Verdict
from pipeline.ports import Candidate, Held, LoadGenerator, Plan, Progress, Source, StageResult
from pipeline.rollout import RolloutOutcome, RolloutResult
from stages.deployment import Deployed, LoadTarget
from stages.files import hash_parts, hash_program
from stages.side_by_side import LoadPlan, Measured, Opponent, SideBySide

__all__ = ["LoadPlan", "StagingStage"]

_NONE = Baseline(why='load.baseline is "none"')


@dataclass(frozen=True, slots=True)
class StagingStage:
    """A rollout on staging, then load, beside what production runs where there is an `opponent`.

    `rehearse` gives the image that production would go back to, None where there is none; without it nothing is
    rehearsed. `keep` puts what was measured side by side beside the image.
    """

    target: LoadTarget
    load: LoadPlan
    generator: LoadGenerator
    rehearse: Callable[[], ImageRef | None] | None = None
    opponent: Opponent | None = None
    keep: Callable[[ImageRef, bytes], None] = lambda _image, _content: None

    @property
    def name(self) -> str:
        """`staging`."""
        return "staging"

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.target.name

    def plan(self, candidate: Candidate) -> Plan:
        """The image, the target, the locustfile with what lies beside it, the load's shape, and its rules; no limits.

        Limits are held against the record's metrics again by every gate. What a record cannot be judged by again is
        part of the plan: by which rules the sides were compared, and what was asked of the load generator. Not what is
        on the other side, which is on record. Production goes on meanwhile, last of all to this very digest, and what
        was measured stays measured.
        """
        shape = self.load.shape
        compared = {"rules": asdict(self.load.rules), "alone": self.load.solo}
        content = {
            "image": str(candidate.ref.digest),
            "target": dict(self.target.shape),
            "locustfile": hash_program(self.load.root, shape.locustfile, "locustfile"),
            "load": {
                "users": shape.users,
                "spawn_rate": shape.spawn_rate,
                "warmup": shape.warmup,
                "duration": shape.duration,
                "processes": shape.processes,
                "arrivals": shape.arrivals,
                "generator": asdict(self.load.generator),
                **({"front": self.load.front} if self.load.front else {}),
                **self._workers(),
                "compared": compared if self.opponent else None,
            },
        }
        return Plan(self.name, self.environment, content)

    def _workers(self) -> dict[str, Any]:
        """What the tasks that load are made of; nothing where this machine loads."""
        told = self.load.workers
        if told is None:
            return {}
        names = [name for name in (told["requirements"], *told["files"]) if name]
        contents = hash_parts(self.load.root, names, "file of load.workers")
        return {"workers": {**told, "contents": contents}}

    def standing(self, candidate: Candidate) -> Verdict:  # noqa: ARG002 – the protocol's signature
        """What was measured stays measured, whatever staging runs now."""
        return Verdict(self.name, Outcome.PASSED)

    def hold(self, candidate: Candidate) -> AbstractContextManager[Held]:
        """Holds the environment's lease."""
        digest = candidate.ref.digest
        return self.target.held(f"rollout and load of {digest.short}", str(digest))

    def run(self, candidate: Candidate, progress: Progress) -> StageResult:
        """Checks the locustfile, rolls out, rehearses the way back, loads, judges.

        What production runs is started beside it meanwhile, and taken down again whatever comes.
        """
        progress.step("checking the locustfile")
        try:
            self.generator.check(self.load.shape.locustfile)
        except ConfigurationError as error:
            return self.not_begun(error)
        with self.hold(candidate) as held:
            try:
                against = self.opponent.choose(candidate, progress.note) if self.opponent else _NONE
            except PipelineError as error:
                return self.not_begun(error)
            turn = _Turn(self, candidate, held, progress)
            image = against.image
            if self.opponent is None or image is None:
                if self.opponent:
                    # What a killed run left beside staging: no later one would take it over.
                    self.opponent.end(held, progress)
                progress.note(f"no baseline to compare with ({against.why}): absolute limits alone")
                return turn.alone(against)
            try:
                return turn.beside(self.opponent, image, against)
            finally:
                self.opponent.end(held, progress)

    def not_begun(self, error: PipelineError) -> StageResult:
        """Nothing has begun, so nothing is taken from what is on record."""
        verdict = Verdict(self.name, Outcome.UNDECIDED, (Reason(error.message, error.hint),))
        return StageResult(verdict, error_code=error.exit_code, began=False)


@dataclass(frozen=True, slots=True)
class _Turn:
    """One run of the stage, while staging is ours."""

    stage: StagingStage
    candidate: Candidate
    held: Held
    progress: Progress

    def alone(self, against: Baseline) -> StageResult:
        """Rolls out and loads the candidate alone."""
        facts, ended = self._rolled_out()
        return ended or self._result(facts, self._load(against), ())

    def beside(self, opponent: Opponent, image: ImageRef, against: Baseline) -> StageResult:
        """Has the opponent started, rolls out meanwhile, and loads both."""
        try:
            opponent.begin(against, self.held, self.progress)
        except PipelineError as error:
            return self.stage.not_begun(error)
        facts, ended = self._rolled_out()
        if ended:
            return ended
        self.progress.step("waiting for production's digest beside it")
        up = opponent.await_healthy(against, self.held, self.progress)
        baseline = {**against.facts, **_started(up)}
        if failed := _not_healthy(image, up):
            return StageResult(failed, {**facts, "comparison": {"baseline": baseline}})
        keep, load = self.stage.keep, self.stage.load
        sides = Sides(self.stage.target.base_url(), opponent.url())
        measured = SideBySide(
            self.stage.generator,
            load,
            sides,
            self.progress,
            lambda content: keep(self.candidate.ref, content),
        ).measure()
        measured.facts["comparison"]["baseline"] = baseline
        return self._result(facts, _saying(measured, against.not_compared), (opponent.runs(against),))

    def _result(self, facts: Mapping[str, Any], measured: Measured, more: Sequence[Verdict]) -> StageResult:
        """The verdict on what was measured, as long as what answered is still what should have."""
        verdict = measured.verdict
        changed = [after for after in (self.stage.target.runs(self.candidate), *more) if not after.passed]
        if changed:
            verdict = _of_something_else(changed)
        return StageResult(
            Verdict(self.stage.name, verdict.outcome, verdict.reasons),
            {**facts, **measured.facts},
            measured.metrics,
        )

    def _load(self, against: Baseline) -> Measured:
        self.progress.step("starting the load")
        load = self.stage.load
        directory = load.directory / "load"
        directory.mkdir(parents=True, exist_ok=True)
        url = self.stage.target.base_url()
        summary = self.stage.generator.run(load.shape, url, directory, self.progress)
        metrics = candidate_metrics(summary, None)
        verdicts = [judge_alone(summary, None, load.limits, load.generator)]
        if limited := judge_relative_limits(metrics, load.limits, against.why):
            verdicts.append(limited)
        verdict = strictest(verdicts)
        comparison = {"baseline": dict(against.facts)}
        measured = Measured(verdict, {"load": facts_of(summary), "comparison": comparison}, metrics)
        said = f"{against.why}; {against.not_compared}" if against.not_compared else against.why
        return _saying(measured, said, "absolute limits alone, ")

    def _rolled_out(self) -> tuple[dict[str, Any], StageResult | None]:
        """What goes on record of rollout and rehearsal; and how the stage ends where one of them failed."""
        deployed = self.stage.target.deploy(self.candidate, self.held, self.progress)
        if not deployed.verdict.passed:
            return {}, deployed.result
        rehearsed, failed = self._rehearsed()
        facts = {"deployment": dict(deployed.facts), **rehearsed}
        return facts, replace(failed.result, facts=facts) if failed else None

    def _rehearsed(self) -> tuple[dict[str, Any], Deployed | None]:
        """What goes on record of the rehearsal, and the rollout that failed in it, if one did.

        Production's image goes in, as it would after a failure, and the candidate comes back.
        """
        if self.stage.rehearse is None:
            return {}, None
        image = self.stage.rehearse()
        if image is None or image.digest == self.candidate.ref.digest:
            why = "it runs this digest" if image else "nothing is on record there"
            self.progress.note(f"no rollback to rehearse from production: {why}")
            return {"rehearsal": {"skipped": why}}, None
        self.progress.note(f"rehearsing the rollback to {image.digest.short}, which production runs")
        facts: dict[str, Any] = {"digest": str(image.digest)}
        for name, one in (("back", Candidate(Source(""), image)), ("again", self.candidate)):
            done = self.stage.target.restore(one, "", self.held, self.progress)
            facts[name] = dict(done.facts)
            if not done.verdict.passed:
                return {"rehearsal": facts}, _in_rehearsal(done)
        return {"rehearsal": facts}, None


def _in_rehearsal(failed: Deployed) -> Deployed:
    reasons = tuple(
        Reason(f"rehearsing the rollback: {reason.text}", reason.remedy) for reason in failed.verdict.reasons
    )
    return replace(failed, verdict=replace(failed.verdict, reasons=reasons), began=True)


def _saying(measured: Measured, not_compared: str, before: str = "") -> Measured:
    """The same; what passed says what it was not compared with."""
    if not not_compared or not measured.verdict.passed:
        return measured
    said = Reason(f"{before}not compared with production: {not_compared}")
    verdict = replace(measured.verdict, reasons=(*measured.verdict.reasons, said))
    return replace(measured, verdict=verdict)


def _started(up: Mapping[str, RolloutResult]) -> Mapping[str, Any]:
    """How the baseline came up, for the record: one rollout, or one for each service."""
    each = {name: dict(result.facts) for name, result in up.items()}
    return {"deployment": each[""]} if "" in each else {"deployments": each}


def _not_healthy(image: ImageRef, up: Mapping[str, RolloutResult]) -> Verdict | None:
    """The baseline says nothing of the candidate when it does not even run; None: all of it does."""
    why = f"the baseline {image.digest.short}, which production runs, is not healthy beside the candidate"
    for name, result in up.items():
        if result.outcome is not RolloutOutcome.SUCCEEDED:
            who = f"{why}: {name}" if name else why
            hint = f"see its log and mend that; {WITHOUT}"
            reasons = [Reason(f"{who}: {reason.text}", hint) for reason in result.reasons[:1]]
            told = [Reason(result.diagnosis)] if result.diagnosis else []
            return Verdict("staging", Outcome.UNDECIDED, (*reasons, *told))
    return None


def _of_something_else(changed: Sequence[Verdict]) -> Verdict:
    """What was measured says nothing of the candidate when something else answered, on either side."""
    reasons = (
        Reason(
            f"when the load was over, {reason.text}: what was measured may be something else",
            "see who changed the service meanwhile, then run the stage again",
        )
        for after in changed
        for reason in after.reasons
    )
    return Verdict("staging", Outcome.UNDECIDED, tuple(reasons))
