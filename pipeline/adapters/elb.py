"""The target group behind a load balancer, through boto3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.adapters.aws_errors import aws_errors
from pipeline.model.service import TargetState


@dataclass(frozen=True, slots=True)
class ElbTargets:
    """A service's target group, for `pipeline.ports.TargetHealth`. `elbv2` is boto3's ELBv2 client.

    `alternate_arn` is the one that takes turns with it where ECS shifts traffic, else empty.
    """

    elbv2: Any
    target_group_arn: str
    alternate_arn: str = ""

    def states(self) -> Sequence[TargetState]:
        """Every registered target with its health, of both groups where there are two."""
        groups = filter(None, (self.target_group_arn, self.alternate_arn))
        return [state for group in groups for state in self._states(group)]

    def _states(self, group: str) -> Sequence[TargetState]:
        """The API gives a group's targets all in one answer."""
        with aws_errors(f"elasticloadbalancing:DescribeTargetHealth {group}"):
            answer = self.elbv2.describe_target_health(TargetGroupArn=group)
        return [
            TargetState(
                ip=str(entry["Target"]["Id"]),
                port=int(entry["Target"].get("Port", 0)),
                state=str(entry.get("TargetHealth", {}).get("State", "")),
                reason=str(entry.get("TargetHealth", {}).get("Reason") or ""),
                description=str(entry.get("TargetHealth", {}).get("Description") or ""),
                group=group,
            )
            for entry in answer.get("TargetHealthDescriptions", ())
        ]
