"""Service events, worded as ECS words them."""

from __future__ import annotations

from typing import Any

from pipeline.local.emulation.ground import Emulator

KEPT = 100


def say(emulator: Emulator, service: Any, text: str) -> None:
    """Puts an event on top of the service's list, which keeps the last hundred."""
    ecs = emulator.ecs
    event = {
        "id": ecs.new_uuid(),
        "createdAt": ecs._iso(),
        "message": f"(service {service['serviceName']}) {text}",
    }
    service["events"][:] = [event, *service["events"]][:KEPT]


def short(arn: str) -> str:
    """The last part of an ARN: a task's or a deployment's id."""
    return arn.rsplit("/", 1)[-1]
