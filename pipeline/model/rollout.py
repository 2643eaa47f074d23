"""Deciding how a rollout stands: what was seen goes in, what to do next comes out.

The rules, in the order in which `next_step` asks them:

1. Our own deployment is followed by its id. A steady service proves nothing: after a rollback it is steady too.
2. Where the API tells service deployments, ours is known by its own states: going back, stopped or replaced is read
   there, not guessed. Else a primary deployment that is not ours means superseded or rolled back; the two are told
   apart, and named.
3. Nothing follows from absence: an id that is not listed yet is waited for, within a bounded time.
4. FAILED is ECS giving up; a running task with another digest than ours is never waited out.
5. The second like task failure is enough to explain and go back; while some task of ours serves, it takes half of
   the desired count. Failures of the platform (no capacity, spot interruption) never count.
6. Success needs our deployment complete (or, where the API tells no state of it, stable), every running task of it
   on our digest, healthy targets that are our tasks and enough of them, for as long as the policy says.
7. The deadline is ours, whatever ECS allows. Where nothing ran before, there is nothing to go back to: give up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from pipeline.model.diagnosis import Failure, like_failures, with_new_failures
from pipeline.model.digest import Digest
from pipeline.model.service import (
    Busy,
    DeploymentState,
    Previous,
    ServiceState,
    TargetState,
    TaskState,
    complete,
    deployment_of,
    primary_of,
    short,
    speaks_of_rollback,
    target_lacking,
    task_lacking,
)
from pipeline.model.service_deployment import (
    End,
    ServiceDeployment,
    ending,
    ours_among,
    waits_for,
)
from pipeline.model.strategy import UNDECLARED, Strategy
from pipeline.model.verdict import Reason

__all__ = [
    "Action",
    "Aim",
    "Busy",
    "DeploymentState",
    "Observation",
    "RolloutPolicy",
    "ServiceState",
    "Sight",
    "Step",
    "TargetState",
    "TaskState",
    "drained",
    "next_step",
    "observe",
]

_AGREE = "somebody else deployed; agree with them, then promote again"
_THEIRS = {
    End.REPLACED: _AGREE,
    End.STOPPED: "both versions may run now; agree with who stopped it, then promote again or roll back",
}


class Action(Enum):
    """What to do next. ROLL_BACK and GIVE_UP differ in whether something ran before that can run again.

    STUCK: ECS tried to go back and could not; a person is needed.
    """

    WAIT = "wait"
    DONE = "done"
    ROLL_BACK = "roll_back"
    GIVE_UP = "give_up"
    SUPERSEDED = "superseded"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class RolloutPolicy:
    """How patient a rollout is. All times are seconds.

    `healthy_share` of the service's desired count must be healthy. `stay_up` is how long success must last before it
    counts. `appear` bounds the wait for our deployment to be listed, `api_patience` the time without any answer from
    the API, `drain` the wait for old tasks after success, `verify` the smoke checks, which must hold `agree` times
    in a row. Polling starts at `poll` and slows to `slowest` while nothing changes. `strategy` is what is declared of
    ECS's own; the time its steps and bakes take comes on top of `deadline`.
    """

    deadline: float = 900.0
    healthy_share: float = 1.0
    stay_up: float = 10.0
    appear: float = 60.0
    api_patience: float = 120.0
    drain: float = 600.0
    verify: float = 60.0
    agree: int = 5
    poll: float = 1.0
    slowest: float = 15.0
    busy: Busy = Busy.WAIT
    strategy: Strategy = UNDECLARED


@dataclass(frozen=True, slots=True)
class Aim:
    """What a rollout wants: this deployment of this task definition, `container` running one of `digests`.

    `digests` holds the image's digest and, for an index, those of its platforms; empty only when going back to
    something whose digest nobody knows. `known` are the ids of the deployments that were there before ours, `ended`
    those of the tasks that had stopped by then, `earlier` the ARNs of the service deployments. `tells`: the API has
    service deployments, so ours will be among them. `undoing` is the ARN of one that ECS rolls back: its end is what is
    wanted. `deployment` is empty while ECS has not listed it, although UpdateService is known to have arrived.
    """

    deployment: str
    task_definition: str
    digests: frozenset[Digest]
    container: str
    previous: Previous | None = None
    known: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()
    earlier: frozenset[str] = frozenset()
    tells: bool = False
    undoing: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at the service. `elapsed` is seconds since the rollout began; `targets` None: no target group.

    `service_deployments` are the newest, newest first; empty where the API tells none, or has none listed yet.
    """

    elapsed: float
    service: ServiceState
    tasks: Sequence[TaskState]
    targets: Sequence[TargetState] | None
    service_deployments: Sequence[ServiceDeployment] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """A look, and what earlier looks add: whether our deployment was ever listed, every task of it that failed, and
    since when everything that success asks for has been there without a break (None: something is lacking).

    `service_deployment` is ours, None while the API does not tell it; `stands_since` is when it last got on.
    """

    aim: Aim
    sight: Sight
    appeared: bool = False
    failures: tuple[Failure, ...] = ()
    good_since: float | None = None
    lacking: str = ""
    service_deployment: ServiceDeployment | None = None
    stands_since: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next and why. `by_ecs`: ECS is already going back by itself. `other`: who superseded us."""

    action: Action
    reason: Reason
    failure: Failure | None = None
    by_ecs: bool = False
    other: DeploymentState | None = None


def observe(aim: Aim, sight: Sight, policy: RolloutPolicy, earlier: Observation | None = None) -> Observation:
    """Adds a look to what is known. `earlier` is the observation before it, None at the first."""
    before = earlier or Observation(aim, sight)
    tasks = [task for task in sight.tasks if task.task_definition == aim.task_definition]
    mine = _mine(aim, sight)
    stood = before.service_deployment.mark if before.service_deployment else None
    stands_since = sight.elapsed if mine and mine.mark != stood else before.stands_since
    seen = replace(before, sight=sight, service_deployment=mine, stands_since=stands_since)
    lacking = _lacking(seen, policy)
    since = before.good_since if before.good_since is not None else sight.elapsed
    return replace(
        seen,
        appeared=before.appeared or _ours(aim, sight) is not None,
        failures=with_new_failures(before.failures, tasks, aim.ended),
        good_since=None if lacking else since,
        lacking=lacking,
    )


def next_step(seen: Observation, policy: RolloutPolicy) -> Step:
    """What to do now. Never decides on what is not there; the module's docstring lists the rules."""
    step = (
        _gone(seen)
        or _ended_by_ecs(seen)
        or _replaced(seen, policy)
        or _failed(seen)
        or _wrong_image(seen)
        or _failing_alike(seen)
        or _good(seen, policy)
        or _late(seen, policy)
        or Step(Action.WAIT, Reason(seen.lacking or "them to stay up"))
    )
    nothing_before = seen.aim.previous is None and not seen.aim.undoing
    if step.action in (Action.ROLL_BACK, Action.STUCK) and nothing_before:
        return replace(step, action=Action.GIVE_UP)
    return step


