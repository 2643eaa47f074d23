"""Clean-up of an app's environments, in the order in which things let go of each other; and what is left then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.adapters.inventory import Inventory, Names, log_groups
from pipeline.adapters.owned import cluster_tags, definition_tags, repository_tags, table_tags
from pipeline.adapters.stack import Stacks
from pipeline.adapters.taking_down import (
    Services,
    delete_log_group,
    delete_repository,
    delete_table,
    image_count,
)
from pipeline.config import Settings
from pipeline.errors import BusyError, StuckError
from pipeline.locations import Location, Share
from pipeline.model.inventory import Found, Presence
from pipeline.model.verdict import Reason
from pipeline.ports import Clock, Say
from pipeline.provisioning import Hold
from pipeline.reach import ENVIRONMENTS
from pipeline.stacks import (
    APP_TAG,
    BASELINE,
    baseline_service_name,
    cluster_name,
    families,
    is_adopted,
    possible_stacks,
    service_name,
    shared_stack,
    stack_name,
    table_name,
)

Client = Callable[[str], Any]
_SHARED = {
    Share.ALL: "image repository, table and roles for CI",
    Share.REPOSITORY: "images and evidence in this region",
}
"""What the last environment takes with it."""


@dataclass(frozen=True, slots=True)
class CleanupPlan:
    """What a clean-up would take away. `last`: no other environment is left, so what they share goes as well.

    `lost` says what cannot be had back, `notes` what stays, `reasons` why it may not be done.
    """

    environments: tuple[str, ...]
    found: tuple[Found, ...]
    last: bool
    lost: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()


class Dismantling:
    """Clean-up in one account and region. The errors are those of `Stacks` and of the single steps."""

    def __init__(
        self,
        location: Location,
        client: Client,
        clock: Clock,
        say: Say,
        *,
        hold: Hold,
        gone: Callable[[str], None],
    ) -> None:
        """`hold` keeps rollouts away from an environment, `gone` is told when one is no more."""
        self._location = location
        self._settings = location.settings
        self._client = client
        self._clock = clock
        self._say = say
        self._hold = hold
        self._gone = gone
        self._stacks = Stacks(client("cloudformation"), clock, say)
        self._services = Services(client("ecs"), clock)
        self._foreign = _Foreign(location.settings, self._stacks, client("ecs"))

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
        reasons = [_adopted(name) for name in environments if is_adopted(self._settings, name)]
        reasons += [
            reason
            for name in environments
            for reason in self._foreign.stacks(possible_stacks(self._settings, name))
        ]
        reasons += [reason for name in environments for reason in self._foreign.cluster(name)]
        others = self._others((*environments, *going), elsewhere)
        last = not others and self._location.share is not Share.BESIDE
        if last:
            reasons += self._foreign.stacks([stack_name(self._settings, "shared")])
        found = self.inventory(environments, last=last, keep_images=keep_images)
        shared = _SHARED.get(self._location.share)
        notes = [f"{name} is still there: {shared} stay" for name in others if shared]
        if self._settings.cloud.provider == "local":
            notes.append(
                "images and evidence of this machine stay in its registry: `local reset` deletes them"
            )
        lost = self._losses(found, keep_images=keep_images) if last else ()
        return CleanupPlan(tuple(environments), found, last, lost, tuple(notes), tuple(reasons))

    def apply(self, plan: CleanupPlan, *, keep_images: bool) -> tuple[Found, ...]:
        """Takes it all away, and looks again: returns what is there then.

        Raises BusyError, and leaves what environments share, where one was set up since it was looked at.
        """
        for name in plan.environments:
            with self._hold(name):
                self._environment(name)
            self._gone(name)
        if plan.last:
            self._require_nobody()
            self._shared(keep_images=keep_images)
        return self.inventory(plan.environments, last=plan.last, keep_images=keep_images)

    def inventory(
        self, environments: Sequence[str], *, last: bool, keep_images: bool = False
    ) -> tuple[Found, ...]:
        """What is there of the environments, and, with `last`, of what they share."""
        names = [
            Names(name, cluster_name(self._settings, name), families(self._settings, name))
            for name in environments
        ]
        without = (
            frozenset({"application-autoscaling"})
            if self._settings.cloud.provider == "local"
            else frozenset()
        )
        inventory = Inventory(
            self._client,
            self._settings.app.name,
            self._settings.repository,
            table_name(self._settings),
            names,
            without,
            self._settings.cloud.region,
        )
        wanted = {*environments, *([BASELINE] if "staging" in environments else [])}
        seen = inventory.look()
        here = [one for one in seen if last or one.environment in wanted or one.presence is Presence.UNKNOWN]
        return tuple(_kept(one) if keep_images and one.kind == "repository" else one for one in here)

    def _environment(self, name: str) -> None:
        made_here = self._stacks.standing(stack_name(self._settings, name)) is not None
        scaling = f"{stack_name(self._settings, name)}-autoscaling"
        self._delete(scaling)
        cluster = cluster_name(self._settings, name)
        services = [service_name(self._settings, name)]
        services += [baseline_service_name(self._settings)] if name == "staging" else []
        for service in services:
            if self._services.stop(cluster, service):
                self._say(f"{name}: service {service} has no tasks any more")
        if stopped := self._services.stop_tasks(cluster):
            self._say(f"{name}: stopped {stopped} other tasks in cluster {cluster}")
        for stack in reversed(possible_stacks(self._settings, name)):
            self._delete(stack)
        for family in families(self._settings, name):
            self._forget(name, family, sure=made_here)
        self._log_groups(name)

    def _forget(self, name: str, family: str, *, sure: bool) -> None:
        """`sure`: the environment was ours until now. Else the newest revision tells whose the family is."""
        newest, app = self._services.newest(family), self._settings.app.name
        if newest and not sure and definition_tags(self._client("ecs"), newest).get(APP_TAG) != app:
            self._say(f"{name}: left task definitions {family}, which have no tag {APP_TAG} = {app}")
        elif count := self._services.forget(family):
            self._say(f"{name}: deregistered {count} revisions of {family}")

    def _log_groups(self, name: str) -> None:
        """Those that outlived the stack: Container Insights makes its own."""
        for group in log_groups(
            self._client("logs"), self._settings.app.name, name, cluster_name(self._settings, name)
        ):
            delete_log_group(self._client("logs"), group)
            self._say(f"{name}: deleted log group {group}")

    def _shared(self, *, keep_images: bool) -> None:
        self._delete(stack_name(self._settings, "shared"))
        app, ecr, dynamodb = self._settings.app.name, self._client("ecr"), self._client("dynamodb")
        if not keep_images and (repository_tags(ecr, self._settings.repository) or {}).get(APP_TAG) == app:
            count = delete_repository(ecr, self._settings.repository)
            self._say(f"deleted {count} images, and repository {self._settings.repository}")
        table = table_name(self._settings)
        if (table_tags(dynamodb, table) or {}).get(APP_TAG) == app:
            delete_table(dynamodb, table, self._clock)
            self._say(f"deleted table {table}")

    def _delete(self, stack: str) -> None:
        if self._stacks.standing(stack) is None:
            self._stacks.delete(stack)  # an empty one, left by a proposal, is none to people
            return
        self._say(f"stack {stack}: deleting it")
        try:
            self._stacks.delete(stack)
        except StuckError:
            self._say(f"stack {stack}: not all of it could be deleted yet; once more")
            self._stacks.delete(stack)

    def _others(self, going: Sequence[str], elsewhere: Sequence[str]) -> list[str]:
        if self._location.share is Share.BESIDE:
            return []
        here = self.in_use if self._location.share is Share.ALL else self._stands
        return [*(name for name in ENVIRONMENTS if name not in going and here(name)), *elsewhere]

    def _require_nobody(self) -> None:
        """The plan may be old by now: somebody was asked, and much was deleted, since."""
        if late := [name for name in ENVIRONMENTS if self._stands(name)]:
            raise BusyError(
                f"{', '.join(late)} was set up since this began: what environments share is left",
                hint="run the same command again; it looks anew",
            )

    def _stands(self, name: str) -> bool:
        return self._stacks.standing(stack_name(self._settings, name)) is not None

    def in_use(self, name: str) -> bool:
        """Whether the environment needs what all share: its stack is there, or it is adopted and has no stack."""
        return is_adopted(self._settings, name) or self._stands(name)

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


@dataclass(frozen=True, slots=True)
class _Foreign:
    """What bears our names and not our tag, as reasons against a clean-up."""

    settings: Settings
    known: Stacks
    ecs: Any

    def stacks(self, names: Sequence[str]) -> list[Reason]:
        """Those of the stacks that somebody else made."""
        found = [self.known.standing(stack) for stack in names]
        return [
            Reason(f"stack {stack.name} {self._untagged}", "delete it yourself, if it may go")
            for stack in found
            if stack is not None and stack.tags.get(APP_TAG) != self.settings.app.name
        ]

    def cluster(self, environment: str) -> list[Reason]:
        """A cluster of the environment's name that is not ours: what runs in it is not either."""
        name, app = cluster_name(self.settings, environment), self.settings.app.name
        tags = cluster_tags(self.ecs, name)
        made = self.known.resources(stack_name(self.settings, environment))
        if tags is None or tags.get(APP_TAG) == app or made.get("Cluster") == name:
            return []
        remedy = f'to use it as it is, name it: environments.{environment}.cluster = "{name}"; else delete it yourself'
        return [Reason(f"cluster {name} {self._untagged}", remedy)]

    @property
    def _untagged(self) -> str:
        return f"has no tag {APP_TAG} = {self.settings.app.name}: it was not made by onedigest"
