"""rollback: an environment goes back to a digest that ran well there, by the very task definition it ran with."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from pipeline.model.verdict import Outcome, Verdict
from pipeline.ports import Candidate, Held, Plan, Progress, StageResult
from stages.deployment import Target


@dataclass(frozen=True, slots=True)
class RollbackStage:
    """Back to an earlier digest; `reason` and `by` say why and who, for the record.

    `definitions` has the ARN of the task definition to run again in each region; empty where it is not to be had any
    more: then the live one runs the image.
    """

    target: Target
    definitions: Mapping[str, str]
    reason: str
    by: str

    @property
    def name(self) -> str:
        """`rollback`."""
        return "rollback"

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.target.name

    def plan(self, candidate: Candidate) -> Plan:
        """The image and the definitions it is run by."""
        content = {"image": str(candidate.ref.digest), "definitions": dict(self.definitions)}
        return Plan(self.name, self.environment, content)

    def standing(self, candidate: Candidate) -> Verdict:  # noqa: ARG002 – the protocol's signature
        """A rollback is asked for by a person, and never taken as done."""
        return Verdict(self.name, Outcome.UNDECIDED)

    def hold(self, candidate: Candidate) -> AbstractContextManager[Held]:
        """Holds the environment's lease."""
        digest = candidate.ref.digest
        return self.target.held(f"rollback to {digest.short}", str(digest))

    def run(self, candidate: Candidate, progress: Progress) -> StageResult:
        """Rolls out and verifies, as any rollout."""
        with self.hold(candidate) as held:
            result = self.target.go_back(candidate, self.definitions, held, progress).result
        return replace(result, facts={**result.facts, "reason": self.reason, "by": self.by})
