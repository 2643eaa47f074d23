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
from pipeline.adapters.load_orders import Orders, table_orders
from pipeline.adapters.stack import stack_outputs
from pipeline.adapters.table import Table
from pipeline.config import Settings
from pipeline.errors import ConfigurationError, StuckError, UnavailableError
from pipeline.local import engine
from pipeline.local.base_images import BUILD, BaseImages
from pipeline.local.cloud import Desired, Endpoints, LocalCloud, LocalEnvironment, LocalSpec
from pipeline.locations import Location, Share
from pipeline.names import BASELINE, baseline_key, stack_name, table_name
from pipeline.ports import Say
from pipeline.provisioning import Clients, Provisioning
from pipeline.reach import ENVIRONMENTS, Reach, Site, local_name, regions_of, sites_of
from pipeline.stacks import shared_stack, stacks_of

Credentials = Callable[[], Mapping[str, str] | None]


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud that is ready to be used.

    `aws` is the API of [cloud], `at` that of an environment in a region. `registry` is the host in image references,
    `login` what it asks for, `logins` what any registry asks for by its host. `url` gives the front of an environment
    in a region, and of a service where there are several; `settled` keeps what runs there, `images` finds base images.
    `inside` turns a front's URL into the one by which tasks reach it, `orders` is how tasks that load staging are told
    when to begin.
    """

    aws: Aws
    at: Callable[[str, str], Aws]
    registry: str
    login: Credentials
    logins: Callable[[str], Mapping[str, str] | None]
    url: Callable[[str, str, str], str]
    settled: Callable[[Desired], None]
    images: Callable[[Iterable[str]], Mapping[str, str]]
    inside: Callable[[str], str]
    orders: Orders


@dataclass(frozen=True, slots=True)
class Ground:
    """An account and region to set up or clean up, as one identity reaches it. `text` says which.

    `secrets` gives what an environment's stack is told beside the settings; `url` an environment's front, where its
    own address is known; `gone` is told when an environment is no more. Each is about one service, where a release
    has several.
    """

    aws: Aws
    region: str
    account: str
    text: str
    secrets: Callable[[str, str], Mapping[str, str]]
    url: Callable[[str, str, str], str]
    gone: Callable[[str, str], None]

    @property
    def place(self) -> tuple[str, str]:
        """Account and region."""
        return self.account, self.region


Survey = Callable[[str, str], Ground]
"""Gives the ground of an environment in a region: the same for all that one identity reaches. "": that of [cloud]."""


def open_grounds(root: Path, settings: Settings, say: Say) -> Survey:
    """The accounts that pipeline.toml names, or the local cloud, which is started where it is not up: empty, if new."""
    if settings.cloud.provider == "aws":
        return _aws_grounds(settings)
    _require_engine()
    cloud = local_cloud(root, settings, say)
    endpoints = cloud.up(populate=False)
    known: dict[str, Ground] = {}

    def at(_environment: str, region: str) -> Ground:
        return known.setdefault(region, _local_ground(settings, cloud, endpoints, region))

    return at


def _aws_grounds(settings: Settings) -> Survey:
    access = Access(settings.cloud.region, profile=settings.cloud.profile)
    home = Aws(access)
    reach = Reach(settings, home, access)
    known: dict[Aws, Ground] = {}

    def at(environment: str, region: str) -> Ground:
        aws = reach.aws(environment, region) if environment else home
        if aws not in known:
            who = aws.who()
            known[aws] = Ground(
                aws,
                region,
                who.split(":")[4],
                f"aws – {who} in {region}",
                lambda _environment, _service: {},
                lambda _environment, _service, own: own,
                lambda _environment, _service: None,
            )
        return known[aws]

    return at


def _local_ground(settings: Settings, cloud: LocalCloud, endpoints: Endpoints, region: str) -> Ground:
    def called(environment: str, service: str) -> str:
        return local_name(settings, environment, region, service)

    where = "" if region == settings.cloud.region else f", {region}"
    return Ground(
        _local_aws(endpoints, region),
        region,
        endpoints.account,
        f"local – embedded emulator at {endpoints.aws}{where}, no AWS account is touched",
        lambda *where: {"DatabaseUrl": endpoints.database_urls[called(*where)]},
        lambda environment, service, _own: endpoints.urls[called(environment, service)],
        lambda *where: cloud.forget(called(*where)),
    )


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
        *(_local_baseline(settings, service) for service in settings.services or ("",)),
    )
    spec = LocalSpec(settings.app.name, environments, settings.cloud.region, settings.cloud.port_base)

    def provision(endpoints: Endpoints, environment: LocalEnvironment) -> None:
        if environment.beside:  # a stack of staging's
            return
        here = Clients.of(_local_aws(endpoints, environment.region).client)
        there = _local_location(settings, environment.region)
        told = {"DatabaseUrl": endpoints.database_urls[environment.name]}
        if environment.service:  # what all services share is the app's
            _make(Provisioning(there, here, SystemClock(), lambda _line: None), [])
        make = Provisioning(
            there.of(environment.service),
            here,
            SystemClock(),
            lambda _line: None,
            secrets=lambda _environment, _service: told,
        )
        _make(make, [environment.environment])

    return LocalCloud(root / ".pipeline" / "local", spec, _images(say), provision, say)


def _local_baseline(settings: Settings, service: str) -> LocalEnvironment:
    """Its front is always there, so that a changed mind does not restart the cloud; its service only where wanted."""
    return LocalEnvironment(
        local_name(settings, BASELINE, settings.cloud.region, service),
        settings.of(service).app.live,
        provision_key="staging",
        beside="staging",
        tag=BASELINE,
        service=service,
    )


def _local_environment(settings: Settings, name: str, site: Site) -> LocalEnvironment:
    there = _local_location(settings, site.region)
    own = there.of(site.service)
    made_of = [shared_stack(there), *stacks_of(own, name)]
    key = json.dumps(
        [[spec.request.parameters, spec.request.template] for spec in made_of if spec], sort_keys=True
    )
    called = local_name(settings, name, site.region, site.service)
    return LocalEnvironment(
        called,
        own.settings.app.live,
        provision_key=key,
        region=site.region,
        tag=name,
        service=site.service,
    )


def _make(make: Provisioning, environments: list[str]) -> None:
    plan = make.plan(environments)
    if plan.reasons:
        raise StuckError(
            "\n".join(reason.text for reason in plan.reasons), hint=plan.reasons[0].remedy or "see above"
        )
    make.apply(plan)


def _local_location(settings: Settings, region: str) -> Location:
    home = region in ("", settings.cloud.region)
    return Location.whole(settings) if home else Location.at(settings, region, Share.NOTHING)


def _images(say: Say) -> Callable[[Iterable[str]], Mapping[str, str]]:
    return lambda names: BaseImages(connect(), say).ensure(names)


def build_images(settings: Settings, cloud: Cloud) -> Mapping[str, str]:
    """The build's arguments that name base images; see `named_images`."""
    return named_images(settings.build.base_images, settings, cloud)


