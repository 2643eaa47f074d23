"""Looking at a service again and again: patient with the API, quick while things change, never blind."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from pipeline.errors import (
    BusyError,
    CredentialError,
    DisplacedError,
    PipelineError,
    UnavailableError,
    UnfencedError,
)
from pipeline.model.digest import Digest
from pipeline.model.rollout import (
    Action,
    Aim,
    Observation,
    RolloutPolicy,
    Sight,
    Step,
    drained,
    next_step,
    observe,
)
from pipeline.model.service import ServiceState, TaskState, digests_run, primary_of, short
from pipeline.model.service_deployment import ServiceDeployment
from pipeline.model.task_definition import digest_in, registrable
from pipeline.model.verdict import Reason
from pipeline.ports import Clock, Progress, Service, TargetHealth

_T = TypeVar("_T")
LOG_LINES = 12
"""How many of a task's last lines are shown."""

Beside = Callable[[Observation], Reason | None]
"""Asked after each look that does not decide by itself: what else speaks against the rollout, if anything does."""

_LOOKS_BEFORE_RETRY = 3
_QUICK_POLLS = 3
_STEADY_POLLS = 10
_SLOWER = 1.3


class Patience:
    """Asks the API until it answers, for as long as the policy's `api_patience` allows."""

    def __init__(self, clock: Clock, policy: RolloutPolicy, progress: Progress) -> None:
        self._clock = clock
        self._policy = policy
        self._progress = progress

    def ask(self, question: Callable[[], _T]) -> _T:
        """The answer. Throttling and outages are waited out; raises the last UnavailableError after the patience.

        A credential that is refused is not waited out: CredentialError comes at once.
        """
        since = self._clock.monotonic()
        delay = self._policy.poll
        while True:
            try:
                return question()
            except CredentialError:
                raise
            except UnavailableError as error:
                if self._clock.monotonic() - since >= self._policy.api_patience:
                    raise
                self._progress.step(f"waiting for the API: {error.message}")
            self._clock.sleep(delay)
            delay = min(delay * 2, self._policy.slowest)


@dataclass(slots=True)
class Pace:
    """How long to wait between two looks: a quarter of `poll` right after a change, then `poll`, and while nothing
    changes for long, slowing to `slowest`.

    A slowed pace varies by a tenth, so that many rollouts do not ask in step.
    """

    policy: RolloutPolicy
    jitter: Callable[[], float] = random.random
    _last: object = None
    _changed: float = 0.0
    _slowed: int = 0

    def after(self, sight: Sight, *, baking: bool) -> float:
        """Seconds to wait after this look. A bake is over at a known moment: it is not looked at any quicker."""
        poll = self.policy.poll
        mark = (tuple(sight.service.deployments), _mark(sight))
        if mark != self._last:
            self._last, self._changed, self._slowed = mark, sight.elapsed, 0
        unchanged = sight.elapsed - self._changed
        if unchanged >= _STEADY_POLLS * poll:
            self._slowed += 1
            delay: float = min(self.policy.slowest, poll * _SLOWER ** min(self._slowed, 40))
            return delay * (0.9 + 0.2 * self.jitter())
        return poll / 4 if unchanged < _QUICK_POLLS * poll and not baking else poll


def _mark(sight: Sight) -> Sequence[object]:
    tasks = [(task.id, task.last_status, task.desired_status, task.health) for task in sight.tasks]
    targets = [(target.ip, target.state) for target in sight.targets or ()]
    return sorted(tasks), sorted(targets), [entry.mark for entry in sight.service_deployments]


def against_us(aim: Aim, reason: Reason) -> Step:
    """What follows when something other than ECS speaks against a rollout."""
    return Step(Action.ROLL_BACK if aim.previous else Action.GIVE_UP, reason)


