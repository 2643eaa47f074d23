"""Puts our functions in place of the emulator's. Each hangs on names and behaviour that the contract tests watch."""

from __future__ import annotations

from pipeline.local.emulation.containers import Containers, Logs
from pipeline.local.emulation.deployments import Deployments
from pipeline.local.emulation.ground import Emulator
from pipeline.local.emulation.stability import Stability
from pipeline.local.emulation.stopping import Stopping
from pipeline.local.emulation.targets import HealthBoard, TargetHealthAnswer
from pipeline.local.emulation.templates import Templates
from pipeline.local.launch import LaunchSettings


def install(emulator: Emulator, board: HealthBoard, settings: LaunchSettings) -> None:
    """Installs every wrap, once per process."""
    stopping = Stopping(emulator)
    _install_tasks(emulator, stopping, settings)
    _install_services(emulator, Deployments(emulator), Stability(emulator, board, stopping))
    _install_balancer(emulator, TargetHealthAnswer(emulator, board))
    _install_templates(emulator, Templates(emulator, settings.region))


def _install_tasks(emulator: Emulator, stopping: Stopping, settings: LaunchSettings) -> None:
    ecs, containers, logs = emulator.ecs, Containers(emulator, settings), Logs(emulator)
    ecs._build_run_kwargs = containers.run_kwargs
    ecs._build_task_containers = containers.records
    ecs._register_metadata = containers.register
    ecs._mark_task_stopped = containers.mark_stopped
    ecs._watch_task_lifecycle = containers.watch
    ecs._start_awslogs_forwarder = logs.start
    ecs._remove_docker_container = logs.remove
    ecs._stop_task = stopping.by_scheduler
    ecs._ACTION_MAP["StopTask"] = stopping.by_person


def _install_services(emulator: Emulator, deployments: Deployments, stability: Stability) -> None:
    ecs = emulator.ecs
    ecs._make_deployment = deployments.make
    ecs._reconcile_service_tasks = deployments.reconcile
    ecs._complete_service_deployment = deployments.complete
    ecs._record_service_task_failure = deployments.failed
    ecs._record_service_task_healthy = deployments.healthy
    ecs._run_task = deployments.start
    ecs._ACTION_MAP["DescribeServices"] = deployments.describe
    ecs._schedule_service_deployment_completion = stability.schedule


def _install_balancer(emulator: Emulator, answer: TargetHealthAnswer) -> None:
    emulator.alb._ACTION_MAP["DescribeTargetHealth"] = answer.describe


def _install_templates(emulator: Emulator, templates: Templates) -> None:
    provisioners = emulator.provisioners
    provisioners._physical_name = templates.physical_name
    provisioners._normalize_container_defs = templates.container_definitions
    provisioners._ecs_task_def_create = templates.create_definition
    handlers = handler_table(provisioners)
    handlers["AWS::ECS::TaskDefinition"]["create"] = templates.create_definition
    handlers["AWS::ECS::Service"]["create"] = templates.create_service
    handlers["AWS::ECS::Service"]["update"] = templates.update_service


def handler_table(provisioners: object) -> dict[str, dict[str, object]]:
    """The emulator's table from resource type to its functions."""
    for value in vars(provisioners).values():
        if isinstance(value, dict) and "create" in (value.get("AWS::ECS::Service") or {}):
            return value
    raise LookupError("the emulator has no table of CloudFormation resource types any more")
