"""Amazon CloudWatch alarms through boto3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.adapters.aws_errors import aws_errors
from pipeline.errors import UndecidedError

_PAGE = 100


@dataclass(frozen=True, slots=True)
class CloudWatchAlarms:
    """`pipeline.ports.Alarms`, metric and composite ones. `cloudwatch` is boto3's client."""

    cloudwatch: Any

    def firing(self, names: Sequence[str]) -> Sequence[str]:
        """Those in state ALARM. INSUFFICIENT_DATA is not: an alarm on errors has no data while there are no errors."""
        states = self._states(names)
        missing = [name for name in names if name not in states]
        if missing:
            raise UndecidedError(
                f"CloudWatch has no alarm {', '.join(missing)}: whether the rollout is good cannot be decided",
                hint="create the alarm, or mend `alarms` under [environments.….rollout] in pipeline.toml",
            )
        return [name for name in names if states[name] == "ALARM"]

    def _states(self, names: Sequence[str]) -> dict[str, str]:
        states: dict[str, str] = {}
        for start in range(0, len(names), _PAGE):
            page = list(names[start : start + _PAGE])
            with aws_errors(f"cloudwatch:DescribeAlarms {', '.join(page)}"):
                answer = self.cloudwatch.describe_alarms(
                    AlarmNames=page, AlarmTypes=["MetricAlarm", "CompositeAlarm"], MaxRecords=_PAGE
                )
            for kind in ("MetricAlarms", "CompositeAlarms"):
                states |= {
                    str(found["AlarmName"]): str(found["StateValue"]) for found in answer.get(kind, ())
                }
        return states
