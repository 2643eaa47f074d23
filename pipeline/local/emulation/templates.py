"""CloudFormation's task definitions and services, with the properties the emulator drops on the way to ECS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.local.emulation.ground import Emulator

_WHOLE = frozenset(
    (
        *("containerPort", "hostPort", "cpu", "memory", "memoryReservation", "stopTimeout", "startTimeout"),
        *("interval", "timeout", "retries", "startPeriod", "size", "softLimit", "hardLimit"),
    )
)
_YES_NO = frozenset(("essential", "readonlyRootFilesystem", "privileged", "readOnly", "initProcessEnabled"))
_MAPS = frozenset(("options", "dockerLabels"))


def container_definition(properties: Any, name: str = "") -> Any:
    """A container definition as the API has it, from one as a template has it: key case and types.

    The keys of free maps (log options, labels) stay as they are.
    """
    if isinstance(properties, Mapping):
        keep = name in _MAPS
        return {
            (key if keep else key[:1].lower() + key[1:]): container_definition(
                value, _api_key(key, inside_map=keep)
            )
            for key, value in properties.items()
        }
    if isinstance(properties, list):
        return [container_definition(value, name if name in _MAPS else "") for value in properties]
    return _typed(name, properties)


def _api_key(key: str, *, inside_map: bool) -> str:
    return "" if inside_map else key[:1].lower() + key[1:]


def _typed(name: str, value: Any) -> Any:
    if name in _WHOLE and isinstance(value, str):
        return int(value)
    if name in _YES_NO and isinstance(value, str):
        return value.lower() == "true"
    return value


class Templates:
    """The provisioners of AWS::ECS::TaskDefinition and AWS::ECS::Service."""

    def __init__(self, emulator: Emulator, region: str) -> None:
        """Keeps the emulator's own provisioners, which it goes on to call. `region` is the cloud's own."""
        self._emulator = emulator
        self._region = region
        self._name = emulator.provisioners._physical_name
        self._create_definition = emulator.provisioners._ecs_task_def_create
        self._create_service = emulator.provisioners._ecs_service_create
        self._update_service = emulator.provisioners._ecs_service_update

    def container_definitions(self, definitions: Any) -> Any:
        """In place of the emulator's, which leaves secrets and health checks in the template's spelling."""
        return [container_definition(definition) for definition in definitions]

    def physical_name(self, stack_name: str, logical_id: str, **options: Any) -> str:
        """A resource's name, with the region where that is not the cloud's own.

        IAM is one for all regions, and the emulator's names hang on the stack's name alone: a stack of that name in
        another region would take over the first one's roles.
        """
        region = self._emulator.responses.get_region()
        stack = stack_name if region == self._region else f"{stack_name}-{region}"
        return str(self._name(stack, logical_id, **options))

    def create_definition(self, logical_id: str, properties: Mapping[str, Any], stack: str) -> Any:
        """Registers the task definition with its platform too."""
        arn, attributes = self._create_definition(logical_id, properties, stack)
        if properties.get("RuntimePlatform"):
            definition = self._emulator.ecs._task_defs[arn.rsplit("/", 1)[-1]]
            definition["runtimePlatform"] = container_definition(properties["RuntimePlatform"])
        return arn, attributes

    def create_service(self, logical_id: str, properties: Mapping[str, Any], stack: str) -> Any:
        """Creates the service with its grace period, and with numbers where a parameter gave text."""
        ecs = self._emulator.ecs
        asked = service_properties(properties)
        arn, attributes = self._create_service(logical_id, asked, stack)
        cluster = ecs._resolve_cluster_name(asked.get("Cluster", "default"))
        service = ecs._services[f"{cluster}/{attributes['Name']}"]
        service["healthCheckGracePeriodSeconds"] = asked.get("HealthCheckGracePeriodSeconds") or 0
        service["enableExecuteCommand"] = asked.get("EnableExecuteCommand", False)
        return arn, attributes

    def update_service(
        self, physical_id: str, old: Mapping[str, Any], new: Mapping[str, Any], stack: str
    ) -> Any:
        """Updates the service, likewise with numbers."""
        return self._update_service(physical_id, service_properties(old), service_properties(new), stack)


def service_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """A service's properties with the types that the API has, where a template's parameter gave text."""
    typed = dict(properties)
    for name in ("DesiredCount", "HealthCheckGracePeriodSeconds"):
        if name in typed:
            typed[name] = int(typed[name])
    if "EnableExecuteCommand" in typed:
        typed["EnableExecuteCommand"] = str(typed["EnableExecuteCommand"]).lower() == "true"
    if typed.get("LoadBalancers"):
        typed["LoadBalancers"] = [
            {**balancer, "ContainerPort": int(balancer["ContainerPort"])}
            for balancer in typed["LoadBalancers"]
        ]
    return typed
