"""[environments.ENV.setup] and [environments.ENV.scaling] of pipeline.toml: what `setup` makes on AWS."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from pipeline.config_values import AS_WRITTEN, Certificate, Seconds

RETENTION = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288),
    3653,
)
"""The numbers of days that CloudWatch Logs keeps lines for."""

PrincipalArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:(iam|sts)::\S+$")]


class SetupSettings(BaseModel):
    """What an environment is made with. Nothing of it has to do with a release."""

    model_config = AS_WRITTEN

    certificate: Certificate = ""
    capacity: Literal["fargate", "ec2"] = "fargate"
    instance_type: str = "t3.medium"
    max_instances: Annotated[int, Field(ge=1, le=1000)] = 4
    insights: Literal["disabled", "enabled", "enhanced"] = "disabled"
    log_days: Annotated[int, Field(ge=1)] = 30
    alarm_error_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    alarm_latency: Seconds = 1.0

    @model_validator(mode="after")
    def _kept_for_a_time_that_there_is(self) -> SetupSettings:
        if self.log_days not in RETENTION:
            raise ValueError(f"log_days must be one of {', '.join(map(str, RETENTION))}")
        return self


class ScalingSettings(BaseModel):
    """How many tasks an environment may have, and what they are counted by. `requests` are per minute and task."""

    model_config = AS_WRITTEN

    min: Annotated[int, Field(ge=1, le=1000)] = 1
    max: Annotated[int, Field(ge=1, le=1000)]
    cpu: Annotated[int, Field(ge=1, le=100)] = 60
    requests: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _between(self) -> ScalingSettings:
        if self.max < self.min:
            raise ValueError(f"max ({self.max}) must not be below min ({self.min})")
        return self
