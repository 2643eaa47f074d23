"""What a rollout finds out about strategy and service deployments before it changes anything, and on its way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pipeline.errors import ConfigurationError
from pipeline.model.rollout import Aim, RolloutPolicy
from pipeline.model.service import Previous, ServiceState, primary_of
from pipeline.model.service_deployment import ServiceDeployment
from pipeline.model.strategy import (
    Kind,
    check_traffic_can_shift,
    shift_seconds,
    straight_back,
    strategy_of,
    tells,
    to_send,
    wanted_configuration,
)
from pipeline.watching import Calls


@dataclass(frozen=True, slots=True)
class Ground:
    """What was there before our UpdateService call, and what goes with it.

    `configuration` is the `deploymentConfiguration` to send, None where the service has it. `earlier` are the ARNs of
    the service deployments that are not ours, `since` is when the newest of them was created (ECS's clock). `tells`:
    the API has service deployments. `shift` is how many seconds ECS itself will step and bake.
    """

    configuration: Mapping[str, Any] | None = None
    earlier: frozenset[str] = frozenset()
    since: datetime | None = None
    tells: bool = False
    shift: float = 0.0

    def patience(self, policy: RolloutPolicy) -> RolloutPolicy:
        """The policy with ECS's own steps and bakes on top of its deadline."""
        return replace(policy, deadline=policy.deadline + self.shift)


def is_pending(calls: Calls, live: ServiceState) -> bool:
    """Whether a deployment of the service's task definition is accepted, and ECS has not begun it yet."""
    primary = primary_of(live)
    if live.desired == 0 or primary is None or primary.task_definition == live.task_definition:
        return False
    found = calls.service_deployments() or ()
    return any(e.status == "PENDING" and e.task_definition == live.task_definition for e in found)


def before_update(calls: Calls, live: ServiceState, desired: int) -> Ground:
    """Raises ConfigurationError when the service lacks what the strategy needs; nothing has changed then."""
    found = calls.service_deployments()
    told = bool(found) or tells(live.raw)
    if found is None:
        calls.progress.note(
            "ECS does not tell its service deployments here; the service's list of deployments decides "
            "(to mend it, allow ecs:ListServiceDeployments and ecs:DescribeServiceDeployments)"
        )
    wanted = wanted_configuration(calls.policy.strategy, live.configuration, desired)
    strategy = strategy_of(wanted)
    kind = strategy.kind or Kind.ROLLING
    if told:
        check_traffic_can_shift(kind, live.raw)
    elif kind.shifts:
        calls.progress.note(
            f"strategy {kind.word}: the API tells no service deployments of {live.arn}; as far as it can be seen "
            "this is a rolling deployment, which is what the local cloud makes of it"
        )
    shift = shift_seconds(strategy) if told else 0.0
    return Ground(to_send(wanted, live.configuration), _arns(found), _newest(found), told, shift)


def before_following(calls: Calls, live: ServiceState, deployment: str, *, complete: bool) -> Ground:
    """For a deployment that is there already: its own service deployment, if it is told, is not an earlier one."""
    found = calls.service_deployments() or ()
    number = deployment.rpartition("/")[2]
    ours = next((e for e in found if e.revision.rpartition("/")[2] == number), None) or next(
        (e for e in found if e.task_definition == live.task_definition), None
    )
    since = ours.created_at if ours else _newest(found)
    tells = ours is not None or (bool(found) and not complete)
    earlier = _arns(found) - ({ours.arn} if ours else set())
    shift = shift_seconds(strategy_of(live.configuration)) if tells else 0.0
    return Ground(None, earlier, since, tells, shift)


def way_back(
    calls: Calls, mine: ServiceDeployment | None, previous: Previous, container: str
) -> tuple[Aim, datetime | None]:
    """Begins to go back to `previous`, or finds where ECS has begun to; the aim to follow, and since when to look.

    `mine` is the service deployment that failed, where it is told. Raises ConfigurationError when ECS refuses.
    """
    ended, definition = calls.ended_tasks(), previous.task_definition
    if mine is not None and _undone_by_ecs(calls, mine, definition):
        others = frozenset(d.id for d in calls.live().deployments if d.task_definition != definition)
        aim = Aim("", definition, previous.digests, container, None, others, ended, undoing=mine.arn)
        return aim, mine.created_at
    live, found = calls.live(), calls.service_deployments()
    primary, earlier, tells = primary_of(live), _arns(found), False
    if primary is not None and primary.task_definition == definition:
        deployment = primary.id
    else:
        definition = calls.runnable(definition)
        straight, tells = straight_back(live.configuration), bool(found)
        deployment = calls.update(definition, configuration=straight, earlier=earlier)
    known = frozenset(d.id for d in live.deployments if d.id != deployment)
    aim = Aim(deployment, definition, previous.digests, container, None, known, ended, earlier, tells)
    return aim, _newest(found)


def taken_back(calls: Calls, live: ServiceState, definition: str) -> ServiceDeployment | None:
    """The deployment in progress that ECS takes back to `definition` from now on; None where another must lead there.

    That is so where it shifts no traffic, replaces something else, or ECS refuses.
    """
    found = calls.service_deployments() or ()
    mine = next((e for e in found if e.ongoing and e.task_definition == live.task_definition), None)
    if mine is None or not mine.shifts or definition not in _leads_to(mine):
        return None
    return mine if _undone_by_ecs(calls, mine, definition) else None


def _leads_to(mine: ServiceDeployment) -> frozenset[str]:
    """The task definitions that ECS would go back to from it, as far as they are known."""
    return frozenset({mine.returns_to}) if mine.returns_to else mine.replaces


def _undone_by_ecs(calls: Calls, mine: ServiceDeployment, definition: str) -> bool:
    """Whether ECS goes back to `definition` by itself, or does now that it was asked to.

    It is asked where it shifts traffic: the old tasks still run, and no other deployment would be as quick. With the
    rolling strategy it might go back to something else than what was last good.
    """
    leads_to = _leads_to(mine)
    if leads_to and definition not in leads_to:
        return False
    if mine.going_back or not (mine.shifts and mine.ongoing and leads_to):
        return mine.going_back
    try:
        calls.ask(lambda: calls.service.roll_back(mine.arn))
    except ConfigurationError as error:
        now = next((e for e in calls.service_deployments(mine.created_at) or () if e.arn == mine.arn), mine)
        if not now.going_back:
            calls.progress.note(f"ECS does not roll service deployment {mine.name} back: {error.message}")
        return now.going_back
    return True


def _arns(found: Sequence[ServiceDeployment] | None) -> frozenset[str]:
    return frozenset(entry.arn for entry in found or ())


def _newest(found: Sequence[ServiceDeployment] | None) -> datetime | None:
    return max((e.created_at for e in found or () if e.created_at), default=None)
