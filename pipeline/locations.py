"""Where set-up and clean-up go: every region of an environment, or one; and what is kept there for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from pipeline.config import Settings
from pipeline.config_services import ReleasedService
from pipeline.errors import UsageError
from pipeline.reach import ecr_place, in_region, regions_of

Place = tuple[str, str]
"""An environment, and a region that it is in."""


class Share(Enum):
    """What is kept at a location for all environments.

    ALL: image repository, table, role for CI and key; there is one such location. REPOSITORY: a repository that images
    are copied to, and pulled from here. NOTHING: they are pulled from elsewhere. BESIDE: another location, in the same
    account and region, sees to it.
    """

    ALL = "all"
    REPOSITORY = "repository"
    NOTHING = "nothing"
    BESIDE = "beside"


@dataclass(frozen=True, slots=True)
class Location:
    """A region as one identity reaches it. `settings` have it as `cloud.region`; table and key are in region `home`.

    `service`: of a release of several services, what is made for this one alone.
    """

    settings: Settings
    home: str
    share: Share = Share.ALL
    service: str = ""

    @classmethod
    def at(cls, settings: Settings, region: str, share: Share, home: str = "") -> Location:
        """A region, where `settings` are those of the project, or of another region of it with `home` told."""
        return cls(in_region(settings, region), home or settings.cloud.region, share)

    @classmethod
    def whole(cls, settings: Settings) -> Location:
        """`cloud.region`, with all that environments share."""
        return cls(settings, settings.cloud.region)

    def of(self, service: str) -> Location:
        """The same for one service of a release; empty: all of it. What all services share is not that one's."""
        if not service:
            return self
        return replace(self, settings=self.settings.of(service), share=Share.BESIDE, service=service)

    @property
    def parts(self) -> tuple[Location, ...]:
        """What has resources of its own there: each service of a release, or the app where it is one service."""
        return tuple(self.of(name) for name in self.settings.services) or (self,)

    def former(self, service: str) -> Location:
        """The same for a service that was one of the release, and that pipeline.toml does not have any more.

        Empty: for the app, where it was one service once.
        """
        had = {**self.settings.services, service: ReleasedService()} if service else {}
        return replace(self, settings=self.settings.model_copy(update={"services": had})).of(service)

    @property
    def release(self) -> str:
        """The name of the app, also for one of its services."""
        return (
            self.settings.app.name.removesuffix(f"-{self.service}")
            if self.service
            else self.settings.app.name
        )

    def called(self, environment: str) -> str:
        """An environment in words, with the service that this is about."""
        return f"{environment} {self.service}" if self.service else environment

    def images(self, environment: str) -> str:
        """The region of the repository that an environment pulls from here."""
        own = self.settings.environments[environment].registry_in(self.settings.cloud.region)
        return ecr_place((own or self.settings.cloud.registry).partition("/")[0])[1] or self.home


def places_of(settings: Settings, environments: Sequence[str]) -> tuple[Place, ...]:
    """Every region of each environment, in the order of the waves."""
    return tuple((name, region) for name in environments for region in regions_of(settings, name))


@dataclass(frozen=True, slots=True)
class Chosen:
    """The places that a command is about, and the settings it has there. `home`: also the region of [cloud]."""

    settings: Settings
    places: tuple[Place, ...]
    home: bool = True


def chosen(settings: Settings, environments: Sequence[str], region: str) -> Chosen:
    """What a command is about.

    `region` empty: every region of each. One of each environment's own: that one alone. Any other stands for
    `cloud.region` – a set-up of its own – where the environments are in `cloud.region` and nowhere else. Raises
    UsageError where it can be none of these.
    """
    if not region:
        return Chosen(settings, places_of(settings, environments))
    strange = [name for name in environments if region not in regions_of(settings, name)]
    if not strange:
        own = tuple((name, region) for name in environments)
        return Chosen(settings, own, home=region == settings.cloud.region)
    there = in_region(settings, region)
    bound = [name for name in strange if regions_of(there, name) != (region,)]
    if bound or len(strange) < len(environments):
        name = (bound or strange)[0]
        known = ", ".join(regions_of(settings, name))
        raise UsageError(
            f"{name} is in {known}; it has no region {region}",
            hint="name one that every environment of the command is in, or leave --region out for all of them",
        )
    if settings.cloud.provider == "local":
        raise UsageError(
            f"the local cloud has no region {region} of its own",
            hint="leave --region out, or name the region in environments.prod.regions",
        )
    return Chosen(there, places_of(there, environments))
