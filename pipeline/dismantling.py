"""Clean-up of an app's environments, in the order in which things let go of each other; and what is left then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pipeline.adapters.inventory import Inventory, Names
from pipeline.adapters.owned import repository_tags, table_tags
from pipeline.adapters.stack import Stacks
from pipeline.adapters.taking_down import delete_repository, delete_table, image_count
from pipeline.errors import BusyError
from pipeline.locations import Location, Share
from pipeline.model.inventory import Found, Presence
from pipeline.model.verdict import Reason
from pipeline.names import BASELINE, cluster_name, is_adopted, stack_name, table_name
from pipeline.ports import Clock, Say
from pipeline.provisioning import Hold
from pipeline.reach import ENVIRONMENTS
from pipeline.removal import Client, Foreign, Removal
from pipeline.stacks import (
    APP_TAG,
    families,
    former_parts,
    not_ours,
    possible_stacks,
    shared_stack,
)

_SHARED = {
    Share.ALL: "image repository, table and roles for CI",
    Share.REPOSITORY: "images and evidence in this region",
}
"""What the last environment takes with it."""


@dataclass(frozen=True, slots=True)
class CleanupPlan:
    """What a clean-up would take away, by the `parts` of each environment that have something of their own.

    `last`: no other environment is left, so what they share goes as well. `lost` says what cannot be had back, `notes`
    what stays, `reasons` why it may not be done.
    """

    environments: tuple[str, ...]
    parts: tuple[tuple[str, Location], ...]
    found: tuple[Found, ...]
    last: bool
    lost: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()


class Dismantling:
    """Clean-up in one account and region. The errors are those of `Removal` and of the single steps."""

    def __init__(
        self,
        location: Location,
        client: Client,
        clock: Clock,
        say: Say,
        *,
        hold: Hold,
        gone: Callable[[str, str], None],
    ) -> None:
        """`hold` keeps rollouts away from an environment, `gone` is told when one, or a service in it, is no more."""
        self._location = location
        self._settings = location.settings
        self._client = client
        self._clock = clock
        self._say = say
        self._hold = hold
        self._gone = gone
        self._stacks = Stacks(client("cloudformation"), clock, say)
        self._removal = Removal(client, self._stacks, clock, say)
        self._foreign = Foreign(self._stacks, client("ecs"))

    def plan(
        self,
        environments: Sequence[str],
        *,
        keep_images: bool,
        going: Sequence[str] = (),
        elsewhere: Sequence[str] = (),
    ) -> CleanupPlan:
        """What is there now, and what would be lost. Nothing is changed.

        `going` are environments that leave this account and region in another's name; `elsewhere` says, in words, what
        is in use in other regions and needs what is shared here.
        """
        reasons = [_adopted(name) for name in environments if self._is_adopted(name)]
        parts = tuple((name, part) for name in environments for part in self._parts(name))
        reasons += [reason for name, part in parts for reason in self._foreign_in(name, part)]
        common = [stack for name in environments for stack in self._common(name)]
        reasons += self._foreign.stacks(common, self._location)
        mixed = [name for name in environments if not self._is_adopted(name)]
        reasons += [reason for name in mixed for reason in self._made_before(name)]
        others = self._others((*environments, *going), elsewhere)
        last = not others and self._location.share is not Share.BESIDE
        if last:
            reasons += self._foreign.stacks([stack_name(self._settings, "shared")], self._location)
        found = self.inventory(parts, last=last, keep_images=keep_images)
        lost = self._losses(found, keep_images=keep_images) if last else ()
        notes = self._stays(environments, others)
        return CleanupPlan(
            tuple(environments), parts, found, last, lost, notes, tuple(dict.fromkeys(reasons))
        )

    def apply(self, plan: CleanupPlan, *, keep_images: bool) -> tuple[Found, ...]:
        """Takes it all away, and looks again: returns what is there then.

        Raises BusyError, and leaves what environments share, where one was set up since it was looked at.
        """
        for name in plan.environments:
            with self._hold(name):
                for _, part in (one for one in plan.parts if one[0] == name):
                    self._removal.environment(part, name)
                for stack in self._common(name):
                    self._removal.stack(stack)
            for part in self._location.parts:
                self._gone(name, part.service)
        if plan.last:
            self._require_nobody()
            self._shared(keep_images=keep_images)
        return self.inventory(plan.parts, last=plan.last, keep_images=keep_images)

    def inventory(
        self, parts: Sequence[tuple[str, Location]], *, last: bool, keep_images: bool = False
    ) -> tuple[Found, ...]:
        """What is there of the parts of environments, and, with `last`, of what they share."""
        names = [
            Names(part.settings.app.name, name, cluster_name(part.settings, name), families(part, name))
            for name, part in parts
        ]
        local = self._settings.cloud.provider == "local"
        inventory = Inventory(
            self._client,
            self._settings.app.name,
            self._settings.repository,
            table_name(self._settings),
            names,
            frozenset({"application-autoscaling"} if local else ()),
            self._settings.cloud.region,
        )
        environments = {name for name, _ in parts}
        wanted = {*environments, *([BASELINE] if "staging" in environments else [])}
        seen = inventory.look()
        here = [one for one in seen if last or one.environment in wanted or one.presence is Presence.UNKNOWN]
        return tuple(_kept(one) if keep_images and one.kind == "repository" else one for one in here)

    def _parts(self, name: str) -> tuple[Location, ...]:
        """What has, or had before pipeline.toml was changed, resources of ours in an environment."""
        now = [part for part in self._location.parts if not is_adopted(part.settings, name)]
        return (*now, *self._former(name))

    def _former(self, name: str) -> tuple[Location, ...]:
        return former_parts(self._stacks, self._client("ecs"), self._location, name)

    def _common(self, name: str) -> tuple[str, ...]:
        """The stacks that an environment's services have together."""
        return possible_stacks(self._location, name) if self._settings.services else ()

    def _made_before(self, name: str) -> list[Reason]:
        """Services that are adopted now and have a stack of ours all the same: it would be left, and not told of."""
        adopted = [part for part in self._location.parts if is_adopted(part.settings, name)]
        found = [(part, self._stacks.standing(stack_name(part.settings, name))) for part in adopted]
        return [
            Reason(
                f"{part.called(name)} is adopted, and stack {stack.name}, which setup made for it, is still there",
                "delete that stack yourself, or take the service's names out of pipeline.toml to have it deleted",
            )
            for part, stack in found
            if stack is not None and not not_ours(part, stack.tags)
        ]

    def _foreign_in(self, name: str, part: Location) -> list[Reason]:
        return [
            *self._foreign.stacks(possible_stacks(part, name), part),
            *self._foreign.cluster(part, name),
        ]

    def _is_adopted(self, name: str) -> bool:
        return all(is_adopted(part.settings, name) for part in self._location.parts)

    def _stays(self, environments: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
        shared = _SHARED.get(self._location.share)
        notes = [f"{name} is still there: {shared} stay" for name in others if shared]
        notes += [
            f"{called} is adopted: it was not made by onedigest"
            for name in environments
            if not self._is_adopted(name)
            for called in self._adopted_in([name])
        ]
        if self._settings.cloud.provider == "local":
            notes.append(
                "images and evidence of this machine stay in its registry: `local reset` deletes them"
            )
        return tuple(notes)

    def _shared(self, *, keep_images: bool) -> None:
        self._removal.stack(stack_name(self._settings, "shared"))
        app, ecr, dynamodb = self._settings.app.name, self._client("ecr"), self._client("dynamodb")
        if not keep_images and (repository_tags(ecr, self._settings.repository) or {}).get(APP_TAG) == app:
            count = delete_repository(ecr, self._settings.repository)
            self._say(f"deleted {count} images, and repository {self._settings.repository}")
        table = table_name(self._settings)
        if (table_tags(dynamodb, table) or {}).get(APP_TAG) == app:
            delete_table(dynamodb, table, self._clock)
            self._say(f"deleted table {table}")

    def _others(self, going: Sequence[str], elsewhere: Sequence[str]) -> list[str]:
        if self._location.share is Share.BESIDE:
            return []
        here = self.in_use if self._location.share is Share.ALL else self._stands
        others = [name for name in ENVIRONMENTS if name not in going and here(name)]
        return [*self._adopted_in(going), *others, *elsewhere]

    def _adopted_in(self, environments: Sequence[str]) -> list[str]:
        """The services of a release that outlive a clean-up, and run what is in the repository, in words."""
        parts = [(name, part) for name in environments for part in self._location.parts]
        return [part.called(name) for name, part in parts if is_adopted(part.settings, name)]

    def _require_nobody(self) -> None:
        """The plan may be old by now: somebody was asked, and much was deleted, since."""
        if late := [name for name in ENVIRONMENTS if self._stands(name)]:
            raise BusyError(
                f"{', '.join(late)} was set up since this began: what environments share is left",
                hint="run the same command again; it looks anew",
            )

    def _stands(self, name: str) -> bool:
        stacks = [*(stack_name(part.settings, name) for part in self._location.parts), *self._common(name)]
        return any(self._stacks.standing(stack) is not None for stack in stacks) or bool(self._former(name))

    def in_use(self, name: str) -> bool:
        """Whether the environment needs what all share: its stack is there, or it is adopted and has no stack."""
        return any(is_adopted(part.settings, name) for part in self._location.parts) or self._stands(name)

    def _losses(self, found: Sequence[Found], *, keep_images: bool) -> tuple[str, ...]:
        lost = []
        if any(one.kind == "repository" for one in found) and not keep_images:
            count = image_count(self._client("ecr"), self._settings.repository)
            lost.append(f"{count} images and records of evidence in repository {self._settings.repository}")
        if any(one.kind == "table" for one in found):
            lost.append(f"the deployment log in table {table_name(self._settings)}")
        shared = shared_stack(self._location)
        if shared and shared.request.parameters["SigningKey"] == "yes":
            lost.append(
                "the signing key: KMS deletes it after 7 days, and what it signed can be checked no more"
            )
        return tuple(lost)


def _adopted(name: str) -> Reason:
    return Reason(
        f"{name} is adopted: its cluster and service were not made by onedigest, which deletes nothing there",
        f"leave {name} out of the command; delete what you made with the tool that made it",
    )


def _kept(found: Found) -> Found:
    return replace(found, presence=Presence.KEPT, why="as asked for with --keep-images")
