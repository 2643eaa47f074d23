"""The stacks of an app, as data: names, templates and parameters, out of pipeline.toml."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.adapters.change_set import StackRequest
from pipeline.adapters.stack import template
from pipeline.config import EnvironmentSettings, Settings
from pipeline.locations import Location, Place, Share
from pipeline.model.permissions import Grounds, Scope, ci_policy, promotion_policy, setup_policy

APP_TAG = "onedigest:app"
ENVIRONMENT_TAG = "onedigest:environment"
"""The tags of everything we make: whose it is, and where it belongs."""

BASELINE = "staging-baseline"
"""The service beside staging's, which runs what production runs while both are loaded; its stack, its front."""

BASELINE_PORT = 8081
"""The port of staging's load balancer that leads to it."""

RUNNING = "RunningDefinition"
"""The parameter by which a service's stack is told what ECS runs already."""


def cluster_name(settings: Settings, environment: str) -> str:
    """The cluster's name: as configured, else `<app>-<environment>`."""
    return settings.environments[environment].cluster or f"{settings.app.name}-{environment}"


def service_name(settings: Settings, environment: str) -> str:
    """The service's name: as configured, else the app's."""
    return settings.environments[environment].service or settings.app.name


def baseline_service_name(settings: Settings) -> str:
    """The service beside staging's: as configured, else `<service>-baseline`."""
    return settings.environments.staging.baseline.service or f"{service_name(settings, 'staging')}-baseline"


def table_name(settings: Settings) -> str:
    """The table of leases and the deployment log: as configured, else `onedigest-<app>`."""
    return settings.cloud.table or f"onedigest-{settings.app.name}"


def stack_name(settings: Settings, environment: str) -> str:
    """The CloudFormation stack of an environment."""
    return f"onedigest-{settings.app.name}-{environment}"


def signing_alias(settings: Settings) -> str:
    """The alias in KMS, without `alias/`, of the key that signs: as configured, else `onedigest-<app>`."""
    told = settings.evidence.signer.removeprefix("awskms:///")
    return told.removeprefix("alias/") if told.startswith("alias/") else f"onedigest-{settings.app.name}"


def is_adopted(settings: Settings, environment: str) -> bool:
    """Whether the environment is somebody else's: its cluster or service is named. Nothing is made or deleted there."""
    own = settings.environments[environment]
    return settings.cloud.provider == "aws" and bool(own.cluster or own.service)


def scope(location: Location, environment: str = "") -> Scope:
    """What IAM policies for this app are about at a location; those of an environment, with where it pulls from."""
    settings = location.settings
    return Scope(
        app=settings.app.name,
        region=settings.cloud.region,
        repository=settings.repository,
        table=table_name(settings),
        key=signing_alias(settings),
        home=location.home,
        images=location.images(environment) if environment else "",
    )


def grounds(settings: Settings, environment: str) -> Grounds:
    """An environment, as IAM policies name it."""
    found = Grounds(environment, cluster_name(settings, environment), service_name(settings, environment))
    if not is_compared(settings, environment):
        return found
    return replace(found, asks=_production(settings), beside=baseline_service_name(settings))


def is_compared(settings: Settings, environment: str) -> bool:
    """Whether a candidate is loaded there beside what production runs."""
    return environment == "staging" and settings.load.compares


def _production(settings: Settings) -> tuple[str, str]:
    return cluster_name(settings, "prod"), service_name(settings, "prod")


def policies(settings: Settings, places: Sequence[Place]) -> dict[str, Any]:
    """IAM policies as JSON values: for `setup`, for `ci`, and for `promote` by environment, in the region of [cloud].

    `regions` has those for every other region, and for an environment's own profile or role; it is not there where
    there is none. Nothing is asked of AWS: every account is `*`.
    """
    home = Location.whole(settings)
    found: dict[_Identity, list[str]] = {_Identity(settings.cloud.region): []}
    for name, region in places:
        own = settings.environments[name]
        found.setdefault(_Identity(region, own.profile, own.role_arn), []).append(name)
    here, *others = found.items()
    away = [
        {**asdict(identity), "environments": names, **_policies(_location_of(settings, identity), names)}
        for identity, names in others
    ]
    found_here = _policies(home, here[1])
    return {
        "setup": found_here["setup"],
        "ci": ci_policy(scope(home)),
        "promote": found_here["promote"],
        **({"regions": away} if away else {}),
    }


@dataclass(frozen=True, slots=True)
class _Identity:
    region: str
    profile: str = ""
    role_arn: str = ""


def _location_of(settings: Settings, identity: _Identity) -> Location:
    return Location.at(settings, identity.region, Share.REPOSITORY)


def _policies(location: Location, environments: Sequence[str]) -> dict[str, Any]:
    places = [grounds(location.settings, name) for name in environments]
    return {
        "setup": setup_policy(scope(location), places),
        "promote": {place.name: promotion_policy(scope(location, place.name), place) for place in places},
    }


