"""[load] of pipeline.toml: what Locust offers to staging, and what candidate and baseline are compared by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator

from pipeline.config_values import AS_WRITTEN, Seconds
from pipeline.model.load import LoadShape, fitting_users

_ORDER = ("p50", "p95", "p99")

Share = Annotated[float, Field(ge=0, le=1)]
Percentile = Literal["p50", "p95", "p99"]


def _once(told: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in _ORDER if name in told)


class Table(BaseModel):
    """A TOML table; see `AS_WRITTEN`."""

    model_config = AS_WRITTEN


class GeneratorSettings(Table):
    """Bounds within which the load generator proves that it was not the bottleneck."""

    max_cpu: Annotated[float, Field(gt=0, le=1)] = 0.70
    max_lag_share: Annotated[float, Field(gt=0, le=1)] = 0.25
    min_delivered: Annotated[float, Field(gt=0, le=1)] = 0.95


class RelativeSettings(Table):
    """How much slower than production's digest the candidate may be, and how sure of that the gate must be."""

    tolerance: Annotated[float, Field(gt=0)] = 0.10
    exclude: Annotated[float, Field(gt=0)] = 0.25
    confidence: Annotated[float, Field(ge=0.9, lt=1)] = 0.995
    percentiles: Annotated[tuple[Percentile, ...], Field(min_length=1), AfterValidator(_once)] = (
        "p50",
        "p95",
    )
    min_delta_ms: Annotated[float, Field(ge=0)] = 1.0

    @model_validator(mode="after")
    def _between(self) -> RelativeSettings:
        if self.exclude <= self.tolerance:
            raise ValueError(
                f"exclude ({self.exclude:g}) must be above tolerance ({self.tolerance:g}): what must be ruled out to "
                "pass is more than what is tolerated"
            )
        return self


class ErrorSettings(Table):
    """How much larger than that of production's digest the candidate's share of failed requests may be."""

    max_increase: Share = 0.005
    exclude: Share = 0.02

    @model_validator(mode="after")
    def _between(self) -> ErrorSettings:
        if self.exclude <= self.max_increase:
            raise ValueError(f"exclude ({self.exclude:g}) must be above max_increase ({self.max_increase:g})")
        return self


class LoadSettings(Table):
    """What Locust offers to staging, alone (`duration`) or side by side with what production runs."""

    locustfile: str = "loadtests/locustfile.py"
    users: Annotated[int, Field(ge=1)] = 20
    spawn_rate: Annotated[float, Field(gt=0)] = 10.0
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    arrivals: Annotated[float, Field(gt=0)] | None = None
    warmup: Seconds = 5.0
    duration: Seconds = 20.0
    baseline: Literal["prod", "none"] = "prod"
    min_duration: Seconds = 16.0
    max_duration: Seconds = 64.0
    every: Annotated[Seconds, Field(gt=0)] = 8.0
    solo: Annotated[Seconds, Field(gt=0)] = 10.0
    relative: RelativeSettings = RelativeSettings()
    errors: ErrorSettings = ErrorSettings()
    generator: GeneratorSettings = GeneratorSettings()

    @model_validator(mode="after")
    def _fits(self) -> LoadSettings:
        sides = 2 if self.compares else 1
        fits = fitting_users(self.users, self.processes, sides)
        if fits != self.users:
            why = "twice the processes, half of the users a side" if self.compares else "the processes"
            raise ValueError(f"users must be a multiple of {why}: {self.users} is none, {fits} is")
        if self.max_duration < self.min_duration:
            raise ValueError(
                f"max_duration ({self.max_duration:g} s) is shorter than min_duration ({self.min_duration:g} s)"
            )
        return self

    @property
    def compares(self) -> bool:
        """Whether there is a baseline."""
        return self.baseline != "none"

    @property
    def shape(self) -> LoadShape:
        """What is offered to the candidate alone."""
        return LoadShape(
            locustfile=Path(self.locustfile),
            users=self.users,
            spawn_rate=self.spawn_rate,
            warmup=self.warmup,
            duration=self.duration,
            processes=self.processes,
            arrivals=self.arrivals,
        )


class BaselineSettings(Table):
    """The service beside staging's that runs production's digest while both are loaded."""

    service: str = ""
    url: str = ""
