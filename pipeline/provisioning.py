"""Set-up of an app's environments by CloudFormation: looked at first, then made, again and again with the same end.

The service's image, task definition and number of tasks belong to rollouts. CloudFormation would send its own idea of
them with any change of the service, and would put that back when an update fails. So a stack that touches its service
is first told what ECS runs already, and nothing else; only then comes the change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.adapters import owned
from pipeline.adapters.change_set import StackRequest
from pipeline.adapters.stack import Stacks, Standing
from pipeline.adapters.template_file import parsed
from pipeline.config import Settings
from pipeline.iam import too_large
from pipeline.locations import Location, Share
from pipeline.model.stack_plan import ResourceChange, StackPlan, losses, rests
from pipeline.model.task_size import not_on_fargate
from pipeline.model.template import resources_made
from pipeline.model.verdict import Reason
from pipeline.names import database_secret, is_adopted, stack_name, table_name
from pipeline.ports import Clock, Say
from pipeline.stacks import (
    APP_TAG,
    RUNNING,
    StackSpec,
    certificate,
    former_parts,
    not_here,
    not_ours,
    possible_stacks,
    shared_stack,
    stacks_of,
)

Hold = Callable[[str], AbstractContextManager[Any]]
"""Holds an environment while its service is touched."""

_SERVICE = "Service"


@dataclass(frozen=True, slots=True)
class Step:
    """A stack to make or to change, and what that means. `spec` None: it is removed, nobody asks for it any more."""

    plan: StackPlan
    spec: StackSpec | None = None
    environment: str = ""


@dataclass(frozen=True, slots=True)
class SetupPlan:
    """What a set-up would do, in order. `notes` say what it leaves alone, `reasons` why it may not be done."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether everything stands as it is asked for."""
        return all(step.plan.empty for step in self.steps)


@dataclass(frozen=True, slots=True)
class Made:
    """A stack after its set-up: `did` is `created`, `changed`, `unchanged` or `removed`."""

    name: str
    environment: str
    did: str
    outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clients:
    """boto3's clients that set-up needs."""

    cloudformation: Any
    ecs: Any
    ecr: Any
    dynamodb: Any
    secretsmanager: Any

    @classmethod
    def of(cls, client: Callable[[str], Any]) -> Clients:
        """Out of what makes clients by name."""
        return cls(*(client(name) for name in cls.__dataclass_fields__))


