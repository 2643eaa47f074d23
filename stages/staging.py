"""staging: that digest is rolled out on staging, and Locust loads it; we judge what was measured."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigurationError
from pipeline.model.digest import ImageRef
from pipeline.model.load import (
    GeneratorLimits,
    LoadLimits,
    LoadShape,
    LoadSummary,
    facts_of,
    judge_load,
    metrics_of,
)
from pipeline.model.verdict import Outcome, Reason, Verdict
from pipeline.ports import Candidate, Held, LoadGenerator, Plan, Progress, Source, StageResult
from stages.deployment import Deployed, Environment
from stages.files import hash_program


@dataclass(frozen=True, slots=True)
class StagingStage:
    """A rollout on staging, then load, beside what production runs where there is an `opponent`.

    `rehearse` gives the image that production would go back to, None where there is none; without it nothing is
    rehearsed. `keep` puts what was measured side by side beside the image.
    """

    target: Environment
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
        """The image, the target, the locustfile with what lies beside it, and the load's shape; no limits."""
        shape = self.load.shape
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
                "baseline": self._how_compared,
            },
        }
        return Plan(self.name, self.environment, content)

    def standing(self, candidate: Candidate) -> Verdict:  # noqa: ARG002 – the protocol's signature
        """What was measured stays measured, whatever staging runs now."""
        return Verdict(self.name, Outcome.PASSED)

    def hold(self, candidate: Candidate) -> AbstractContextManager[Held]:
        """Holds the environment's lease."""
        digest = candidate.ref.digest
        return self.target.held(f"rollout and load of {digest.short}", str(digest))

    @property
    def _how_compared(self) -> dict[str, Any] | None:
        """How the sides are compared, without which digest it is: the record says which it was.

        Production goes on meanwhile, last of all to this very digest, and what was measured stays measured.
        """
        if self.opponent is None:
            return None
        rules = self.load.rules
        return {"at_least": rules.min_duration, "at_most": rules.max_duration, "alone": self.load.solo}

    def run(self, candidate: Candidate, progress: Progress) -> StageResult:
        """Checks the locustfile, rolls out, rehearses the way back, loads, judges.

        What production runs is started beside it meanwhile, and taken down again whatever comes.
        """
        progress.step("checking the locustfile")
        try:
            self.generator.check(self.load.shape.locustfile)
        except ConfigurationError as error:
            return self._not_begun(error)
        with self.hold(candidate) as held:
            if self.opponent is None:
                return self._run(candidate, held, progress, _NONE)
            try:
                against = self.opponent.choose(candidate, progress.note)
            except PipelineError as error:
                return self._not_begun(error)
            if against.image is None:
                return self._run(candidate, held, progress, against)
            try:
                self.opponent.begin(against.image, held, progress)
                return self._run(candidate, held, progress, against)
            finally:
                self.opponent.end(held, progress)

    def _not_begun(self, error: PipelineError) -> StageResult:
        """Nothing has begun, so nothing is taken from what is on record."""
        verdict = Verdict(self.name, Outcome.UNDECIDED, (Reason(error.message, error.hint),))
        return StageResult(verdict, error_code=error.exit_code, began=False)

    def _run(self, candidate: Candidate, held: Held, progress: Progress, against: Baseline) -> StageResult:
        deployed = self.target.deploy(candidate, held, progress)
        facts: dict[str, Any] = {"deployment": dict(deployed.facts)}
        if not deployed.verdict.passed:
            return deployed.result
        rehearsed, failed = self._rehearsed(candidate, held, progress)
        facts |= rehearsed
        if failed:
            return replace(failed.result, facts=facts)
        if self.opponent and against.image:
            up = self._brought_up(self.opponent, against.image, held, progress)
            baseline = {**against.facts, "deployment": dict(up.facts)}
            if up.outcome is not RolloutOutcome.SUCCEEDED:
                return StageResult(
                    _not_healthy(self.name, against.image, up), {**facts, "comparison": {"baseline": baseline}}
                )
    def _rehearsed(
        self, candidate: Candidate, held: Held, progress: Progress
    ) -> tuple[dict[str, Any], Deployed | None]:
        """What goes on record of the rehearsal, and the rollout that failed in it, if one did.

        Production's image goes in, as it would after a failure, and the candidate comes back.
        """
        if self.rehearse is None:
            return {}, None
        image = self.rehearse()
        if image is None or image.digest == candidate.ref.digest:
            why = "it runs this digest" if image else "nothing is on record there"
            progress.note(f"no rollback to rehearse from production: {why}")
            return {"rehearsal": {"skipped": why}}, None
        progress.note(f"rehearsing the rollback to {image.digest.short}, which production runs")
        facts: dict[str, Any] = {"digest": str(image.digest)}
        for name, one in (("back", Candidate(Source(""), image)), ("again", candidate)):
            done = self.target.restore(one, "", held, progress)
            facts[name] = dict(done.facts)
            if not done.verdict.passed:
                return {"rehearsal": facts}, _in_rehearsal(done)
        return {"rehearsal": facts}, None

    def _load(self, progress: Progress) -> LoadSummary:
        progress.step("starting the load")
        directory = self.load.directory / "load"
        directory.mkdir(parents=True, exist_ok=True)
        return self.generator.run(self.load.shape, self.target.base_url(), directory, progress)


def _in_rehearsal(failed: Deployed) -> Deployed:
    reasons = tuple(
        Reason(f"rehearsing the rollback: {reason.text}", reason.remedy) for reason in failed.verdict.reasons
    )
    return replace(failed, verdict=replace(failed.verdict, reasons=reasons), began=True)


def _of_something_else(after: Verdict) -> Verdict:
    """What was measured says nothing of the candidate when it was not (or no longer) what answered."""
    reasons = (
        Reason(
            f"when the load was over, {reason.text}: what was measured may be something else",
            "see who changed the service meanwhile, then run the stage again",
        )
        for reason in after.reasons
    )
    return Verdict(after.gate, Outcome.UNDECIDED, tuple(reasons))
