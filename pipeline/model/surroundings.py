"""What a rollout meets: things its task definition and service name, each found, said to be missing, or unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, TypeAlias, TypeVar

from pipeline.model.digest import ImageRef

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Unknown:
    """It could not be looked up: neither there nor missing. `why` says what stood in the way."""

    why: str


Lookup: TypeAlias = _T | Unknown | None
"""What was found; None: whoever keeps it says that there is none."""


class Permission(Enum):
    """What IAM's policy simulator says of one action on one resource."""

    ALLOWED = "allowed"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a registry: in which repository, for which platforms (`os/arch`), with which labels."""

    repository: str
    platforms: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Role:
    """A role, and the services that its trust policy lets take it on."""

    trusts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret or parameter by its ARN; `lacking` says what keeps it from being read, empty where nothing does."""

    arn: str
    lacking: str = ""


@dataclass(frozen=True, slots=True)
class TargetGroup:
    """A target group: how it checks its targets, how long it lets them leave, and which weights lead to it.

    All times are seconds. `weights` has one entry for each listener or rule that forwards to it.
    """

    kind: str
    interval: float
    threshold: int
    delay: float
    weights: tuple[int, ...] | Unknown = ()


@dataclass(frozen=True, slots=True)
class Credential:
    """What AWS is asked with. `expires` None: no end is known. `renews`: boto3 gets the next one by itself.

    `temporary`: it has a session token, so it ends at some time, known or not.
    """

    method: str
    expires: datetime | None = None
    renews: bool = False
    temporary: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """The service's tasks that run now: their image digests, and the seconds the slowest took from order to start."""

    digests: tuple[str, ...] = ()
    start: float | None = None


@dataclass(frozen=True, slots=True)
class Questions:
    """What to look up. `secrets` are names or ARNs in Secrets Manager, `parameters` those of Parameter Store.

    `roles` and `target_groups` are ARNs, the others names; `reader` is the role that reads the secrets, empty where
    there is none.
    """

    roles: tuple[str, ...] = ()
    reader: str = ""
    secrets: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    log_groups: tuple[str, ...] = ()
    target_groups: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()


NOT_LOOKED = Unknown("nobody looked")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The answers, by what was asked for. `passing` and `reading` are by role and by secret."""

    image: Lookup[Image] = NOT_LOOKED
    roles: Mapping[str, Lookup[Role]] = field(default_factory=dict)
    passing: Mapping[str, Permission | Unknown] = field(default_factory=dict)
    secrets: Mapping[str, Lookup[Secret]] = field(default_factory=dict)
    reading: Mapping[str, Permission | Unknown] = field(default_factory=dict)
    log_groups: Mapping[str, Lookup[str]] = field(default_factory=dict)
    target_groups: Mapping[str, Lookup[TargetGroup]] = field(default_factory=dict)
    alarms: Mapping[str, Lookup[str]] = field(default_factory=dict)
    running: Running | Unknown = NOT_LOOKED
    credential: Credential | Unknown = NOT_LOOKED


def questions_of(
    definition: Mapping[str, Any],
    service: Mapping[str, Any],
    *,
    container: str,
    declared: Mapping[str, str],
    alarms: tuple[str, ...],
) -> Questions:
    """What a definition and a service (as DescribeServices gives it) name.

    `declared` are the secrets that pipeline.toml names for `container`, by variable, each a name or ARN in Secrets
    Manager; they take the place of what the definition says of these variables.
    """
    execution = str(definition.get("executionRoleArn") or "")
    replaced = {(container, variable) for variable in declared}
    told = [source for where, source in references(definition) if where not in replaced]
    return Questions(
        roles=_once([execution, str(definition.get("taskRoleArn") or "")]),
        reader=execution,
        secrets=_once([*declared.values(), *(address(s) for s in told if not is_parameter(s))]),
        parameters=_once([s for s in told if is_parameter(s)]),
        log_groups=_once([group for group, _ in log_groups(definition)]),
        target_groups=_once([arn for arns in balancers(service) for arn in arns]),
        alarms=_once(list(alarms)),
    )


def references(definition: Mapping[str, Any]) -> list[tuple[tuple[str, str], str]]:
    """Every secret that a definition names, with the container and the variable (or option) it fills.

    Those of variables, of log options, and of a private registry's login.
    """
    found: list[tuple[tuple[str, str], str]] = []
    for container in definition.get("containerDefinitions", ()):
        name = str(container.get("name", ""))
        options = (container.get("logConfiguration") or {}).get("secretOptions") or ()
        login = (container.get("repositoryCredentials") or {}).get("credentialsParameter")
        told = (*(container.get("secrets") or ()), *options)
        found += [((name, str(one["name"])), str(one["valueFrom"])) for one in told]
        found += [((name, "repositoryCredentials"), str(login))] if login else []
    return found


def is_parameter(source: str) -> bool:
    """Whether a `valueFrom` leads to Parameter Store: ECS takes a plain name for a parameter's."""
    return not source.startswith("arn:") or source.split(":")[2] == "ssm"


def address(source: str) -> str:
    """The ARN alone of a secret's `valueFrom`, which may go on with a JSON key, version stage and version id."""
    return ":".join(source.split(":")[:7])


def log_groups(definition: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """Every group of CloudWatch Logs that a definition writes to, and whether ECS is told to create it."""
    found = []
    for container in definition.get("containerDefinitions", ()):
        config = container.get("logConfiguration") or {}
        options = config.get("options") or {}
        if config.get("logDriver") == "awslogs" and options.get("awslogs-group"):
            created = str(options.get("awslogs-create-group", "")).lower() == "true"
            found.append((str(options["awslogs-group"]), created))
    return found


def balancers(service: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """The target groups of a service by load balancer: one each, for blue/green two."""
    found = []
    for balancer in service.get("loadBalancers", ()):
        advanced = balancer.get("advancedConfiguration") or {}
        arns = (balancer.get("targetGroupArn"), advanced.get("alternateTargetGroupArn"))
        found.append(tuple(str(arn) for arn in arns if arn))
    return tuple(filter(None, found))


def pulled(image: ImageRef, found: Lookup[Image]) -> str:
    """Where the image would be taken from, empty where it lies where the environment pulls from, or nobody knows."""
    return found.repository if isinstance(found, Image) and found.repository != image.repository else ""


def _once(names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))