@dataclass(slots=True)
class Watch:
    """Follows one deployment from now on; `elapsed` of what it sees counts from its making.

    Service deployments are looked for from `since` on (ECS's clock).
    """

    service: Service
    targets: TargetHealth | None
    clock: Clock
    policy: RolloutPolicy
    progress: Progress
    beside: Beside = lambda _: None
    since: datetime | None = None
    started: float = field(init=False)
    _tasks: Sequence[TaskState] = field(init=False, default=())
    _read: tuple[object, float] = field(init=False, default=(None, 0.0))

    def __post_init__(self) -> None:
        self.started = self.clock.monotonic()

    def look(self) -> Sight:
        """One look at service, tasks and targets. Raises UnavailableError when the API is silent for too long."""
        return Patience(self.clock, self.policy, self.progress).ask(self._look)

    def follow(self, aim: Aim) -> tuple[Step, Observation]:
        """Looks until there is something else to do than to wait; returns that and what was seen last."""
        return self._until(aim, None, lambda _: False, self.policy)

    def drain(self, seen: Observation) -> tuple[Step, Observation]:
        """Goes on looking until only our deployment is left, or `drain` seconds have gone by.

        The step returned is DONE unless something went wrong meanwhile; `drained` of the observation tells which.
        """
        end = self.clock.monotonic() + self.policy.drain
        patient = replace(self.policy, deadline=math.inf)
        return self._until(seen.aim, seen, lambda now: drained(now) or self.clock.monotonic() >= end, patient)

    def _until(
        self,
        aim: Aim,
        seen: Observation | None,
        enough: Callable[[Observation], bool],
        policy: RolloutPolicy,
    ) -> tuple[Step, Observation]:
        """From the first look on (`seen` None) until DONE; from a later one on until `enough`."""
        pace, first = Pace(policy), seen is None
        while True:
            seen = self._observe(aim, seen)
            step = self._decide(seen, policy)
            if step.action not in (Action.WAIT, Action.DONE) or (first and step.action is Action.DONE):
                return step, seen
            if enough(seen):
                return Step(Action.DONE, step.reason), seen
            self.progress.step("waiting for " + (step.reason.text if first else "old tasks to drain"))
            baking = first and seen.good_since is not None
            self.clock.sleep(self._pause(pace.after(seen.sight, baking=baking), seen))

    def _decide(self, seen: Observation, policy: RolloutPolicy) -> Step:
        step = next_step(seen, policy)
        if step.action not in (Action.WAIT, Action.DONE):
            return step
        against = self.beside(seen)
        return against_us(seen.aim, against) if against else step

    def _observe(self, aim: Aim, earlier: Observation | None) -> Observation:
        seen = observe(aim, self.look(), self.policy, earlier)
        for failure in seen.failures[len(earlier.failures) if earlier else 0 :]:
            self.progress.note(f"task {failure.task.id} failed ({failure.rule}): {failure.text}")
        return seen

    def _pause(self, pause: float, seen: Observation) -> float:
        """Not longer than until success would have lasted long enough, or the deadline comes; a bake, however short,
        is seen often enough for its smoke checks to agree within it.
        """
        ends = [self.policy.deadline - seen.sight.elapsed]
        if seen.good_since is not None:
            ends.append(seen.good_since + self.policy.stay_up - seen.sight.elapsed)
            ends.append(self.policy.stay_up / self.policy.agree)
        return min([pause] + [max(0.05, end) for end in ends if end > 0])

    def _look(self) -> Sight:
        """Service and targets anew; the tasks, which cost most calls, when those have changed or `poll` has gone by."""
        service = self.service.describe()
        # After the service: what they say of its newest deployment is never older than what it says itself.
        deployments = self.service.service_deployments(self.since) or ()
        targets = None if self.targets is None else self.targets.states()
        now = self.clock.monotonic()
        mark = (
            tuple(service.deployments),
            [entry.mark for entry in deployments],
            sorted((target.ip, target.state) for target in targets or ()),
        )
        if mark != self._read[0] or now - self._read[1] >= self.policy.poll:
            self._tasks, self._read = self.service.tasks(), (mark, now)
        return Sight(self.clock.monotonic() - self.started, service, self._tasks, targets, deployments)


