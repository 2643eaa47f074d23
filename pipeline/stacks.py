"""The stacks of an app, as data: names, templates and parameters, out of pipeline.toml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.adapters import owned
from pipeline.adapters.change_set import StackRequest
from pipeline.adapters.stack import Stacks, template
from pipeline.config import EnvironmentSettings, Settings
from pipeline.iam import bears_role, promotion_template
from pipeline.locations import Location, Share
from pipeline.names import (
    baseline_service_name,
    cluster_name,
    database_secret,
    is_compared,
    service_name,
    signing_alias,
    stack_name,
    table_name,
    trusted_aliases,
)

APP_TAG = "onedigest:app"
ENVIRONMENT_TAG = "onedigest:environment"
"""The tags of everything we make: whose it is, and where it belongs."""

RELEASE_TAG = "onedigest:release"
"""The tag of a stack of one of several services, whose own app is `<app>-<service>`: the app of the release."""

BASELINE_PORT = 8081
"""The port of staging's load balancer that leads to it."""

RUNNING = "RunningDefinition"
"""The parameter by which a service's stack is told what ECS runs already."""


@dataclass(frozen=True, slots=True)
class ServiceOf:
    """The ECS service that a stack makes, and whose task definition and count it must leave alone."""

    cluster: str
    service: str