class Provisioning:
    """Set-up in one account and region, of all services of a release.

    `secrets` gives further parameters of an environment's service, such as DatabaseUrl. The errors are those of
    `Stacks`; UnavailableError where another API does not answer.
    """

    def __init__(
        self,
        location: Location,
        clients: Clients,
        clock: Clock,
        say: Say,
        *,
        hold: Hold = lambda _environment: nullcontext(),
        secrets: Callable[[str, str], Mapping[str, str]] = lambda _environment, _service: {},
    ) -> None:
        """`hold` keeps rollouts away while an environment's stacks are changed."""
        self._location = location
        self._settings = location.settings
        self._clients = clients
        self._say = say
        self._hold = hold
        self._secrets = secrets
        self._stacks = Stacks(clients.cloudformation, clock, say)

    def plan(self, environments: Sequence[str], *, accept_loss: bool = False) -> SetupPlan:
        """What setting the environments up would do. Nothing is changed."""
        parts = [(name, part) for name in environments for part in self._location.parts]
        ours = [(name, part) for name, part in parts if not is_adopted(part.settings, name)]
        notes = [_adopted(part, name) for name, part in parts if (name, part) not in ours]
        for name in environments:
            formers = former_parts(self._stacks, self._clients.ecs, self._location, name)
            notes += [_left(part, name) for part in formers]
        specs, reasons = self._wanted(ours, notes)
        every = _with_common(self._location, ours)
        steps = [step for name, part in every for step in _no_longer(self._stacks, part, name)]
        for spec in specs:
            step, refused = self._looked_at(spec, notes)
            steps += [step] if step else []
            reasons += refused
        if not accept_loss:
            reasons += [loss.reason for loss in losses(step.plan for step in steps)]
            reasons += rests(step.plan for step in steps)
        return SetupPlan(tuple(steps), tuple(dict.fromkeys(notes)), tuple(dict.fromkeys(reasons)))

    def apply(self, plan: SetupPlan) -> list[Made]:
        """Does what the plan says, which must have no reasons against it. Each stack is made sure of, in order."""
        return [self._applied(step) for step in plan.steps]

    def _wanted(
        self, ours: Sequence[tuple[str, Location]], notes: list[str]
    ) -> tuple[list[StackSpec], list[Reason]]:
        """What all share, then each environment's, where all its services share something that last."""
        shared, reasons = self._shared(notes)
        specs = [shared] if shared else []
        for name, part in _with_common(self._location, ours):
            notes += not_here(part, name)
            reasons += too_large(part, name)
            specs += [self._filled(spec, notes) for spec in stacks_of(part, name)]
        for name, part in ours:
            reasons += (*_certificate_elsewhere(part.settings, name), *_no_such_task(part, name))
        return specs, reasons

    def _shared(self, notes: list[str]) -> tuple[StackSpec | None, list[Reason]]:
        """What all share: a repository or table that is there already is taken over when it is ours, or left alone.

        A registry that pipeline.toml names for this region names the repository in it as well.
        """
        spec, reasons = shared_stack(self._location), list[Reason]()
        if spec is None:
            return None, reasons
        whole = self._location.share is Share.ALL
        named = self._settings.app.repository or not whole
        told: dict[str, tuple[str, str, object]] = {
            "Repository": ("ImageRepository", self._settings.repository, named)
        }
        if whole:
            told["Table"] = ("StateTable", table_name(self._settings), self._settings.cloud.table)
        there = self._stacks.resources(spec.name)
        for parameter, (logical, name, configured) in told.items():
            if spec.request.parameters[parameter] == "no":
                notes.append(f"{parameter.lower()} {name} is named in pipeline.toml: used as it is")
            elif logical not in there and (tags := self._tags(parameter, name)) is not None:
                if tags.get(APP_TAG) == self._settings.app.name:
                    notes.append(f"{parameter.lower()} {name} is there from before: taken into the stack")
                    spec = replace(spec, request=replace(spec.request, imports=True))
                elif configured:
                    notes.append(f"{parameter.lower()} {name} is there already: used as it is")
                    spec = spec.told(**{parameter: "no"})
                else:
                    reasons.append(_foreign(parameter, name, self._settings.app.name))
        empty = not whole and spec.request.parameters["Repository"] == "no"
        return None if empty else spec, reasons

    def _tags(self, parameter: str, name: str) -> Mapping[str, str] | None:
        if parameter == "Repository":
            return owned.repository_tags(self._clients.ecr, name)
        return owned.table_tags(self._clients.dynamodb, name)

    def _filled(self, spec: StackSpec, notes: list[str]) -> StackSpec:
        """With the environment's secrets; a secret that somebody else keeps is left to them."""
        if "DatabaseSecret" not in spec.request.parameters:
            return spec
        told = self._secrets(spec.environment, spec.part.service)
        name = database_secret(spec.part.settings, spec.environment)
        asked = spec.request.parameters["DatabaseSecret"] == "yes"
        if (
            asked
            and "DatabaseUrlSecret" not in self._stacks.resources(spec.name)
            and owned.secret_tags(self._clients.secretsmanager, name) is not None
        ):
            notes.append(f"secret {name} is there already: used as it is")
            return spec.told(DatabaseSecret="no")
        return spec.told(**told)

    def _looked_at(self, spec: StackSpec, notes: list[str]) -> tuple[Step | None, list[Reason]]:
        standing = self._stacks.standing(spec.name)
        if standing is not None and (why := not_ours(spec.part, standing.tags)):
            return None, [Reason(f"stack {spec.name} {why}", "delete or rename it, or choose another name")]
        if standing is None or standing.never_whole:
            if spec.after_rollout and not self._runs(spec):
                notes.append(
                    f"{spec.name}: after the first rollout of {spec.environment}; run setup again then"
                )
                return None, []
            made = resources_made(parsed(spec.request.template), spec.request.parameters)
            rest = standing is not None and standing.half_deleted
            what = "half deleted: the rest of it is deleted first" if rest else "never whole: deleted first"
            why = f"it is {standing.status}, {what}" if standing else ""
            plan = StackPlan(spec.name, made, new=True, remade=standing is not None, why=why, rest=rest)
        else:
            changes, _ = self._changes(spec, standing)
            plan = StackPlan(spec.name, changes)
        return Step(plan, spec, spec.environment), []

    def _runs(self, spec: StackSpec) -> bool:
        own = stacks_of(spec.part, spec.environment)[0].service
        live = owned.live_service(self._clients.ecs, own.cluster, own.service) if own else None
        return live is not None and live.desired > 0

    def _changes(self, spec: StackSpec, standing: Standing) -> tuple[tuple[ResourceChange, ...], str]:
        """What would change, and the task definition that the stack must know of for it."""
        if spec.service is None:
            return self._stacks.foreseen(spec.request), ""
        before, now = standing.parameters.get(RUNNING, ""), self._running(spec)
        changes = self._stacks.foreseen(spec.told(**{RUNNING: before}).request)
        if now == before or _SERVICE not in {change.logical for change in changes}:
            return changes, before
        return self._stacks.foreseen(spec.told(**{RUNNING: now}).request), now

    def _running(self, spec: StackSpec) -> str:
        """The task definition that a rollout gave the service; empty while it has the stack's own."""
        assert spec.service is not None
        live = owned.live_service(self._clients.ecs, spec.service.cluster, spec.service.service)
        own = self._stacks.resources(spec.name).get("TaskDefinition", "")
        return "" if live is None or live.definition == own else live.definition

    def _applied(self, step: Step) -> Made:
        if step.spec is None:
            self._say(f"stack {step.plan.name}: removing it")
            with self._hold(step.environment):
                self._stacks.delete(step.plan.name)
            return Made(step.plan.name, step.environment, "removed")
        if step.plan.empty:
            return self._ensured(step, step.spec.request)
        self._say(f"stack {step.plan.name}: {'making' if step.plan.new else 'changing'} it")
        with self._hold(step.environment) if step.environment else nullcontext():
            return self._ensured(step, self._aligned(step.spec))

    def _aligned(self, spec: StackSpec) -> StackRequest:
        """Tells a stack whose service would be touched what ECS runs already, before anything else is changed."""
        standing = self._stacks.standing(spec.name)
        if spec.service is None or standing is None or not standing.whole:
            return spec.request
        _, running = self._changes(spec, standing)
        if running != standing.parameters.get(RUNNING, running):
            kept = frozenset(standing.parameters) - {RUNNING}
            self._stacks.ensure(StackRequest(spec.name, "", {RUNNING: running}, standing.tags, kept))
        return spec.told(**{RUNNING: running}).request

    def _ensured(self, step: Step, request: StackRequest) -> Made:
        if step.plan.empty:
            standing = self._stacks.standing(step.plan.name)
            return Made(step.plan.name, step.environment, "unchanged", standing.outputs if standing else {})
        stack = self._stacks.ensure(request, step.plan)
        did = "unchanged" if not stack.changed else "created" if step.plan.new else "changed"
        return Made(step.plan.name, step.environment, did, stack.outputs)


