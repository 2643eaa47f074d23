"""Where the environments are: the embedded cloud, or the caller's AWS account. One value tells all that differs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pipeline.adapters.aws import Access, Aws
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.docker_engine import connect
from pipeline.adapters.stack import (
    StackRequest,
    baseline_template,
    ensure_stack,
    environment_template,
    shared_template,
    stack_outputs,
)
from pipeline.config import EnvironmentSettings, Settings
from pipeline.errors import ConfigurationError, UnavailableError
from pipeline.local import engine
from pipeline.local.base_images import BUILD, BaseImages
from pipeline.local.cloud import Desired, Endpoints, LocalCloud, LocalEnvironment, LocalSpec
from pipeline.ports import Say
from pipeline.reach import ENVIRONMENTS, Reach, Site, local_name, regions_of, sites_of

BASELINE = "staging-baseline"
"""The service beside staging's, which runs what production runs while both are loaded; its stack, its front."""

BASELINE_PORT = 8081
"""The port of staging's load balancer that leads to it."""

Credentials = Callable[[], Mapping[str, str] | None]


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud that is ready to be used.

    `aws` is the API of [cloud], `at` that of an environment in a region. `registry` is the host in image references,
    `login` what it asks for, `logins` what any registry asks for by its host. `url` gives the front of an environment
    in a region, and of a service where there are several; `settled` keeps what runs there, `images` finds base images.
    """

    aws: Aws
    at: Callable[[str, str], Aws]
    registry: str
    login: Credentials
    logins: Callable[[str], Mapping[str, str] | None]
    url: Callable[[str, str, str], str]
    settled: Callable[[Desired], None]
    images: Callable[[Iterable[str]], Mapping[str, str]]


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


def open_cloud(root: Path, settings: Settings, say: Say, *, start: bool) -> Cloud:
    """The cloud that pipeline.toml names, which is said first. `start` False: nothing is started, it must be up."""
    if settings.cloud.provider == "local":
        say("cloud: local – embedded emulator, real containers, no AWS account is touched")
        _require_engine()
        return _open_local(settings, local_cloud(root, settings, say), say, start=start)
    return _open_aws(settings, say)


def _require_engine() -> None:
    state = engine.check()
    if not state.fine:
        raise UnavailableError(state.message, hint=state.hint)


def local_cloud(root: Path, settings: Settings, say: Say) -> LocalCloud:
    """The embedded cloud of the project at `root`; nothing is started yet."""
    environments = (
        *(
            _local_environment(settings, name, site)
            for name in ENVIRONMENTS
            for wave in sites_of(settings, name)
            for site in wave
        ),
        _local_baseline(settings),
    )
    spec = LocalSpec(settings.app.name, environments, settings.cloud.region, settings.cloud.port_base)

    def provision(endpoints: Endpoints, environment: LocalEnvironment) -> None:
        client = _local_aws(endpoints).client("cloudformation")
        if environment.name == BASELINE:
            if settings.load.compares:
                ensure_stack(client, _baseline_stack(settings), SystemClock())
            return
        ensure_stack(client, _shared_stack(settings), SystemClock())
        name, own = environment.environment, settings.of(environment.service)
        parameters = _environment_parameters(own, name) | {
            "DatabaseUrl": endpoints.database_urls[environment.name]
        }
        tags = {"onedigest:app": own.app.name, "onedigest:environment": name}
        request = StackRequest(stack_name(own, name), environment_template(), parameters, tags)
        client = _local_aws(endpoints, environment.region).client("cloudformation")
        ensure_stack(client, request, SystemClock())

    return LocalCloud(root / ".pipeline" / "local", spec, _images(say), provision, say)


def _shared_stack(settings: Settings) -> StackRequest:
    """What all environments need; each makes sure of it, and an unchanged stack is left alone."""
    parameters = {"App": settings.app.name, "TableName": table_name(settings)}
    tags = {"onedigest:app": settings.app.name}
    return StackRequest(stack_name(settings, "shared"), shared_template(), parameters, tags)


def _baseline_stack(settings: Settings) -> StackRequest:
    """The service beside staging's, which stands on staging's stack."""
    own = {"ServiceName": baseline_service_name(settings), "ListenerPort": str(BASELINE_PORT)}
    parameters = _parameters(settings, "staging") | own
    tags = {"onedigest:app": settings.app.name, "onedigest:environment": BASELINE}
    return StackRequest(stack_name(settings, BASELINE), baseline_template(), parameters, tags)


def _local_baseline(settings: Settings) -> LocalEnvironment:
    """Its front is always there, so that a changed mind does not restart the cloud; its service only where wanted."""
    stack = _baseline_stack(settings)
    key = json.dumps([settings.load.compares, stack.parameters, stack.template], sort_keys=True)
    return LocalEnvironment(BASELINE, settings.app.live, provision_key=key, beside="staging")


def _local_environment(settings: Settings, name: str, site: Site) -> LocalEnvironment:
    shared, own = _shared_stack(settings), settings.of(site.service)
    made_of = [
        _environment_parameters(own, name),
        environment_template(),
        shared.parameters,
        shared.template,
    ]
    key = json.dumps(made_of, sort_keys=True)
    called = local_name(settings, name, site.region, site.service)
    return LocalEnvironment(
        called, own.app.live, provision_key=key, region=site.region, tag=name, service=site.service
    )


def _environment_parameters(settings: Settings, environment: str) -> dict[str, str]:
    """What the environment's stack is made with, except for secrets."""
    compared = environment == "staging" and settings.load.compares
    own = {"BaselinePort": str(BASELINE_PORT if compared else 0)}
    if settings.repository != settings.app.name:
        own["Repository"] = settings.repository
    return _parameters(settings, environment) | own


