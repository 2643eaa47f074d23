"""Rolling a digest out on one environment: what staging and prod share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pipeline.errors import (
    BusyError,
    DetachedError,
    DisplacedError,
    ExitCode,
    PipelineError,
    ShortCredentialError,
    StuckError,
    UnfitError,
)
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.order import Order
from pipeline.model.service import Previous, TaskState, digests_run, in_progress
from pipeline.model.verdict import Outcome, Reason, Verdict
from pipeline.ports import Candidate, Held, Progress, Say, Service, StageResult
from pipeline.rollout import DeploySpec, Rollout, RolloutOutcome, RolloutResult

_OUTCOMES: Mapping[RolloutOutcome, tuple[Outcome, ExitCode | None]] = {
    RolloutOutcome.SUCCEEDED: (Outcome.PASSED, None),
    RolloutOutcome.ROLLED_BACK: (Outcome.REFUSED, ExitCode.ROLLED_BACK),
    RolloutOutcome.FAILED_FIRST: (Outcome.REFUSED, None),
    RolloutOutcome.BEFORE_FAILED: (Outcome.REFUSED, None),
    RolloutOutcome.SUPERSEDED: (Outcome.UNDECIDED, ExitCode.BUSY),
}


_BEGUN = DetachedError | DisplacedError | StuckError
_KNOWN = BusyError | UnfitError | ShortCredentialError


class Target(Protocol):
    """Where production's digest goes: an environment in one region, or in several."""

    @property
    def name(self) -> str:
        """The environment's name."""
        ...

    @property
    def shape(self) -> Mapping[str, Any]:
        """What of its settings makes another plan."""
        ...

    @property
    def held(self) -> Callable[..., AbstractContextManager[Held]]:
        """Holds the environment's lease, saying why and for which digest."""
        ...

    def deploy(self, candidate: Candidate, held: Held, progress: Progress) -> Deployed:
        """See `Environment.deploy`."""
        ...

    def go_back(
        self, candidate: Candidate, definitions: Mapping[str, str], held: Held, progress: Progress
    ) -> Deployed:
        """See `Environment.go_back`."""
        ...

    def serves(self, candidate: Candidate) -> Verdict:
        """See `Environment.serves`."""
        ...


