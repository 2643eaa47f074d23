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
from pipeline.ports import Say
from pipeline.provisioning import Clients, Provisioning
from pipeline.stacks import BASELINE, ENVIRONMENTS, shared_stack, stack_name, stacks_of, table_name

Credentials = Callable[[], Mapping[str, str] | None]


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud that is ready to be used.

    `registry` is the host in image references, `login` what it asks for, `url` gives an environment's front,
    `settled` keeps what an environment runs now, `images` finds base images. `inside` turns a front's URL into the one
    by which tasks reach it, `orders` is how tasks that load staging are told when to begin.
    """

    aws: Aws
    registry: str
    login: Credentials
    url: Callable[[str], str]
    settled: Callable[[Desired], None]
    images: Callable[[Iterable[str]], Mapping[str, str]]
    inside: Callable[[str], str]
    orders: Orders


@dataclass(frozen=True, slots=True)
class Ground:
    """An account and region to set up or clean up. `text` says which.

    `secrets` gives what an environment's stack is told beside the settings; `url` an environment's front, where its
    own address is known; `gone` is told when an environment is no more.
    """

    aws: Aws
    text: str
    secrets: Callable[[str], Mapping[str, str]]
    url: Callable[[str, str], str]
    gone: Callable[[str], None]


def open_ground(root: Path, settings: Settings, say: Say) -> Ground:
    """The account that pipeline.toml names, or the local cloud, which is started where it is not up: empty, if new."""
    if settings.cloud.provider == "aws":
        aws = Aws(Access(settings.cloud.region, profile=settings.cloud.profile))
        text = f"aws – {aws.who()} in {settings.cloud.region}"
        return Ground(aws, text, lambda _environment: {}, lambda _name, own: own, lambda _environment: None)
    _require_engine()
    cloud = local_cloud(root, settings, say)
    endpoints = cloud.up(populate=False)
    text = f"local – embedded emulator at {endpoints.aws}, no AWS account is touched"
    return Ground(
        _local_aws(endpoints),
        text,
        _local_secrets(endpoints),
        lambda name, _own: endpoints.urls[name],
        cloud.forget,
    )


def open_cloud(root: Path, settings: Settings, say: Say, *, start: bool) -> Cloud:
    """The cloud that pipeline.toml names, which is said first. `start` False: nothing is started, it must be up."""
    if settings.cloud.provider == "local":
        say("cloud: local – embedded emulator, real containers, no AWS account is touched")
        _require_engine()
        return _open_local(local_cloud(root, settings, say), say, start=start)
    return _open_aws(settings, say)


def _require_engine() -> None:
    state = engine.check()
    if not state.fine:
        raise UnavailableError(state.message, hint=state.hint)


def local_cloud(root: Path, settings: Settings, say: Say) -> LocalCloud:
    """The embedded cloud of the project at `root`; nothing is started yet."""
    environments = (*(_local_environment(settings, name) for name in ENVIRONMENTS), _local_baseline(settings))
    spec = LocalSpec(settings.app.name, environments, settings.cloud.region, settings.cloud.port_base)

    def provision(endpoints: Endpoints, environment: LocalEnvironment) -> None:
        if environment.name == BASELINE:  # a stack of staging's
            return
        client = _local_aws(endpoints).client
        make = Provisioning(
            settings, Clients.of(client), SystemClock(), lambda _line: None, secrets=_local_secrets(endpoints)
        )
        plan = make.plan([environment.name])
        if plan.reasons:
            raise StuckError(
                "\n".join(reason.text for reason in plan.reasons), hint=plan.reasons[0].remedy or "see above"
            )
        make.apply(plan)

    return LocalCloud(root / ".pipeline" / "local", spec, _images(say), provision, say)


def _local_secrets(endpoints: Endpoints) -> Callable[[str], Mapping[str, str]]:
    return lambda environment: {"DatabaseUrl": endpoints.database_urls[environment]}


def _local_baseline(settings: Settings) -> LocalEnvironment:
    """Its front is always there, so that a changed mind does not restart the cloud; its service only where wanted."""
    return LocalEnvironment(BASELINE, settings.app.live, provision_key="staging", beside="staging")


def _local_environment(settings: Settings, name: str) -> LocalEnvironment:
    made_of = [shared_stack(settings), *stacks_of(settings, name)]
    key = json.dumps([[spec.request.parameters, spec.request.template] for spec in made_of], sort_keys=True)
    return LocalEnvironment(name, settings.app.live, provision_key=key)


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


def _open_local(cloud: LocalCloud, say: Say, *, start: bool) -> Cloud:
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
    return Cloud(
        aws=_local_aws(endpoints),
        registry=endpoints.registry,
        login=lambda: None,
        url=lambda environment: urls[environment],
        settled=cloud.record,
        images=_images(say),
        inside=lambda url: inside.get(url, url),
        orders=orders,
    )


def _local_aws(endpoints: Endpoints) -> Aws:
    return Aws(
        Access(
            endpoints.region, endpoint=endpoints.aws, key=endpoints.access_key, secret=endpoints.secret_key
        )
    )


def _open_aws(settings: Settings, say: Say) -> Cloud:
    aws = Aws(Access(settings.cloud.region, profile=settings.cloud.profile))
    say(f"cloud: aws – {aws.who()} in {settings.cloud.region}")

    def url(environment: str) -> str:
        if environment == BASELINE:
            return settings.environments.staging.baseline.url or beside(url("staging"))
        own = settings.environments[environment].url
        outputs = (
            stack_outputs(aws.client("cloudformation"), stack_name(settings, environment))
            if not own
            else None
        )
        found = own or (outputs or {}).get("LoadBalancerUrl", "")
        if not found:
            raise ConfigurationError(
                f"no address of {environment}'s load balancer",
                hint=f"set environments.{environment}.url in pipeline.toml",
            )
        return found

    def table() -> Table:
        return Table(aws.client("dynamodb"), table_name(settings), settings.app.name)

    def beside(staging: str) -> str:
        """Staging's own address with the baseline's port."""
        told = stack_outputs(aws.client("cloudformation"), stack_name(settings, BASELINE)) or {}
        if "ListenerPort" not in told:
            raise ConfigurationError(
                "no address of the baseline beside staging",
                hint='set environments.staging.baseline.url in pipeline.toml, or load.baseline = "none"',
            )
        parts = urlsplit(staging)
        return urlunsplit(parts._replace(netloc=f"{parts.hostname}:{told['ListenerPort']}"))

    return Cloud(
        aws=aws,
        registry=settings.cloud.registry or aws.registry(),
        login=aws.registry_login,
        url=url,
        settled=lambda _desired: None,
        images=lambda names: {name: name for name in names},
        inside=lambda url: url,
        orders=table_orders(aws, table, "staging"),
    )
