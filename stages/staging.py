"""staging: that digest is rolled out on staging, and Locust loads it beside what production runs; we judge both."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
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
from stages.deployment import Deployed, Environment
from stages.files import hash_program
from stages.side_by_side import LoadPlan, Measured, Opponent, SideBySide

__all__ = ["LoadPlan", "StagingStage"]

_NONE = Baseline(why='load.baseline is "none"')


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
        """The image, the target, the locustfile with what lies beside it, and the load's shape; no limits.

        How the sides are compared is part of it, not what is on the other side, which is on record. Production goes
        on meanwhile, last of all to this very digest, and what was measured stays measured.
        """
        shape, rules = self.load.shape, self.load.rules
        compared = {"at_least": rules.min_duration, "at_most": rules.max_duration, "alone": self.load.solo}
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
                "compared": compared if self.opponent else None,
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
        """Checks the locustfile, rolls out, rehearses the way back, loads, judges.

        What production runs is started beside it meanwhile, and taken down again whatever comes.
        """
        progress.step("checking the locustfile")
        try:
            self.generator.check(self.load.shape.locustfile)
        except ConfigurationError as error:
            return self._not_begun(error)
        with self.hold(candidate) as held:
            try:
                against = self.opponent.choose(candidate, progress.note) if self.opponent else _NONE
            except PipelineError as error:
                return self._not_begun(error)
            if self.opponent and against.image:
                return self._beside(self.opponent, candidate, held, progress, against.image, against)
            progress.note(f"no baseline to compare with ({against.why}): absolute limits alone")
            return self._run(candidate, held, progress, lambda: self._alone(against, progress))

    def _not_begun(self, error: PipelineError) -> StageResult:
        """Nothing has begun, so nothing is taken from what is on record."""
        verdict = Verdict(self.name, Outcome.UNDECIDED, (Reason(error.message, error.hint),))
        return StageResult(verdict, error_code=error.exit_code, began=False)

    def _beside(
        self,
        opponent: Opponent,
        candidate: Candidate,
        against: Baseline,
        held: Held,
        progress: Progress,
    ) -> StageResult:
        """With what production runs beside the candidate, until all is measured or anything went wrong."""
        match = _Match(opponent, against, candidate, held, progress)
        try:
            try:
                match.begin()
            except PipelineError as error:
                return self._not_begun(error)
            return self._run(candidate, held, progress, lambda: self._compared(match), match.await_healthy)
        finally:
            opponent.end(held, progress)