class LoadTarget(Target, Protocol):
    """Where a candidate is loaded."""

    @property
    def base_url(self) -> Callable[[], str]:
        """Gives the load balancer's front that the load is sent to."""
        ...

    def restore(self, candidate: Candidate, definition: str, held: Held, progress: Progress) -> Deployed:
        """See `Environment.restore`."""
        ...

    def runs(self, candidate: Candidate) -> Verdict:
        """See `Environment.runs`."""
        ...


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment: how to roll out there, and whom to tell of what runs there afterwards.

    `shape` is what of its settings makes another plan (JSON values); `spec` makes the rollout's settings for a
    candidate, `last_good` tells what to go back to; `order` judges whether a candidate may replace what runs; `settled`
    is called after each good rollout; `base_url` gives the load balancer's front; `held` holds the environment's lease,
    saying why and for which digest; `rollout` takes what is held, where something is to be changed, and `logged` does
    it and keeps that in the deployment log; `delivered` takes the image to where the environment pulls from; `recorded`
    is the digest of the newest good rollout on record; `foreseen` looks at what a rollout needs before anything is
    changed; `region` is the one it is in. Nothing is asked of the cloud before it is needed.
    """

    name: str
    container: str
    base_url: Callable[[], str]
    shape: Mapping[str, Any]
    rollout: Callable[..., Rollout]
    spec: Callable[[Candidate], DeploySpec]
    last_good: Callable[[], Previous | None]
    order: Callable[[Candidate, frozenset[Digest]], Order]
    settled: Callable[[ImageRef, RolloutResult, Say], None]
    held: Callable[..., AbstractContextManager[Held]]
    logged: Callable[[Rollout, ImageRef, DeploySpec, Progress], RolloutResult]
    delivered: Callable[[ImageRef, Say], ImageRef]
    recorded: Callable[[], Digest | None]
    foreseen: Callable[[Candidate], Foresight]
    region: str = ""

    def deploy(self, candidate: Candidate, held: Held, progress: Progress) -> Deployed:
        """Rolls out and verifies while the lease is ours, unless something newer runs.

        Raises UnfitError before anything is changed when something is not there that it needs; the other exceptions
        are those of `Rollout.deploy` once something has begun. What keeps it from beginning is its outcome.
        """
        try:
            return self._deployed(candidate, held, progress)
        except PipelineError as error:
            return self._not_begun(error)

    def _deployed(self, candidate: Candidate, held: Held, progress: Progress) -> Deployed:
        seen = self.look(candidate)
        if isinstance(seen, Deployed):
            return seen
        foreseen = seen.admitted(0.0, progress.note)
        deployed = self._deploy(self.ready(candidate, self.spec(candidate), held, progress), progress)
        return replace(deployed, facts={**deployed.facts, **foreseen})

    def look(self, candidate: Candidate) -> Look | Deployed:
        """What there is to know before a rollout; how it ends at once where something newer runs. Changes nothing."""
        running = digests_run(self.rollout().service.tasks(), self.container)
        order = self.order(candidate, running)
        told = {"order": dict(order.facts)}
        if not order.verdict.passed:
            return Deployed(order.verdict, None, told, began=False)
        return Look(self.foreseen(candidate), told)

    def go_back(
        self, candidate: Candidate, definitions: Mapping[str, str], held: Held, progress: Progress
    ) -> Deployed:
        """As `restore`, at once: what is in progress is what is gone back from, and it may never end by itself.

        `definitions` has the task definition of each region, where it is to be had any more.
        """
        definition = definitions.get(self.region, "")
        return self._restored(candidate, definition, held, progress, supersedes=True)

    def restore(self, candidate: Candidate, definition: str, held: Held, progress: Progress) -> Deployed:
        """Rolls out what ran here before, by the task definition it ran with where `definition` names it.

        Older is what is wanted here: the order is not asked. Nor is the command before a rollout run: an old image's
        migration knows nothing of a newer schema. The exceptions are those of `deploy`.
        """
        return self._restored(candidate, definition, held, progress, supersedes=False)

    def _restored(
        self, candidate: Candidate, definition: str, held: Held, progress: Progress, *, supersedes: bool
    ) -> Deployed:
        try:
            spec = self.backwards(candidate, definition, supersedes=supersedes)
            return self._deploy(self.ready(candidate, spec, held, progress), progress)
        except PipelineError as error:
            return self._not_begun(error)

    def _not_begun(self, error: PipelineError) -> Deployed:
        """An error that came before anything was changed: an outage then says nothing against what is on record.

        Errors that the runner takes for that by their family go on, as do those of a rollout that had begun.
        """
        if isinstance(error, _BEGUN | _KNOWN):
            raise error
        verdict = Verdict(self.name, Outcome.UNDECIDED, (Reason(error.message, error.hint),))
        return Deployed(verdict, error.exit_code, {}, began=False)

    def backwards(self, candidate: Candidate, definition: str, *, supersedes: bool) -> DeploySpec:
        """What to roll out to have again what ran before; see `restore`."""
        return replace(self.spec(candidate), definition=definition, before=(), supersedes=supersedes)

    def ready(self, candidate: Candidate, spec: DeploySpec, held: Held, progress: Progress) -> Ready:
        """A rollout that may begin; the image is where the environment pulls from afterwards."""
        image = self.delivered(candidate.ref, progress.note)
        release = ImageRef(image.repository, candidate.ref.digest)
        return Ready(image, release, replace(spec, last_good=self.last_good()), self.rollout(held))

    def _deploy(self, ready: Ready, progress: Progress) -> Deployed:
        result = self.logged(ready.rollout, ready.image, ready.spec, progress)
        if result.outcome is RolloutOutcome.SUCCEEDED:
            self.settled(ready.release, result, progress.note)
        outcome, code = _OUTCOMES[result.outcome]
        return Deployed(Verdict(self.name, outcome, result.reasons), code, self.facts(result))

    def facts(self, result: RolloutResult) -> Mapping[str, Any]:
        """What is recorded of a rollout: how it ended, and with which settings."""
        return {**result.facts, "settings": self.shape.get("rollout", {})}

    def runs(self, candidate: Candidate) -> Verdict:
        """Whether every running task of the service runs the candidate, and there is at least one."""
        return self._runs(candidate, _alive(self.rollout().service))

    def serves(self, candidate: Candidate) -> Verdict:
        """Whether the candidate runs, in as many tasks as the service wants, all of them healthy targets, nothing is
        being rolled out, and the newest good rollout on record is the candidate's: an older record of it says nothing
        of a rollout that came later and whose end nobody saw.
        """
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
        state = rollout.service.describe()
        if len(serving) < max(1, state.desired) or len(serving) != len(tasks):
            return self._not(f"{self.name} has {len(serving)} healthy tasks of {state.desired}")
        if moving := in_progress(state):
            return self._not(f"deployment {moving.id} is in progress on {self.name}")
        if self.recorded() != candidate.ref.digest:
            return self._not(f"the newest rollout on record of {self.name} is another digest's")
        return verdict

    def _not(self, text: str) -> Verdict:
        return Verdict(self.name, Outcome.REFUSED, (Reason(text),))

    def _runs(self, candidate: Candidate, tasks: Sequence[TaskState]) -> Verdict:
        expected = {str(candidate.ref.digest), *map(str, self.spec(candidate).platform_digests)}
        running = {task.image_digests.get(self.container, "unknown") for task in tasks}
        if running and running <= expected:
            return Verdict(self.name, Outcome.PASSED)
        shown = ", ".join(sorted(running)) or "nothing"
        return self._not(f"{self.name} runs {shown}")


class Foresight(Protocol):
    """What a look at an environment says of a rollout there."""

    @property
    def at_most(self) -> float:
        """Seconds that it takes at most; 0 where nothing would be begun."""
        ...

    def admitted(self, after: float, say: Say) -> Mapping[str, Any]:
        """Says what is expected of a rollout that begins `after` so many seconds of others; returns it for the record.

        Raises UnfitError when something is not there that it needs, ShortCredentialError when only the credential is.
        """
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """A look at an environment into which nothing newer keeps the candidate; `order` says so for the record."""

    foresight: Foresight
    order: Mapping[str, Any]

    @property
    def at_most(self) -> float:
        """As `Foresight.at_most`."""
        return self.foresight.at_most

    def admitted(self, after: float, say: Say) -> Mapping[str, Any]:
        """As `Foresight.admitted`."""
        return {**self.foresight.admitted(after, say), **self.order}


@dataclass(frozen=True, slots=True)
class Ready:
    """What a rollout is made of: the image where it is pulled from, what goes with it, and how it is rolled out.

    `release` is what the image is of, there too: itself, unless it is one of several services.
    """

    image: ImageRef
    release: ImageRef
    spec: DeploySpec
    rollout: Rollout


def _alive(service: Service) -> list[TaskState]:
    return [task for task in service.tasks() if task.alive]


@dataclass(frozen=True, slots=True)
class Deployed:
    """How a rollout ended, as a stage reports it. `began` False: it was refused before anything was done."""

    verdict: Verdict
    error_code: ExitCode | None
    facts: Mapping[str, Any]
    began: bool = True

    @property
    def result(self) -> StageResult:
        """The same as a stage's result."""
        return StageResult(
            self.verdict, {"deployment": dict(self.facts)}, error_code=self.error_code, began=self.began
        )
