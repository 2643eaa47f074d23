"""Rolls a digest out on one ECS service: deploys, watches, verifies, and puts the old one back.

The loop around `model.rollout`: it looks, asks what to do, does it, and tells what happened. What it promises:
one UpdateService call a rollout; the desired count is sent only where the service stands at zero and nothing is on
record to have run there; a client that dies leaves the deployment going on, and the next `deploy` of the same image
and settings finds it in the live service and follows it instead of starting another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pipeline.errors import (
    BusyError,
    ConfigurationError,
    DetachedError,
    DetachedInterrupt,
    DisplacedError,
    PipelineError,
    StuckError,
    UnfencedError,
)
from pipeline.model.deployment import Check, DeploySpec, RolloutOutcome, RolloutResult
from pipeline.model.diagnosis import explain
from pipeline.model.digest import ImageRef
from pipeline.model.rollout import Action, Aim, Busy, Observation, RolloutPolicy, Step, drained
from pipeline.model.service import (
    Previous,
    ServiceState,
    attachable,
    complete,
    deployment_of,
    in_progress,
    previous_of,
    primary_of,
    short,
)
from pipeline.model.task_definition import definition_for, differs, registrable, task_name
from pipeline.model.verdict import Reason
from pipeline.ports import Alarms, Clock, HttpProbe, OneOff, Progress, Service, TargetHealth, TrafficProbe
from pipeline.strategies import Ground, before_following, before_update, is_pending, taken_back
from pipeline.undo import undo
from pipeline.verification import Verification, Witnesses
from pipeline.watching import LOG_LINES, Calls, against_us
from pipeline.way_back import WayBack, aws_command

__all__ = ["Check", "DeploySpec", "Rollout", "RolloutOutcome", "RolloutPolicy", "RolloutResult"]


@dataclass(frozen=True, slots=True)
class Rollout:
    """One service and how to watch it. `targets` None: a service without a target group.

    `traffic` and `alarms` None: no requests are sent during the rollout, no alarms are asked.
    """

    service: Service
    targets: TargetHealth | None
    probe: HttpProbe
    clock: Clock
    policy: RolloutPolicy = field(default_factory=RolloutPolicy)
    traffic: TrafficProbe | None = None
    alarms: Alarms | None = None

    def deploy(self, image: ImageRef, spec: DeploySpec, progress: Progress) -> RolloutResult:
        """Rolls `image` out and returns how it ended.

        Before anything is changed it raises UnavailableError when the API is silent for longer than the policy's
        patience, BusyError when somebody else's deployment or lease is in the way, ConfigurationError when service,
        definition or permissions do not fit. Afterwards, whatever it is that cannot be gone on with: DetachedError,
        DisplacedError when the lease is lost, and StuckError when it failed and going back failed too. After Ctrl-C
        the deployment goes on, which is said (DetachedInterrupt), and the next call finds it.
        """
        policy = replace(self.policy, busy=Busy.SUPERSEDE) if spec.supersedes else self.policy
        calls = Calls(self.service, self.targets, self.clock, policy, progress)
        witnesses = Witnesses(self.probe, self.traffic, self.alarms)
        verification = Verification(witnesses, calls, spec, str(image.digest))
        run = _Run(calls, verification, image, spec)
        try:
            result = run.go()
        except KeyboardInterrupt as interrupt:
            if not run.changed and not run.commanding:
                raise
            progress.note(_left(run))
            raise DetachedInterrupt from interrupt
        except StuckError:
            raise
        except PipelineError as error:
            if not _begun(run, error):
                raise
            raise _detached(run, error) from error
        finally:
            probed = verification.end()
        return replace(result, probe=probed)

    def undo(
        self, done: RolloutResult, spec: DeploySpec, why: Reason, progress: Progress
    ) -> tuple[RolloutOutcome, Reason]:
        """Puts back what ran before a rollout of `spec` that had succeeded; see `pipeline.undo.undo`.

        What ran already and is the last good one on record is what ran before, whatever drains beside it.
        """
        calls = Calls(self.service, self.targets, self.clock, self.policy, progress)
        if done.already and spec.last_good and spec.last_good.task_definition == done.task_definition:
            done = replace(done, previous=None)
        return undo(calls, done, spec.container, why)


@dataclass(slots=True)
class _Run:
    """One call of `deploy`: what it has found out and done so far."""

    calls: Calls
    verification: Verification
    image: ImageRef
    spec: DeploySpec
    changed: bool = False
    commanding: bool = False
    definition: str = ""
    deployment: str = ""
    already: bool = False
    reattached: bool = False
    healthy_at: datetime | None = None
    previous: Previous | None = None
    known: frozenset[str] = frozenset()
    ground: Ground = field(default_factory=Ground)
    undoing: str = ""
    service_deployment: str = ""
    started_at: datetime | None = None
    back: WayBack | None = None

    def go(self) -> RolloutResult:
        self.started_at = self.calls.clock.now()
        live = self._settled()
        wanted, differ = _wanted(self.calls, live, self.image, self.spec)
        if not differ and (found := attachable(live, live.task_definition)):
            self._attach(live, found.id, complete=complete(live, found))
            return self._see_through()
        if not differ and is_pending(self.calls, live):
            self._attach(live, "", complete=False)
            return self._see_through()
        desired = _first_count(self.spec, live)
        self.ground = before_update(self.calls, live, desired or live.desired)
        self.verification.begin(live)
        self._register(live, wanted)
        if self.spec.before and (ended := self._run_before(live, wanted)) is not None:
            return ended
        self.known = frozenset(d.id for d in live.deployments)
        self.changed = True
        if self.spec.supersedes and (undone := taken_back(self.calls, live, self.definition)):
            self.undoing, self.ground = undone.arn, Ground(since=undone.created_at)
            self.calls.progress.note(f"ECS goes back from service deployment {undone.name}")
        else:
            configuration, earlier = self.ground.configuration, self.ground.earlier
            self.deployment = self.calls.update(
                self.definition, desired, configuration=configuration, earlier=earlier
            )
        return self._see_through()

    def _settled(self) -> ServiceState:
        """The live service once no deployment of somebody else is in progress; at once when it is ours already."""
        clock, policy = self.calls.clock, self.calls.policy
        end = clock.monotonic() + policy.deadline
        while True:
            live = self.calls.live()
            other = in_progress(live)
            if other is None or policy.busy is Busy.SUPERSEDE:
                return live
            if not _wanted(self.calls, live, self.image, self.spec)[1]:
                return live
            if policy.busy is Busy.REFUSE or clock.monotonic() >= end:
                raise BusyError(
                    f"deployment {other.id} of {short(other.task_definition)} is in progress on {live.arn}",
                    hint="see whose it is, and run the same command again when it has ended",
                )
            self.calls.progress.step(
                f"waiting for deployment {other.id} of {short(other.task_definition)} to end"
            )
            clock.sleep(policy.poll)

    def _attach(self, live: ServiceState, deployment: str, *, complete: bool) -> None:
        self.definition, self.deployment = live.task_definition, deployment
        self.already, self.reattached, self.changed = complete, not complete, not complete
        self.known = frozenset(d.id for d in live.deployments if d.id != deployment)
        self.previous = _before_us(self.calls, live, self.spec, self.definition)
        if not complete:
            self.verification.begin(live, self.definition)
        self.ground = before_following(self.calls, live, deployment, complete=complete)
        state = "already runs" if complete else "is already being deployed; following it"
        self.calls.progress.note(f"{short(self.definition)} {state}")

    def _register(self, live: ServiceState, wanted: Mapping[str, Any]) -> None:
        calls, again = self.calls, self.spec.definition
        self.definition = (
            calls.runnable(again) if again else calls.ask(lambda: calls.service.register(wanted))
        )
        self.previous = _before_us(calls, live, self.spec, self.definition)
        verb = "taking" if self.definition == again else "registered"
        calls.progress.note(f"{verb} {short(self.definition)} with {self.image}")

    def _run_before(self, live: ServiceState, wanted: Mapping[str, Any]) -> RolloutResult | None:
        command, progress = " ".join(self.spec.before), self.calls.progress
        progress.step(f"running {command}")
        self.commanding = True
        primary = primary_of(live)
        name = task_name(wanted, self.spec.before, replaced=primary.id if primary else "")
        end = self.calls.service.run_once(self.definition, self.spec.before, name, progress.note)
        self.commanding = False
        if end.exit_code == 0:
            progress.note(f"{command} ended with exit code 0")
            return None
        reason = Reason(
            _ended(command, end), "mend the command or what it needs; the service was not touched"
        )
        result = self._result(RolloutOutcome.BEFORE_FAILED, (reason,), self.calls.live())
        return replace(result, diagnosis="\n".join(end.log_lines[-LOG_LINES:]))

    def _see_through(self) -> RolloutResult:
        """Watches ours to its end: success, verification, drain, or the way back."""
        policy, ground = self.ground.patience(self.calls.policy), self.ground
        watch = (
            self.calls.watch(replace(policy, stay_up=0.0), since=ground.since)
            if self.already
            else self.calls.watch(policy, self.verification.seen, since=ground.since)
        )
        step, seen = watch.follow(
            Aim(
                self.deployment,
                self.definition,
                frozenset({self.image.digest, *self.spec.platform_digests}),
                self.spec.container,
                self.previous,
                self.known,
                self.calls.ended_tasks() if self.already or self.undoing else frozenset(),
                ground.earlier,
                ground.tells,
                self.undoing,
            )
        )
        self.service_deployment = seen.service_deployment.arn if seen.service_deployment else ""
        listed = deployment_of(seen.sight.service, self.deployment, self.definition)
        self.deployment = listed.id if listed else self.deployment
        if step.action is Action.DONE:
            self.healthy_at = self.calls.clock.now()
            self.calls.progress.note(f"{short(self.definition)} is healthy")
            against = self.verification.concluded()
            step = against_us(seen.aim, against) if against else step
        if step.action is Action.DONE:
            step, seen = watch.drain(seen)
        return self._succeeded(seen) if step.action is Action.DONE else self._failed(step, seen)

    def _succeeded(self, seen: Observation) -> RolloutResult:
        verb = "already runs" if self.already else "runs"
        reasons = [
            Reason(f"{verb} {self.image.digest.short} as {short(self.definition)}, healthy and verified")
        ]
        gone = drained(seen)
        if not gone:
            reasons.append(Reason(f"old tasks are still draining after {self.calls.policy.drain:.0f} s"))
        result = self._result(RolloutOutcome.SUCCEEDED, tuple(reasons), seen.sight.service, seen)
        return replace(result, drained_at=self.calls.clock.now() if gone else None)

    def _failed(self, step: Step, seen: Observation) -> RolloutResult:
        if step.action is Action.SUPERSEDED:
            return self._result(RolloutOutcome.SUPERSEDED, (step.reason,), seen.sight.service, seen)
        diagnosis = _diagnosed(self.calls, self.definition, step, seen)
        self.verification.back(serving=self.previous is not None)
        back = WayBack(self.calls, step, self.previous, self.spec.container, seen.sight.service)
        self.back, self.changed = back, True
        if step.action is Action.STUCK:
            raise back.stuck(seen.sight.service, "what runs now may be both versions or neither")
        if self.previous is not None:
            outcome, then, last = back.to_previous(self.previous, seen.service_deployment)
        elif _served_before(self):
            raise back.stuck(
                seen.sight.service, "it served before we came, and nothing is known to go back to"
            )
        else:
            outcome, then, last = RolloutOutcome.FAILED_FIRST, back.to_zero(self.definition), seen
        result = self._result(outcome, (step.reason, then), last.sight.service, last)
        return replace(result, diagnosis=diagnosis)

    def _result(
        self,
        outcome: RolloutOutcome,
        reasons: tuple[Reason, ...],
        live: ServiceState,
        seen: Observation | None = None,
    ) -> RolloutResult:
        tasks = [t for t in seen.sight.tasks if t.alive] if seen else []
        return RolloutResult(
            outcome=outcome,
            reasons=reasons,
            service_arn=live.arn,
            task_definition=self.definition,
            deployment=self.deployment,
            service_deployment=self.service_deployment,
            digests=tuple(sorted({t.image_digests.get(self.spec.container, "") for t in tasks} - {""})),
            previous=self.previous,
            started_at=self.started_at,
            healthy_at=self.healthy_at,
            already=self.already,
            reattached=self.reattached,
        )


def _served_before(run: _Run) -> bool:
    """Whether what failed is known to have served: as it was when we came, or as what is gone back to has."""
    going_back = run.spec.definition or (run.spec.supersedes and not run.reattached)
    return bool(run.already or (run.reattached and run.healthy_at) or going_back)


def _diagnosed(calls: Calls, definition: str, step: Step, seen: Observation) -> str:
    """Tells what happened on one screen, before anything is done about it."""
    failure = step.failure
    ours = [task.id for task in seen.sight.tasks if task.task_definition == definition]
    task = failure.task.id if failure else next(iter(ours), "")
    diagnosis = explain(failure, calls.log_lines(task), seen.sight.targets)
    for text in filter(None, (step.reason.text, diagnosis)):
        calls.progress.note(text)
    return diagnosis


def _begun(run: _Run, error: PipelineError) -> bool:
    """Whether something was changed, or may have been. The lease is asked for before UpdateService is called."""
    unsent = isinstance(error, BusyError | UnfencedError)
    return run.changed and not (unsent and not run.deployment and not run.back)


def _left(run: _Run) -> str:
    """What goes on without us after Ctrl-C, in words."""
    if run.commanding:
        return f"detached: {' '.join(run.spec.before)} perhaps runs; the same command waits for its end"
    if run.back:
        return f"detached: {run.back.broken_off}"
    return "detached, still running: ECS goes on without us; the same command follows it"


def _detached(run: _Run, error: PipelineError) -> PipelineError:
    """What to raise instead of an error that ends our part while ECS goes on."""
    family = DisplacedError if isinstance(error, BusyError | DisplacedError) else DetachedError
    if run.back is not None:
        return family(f"{error.message} – detached: {run.back.broken_off}", hint=run.back.look)
    goes_on = f"ECS goes on with {short(run.definition)} without us"
    return family(
        f"{error.message} – detached, {'still running' if run.deployment else 'perhaps running'}: {goes_on}",
        hint=f"{error.hint}; then run the same command again: it finds this deployment and follows it",
    )


def _wanted(
    calls: Calls, live: ServiceState, image: ImageRef, spec: DeploySpec
) -> tuple[Mapping[str, Any], bool]:
    """The task definition to run, and whether it differs from the live one."""
    current = calls.definition(live.task_definition)
    if spec.definition:
        wanted: Mapping[str, Any] = registrable(calls.definition(spec.definition))
    else:
        wanted = definition_for(current, image, spec.container, spec.environment, spec.secrets)
    return wanted, differs(current, wanted)


def _first_count(spec: DeploySpec, live: ServiceState) -> int | None:
    """The desired count to send: only for a service at zero where nothing is on record to have run."""
    if live.desired > 0:
        return None
    if spec.last_good is None:
        return spec.desired
    raise ConfigurationError(
        f"{live.arn} is scaled to zero, although {short(spec.last_good.task_definition)} is on record as running there",
        hint=f"scale it up first: {aws_command('update-service', live, '--desired-count', str(spec.desired))}",
    )


def _before_us(calls: Calls, live: ServiceState, spec: DeploySpec, ours: str) -> Previous | None:
    """The last good one on record, else the newest that worked; with the digests it is known by."""
    found, good = previous_of(live, ours), spec.last_good
    if good and good.task_definition not in (ours, found.task_definition if found else ""):
        found = good
    if found is None:
        return None
    known = found.digests or calls.digests_of(found.task_definition, spec.container)
    return replace(found, digests=known)


def _ended(command: str, end: OneOff) -> str:
    if end.exit_code is None:
        return f"{command} did not run: {end.reason}"
    return f"{command} ended with exit code {end.exit_code}: {end.reason}"
