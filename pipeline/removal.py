"""One environment of an app, or of one service of a release, taken away in the order in which things let go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.adapters.inventory import log_groups
from pipeline.adapters.owned import cluster_tags, definition_tags, newest_revision
from pipeline.adapters.stack import Stacks
from pipeline.adapters.taking_down import Services, delete_log_group
from pipeline.errors import StuckError
from pipeline.locations import Location
from pipeline.model.verdict import Reason
from pipeline.names import baseline_service_name, cluster_name, service_name, stack_name
from pipeline.ports import Clock, Say
from pipeline.stacks import APP_TAG, families, not_ours, possible_stacks

Client = Callable[[str], Any]


class Removal:
    """Takes parts of a location away, each step safe to repeat. The errors are those of `Stacks` and `Services`."""

    def __init__(self, client: Client, stacks: Stacks, clock: Clock, say: Say) -> None:
        """`client` makes boto3's clients by name."""
        self._client = client
        self._stacks = stacks
        self._say = say
        self._services = Services(client("ecs"), clock)

    def environment(self, part: Location, name: str) -> None:
        """The part's scaling, tasks, stacks, task definitions and log groups in an environment."""
        settings, called = part.settings, part.called(name)
        made_here = self._stacks.standing(stack_name(settings, name)) is not None
        self.stack(f"{stack_name(settings, name)}-autoscaling")
        cluster = cluster_name(settings, name)
        services = [service_name(settings, name)]
        services += [baseline_service_name(settings)] if name == "staging" else []
        for service in services:
            if self._services.stop(cluster, service):
                self._say(f"{called}: service {service} has no tasks any more")
        if stopped := self._services.stop_tasks(cluster):
            self._say(f"{called}: stopped {stopped} other tasks in cluster {cluster}")
        for stack in reversed(possible_stacks(part, name)):
            self.stack(stack)
        self._log_groups(part, name)
        # The service's own last: by it `former_parts` finds what a run that was killed has left.
        for family in reversed(families(part, name)):
            self._forget(part, name, family, sure=made_here)

    def stack(self, name: str) -> None:
        """A stack, tried twice; nothing happens where there is none."""
        if self._stacks.standing(name) is None:
            self._stacks.delete(name)  # an empty one, left by a proposal, is none to people
            return
        self._say(f"stack {name}: deleting it")
        try:
            self._stacks.delete(name)
        except StuckError:
            self._say(f"stack {name}: not all of it could be deleted yet; once more")
            self._stacks.delete(name)

    def _forget(self, part: Location, name: str, family: str, *, sure: bool) -> None:
        """`sure`: the environment was ours until now. Else the newest revision tells whose the family is."""
        ecs, app, called = self._client("ecs"), part.settings.app.name, part.called(name)
        newest = newest_revision(ecs, family)
        if newest and not sure and definition_tags(ecs, newest).get(APP_TAG) != app:
            self._say(f"{called}: left task definitions {family}, which have no tag {APP_TAG} = {app}")
        elif count := self._services.forget(family):
            self._say(f"{called}: deregistered {count} revisions of {family}")

    def _log_groups(self, part: Location, name: str) -> None:
        """Those that outlived the stack: Container Insights makes its own."""
        logs, cluster = self._client("logs"), cluster_name(part.settings, name)
        for group in log_groups(logs, part.settings.app.name, name, cluster):
            delete_log_group(logs, group)
            self._say(f"{part.called(name)}: deleted log group {group}")


@dataclass(frozen=True, slots=True)
class Foreign:
    """What bears our names and not our tag, as reasons against a clean-up."""

    known: Stacks
    ecs: Any

    def stacks(self, names: Sequence[str], part: Location) -> list[Reason]:
        """Those of the stacks that were not made for `part`."""
        found = [self.known.standing(stack) for stack in names]
        return [
            Reason(f"stack {stack.name} {why}", "delete it yourself, if it may go")
            for stack in found
            if stack is not None and (why := not_ours(part, stack.tags))
        ]

    def cluster(self, part: Location, environment: str) -> list[Reason]:
        """A cluster of the environment's name that is not ours: what runs in it is not either."""
        name, app = cluster_name(part.settings, environment), part.settings.app.name
        tags = cluster_tags(self.ecs, name)
        made = self.known.resources(stack_name(part.settings, environment))
        if tags is None or tags.get(APP_TAG) == app or made.get("Cluster") == name:
            return []
        key = f"services.{part.service}.service" if part.service else f"environments.{environment}.cluster"
        return [
            Reason(
                f"cluster {name} has no tag {APP_TAG} = {app}: it was not made by onedigest",
                f'to use it as it is, name it: {key} = "{part.service or name}"; else delete it yourself',
            )
        ]
