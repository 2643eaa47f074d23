"""The ground under the local cloud: the emulator's functions that we wrap are the very ones we read.

When a new version of the emulator is pinned and one of these fails: read the function again, look whether our wrap in
pipeline/local/emulation still fits, run the local cloud's system tests, and only then take the new print.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect

import pytest

from pipeline.errors import UnavailableError
from pipeline.local.emulation import ground
from pipeline.local.emulation.install import handler_table

PRINTS = {
    "ministack.services.ecs._make_deployment": "5660a8c0ef36",
    "ministack.services.ecs._schedule_service_deployment_completion": "938eb06d6faf",
    "ministack.services.ecs._record_service_task_healthy": "ab75f8df0ba5",
    "ministack.services.ecs._record_service_task_failure": "1f0fff5d229f",
    "ministack.services.ecs._reconcile_service_tasks": "16e4d03cbf75",
    "ministack.services.ecs._complete_service_deployment": "4472ae6823d0",
    "ministack.services.ecs._refresh_service_state": "5dcadfc2dcdd",
    "ministack.services.ecs._describe_services": "f9e11ac2be56",
    "ministack.services.ecs._run_task": "6e96d8f5a5b8",
    "ministack.services.ecs._stop_task": "06eb83088bbc",
    "ministack.services.ecs._mark_task_stopped": "09bac9c1c8d0",
    "ministack.services.ecs._watch_task_lifecycle": "96817b678967",
    "ministack.services.ecs._maybe_mark_stopped": "c9797b050da2",
    "ministack.services.ecs._build_task_containers": "aff7f8cad52d",
    "ministack.services.ecs._build_run_kwargs": "25f7593b8823",
    "ministack.services.ecs._register_metadata": "7778fecfed8b",
    "ministack.services.ecs._remove_docker_container": "209837990b2f",
    "ministack.services.ecs._start_awslogs_forwarder": "bc9330496ce7",
    "ministack.services.ecs._ensure_awslogs_stream": "0fefac5cc2fd",
    "ministack.services.ecs._awslogs_config": "365e078465ec",
    "ministack.services.ecs._sync_service_targets": "54c6f0448b05",
    "ministack.services.alb._describe_target_health": "d848e8a26fcb",
    "ministack.services.alb.set_targets_for_group": "72b06370418a",
    "ministack.services.cloudformation.provisioners._physical_name": "aeef5b394ad2",
    "ministack.services.cloudformation.provisioners._normalize_container_defs": "3f7c0507c0cc",
    "ministack.services.cloudformation.provisioners._ecs_task_def_create": "a5b3d83f890c",
    "ministack.services.cloudformation.provisioners._ecs_service_create": "75dfd177d75c",
    "ministack.services.cloudformation.provisioners._ecs_service_update": "f77a6d52cf17",
}


def test_the_pinned_version_is_installed() -> None:
    ground.check()


def test_another_version_is_refused_with_both_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _name: "9.9.9")

    with pytest.raises(UnavailableError, match=r"9\.9\.9 is installed; the local cloud needs 1\.5\.33"):
        ground.check()


def test_a_missing_docker_package_is_refused_because_tasks_would_be_pretended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "docker" else found(name))

    with pytest.raises(UnavailableError, match="docker is not importable"):
        ground.check()


def test_every_wrapped_function_is_watched() -> None:
    assert set(PRINTS) == set(ground.fingerprints())


@pytest.mark.parametrize("function", sorted(PRINTS))
def test_a_wrapped_function_is_unchanged(function: str) -> None:
    assert ground.fingerprints()[function] == PRINTS[function]


def test_the_emulators_tables_hold_the_actions_we_replace() -> None:
    ecs = importlib.import_module("ministack.services.ecs")
    alb = importlib.import_module("ministack.services.alb")
    provisioners = importlib.import_module("ministack.services.cloudformation.provisioners")

    assert {"StopTask", "DescribeServices"} <= set(ecs._ACTION_MAP)
    assert "DescribeTargetHealth" in alb._ACTION_MAP
    assert {"AWS::ECS::Service", "AWS::ECS::TaskDefinition"} <= set(handler_table(provisioners))


def test_tasks_that_are_stopping_are_not_counted_by_the_scheduler() -> None:
    ecs = importlib.import_module("ministack.services.ecs")

    assert ecs._PRE_STOP_STATUSES == ("PROVISIONING", "PENDING", "ACTIVATING", "RUNNING")


def test_locks_are_not_held_while_a_task_is_stopped() -> None:
    """Our stop takes the task's lock, so the scheduler must call it outside of its own."""
    ecs = importlib.import_module("ministack.services.ecs")
    source = inspect.getsource(ecs._complete_service_deployment)

    assert "\n    for task_arn in stale_task_arns:\n        _stop_task(" in source
