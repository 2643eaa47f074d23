"""Everything that `setup` and `cleanup` need, out of pipeline.toml: the account, the lease, what they work with."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.adapters import account_lookups
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.lease import DynamoLease
from pipeline.adapters.owned import table_tags
from pipeline.adapters.table import Table
from pipeline.clouds import Ground
from pipeline.config import Settings
from pipeline.dismantling import Dismantling
from pipeline.locations import Location
from pipeline.model.lease import Claim
from pipeline.names import cluster_name, service_name, stack_name, table_name
from pipeline.ports import Say
from pipeline.provisioning import Clients, Made, Provisioning
from pipeline.records import login
from pipeline.stacks import APP_TAG, ENVIRONMENT_TAG

WAIT_SECONDS = 900.0
"""How long whoever holds an environment is waited for."""


@dataclass(frozen=True, slots=True)
class Ready:
    """An environment after its set-up, or one of the services of a release in it: `part`, else empty.

    `todo` are commands that are still needed before a release.
    """

    name: str
    part: str
    region: str
    url: str
    cluster: str
    service: str
    roles: Mapping[str, str]
    todo: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """What people want to know of it."""
        where = f"{self.url or 'no address yet'}, in {self.region}"
        called = f"{self.name} {self.part}".strip()
        told = [f"{called:<11} {where}, cluster {self.cluster}, service {self.service}"]
        told += [f"{'':<12}{what} {arn}" for what, arn in self.roles.items()]
        return (*told, *(f"{'':<12}to do: {line}" for line in self.todo))

    @property
    def document(self) -> Mapping[str, Any]:
        """The same as JSON values."""
        return {
            "name": self.name,
            "part": self.part,
            "region": self.region,
            "url": self.url,
            "cluster": self.cluster,
            "service": self.service,
            "roles": dict(self.roles),
            "todo": list(self.todo),
        }


@dataclass(frozen=True)
class Foundation:
    """Set-up and clean-up of one project at one location, for the `environments` that are there.

    `home` is where the table of leases is; `why` is told to whoever waits for one.
    """

    location: Location
    ground: Ground
    home: Ground
    environments: tuple[str, ...]
    say: Say
    why: str

    @property
    def settings(self) -> Settings:
        """Those of the location."""
        return self.location.settings

    @cached_property
    def provisioning(self) -> Provisioning:
        """Set-up."""
        clients = Clients.of(self.ground.aws.client)
        return Provisioning(
            self.location, clients, SystemClock(), self.say, hold=self.hold, secrets=self.ground.secrets
        )

    @cached_property
    def dismantling(self) -> Dismantling:
        """Clean-up."""
        ground = self.ground
        return Dismantling(
            self.location, ground.aws.client, SystemClock(), self.say, hold=self.hold, gone=ground.gone
        )

    def now(self, name: str, made: Sequence[Made]) -> list[Ready]:
        """The environment as it is after its set-up, service by service."""
        outputs = {one.name: one.outputs for one in made}
        common = [f"{stack_name(self.settings, name)}-promotion", stack_name(self.settings, "shared")]
        found = {key: value for stack in common for key, value in outputs.get(stack, {}).items()}
        roles = {"role for promotion": "PromotionRoleArn", "role for CI": "CiRoleArn"}
        told = {what: found[key] for what, key in roles.items() if key in found}
        return [self._ready(part, name, outputs, told) for part in self.location.parts]

    def _ready(
        self, part: Location, name: str, outputs: Mapping[str, Mapping[str, str]], roles: Mapping[str, str]
    ) -> Ready:
        settings = part.settings
        own = settings.environments[name].url_in(self.ground.region)
        made = outputs.get(stack_name(settings, name), {})
        return Ready(
            name,
            part.service,
            self.ground.region,
            self.ground.url(name, part.service, own or made.get("LoadBalancerUrl", "")),
            cluster_name(settings, name),
            service_name(settings, name),
            roles,
            tuple(self._missing(part, name)),
        )

    def _missing(self, part: Location, name: str) -> Iterator[str]:
        """How to give the environment the secrets that pipeline.toml declares and that have no value yet."""
        client, app = self.ground.aws.client("secretsmanager"), part.settings.app.name
        there = "" if self.ground.region == self.location.home else f" --region {self.ground.region}"
        for secret in sorted(set(part.settings.environments[name].secrets.values())):
            found = account_lookups.secret(client, secret)
            if found is None:
                tags = f"Key={APP_TAG},Value={app} Key={ENVIRONMENT_TAG},Value={name}"
                yield f"aws secretsmanager create-secret{there} --name {secret} --tags {tags} --secret-string …"
            elif found.lacking:
                put = f"put-secret-value{there} --secret-id {secret} --secret-string …"
                yield f"aws secretsmanager {put}  ({found.lacking})"

    @contextmanager
    def hold(self, environment: str) -> Iterator[None]:
        """Holds the environment's lease, where there is a table for one; whoever has it is waited for.

        It is one for all regions.
        """
        client, name = self.home.aws.client("dynamodb", prompt=True), table_name(self.settings)
        if table_tags(client, name) is None:
            yield
            return
        lease = DynamoLease(Table(client, name, self.settings.app.name), SystemClock(), say=self.say)
        with lease.hold(environment, Claim(login(), secrets.token_hex(4), self.why), wait=WAIT_SECONDS):
            yield
