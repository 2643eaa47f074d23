"""A task counts until it has stopped: one that is only told to stop still holds its address and its image."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.stub import Stubber

from pipeline.adapters.taking_down import Services
from tests.fakes.clock import FakeClock

CLUSTER = "shop-prod"
ARN = "arn:aws:ecs:eu-west-1:1:task/shop-prod/"


def listed(stub: Stubber, running: list[str], stopped: list[str]) -> None:
    for status, names in (("RUNNING", running), ("STOPPED", stopped)):
        asked = {"cluster": CLUSTER, "desiredStatus": status}
        stub.add_response("list_tasks", {"taskArns": [ARN + name for name in names]}, asked)


def described(stub: Stubber, states: dict[str, str]) -> None:
    tasks: list[Any] = [{"taskArn": ARN + name, "lastStatus": state} for name, state in states.items()]
    stub.add_response(
        "describe_tasks", {"tasks": tasks}, {"cluster": CLUSTER, "tasks": [ARN + n for n in states]}
    )


def test_what_is_told_to_stop_is_waited_for_until_it_has() -> None:
    ecs = boto3.client("ecs", region_name="eu-west-1", aws_access_key_id="k", aws_secret_access_key="s")
    clock = FakeClock()
    with Stubber(ecs) as stub:
        listed(stub, ["a"], ["b", "old"])
        described(stub, {"a": "RUNNING", "b": "DEPROVISIONING", "old": "STOPPED"})
        for name in ("a", "b"):
            stub.add_response(
                "stop_task",
                {},
                {"cluster": CLUSTER, "task": ARN + name, "reason": "clean-up of the environment"},
            )
        listed(stub, [], ["a", "b", "old"])
        described(stub, {"a": "STOPPING", "b": "STOPPED", "old": "STOPPED"})
        listed(stub, [], ["a", "b", "old"])
        described(stub, {"a": "STOPPED", "b": "STOPPED", "old": "STOPPED"})

        assert Services(ecs, clock).stop_tasks(CLUSTER) == 2
        stub.assert_no_pending_responses()
