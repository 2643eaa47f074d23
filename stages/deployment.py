"""Rolling a digest out on one environment: what staging and prod share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ExitCode
from pipeline.model.digest import ImageRef
from pipeline.model.service import TaskState
from pipeline.model.verdict import Outcome, Reason, Verdict
from pipeline.ports import Candidate, Progress, Say, Service
from pipeline.rollout import DeploySpec, Rollout, RolloutOutcome, RolloutResult

_OUTCOMES: Mapping[RolloutOutcome, tuple[Outcome, ExitCode | None]] = {
    RolloutOutcome.SUCCEEDED: (Outcome.PASSED, None),
    RolloutOutcome.ROLLED_BACK: (Outcome.REFUSED, ExitCode.ROLLED_BACK),
    RolloutOutcome.FAILED_FIRST: (Outcome.REFUSED, None),
    RolloutOutcome.BEFORE_FAILED: (Outcome.REFUSED, None),
    RolloutOutcome.SUPERSEDED: (Outcome.UNDECIDED, ExitCode.BUSY),
}


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment: how to roll out there, and whom to tell of what runs there afterwards.

    `shape` is what of its settings makes another plan (JSON values); `spec` makes the rollout's settings for a
    candidate; `settled` is called after each good rollout; `base_url` gives the load balancer's front; `held` holds
    the environment's lease, saying why; `delivered` takes the image to where the environment pulls from; `foreseen`
    looks at what a rollout needs before anything is changed, and gives what it expects for the record. Nothing is asked
    of the cloud before it is needed.
    """

    name: str
    container: str
    base_url: Callable[[], str]
    shape: Mapping[str, Any]
    rollout: Callable[[], Rollout]
    spec: Callable[[Candidate], DeploySpec]
    settled: Callable[[RolloutResult], None]
    held: Callable[[str], AbstractContextManager[None]]
    delivered: Callable[[ImageRef, Say], ImageRef]
    foreseen: Callable[[Candidate, Say], Mapping[str, Any]]

    def deploy(self, candidate: Candidate, progress: Progress) -> Deployed:
        """Rolls out and verifies.

        Raises UnfitError before anything is changed when something is not there that it needs; the other exceptions
        are `Rollout.deploy`'s.
        """
        expected = self.foreseen(candidate, progress.note)
        image = self.delivered(candidate.ref, progress.note)
        result = self.rollout().deploy(image, self.spec(candidate), progress)
        if result.outcome is RolloutOutcome.SUCCEEDED:
            self.settled(result)
        outcome, code = _OUTCOMES[result.outcome]
        return Deployed(Verdict(self.name, outcome, result.reasons), code, {**result.facts, **expected})

    def runs(self, candidate: Candidate) -> Verdict:
        """Whether every running task of the service runs the candidate, and there is at least one."""
        return self._runs(candidate, _alive(self.rollout().service))

    def serves(self, candidate: Candidate) -> Verdict:
        """Whether the candidate runs, in as many tasks as the service wants, all of them healthy targets."""
        rollout = self.rollout()
        tasks = _alive(rollout.service)
        verdict = self._runs(candidate, tasks)
        if not verdict.passed:
            return verdict
        healthy = (
            {target.ip for target in rollout.targets.states() if target.state == "healthy"}
            if rollout.targets
            else None
        )
        serving = [task for task in tasks if healthy is None or task.ip in healthy]
        desired = rollout.service.describe().desired
        if len(serving) >= max(1, desired) and len(serving) == len(tasks):
            return verdict
        text = f"{self.name} has {len(serving)} healthy tasks of {desired}"
        return Verdict(self.name, Outcome.REFUSED, (Reason(text),))

    def _runs(self, candidate: Candidate, tasks: Sequence[TaskState]) -> Verdict:
        expected = {str(candidate.ref.digest), *map(str, self.spec(candidate).platform_digests)}
        running = {task.image_digests.get(self.container, "unknown") for task in tasks}
        if running and running <= expected:
            return Verdict(self.name, Outcome.PASSED)
        shown = ", ".join(sorted(running)) or "nothing"
        return Verdict(self.name, Outcome.REFUSED, (Reason(f"{self.name} runs {shown}"),))


def _alive(service: Service) -> list[TaskState]:
    return [task for task in service.tasks() if task.alive]


@dataclass(frozen=True, slots=True)
class Deployed:
    """How a rollout ended, as a stage reports it."""

    verdict: Verdict
    error_code: ExitCode | None
    facts: Mapping[str, Any]