def _no_longer(known: Stacks, part: Location, environment: str) -> list[Step]:
    """Stacks of ours that stand and are asked for no more, the last made first."""
    wanted = {spec.name for spec in stacks_of(part, environment)}
    others = [name for name in possible_stacks(part, environment) if name not in wanted]
    found = {name: known.standing(name) for name in reversed(others)}
    why = "remove the whole stack: pipeline.toml asks for it no more"
    return [
        Step(StackPlan(name, (), new=True, why=why), None, environment)
        for name, stack in found.items()
        if stack and not not_ours(part, stack.tags)
    ]


def _with_common(location: Location, ours: Sequence[tuple[str, Location]]) -> list[tuple[str, Location]]:
    """With the app itself after each environment's services, for what they have together."""
    if not location.settings.services:
        return list(ours)
    names = dict.fromkeys(name for name, _ in ours)
    return [one for name in names for one in (*(each for each in ours if each[0] == name), (name, location))]


def _adopted(part: Location, name: str) -> str:
    own = part.settings.environments[name]
    told = ", ".join(
        f"{key} {value}" for key, value in (("cluster", own.cluster), ("service", own.service)) if value
    )
    return f"{part.called(name)} is adopted ({told} in pipeline.toml): nothing is made or changed there"


def _left(part: Location, name: str) -> str:
    what = (
        f"{part.called(name)} is not in pipeline.toml any more"
        if part.service
        else f"{name} has {stack_name(part.settings, name)} from when the app was one service"
    )
    return f"{what}: it is left as it is, cleanup deletes it"


def _certificate_elsewhere(settings: Settings, name: str) -> list[Reason]:
    """A load balancer takes certificates of its own region alone."""
    told, region = certificate(settings, name), settings.cloud.region
    if not told or told.split(":")[3] == region:
        return []
    return [
        Reason(
            f"the certificate {told} of {name} is not one of {region}, so its load balancer cannot serve it",
            f'ask ACM for one in {region}: environments.prod.certificates = {{ "{region}" = "arn:…" }}'
            if name == "prod"
            else f"ask ACM for one in {region} and name it in environments.{name}.setup.certificate",
        )
    ]


def _no_such_task(part: Location, name: str) -> list[Reason]:
    """Fargate has tasks of some sizes alone."""
    own = part.settings.environments[name]
    on_fargate = part.settings.cloud.provider == "aws" and own.setup.capacity == "fargate"
    why = not_on_fargate(own.cpu, own.memory) if on_fargate else ""
    if not why:
        return []
    key = f"services.{part.service}" if part.service else f"environments.{name}"
    return [
        Reason(
            f"Fargate runs no task of {part.called(name)}'s size: {why}",
            f'mend {key}.cpu and {key}.memory, or set environments.{name}.setup.capacity = "ec2"',
        )
    ]


def _foreign(parameter: str, name: str, app: str) -> Reason:
    key = "app.repository" if parameter == "Repository" else "cloud.table"
    return Reason(
        f"there is a {parameter.lower()} {name} already, without the tag {APP_TAG} = {app}: not made by onedigest",
        f'to use it as it is, name it in pipeline.toml: {key} = "{name}"; else choose another name there',
    )