def drained(seen: Observation) -> bool:
    """Whether only our deployment is left and no task of another definition runs any more."""
    service = seen.sight.service
    others = [t for t in seen.sight.tasks if t.task_definition != seen.aim.task_definition and t.alive]
    ours = _ours(seen.aim, seen.sight)
    left = [d for d in service.deployments if d is not ours and d.rollout_state != "FAILED"]
    return not others and not left and ours is not None


def _ours(aim: Aim, sight: Sight) -> DeploymentState | None:
    return deployment_of(sight.service, aim.deployment, aim.task_definition)


def _mine(aim: Aim, sight: Sight) -> ServiceDeployment | None:
    found = sight.service_deployments
    if aim.undoing:
        return next((entry for entry in found if entry.arn == aim.undoing), None)
    return ours_among(found, aim.deployment, aim.task_definition, aim.earlier)


def _our_tasks(aim: Aim, sight: Sight) -> list[TaskState]:
    return [t for t in sight.tasks if t.task_definition == aim.task_definition and t.alive]


def _needed(service: ServiceState, policy: RolloutPolicy) -> int:
    return max(1, math.ceil(service.desired * policy.healthy_share - 1e-9))


def _lacking(seen: Observation, policy: RolloutPolicy) -> str:
    """What success still asks for first, in words; empty when nothing is lacking."""
    aim, sight = seen.aim, seen.sight
    ours = _ours(aim, sight)
    if ours is None:
        mine = seen.service_deployment
        listed = f"deployment {aim.deployment or short(aim.task_definition)} to be listed"
        return waits_for(mine, 0.0) if mine is not None and mine.status == "PENDING" else listed
    needed = _needed(sight.service, policy)
    tasks = _our_tasks(aim, sight)
    if len(tasks) < needed:
        return f"the new tasks to run ({len(tasks)} of {needed} do)"
    return (
        task_lacking(tasks, aim.container, aim.digests)
        or target_lacking(tasks, sight.targets, needed)
        or _end_lacking(seen, ours, policy)
    )


def _end_lacking(seen: Observation, ours: DeploymentState, policy: RolloutPolicy) -> str:
    """What keeps ECS from having ended it well: by its service deployment, else by what `deployments` says."""
    aim, mine = seen.aim, seen.service_deployment
    if mine is not None:
        wanted = "ROLLBACK_SUCCESSFUL" if aim.undoing else "SUCCESSFUL"
        return "" if mine.status == wanted else waits_for(mine, seen.sight.elapsed - seen.stands_since)
    if aim.tells and (seen.sight.elapsed < policy.appear or ours.rollout_state != "COMPLETED"):
        return f"the service deployment of {short(aim.task_definition)} to be listed"
    return "" if complete(seen.sight.service, ours) else "ECS to call the deployment complete"


def _gone(seen: Observation) -> Step | None:
    status = seen.sight.service.status
    if status == "ACTIVE":
        return None
    text = f"the service is {status or 'without a status'}: somebody is deleting it"
    return Step(Action.SUPERSEDED, Reason(text, "find out who deletes the service before deploying again"))