@dataclass(frozen=True, slots=True)
class StackSpec:
    """A stack to have, and the part of a location that it is of. `environment` is empty for what all share.

    `after_rollout`: only where tasks run already.
    """

    request: StackRequest
    part: Location
    environment: str = ""
    service: ServiceOf | None = None
    after_rollout: bool = False

    @property
    def name(self) -> str:
        """The stack's name."""
        return self.request.name

    def told(self, **parameters: str) -> StackSpec:
        """The same with further parameters."""
        request = replace(self.request, parameters={**self.request.parameters, **parameters})
        return replace(self, request=request)


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of stack of an environment: `suffix` ends its name, `wanted` says where there is one.

    `common`: all services of a release have one together, in the app's name; else each has its own. `pulls`: it bears a
    role that pulls images, which is told from where.
    """

    suffix: str
    template: Callable[[Location, str], str]
    parameters: Callable[[Settings, str], Mapping[str, str]]
    wanted: Callable[[Location, str], bool]
    service: Callable[[Settings, str], str] | None = None
    local: bool = True
    common: bool = False
    after_rollout: bool = False
    pulls: bool = False


def shared_stack(location: Location) -> StackSpec | None:
    """What all environments have in common, as far as it is kept here; None: there is nothing of it."""
    settings, whole = location.settings, location.share is Share.ALL
    named = settings.app.repository or (settings.cloud.registry if whole else "")
    adopted = bool(named) and settings.cloud.provider == "aws"
    if not whole and (adopted or location.share is not Share.REPOSITORY):
        return None
    signed = whole and settings.evidence.signer == f"awskms:///alias/onedigest-{settings.app.name}"
    parameters = {
        "App": settings.app.name,
        "RepositoryName": settings.repository,
        "Repository": _yes(not adopted),
        "TableName": table_name(settings),
        "Table": _yes(whole),
        "Ci": _yes(whole),
        "SigningKey": _yes(signed),
        "SigningAlias": signing_alias(settings),
        "TrustedAliases": ",".join(f"alias/{name}" for name in trusted_aliases(settings)),
        "TrustedArns": ",".join(settings.cloud.trusted),
    }
    name = stack_name(settings, "shared")
    request = StackRequest(name, template("shared"), parameters, {APP_TAG: settings.app.name})
    return StackSpec(request, location)


def stacks_of(location: Location, environment: str) -> tuple[StackSpec, ...]:
    """The stacks of an environment that the settings ask for, in the order in which they are made.

    Of a release of several services those that they have together; each one's own are its part's.
    """
    local = location.settings.cloud.provider == "local"
    return tuple(
        _spec(location, environment, kind)
        for kind in _kinds(location)
        if kind.wanted(location, environment) and (kind.local or not local)
    )


def possible_stacks(location: Location, environment: str) -> tuple[str, ...]:
    """The names of every stack that the environment may have there, in the order in which they are made."""
    return tuple(stack_name(location.settings, environment) + kind.suffix for kind in _kinds(location))


def not_ours(part: Location, tags: Mapping[str, str]) -> str:
    """Why a stack with these tags was not made for `part`, in words; empty: it was.

    An app may be called as a service of another one: `<app>-<service>`.
    """
    app, release = part.settings.app.name, part.release if part.service else ""
    if tags.get(APP_TAG) != app:
        return f"has no tag {APP_TAG} = {app}: it was not made by onedigest"
    if tags.get(RELEASE_TAG, "") == release:
        return ""
    if release:
        return f"has no tag {RELEASE_TAG} = {release}: it is of an app that is called {app}"
    return f"has the tag {RELEASE_TAG} = {tags[RELEASE_TAG]}: it is of a service of that app"


def former_parts(known: Stacks, ecs: Any, location: Location, environment: str) -> tuple[Location, ...]:
    """What has something of ours in an environment, and is not in pipeline.toml any more.

    Services of the release, by the tags of their stacks; and the app itself from when it was one service. After a
    clean-up that was killed, by the task definitions, which it takes last. `ecs` is boto3's client.
    """
    if location.service:
        return ()
    own, now = location.settings.app.name, location.settings.services
    tagged = [one.tags for one in known.tagged(RELEASE_TAG, own)]
    there = {tags[APP_TAG] for tags in tagged if tags.get(ENVIRONMENT_TAG) == environment and APP_TAG in tags}
    alone = known.standing(stack_name(location.settings, environment)) if now else None
    there |= {own} if alone is not None and not not_ours(location, alone.tags) else set()
    there |= _defined(ecs, location, environment)
    names = sorted({app.removeprefix(f"{own}-") for app in there} - {own, *now})
    return tuple(location.former(name) for name in (*names, *([""] if own in there else [])))


def _defined(ecs: Any, location: Location, environment: str) -> set[str]:
    """What has task definitions of ours there and is not in pipeline.toml, by the names that it was made with."""
    own, now = location.settings.app.name, [part.settings.app.name for part in location.parts]
    end, found = f"-{environment}", set[str]()
    for family in owned.families(ecs, own):
        app = family.removesuffix(end)
        if family.endswith(end) and app not in now and (newest := owned.newest_revision(ecs, family)):
            tags = owned.definition_tags(ecs, newest)
            if tags.get(APP_TAG) == app and (app == own or tags.get(RELEASE_TAG) == own):
                found.add(app)
    return found


def families(part: Location, environment: str) -> tuple[str, ...]:
    """The families of task definitions that are ours there: those that stacks begin, and that of tasks which load."""
    own = f"{part.settings.app.name}-{environment}"
    return (*(own + kind.suffix for kind in _KINDS if kind.service is not None), f"{own}-load")


def not_here(location: Location, environment: str) -> tuple[str, ...]:
    """What the settings ask for and the local cloud cannot have, in words."""
    if location.settings.cloud.provider != "local":
        return ()
    told = {"-autoscaling": "autoscaling: the local cloud's emulator knows none of its types"}
    return tuple(
        told[kind.suffix]
        for kind in _kinds(location)
        if not kind.local and kind.wanted(location, environment)
    )


def _kinds(location: Location) -> tuple[_Kind, ...]:
    """Those of an app that is one service, of one of several, or those that several have together."""
    if not location.service and not location.settings.services:
        return _KINDS
    return tuple(kind for kind in _KINDS if kind.common is not bool(location.service))


def _spec(location: Location, environment: str, kind: _Kind) -> StackSpec:
    settings = location.settings
    tags = {APP_TAG: settings.app.name, ENVIRONMENT_TAG: environment + kind.suffix * bool(kind.service)}
    if location.service:
        tags[RELEASE_TAG] = location.release
    pulls = {"RepositoryRegion": location.images(environment)} if kind.pulls else {}
    request = StackRequest(
        stack_name(settings, environment) + kind.suffix,
        kind.template(location, environment),
        {**kind.parameters(settings, environment), **pulls},
        tags,
    )
    service = kind.service(settings, environment) if kind.service else ""
    own = ServiceOf(cluster_name(settings, environment), service) if service else None
    return StackSpec(request, location, environment, own, after_rollout=kind.after_rollout)


def _service_parameters(settings: Settings, environment: str) -> dict[str, str]:
    """What a service of the environment is made with."""
    own: EnvironmentSettings = settings.environments[environment]
    return {
        "App": settings.app.name,
        "Environment": environment,
        "ClusterName": cluster_name(settings, environment),
        "ServiceName": service_name(settings, environment),
        "ContainerName": own.container,
        "ContainerPort": str(settings.app.port),
        "BootstrapImage": f"{settings.repository}:none",
        "Cpu": str(own.cpu),
        "Memory": str(own.memory),
        "HealthCheckPath": settings.app.live,
        "HealthCheckGracePeriod": str(int(own.health_grace)),
        "DeregistrationDelay": str(int(own.deregistration_delay)),
        "Capacity": own.setup.capacity if settings.cloud.provider == "aws" else "fargate",
        "CertificateArn": certificate(settings, environment),
    }


def _environment_parameters(settings: Settings, environment: str) -> dict[str, str]:
    own = settings.environments[environment].setup
    return {
        **_service_parameters(settings, environment),
        "RepositoryName": settings.repository,
        "InstanceType": own.instance_type,
        "MaxInstances": str(own.max_instances),
        "ContainerInsights": own.insights,
        "LogRetention": str(own.log_days),
        "ErrorAlarms": _yes(settings.cloud.provider == "aws" and own.alarm_error_share > 0),
        "AlarmErrorPercent": f"{own.alarm_error_share * 100:g}",
        "AlarmLatency": f"{own.alarm_latency:g}",
        "BaselinePort": str(BASELINE_PORT if is_compared(settings, environment) else 0),
        "DatabaseSecret": _yes(has_database(settings, environment)),
    }


def certificate(settings: Settings, environment: str) -> str:
    """The certificate of the environment's load balancer in `cloud.region`; empty: HTTP."""
    if settings.cloud.provider != "aws":
        return ""
    regional = settings.environments.prod.certificates if environment == "prod" else {}
    return regional.get(settings.cloud.region, settings.environments[environment].setup.certificate)


