"""Where the environments are reached: the regions of each, in whose name, and how its registry is logged in to."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.adapters.assumed_role import Role
from pipeline.adapters.aws import Access, Aws
from pipeline.config import Settings
from pipeline.model.baseline import LoadPath
from pipeline.model.calls import named_in
from pipeline.model.waves import Waves

ENVIRONMENTS = ("staging", "prod")

_ECR = re.compile(r"^([0-9]{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$")


def waves_of(settings: Settings, environment: str) -> Waves:
    """The regions of an environment, by wave: `cloud.region` where it names none."""
    return settings.environments[environment].waves(settings.cloud.region)


def regions_of(settings: Settings, environment: str) -> tuple[str, ...]:
    """The regions of an environment, in the order of its waves."""
    return tuple(name for wave in waves_of(settings, environment) for name in wave)


@dataclass(frozen=True, slots=True)
class Site:
    """Where one rollout of an environment goes: a region, and of a release of several services one of them.

    `key` tells it from the environment's others: the region, the service, or `region/service`.
    """

    key: str
    region: str
    service: str = ""


def sites_of(settings: Settings, environment: str) -> tuple[tuple[Site, ...], ...]:
    """The sites of an environment, by wave; all services of a region are in the region's wave."""
    several = len(regions_of(settings, environment)) > 1

    def key(region: str, service: str) -> str:
        if not service:
            return region
        return f"{region}/{service}" if several else service

    services = tuple(settings.services) or ("",)
    return tuple(
        tuple(Site(key(region, service), region, service) for region in wave for service in services)
        for wave in waves_of(settings, environment)
    )


def kind_of(settings: Settings, environment: str) -> str:
    """What the sites of an environment are called: `region`, `service`, or `part` where they are both."""
    if not settings.services:
        return "region"
    return "part" if len(regions_of(settings, environment)) > 1 else "service"


def load_path(settings: Settings) -> LoadPath:
    """Which services of a release the load meets on staging, by the variables that each has there."""

    def named(service: str) -> frozenset[str]:
        own = settings.of(service)
        told = {**own.app.environment, **own.environments["staging"].environment}
        return named_in(told.values())

    return LoadPath(settings.front, {service: named(service) for service in settings.services})


def local_name(settings: Settings, environment: str, region: str, service: str = "") -> str:
    """What the local cloud calls an environment: by its name, the service's, and the region's unless it is the cloud's.

    So a project that gains regions keeps what it has.
    """
    where = "" if region == settings.cloud.region else region
    return "-".join(filter(None, (environment, service, where)))


def in_region(settings: Settings, region: str) -> Settings:
    """The same settings with another region as their own; empty: as they are."""
    if not region:
        return settings
    return settings.model_copy(update={"cloud": settings.cloud.model_copy(update={"region": region})})


def ecr_place(host: str) -> tuple[str, str]:
    """Account and region of a registry that is ECR's; both empty: it is another."""
    found = _ECR.match(host)
    return (found[1], found[2]) if found else ("", "")


def own_repositories(settings: Settings) -> Mapping[tuple[str, str], str]:
    """The repository that an environment pulls from in a region, where that is one of its own."""
    own = {
        (name, region): settings.environments[name].registry_in(region)
        for name in ENVIRONMENTS
        for region in regions_of(settings, name)
    }
    return {where: f"{host}/{settings.repository}" for where, host in own.items() if host}


def mirrors_of(settings: Settings) -> Mapping[str, Sequence[str]]:
    """Every repository of its own that an environment has, each once."""
    own = own_repositories(settings)
    found = {name: [own[where] for where in own if where[0] == name] for name in ENVIRONMENTS}
    return {name: tuple(dict.fromkeys(repositories)) for name, repositories in found.items()}


class Reach:
    """The API of each environment and region, each opened once.

    `home` is that of [cloud]; an environment that says nothing of its own is reached through it.
    """

    def __init__(self, settings: Settings, home: Aws, access: Access) -> None:
        """`access` is how `home` was opened."""
        self._settings = settings
        self._access = access
        self._known: dict[Access, Aws] = {access: home}
        self._opening = threading.Lock()

    def aws(self, environment: str, region: str) -> Aws:
        """The API of an environment in a region."""
        own = self._settings.environments[environment]
        role = Role(own.role_arn, own.external_id) if own.role_arn else None
        return self._opened(
            replace(self._access, region=region, profile=own.profile or self._access.profile, role=role)
        )

    def login(self, host: str) -> Mapping[str, str]:
        """User and password for a registry: an environment's own in its name, any other in that of [cloud]."""
        _, region = ecr_place(host)
        if not region:
            return self._opened(self._access).registry_login()
        for environment in ENVIRONMENTS:
            if host in self._registries(environment):
                return self.aws(environment, region).registry_login()
        return self._opened(replace(self._access, region=region)).registry_login()

    def _registries(self, environment: str) -> set[str]:
        own = self._settings.environments[environment]
        named = (own.registry_in(region) for region in regions_of(self._settings, environment))
        return {registry.partition("/")[0] for registry in named}

    def _opened(self, access: Access) -> Aws:
        with self._opening:
            if access not in self._known:
                self._known[access] = Aws(access)
            return self._known[access]