def _ended_by_ecs(seen: Observation) -> Step | None:
    """What our service deployment says other than that it goes on or went well."""
    mine, aim = seen.service_deployment, seen.aim
    ended = mine and ending(mine, seen.sight.service_deployments, undoing=bool(aim.undoing))
    if not ended:
        return None
    end, text = ended
    if end in _THEIRS:
        return Step(Action.SUPERSEDED, Reason(text, _THEIRS[end]))
    back = _going_back(seen, text, by_ecs=end is not End.FAILED)
    return replace(back, action=Action.STUCK) if end is End.COULD_NOT else back


def _replaced(seen: Observation, policy: RolloutPolicy) -> Step | None:
    primary, mine = primary_of(seen.sight.service), seen.service_deployment
    if primary is None or primary == _ours(seen.aim, seen.sight):
        return None
    if mine is not None and mine.ongoing and (primary.id in seen.aim.known or seen.aim.undoing):
        return None
    if primary.id in seen.aim.known and not seen.appeared:
        return _never_listed(seen, primary, policy)
    if _went_back(seen, primary):
        return _rolled_back_by_ecs(seen, primary)
    text = f"deployment {primary.id} of {short(primary.task_definition)} replaced ours"
    return Step(Action.SUPERSEDED, Reason(text, _AGREE), other=primary)


def _never_listed(seen: Observation, primary: DeploymentState, policy: RolloutPolicy) -> Step:
    if seen.sight.elapsed < policy.appear:
        return Step(Action.WAIT, Reason(seen.lacking))
    text = (
        f"ECS never listed deployment {seen.aim.deployment}; after {policy.appear:.0f} s it still works towards "
        f"{short(primary.task_definition)}"
    )
    return Step(
        Action.ROLL_BACK, Reason(text, "look at the service's events, then promote again"), by_ecs=True
    )


def _went_back(seen: Observation, primary: DeploymentState) -> bool:
    """Whether a primary that is not ours is ECS going back, not a newer deployment of somebody else."""
    ours = _ours(seen.aim, seen.sight)
    before = seen.aim.previous.task_definition if seen.aim.previous else ""
    if primary.id in seen.aim.known or speaks_of_rollback(primary):
        return True
    failing = bool(seen.failures) or (
        ours is not None and (ours.rollout_state == "FAILED" or ours.failed > 0)
    )
    return primary.task_definition == before and failing


def _rolled_back_by_ecs(seen: Observation, primary: DeploymentState) -> Step:
    ours = _ours(seen.aim, seen.sight)
    why = ours.rollout_state_reason if ours is not None else ""
    why = why or primary.rollout_state_reason or "no reason given"
    text = f"ECS went back to {short(primary.task_definition)}: {why}"
    return _going_back(seen, text, by_ecs=True)


def _failed(seen: Observation) -> Step | None:
    ours = _ours(seen.aim, seen.sight)
    if ours is None or ours.rollout_state != "FAILED":
        return None
    text = f"ECS calls deployment {ours.id} failed: {ours.rollout_state_reason or 'no reason given'}"
    return _going_back(seen, text)


def _wrong_image(seen: Observation) -> Step | None:
    wanted = {digest.value for digest in seen.aim.digests}
    for task in _our_tasks(seen.aim, seen.sight):
        running = task.image_digests.get(seen.aim.container, "")
        if wanted and running and running not in wanted:
            text = f"task {task.id} runs {running}, not the digest that was promoted"
            return Step(Action.ROLL_BACK, Reason(text, "check what the repository serves for this digest"))
    return None


def _failing_alike(seen: Observation) -> Step | None:
    failure, count = like_failures(seen.failures)
    if failure is None or count < _tolerated(seen):
        return None
    text = f"{count} tasks failed alike ({failure.rule}): {failure.text}"
    return Step(Action.ROLL_BACK, Reason(text, failure.remedy), failure)


def _tolerated(seen: Observation) -> int:
    """Two; while some task of ours serves, half of desired when that is more."""
    sight = seen.sight
    ips = {task.ip for task in _our_tasks(seen.aim, sight)}
    serving = sight.targets is not None and any(t.ip in ips and t.state == "healthy" for t in sight.targets)
    return max(2, math.ceil(sight.service.desired / 2)) if serving else 2


def _good(seen: Observation, policy: RolloutPolicy) -> Step | None:
    if seen.good_since is None or seen.sight.elapsed - seen.good_since < policy.stay_up:
        return None
    return Step(Action.DONE, Reason(f"deployment {seen.aim.deployment} is complete and healthy"))


def _late(seen: Observation, policy: RolloutPolicy) -> Step | None:
    if seen.sight.elapsed < policy.deadline:
        return None
    lacking = seen.lacking or "them to stay up"
    text = f"not complete and healthy within {policy.deadline:.0f} s; still waiting for {lacking}"
    return _going_back(seen, text)


def _going_back(seen: Observation, text: str, *, by_ecs: bool = False) -> Step:
    failure = seen.failures[-1] if seen.failures else None
    remedy = failure.remedy if failure else "look at the service's events and the tasks' logs"
    return Step(Action.ROLL_BACK, Reason(text, remedy), failure, by_ecs=by_ecs)
