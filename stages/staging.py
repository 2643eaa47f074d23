"""staging: that digest is rolled out on staging, and Locust loads it; we judge what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.model.load import (
    GeneratorLimits,
    LoadLimits,
    LoadShape,
    LoadSummary,
    facts_of,
    judge_load,
    metrics_of,
)
from pipeline.model.verdict import Outcome, Verdict
from pipeline.ports import Candidate, LoadGenerator, Plan, Progress, StageResult
from stages.deployment import Environment
from stages.files import hash_file


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
    """A rollout on staging, then load; limits are absolute."""

    target: Environment
    load: LoadPlan
    generator: LoadGenerator

    @property
    def name(self) -> str:
        """`staging`."""
        return "staging"

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.target.name

    def plan(self, candidate: Candidate) -> Plan:
        """The image, the target, the locustfile and the load's shape; the limits are left out."""
        shape = self.load.shape
        content = {
            "image": str(candidate.ref.digest),
            "target": dict(self.target.shape),
            "locustfile": hash_file(self.load.root / shape.locustfile, "locustfile"),
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

    def run(self, candidate: Candidate, progress: Progress) -> StageResult:
        """Checks the locustfile, rolls out, loads, judges."""
        progress.step("checking the locustfile")
        self.generator.check(self.load.shape.locustfile)
        with self.target.held(f"rollout and load of {candidate.ref.digest.short}"):
            deployed = self.target.deploy(candidate, progress)
            facts = {"deployment": dict(deployed.facts)}
            if not deployed.verdict.passed:
                return StageResult(deployed.verdict, facts, error_code=deployed.error_code)
            summary = self._load(progress)
        verdict = judge_load(summary, self.load.limits, self.load.generator)
        return StageResult(
            Verdict(self.name, verdict.outcome, verdict.reasons),
            {**facts, "load": facts_of(summary)},
            metrics_of(summary),
        )

    def _load(self, progress: Progress) -> LoadSummary:
        progress.step("starting the load")
        directory = self.load.directory / "load"
        directory.mkdir(parents=True, exist_ok=True)
        return self.generator.run(self.load.shape, self.target.base_url(), directory, progress)
