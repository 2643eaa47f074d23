"""prod: that digest is rolled out on production, watched, verified, and put back if it fails."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from pipeline.model.verdict import Verdict
from pipeline.ports import Candidate, Held, Plan, Progress, StageResult
from stages.deployment import Target


@dataclass(frozen=True, slots=True)
class ProdStage:
    """A rollout and its verification; the gate before it is the runner's to ask."""

    target: Target

    @property
    def name(self) -> str:
        """`prod`."""
        return "prod"

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.target.name

    def plan(self, candidate: Candidate) -> Plan:
        """The image and what of the environment's settings goes into the rollout."""
        return Plan(
            self.name,
            self.environment,
            {"image": str(candidate.ref.digest), "target": dict(self.target.shape)},
        )

    def standing(self, candidate: Candidate) -> Verdict:
        """Production still serves the candidate."""
        return self.target.serves(candidate)

    def hold(self, candidate: Candidate) -> AbstractContextManager[Held]:
        """Holds the environment's lease."""
        digest = candidate.ref.digest
        return self.target.held(f"rollout of {digest.short}", str(digest))

    def run(self, candidate: Candidate, progress: Progress) -> StageResult:
        """Rolls out, verifies through the load balancer."""
        with self.hold(candidate) as held:
            return self.target.deploy(candidate, held, progress).result
