"""A project's set-up and clean-up at all of its locations: looked at everywhere before anything is changed anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.clouds import Ground, Survey, open_grounds
from pipeline.config import Settings, load
from pipeline.dismantling import CleanupPlan
from pipeline.foundation import Foundation
from pipeline.locations import Chosen, Location, Share, chosen, places_of
from pipeline.model.inventory import Found
from pipeline.model.verdict import Reason
from pipeline.ports import Say
from pipeline.provisioning import Made, SetupPlan
from pipeline.reach import ENVIRONMENTS, ecr_place


@dataclass(frozen=True)
class Estate:
    """The locations that a command is about: that of [cloud] first, then in the order of the waves.

    Errors are those of `Provisioning` and `Dismantling`; after one, nothing is done at those that come later.
    """

    about: Chosen
    survey: Survey
    foundations: tuple[Foundation, ...]

    @classmethod
    def open(cls, root: Path, environments: Sequence[str], region: str, say: Say, why: str) -> Estate:
        """Reads pipeline.toml and reaches every account; see `chosen` for `region`. `why` is told to who waits.

        Raises ConfigurationError, UsageError, UnavailableError, DeniedError.
        """
        about = chosen(load(root), environments, region)
        return cls.of(about, open_grounds(root, about.settings, say), say, why)

    @classmethod
    def of(cls, about: Chosen, survey: Survey, say: Say, why: str) -> Estate:
        """The locations of what a command is about."""
        home = survey("", about.settings.cloud.region)
        found: dict[Ground, list[str]] = {home: []} if about.home else {}
        for environment, region in about.places:
            found.setdefault(survey(environment, region), []).append(environment)
        foundations, taken = list[Foundation](), {home.place}
        for ground, names in found.items():
            share = Share.ALL if ground is home else _share(about.settings, ground, names, taken)
            taken.add(ground.place)
            location = Location.at(about.settings, ground.region, share)
            told = _from(ground.region, say) if len(found) > 1 else say
            foundations.append(Foundation(location, ground, home, tuple(names), told, why))
        return cls(about, survey, tuple(foundations))

    @property
    def settings(self) -> Settings:
        """The project's, as the command has them."""
        return self.about.settings

    def plan_setup(self, *, accept_loss: bool) -> list[tuple[Foundation, SetupPlan]]:
        """What a set-up would do at each location. Nothing is changed."""
        return [
            (one, one.provisioning.plan(one.environments, accept_loss=accept_loss))
            for one in self.foundations
        ]

    @staticmethod
    def set_up(plans: Sequence[tuple[Foundation, SetupPlan]]) -> Iterator[tuple[Foundation, list[Made]]]:
        """Does it, one by one: first where the table of leases is. No plan may have reasons against it."""
        for one, plan in plans:
            yield one, one.provisioning.apply(plan)

    def plan_cleanup(self, *, keep_images: bool) -> list[tuple[Foundation, CleanupPlan]]:
        """What a clean-up would take away at each location, what all share last. Nothing is changed."""
        return [
            (
                one,
                one.dismantling.plan(
                    one.environments,
                    keep_images=keep_images,
                    going=self._going_beside(one),
                    elsewhere=self._in_use_elsewhere(one) if one.location.share is Share.ALL else (),
                ),
            )
            for one in reversed(self.foundations)
        ]

    @staticmethod
    def clean_up(
        plans: Sequence[tuple[Foundation, CleanupPlan]], *, keep_images: bool
    ) -> Iterator[tuple[Foundation, tuple[Found, ...]]]:
        """Does it, one by one, and says what is there then. No plan may have reasons against it."""
        for one, plan in plans:
            yield one, one.dismantling.apply(plan, keep_images=keep_images)

    def refusals(self, plans: Sequence[tuple[Foundation, SetupPlan | CleanupPlan]]) -> tuple[Reason, ...]:
        """What speaks against any of the plans, and so against all; with the region, where there are several."""
        return tuple(
            replace(reason, text=f"{one.ground.region}: {reason.text}") if len(plans) > 1 else reason
            for one, plan in plans
            for reason in plan.reasons
        )

    def _going_beside(self, foundation: Foundation) -> list[str]:
        """What the command takes from the same account and region in another's name."""
        return [
            name
            for one in self.foundations
            if one is not foundation and one.ground.place == foundation.ground.place
            for name in one.environments
        ]

    def _in_use_elsewhere(self, home: Foundation) -> list[str]:
        """What the command leaves alone in other regions and accounts, in words."""
        left = [place for place in places_of(self.settings, ENVIRONMENTS) if place not in self.about.places]
        found = []
        for name, region in left:
            ground = self.survey(name, region)
            location = Location.at(self.settings, region, Share.NOTHING)
            there = Foundation(location, ground, home.ground, (name,), home.say, home.why)
            if ground.place != home.ground.place and there.dismantling.in_use(name):
                found.append(f"{name} in {region}")
        return found


def _share(
    settings: Settings, ground: Ground, environments: Sequence[str], taken: set[tuple[str, str]]
) -> Share:
    if ground.place in taken:
        return Share.BESIDE
    registries = [settings.environments[name].registry_in(ground.region) for name in environments]
    own = any(ecr_place(host) == ground.place for host in registries)
    return Share.REPOSITORY if own else Share.NOTHING


def _from(region: str, say: Say) -> Say:
    return lambda line: say(f"{region}: {line}")