@dataclass(frozen=True, slots=True)
class ServiceOf:
    """The ECS service that a stack makes, and whose task definition and count it must leave alone."""

    cluster: str
    service: str


@dataclass(frozen=True, slots=True)
class StackSpec:
    """A stack to have. `environment` is empty for what all share; `after_rollout`: only where tasks run already."""

    request: StackRequest
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

    One that bears roles is told in which regions that is which they may reach.
    """

    suffix: str
    template: str
    parameters: Callable[[Settings, str], Mapping[str, str]]
    wanted: Callable[[Settings, str], bool]
    service: Callable[[Settings, str], str] | None = None
    local: bool = True
    bears_roles: bool = False


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
        "TrustedArns": ",".join(settings.cloud.trusted),
    }
    name = stack_name(settings, "shared")
    return StackSpec(StackRequest(name, template("shared"), parameters, {APP_TAG: settings.app.name}))


def stacks_of(location: Location, environment: str) -> tuple[StackSpec, ...]:
    """The stacks of an environment that the settings ask for, in the order in which they are made."""
    settings = location.settings
    local = settings.cloud.provider == "local"
    return tuple(
        _spec(location, environment, kind)
        for kind in _KINDS
        if kind.wanted(settings, environment) and (kind.local or not local)
    )


def possible_stacks(settings: Settings, environment: str) -> tuple[str, ...]:
    """The names of every stack that the environment may have, in the order in which they are made."""
    return tuple(stack_name(settings, environment) + kind.suffix for kind in _KINDS)


def families(settings: Settings, environment: str) -> tuple[str, ...]:
    """The families of task definitions that are ours there: those that stacks begin, and that of tasks which load."""
    own = f"{settings.app.name}-{environment}"
    return (*(own + kind.suffix for kind in _KINDS if kind.service is not None), f"{own}-load")


def not_here(settings: Settings, environment: str) -> tuple[str, ...]:
    """What the settings ask for and the local cloud cannot have, in words."""
    if settings.cloud.provider != "local":
        return ()
    told = {"-autoscaling": "autoscaling: the local cloud's emulator knows none of its types"}
    return tuple(
        told[kind.suffix] for kind in _KINDS if not kind.local and kind.wanted(settings, environment)
    )


def _spec(location: Location, environment: str, kind: _Kind) -> StackSpec:
    settings = location.settings
    tags = {APP_TAG: settings.app.name, ENVIRONMENT_TAG: environment + kind.suffix * bool(kind.service)}
    name = stack_name(settings, environment) + kind.suffix
    regions = {"HomeRegion": location.home, "RepositoryRegion": location.images(environment)}
    parameters = {**kind.parameters(settings, environment), **(regions if kind.bears_roles else {})}
    request = StackRequest(name, template(kind.template), parameters, tags)
    service = kind.service(settings, environment) if kind.service else ""
    own = ServiceOf(cluster_name(settings, environment), service) if service else None
    return StackSpec(request, environment, own, after_rollout=kind.service is None)


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
    compared = is_compared(settings, environment)
    cluster, service = _production(settings) if compared else ("", "")
    return {
        **_service_parameters(settings, environment),
        "RepositoryName": settings.repository,
        "TableName": table_name(settings),
        "SigningAlias": signing_alias(settings),
        "InstanceType": own.instance_type,
        "MaxInstances": str(own.max_instances),
        "ContainerInsights": own.insights,
        "LogRetention": str(own.log_days),
        "ErrorAlarms": _yes(settings.cloud.provider == "aws" and own.alarm_error_share > 0),
        "AlarmErrorPercent": f"{own.alarm_error_share * 100:g}",
        "AlarmLatency": f"{own.alarm_latency:g}",
        "TrustedArns": ",".join(settings.cloud.trusted),
        "BaselinePort": str(BASELINE_PORT if compared else 0),
        "BaselineService": baseline_service_name(settings) if compared else "",
        "ProductionCluster": cluster,
        "ProductionService": service,
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


def database_secret(settings: Settings, environment: str) -> str:
    """The name of that secret."""
    return f"{settings.app.name}/{environment}/database-url"


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


_KINDS = (
    _Kind("", "environment", _environment_parameters, lambda _s, _e: True, service_name, bears_roles=True),
    _Kind(
        "-baseline",
        "baseline",
        _baseline_parameters,
        is_compared,
        lambda settings, _environment: baseline_service_name(settings),
    ),
    _Kind(
        "-autoscaling",
        "autoscaling",
        _scaling_parameters,
        lambda settings, environment: settings.environments[environment].scaling is not None,
        local=False,
    ),
)
"""Every kind of stack an environment may have, each after those it stands on."""