def has_database(settings: Settings, environment: str) -> bool:
    """Whether the environment's stack keeps a secret for DATABASE_URL: where it is declared under the stack's name."""
    told = settings.environments[environment].secrets.get("DATABASE_URL", "")
    return told == database_secret(settings, environment) or settings.cloud.provider == "local"


def _baseline_parameters(settings: Settings, environment: str) -> dict[str, str]:
    own = {"ServiceName": baseline_service_name(settings), "ListenerPort": str(BASELINE_PORT)}
    return {**_service_parameters(settings, environment), **own}


def _scaling_parameters(settings: Settings, environment: str) -> dict[str, str]:
    told = settings.environments[environment].scaling
    assert told is not None
    return {
        "App": settings.app.name,
        "Environment": environment,
        "ClusterName": cluster_name(settings, environment),
        "ServiceName": service_name(settings, environment),
        "MinTasks": str(told.min),
        "MaxTasks": str(told.max),
        "Cpu": str(told.cpu),
        "Requests": str(told.requests or 0),
    }


def _yes(what: bool) -> str:  # noqa: FBT001 – a word for the value that is given
    return "yes" if what else "no"


def _promotion_parameters(settings: Settings, environment: str) -> dict[str, str]:
    return {
        "App": settings.app.name,
        "Environment": environment,
        "TrustedArns": ",".join(settings.cloud.trusted),
    }


def _from_file(name: str) -> Callable[[Location, str], str]:
    return lambda _location, _environment: template(name)


_KINDS = (
    _Kind(
        "",
        _from_file("environment"),
        _environment_parameters,
        lambda _location, _environment: True,
        service_name,
        pulls=True,
    ),
    _Kind(
        "-baseline",
        _from_file("baseline"),
        _baseline_parameters,
        lambda location, environment: is_compared(location.settings, environment),
        lambda settings, _environment: baseline_service_name(settings),
    ),
    _Kind("-promotion", promotion_template, _promotion_parameters, bears_role, common=True),
    _Kind(
        "-autoscaling",
        _from_file("autoscaling"),
        _scaling_parameters,
        lambda location, environment: location.settings.environments[environment].scaling is not None,
        local=False,
        after_rollout=True,
    ),
)
"""Every kind of stack an environment may have, each after those it stands on."""
