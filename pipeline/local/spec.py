"""What a local cloud is asked to hold, and what it answers with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class LocalEnvironment:
    """One environment as the local cloud sees it.

    `health_path` is what the load balancer asks each task, `healthy_codes` the answers that count (an ALB matcher:
    "200" or "200-299"). `provision_key` is any text that changes when the environment's stack would (template and
    parameters): `up` provisions again when it does. `beside` is another environment, whose database this one shares;
    what runs here is then there for a while only: it is not kept, nor brought back. `region` is the one it is in,
    empty: the cloud's own; `tag` is the environment that its stack's resources are tagged with, empty: its name.
    `service` is the one of several services that it runs; its resources are tagged with the app's name and this one.
    """

    name: str
    health_path: str = "/healthz"
    healthy_codes: str = "200"
    provision_key: str = ""
    beside: str = ""
    region: str = ""
    tag: str = ""
    service: str = ""

    @property
    def environment(self) -> str:
        """The environment it is, in whatever region."""
        return self.tag or self.name


@dataclass(frozen=True, slots=True)
class LocalSpec:
    """The cloud of one project. `port_base` is where free loopback ports are looked for; None starts at 18080."""

    app: str
    environments: tuple[LocalEnvironment, ...]
    region: str = "us-east-1"
    port_base: int | None = None

    def place(self, environment: LocalEnvironment) -> str:
        """What tells an environment in a region from any other: `app/environment@region`."""
        app = f"{self.app}-{environment.service}" if environment.service else self.app
        return f"{app}/{environment.environment}@{environment.region or self.region}"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where everything is.

    `aws` is the endpoint URL for boto3, `registry` is `localhost:PORT` (the registry's name in image references),
    `urls` maps an environment to its front end on loopback, `inside` to the same for tasks, `database_urls` to what its
    tasks connect to. `orders` is where tasks that load an environment ask when to begin.
    The AWS credentials are `access_key` and `secret_key`; they open nothing but this emulator.
    """

    aws: str
    registry: str
    region: str
    account: str
    urls: Mapping[str, str]
    database_urls: Mapping[str, str] = field(repr=False, default_factory=dict)
    inside: Mapping[str, str] = field(default_factory=dict)
    orders: str = ""
    access_key: str = "test"
    secret_key: str = field(repr=False, default="test")


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part of the cloud. `detail` says what runs (container or pid) or what is wrong."""

    name: str
    up: bool
    port: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class LocalStatus:
    """Every part, and for each environment what is recorded to run there (image reference, or empty)."""

    parts: tuple[PartStatus, ...]
    recorded: Mapping[str, str]

    @property
    def up(self) -> bool:
        """True when every part is up."""
        return bool(self.parts) and all(part.up for part in self.parts)


@dataclass(frozen=True, slots=True)
class Desired:
    """What an environment should run, recorded after each good rollout.

    `definition` has the keys that RegisterTaskDefinition takes (others are dropped); `count` is the desired count.
    `environment` is the local name; `region` is empty for the cloud's own.
    """

    environment: str
    cluster: str
    service: str
    definition: Mapping[str, Any]
    count: int
    region: str = ""

    @property
    def image(self) -> str:
        """The image of the first container, as the task definition names it."""
        containers = self.definition.get("containerDefinitions") or [{}]
        return str(containers[0].get("image", ""))


Images = Callable[[Iterable[str]], Mapping[str, str]]
"""From image names as people write them (`registry:2`) to tags that the local engine has."""

Provision = Callable[[Endpoints, LocalEnvironment], None]
"""Creates or updates one environment's stack in the cloud at the endpoints. Idempotent."""
