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
class LoadPlan:
    """What is offered, and within which limits. `directory` takes the raw record."""

    shape: LoadShape
    root: Path
    limits: LoadLimits
    generator: GeneratorLimits
    directory: Path


@dataclass(frozen=True, slots=True)
class StagingStage:
    """A rollout on staging, then load; limits are absolute.

    `rehearse` gives the image that production would go back to, None where there is none; without it nothing is
    rehearsed.
    """

    target: Environment
    load: LoadPlan
    generator: LoadGenerator
    rehearse: Callable[[], ImageRef | None] | None = None

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

    def run(self, candidate: Candidate, progress: Progress) -> StageResult:
        """Checks the locustfile, rolls out, rehearses the way back, loads, judges."""
        progress.step("checking the locustfile")
        try:
            self.generator.check(self.load.shape.locustfile)
        except ConfigurationError as error:  # nothing has begun, so nothing is taken from what is on record
            reason = Reason(error.message, error.hint)
            verdict = Verdict(self.name, Outcome.UNDECIDED, (reason,))
            return StageResult(verdict, error_code=error.exit_code, began=False)
        with self.hold(candidate) as held:
            deployed = self.target.deploy(candidate, held, progress)
            facts: dict[str, Any] = {"deployment": dict(deployed.facts)}
            if not deployed.verdict.passed:
                return deployed.result
            rehearsed, failed = self._rehearsed(candidate, held, progress)
            facts |= rehearsed
            if failed:
                return replace(failed.result, facts=facts)
            summary = self._load(progress)
            after = self.target.runs(candidate)
        verdict = judge_load(summary, self.load.limits, self.load.generator)
        if not after.passed:
            verdict = _of_something_else(after)
        return StageResult(
            Verdict(self.name, verdict.outcome, verdict.reasons),
            {**facts, "load": facts_of(summary)},
            metrics_of(summary),
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