@dataclass(frozen=True, slots=True)
class Calls:
    """A rollout's calls to its service: patient, and never a second mutation where the first may have arrived."""

    service: Service
    targets: TargetHealth | None
    clock: Clock
    policy: RolloutPolicy
    progress: Progress

    def ask(self, question: Callable[[], _T]) -> _T:
        """The answer, however long it takes within the policy's patience."""
        return Patience(self.clock, self.policy, self.progress).ask(question)

    def live(self) -> ServiceState:
        """The service as it stands."""
        return self.ask(self.service.describe)

    def definition(self, arn: str) -> Mapping[str, Any]:
        """A task definition as DescribeTaskDefinition gives it."""
        return self.ask(lambda: self.service.task_definition(arn))

    def runnable(self, arn: str) -> str:
        """The definition where ECS still runs it; one that was deregistered is registered anew, key for key."""
        found = self.definition(arn)
        if found.get("status", "ACTIVE") == "ACTIVE":
            return arn
        self.progress.note(f"{short(arn)} was deregistered; registering the same again")
        return self.ask(lambda: self.service.register(registrable(found)))

    def service_deployments(self, since: datetime | None = None) -> Sequence[ServiceDeployment] | None:
        """The newest service deployments; None when the API tells none to us."""
        return self.ask(lambda: self.service.service_deployments(since))

    def watch(
        self, policy: RolloutPolicy, beside: Beside = lambda _: None, *, since: datetime | None = None
    ) -> Watch:
        """A watch that starts now."""
        return Watch(self.service, self.targets, self.clock, policy, self.progress, beside, since)

    def ended_tasks(self) -> frozenset[str]:
        """The ids of the tasks that have stopped so far."""
        return frozenset(task.id for task in self.ask(self.service.tasks) if task.ended)

    def update(
        self,
        definition: str,
        desired: int | None = None,
        *,
        configuration: Mapping[str, Any] | None = None,
        earlier: Collection[str] = (),
    ) -> str:
        """One UpdateService call. When its answer is lost, the service is looked at before anything is sent again.

        Raises UnfencedError where the lease could never be confirmed, so that nothing was sent, BusyError where it was
        lost before, and DisplacedError where it was lost when something had been sent that was never answered.

        `earlier` are the ARNs of the service deployments there were before. The id of the deployment that was started;
        empty when it is known to be coming and ECS does not list it yet.
        """
        end = self.clock.monotonic() + self.policy.api_patience
        unanswered: UnavailableError | None = None
        while True:
            try:
                return self.service.update(definition, desired=desired, configuration=configuration)
            except BusyError as error:
                if unanswered:
                    raise DisplacedError(error.message, hint=error.hint) from error
                raise
            except UnfencedError as error:
                latest: UnavailableError = error
                self.progress.step(f"waiting to send UpdateService: {error.message}")
                self.clock.sleep(self.policy.poll)
            except UnavailableError as error:
                latest = unanswered = error
                self.progress.step(
                    f"no answer to UpdateService ({error.message}); looking whether it arrived"
                )
            if unanswered and (found := self._arrived(definition, earlier)) is not None:
                return found
            if self.clock.monotonic() >= end:
                raise unanswered or latest

    def _arrived(self, definition: str, earlier: Collection[str]) -> str | None:
        for _ in range(_LOOKS_BEFORE_RETRY):
            self.clock.sleep(self.policy.poll)
            primary = primary_of(self.live())
            if primary is not None and primary.task_definition == definition:
                return primary.id
        fresh = [e for e in self.service_deployments() or () if e.arn not in earlier and e.ongoing]
        return "" if definition in [entry.task_definition for entry in fresh] else None

    def log_lines(self, task: str) -> Sequence[str]:
        """A task's last lines where they can be read: without them the rest of a diagnosis is still told."""
        try:
            return self.service.log_lines(task, LOG_LINES) if task else ()
        except PipelineError as error:
            return (f"(the log cannot be read: {error.message})",)

    def digests_of(self, definition: str, container: str) -> frozenset[Digest]:
        """The digests a task definition is known to run: the one it pins, and what ECS reports of its tasks."""
        pinned = digest_in(self.definition(definition), container)
        tasks = [t for t in self.ask(self.service.tasks) if t.task_definition == definition]
        return digests_run(tasks, container) | (frozenset({pinned}) if pinned else frozenset())
