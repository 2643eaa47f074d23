"""The target group behind a load balancer, through boto3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.adapters.aws_errors import aws_errors
from pipeline.model.service import TargetState


@dataclass(frozen=True, slots=True)
class ElbTargets:
    """One target group, for `pipeline.ports.TargetHealth`. `elbv2` is boto3's ELBv2 client."""

    elbv2: Any
    target_group_arn: str

    def states(self) -> Sequence[TargetState]:
        """Every registered target with its health; the API gives them all in one answer."""
        with aws_errors(f"elasticloadbalancing:DescribeTargetHealth {self.target_group_arn}"):
            answer = self.elbv2.describe_target_health(TargetGroupArn=self.target_group_arn)
        return [
            TargetState(
                ip=str(entry["Target"]["Id"]),
                port=int(entry["Target"].get("Port", 0)),
                state=str(entry.get("TargetHealth", {}).get("State", "")),
                reason=str(entry.get("TargetHealth", {}).get("Reason") or ""),
                description=str(entry.get("TargetHealth", {}).get("Description") or ""),
            )
            for entry in answer.get("TargetHealthDescriptions", ())
        ]