def named_images(arguments: Mapping[str, str], settings: Settings, cloud: Cloud) -> Mapping[str, str]:
    """Build arguments that name base images, as references the engine has.

    An argument whose name begins with BUILD asks for the variant that trusts what the host trusts; what ships is
    made from the others alone.
    """
    local = settings.cloud.provider == "local"
    wanted = {
        argument: image + (BUILD if argument.startswith("BUILD") and local else "")
        for argument, image in arguments.items()
    }
    found = cloud.images(wanted.values()) if wanted else {}
    return {argument: found[image] for argument, image in wanted.items()}


def _open_local(settings: Settings, cloud: LocalCloud, say: Say, *, start: bool) -> Cloud:
    endpoints = cloud.up() if start else cloud.endpoints()
    if endpoints is None:
        from_here = "python -m pipeline local up"
        raise ConfigurationError("the local cloud is not up", hint=f"start it: {from_here}")
    urls = endpoints.urls
    inside = {url: endpoints.inside[name] for name, url in urls.items()}
    orders = Orders(
        ticket=lambda: {"url": endpoints.orders},
        now=lambda: SystemClock().now().timestamp(),
        give=cloud.order,
    )
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
        inside=lambda url: inside.get(url, url),
        orders=orders,
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


def _address(settings: Settings, environment: str, region: str, service: str) -> str:
    """The key that names a front's address."""
    several = len(regions_of(settings, environment)) > 1
    if service:
        return f'services.{service}.urls."{environment}{f"/{region}" if several else ""}"'
    return f"environments.{environment}.{f'urls.{region}' if several else 'url'}"


def _open_aws(settings: Settings, say: Say) -> Cloud:
    access = Access(settings.cloud.region, profile=settings.cloud.profile)
    aws = Aws(access)
    say(f"cloud: aws – {aws.who()} in {settings.cloud.region}")
    reach = Reach(settings, aws, access)

    def url(environment: str, region: str, service: str) -> str:
        told = settings.of(service)
        if environment == BASELINE:
            own = told.environments.staging.baseline.url
            return own or beside(told, url("staging", region, service), region, service)
        own = told.environments[environment].url_in(region)
        client = reach.aws(environment, region).client
        outputs = stack_outputs(client("cloudformation"), stack_name(told, environment)) if not own else None
        found = own or (outputs or {}).get("LoadBalancerUrl", "")
        if not found:
            raise ConfigurationError(
                f"no address of {environment}'s load balancer in {region}"
                + f", service {service}" * bool(service),
                hint=f"set {_address(settings, environment, region, service)} in pipeline.toml",
            )
        return found

    def table() -> Table:
        return Table(aws.client("dynamodb"), table_name(settings), settings.app.name)

    def beside(own: Settings, staging: str, region: str, service: str) -> str:
        """Staging's own address with the baseline's port."""
        client = reach.aws("staging", region).client("cloudformation")
        told = stack_outputs(client, stack_name(own, BASELINE)) or {}
        if "ListenerPort" not in told:
            raise ConfigurationError(
                "no address of the baseline beside staging" + f", service {service}" * bool(service),
                hint=f'set {baseline_key(service)}.url in pipeline.toml, or load.baseline = "none"',
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
        inside=lambda url: url,
        orders=table_orders(aws, table, "staging"),
    )