def _parameters(settings: Settings, environment: str) -> dict[str, str]:
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
    }


def _images(say: Say) -> Callable[[Iterable[str]], Mapping[str, str]]:
    return lambda names: BaseImages(connect(), say).ensure(names)


def build_images(settings: Settings, cloud: Cloud) -> Mapping[str, str]:
    """Build arguments that name base images, as references the engine has.

    An argument whose name begins with BUILD asks for the variant that trusts what the host trusts; what ships is
    made from the others alone.
    """
    wanted = {
        argument: image
        + (BUILD if argument.startswith("BUILD") and settings.cloud.provider == "local" else "")
        for argument, image in settings.build.base_images.items()
    }
    found = cloud.images(wanted.values()) if wanted else {}
    return {argument: found[image] for argument, image in wanted.items()}


def _open_local(settings: Settings, cloud: LocalCloud, say: Say, *, start: bool) -> Cloud:
    endpoints = cloud.up() if start else cloud.endpoints()
    if endpoints is None:
        from_here = "python -m pipeline local up"
        raise ConfigurationError("the local cloud is not up", hint=f"start it: {from_here}")
    urls = endpoints.urls
    regions = {settings.cloud.region: _local_aws(endpoints)}

    def at(_environment: str, region: str) -> Aws:
        return regions.setdefault(region, _local_aws(endpoints, region))

    return Cloud(
        aws=regions[settings.cloud.region],
        at=at,
        registry=endpoints.registry,
        login=lambda: None,
        logins=lambda _host: None,
        url=lambda *where: urls[local_name(settings, *where)],
        settled=cloud.record,
        images=_images(say),
    )


def _local_aws(endpoints: Endpoints, region: str = "") -> Aws:
    return Aws(
        Access(
            region or endpoints.region,
            endpoint=endpoints.aws,
            key=endpoints.access_key,
            secret=endpoints.secret_key,
        )
    )


def _open_aws(settings: Settings, say: Say) -> Cloud:
    access = Access(settings.cloud.region, profile=settings.cloud.profile)
    aws = Aws(access)
    say(f"cloud: aws – {aws.who()} in {settings.cloud.region}")
    reach = Reach(settings, aws, access)

    def url(environment: str, region: str, service: str) -> str:
        if environment == BASELINE:
            return settings.environments.staging.baseline.url or beside(url("staging", region, ""), region)
        own = settings.environments[environment].url_in(region)
        client = reach.aws(environment, region).client
        outputs = (
            stack_outputs(client("cloudformation"), stack_name(settings.of(service), environment))
            if not own
            else None
        )
        found = own or (outputs or {}).get("LoadBalancerUrl", "")
        if not found:
            several = len(regions_of(settings, environment)) > 1
            raise ConfigurationError(
                f"no address of {environment}'s load balancer in {region}",
                hint=f"set environments.{environment}.{f'urls.{region}' if several else 'url'} in pipeline.toml",
            )
        return found

    def beside(staging: str, region: str) -> str:
        """Staging's own address with the baseline's port."""
        client = reach.aws("staging", region).client("cloudformation")
        told = stack_outputs(client, stack_name(settings, BASELINE)) or {}
        if "ListenerPort" not in told:
            raise ConfigurationError(
                "no address of the baseline beside staging",
                hint='set environments.staging.baseline.url in pipeline.toml, or load.baseline = "none"',
            )
        parts = urlsplit(staging)
        return urlunsplit(parts._replace(netloc=f"{parts.hostname}:{told['ListenerPort']}"))

    return Cloud(
        aws=aws,
        at=reach.aws,
        registry=settings.cloud.registry or aws.registry(),
        login=aws.registry_login,
        logins=reach.login,
        url=url,
        settled=lambda _desired: None,
        images=lambda names: {name: name for name in names},
    )
