"""[load] of pipeline.toml: what Locust offers to staging, and what candidate and baseline are compared by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator

from pipeline.config_values import AS_WRITTEN, Seconds
from pipeline.model.load import LoadShape, fitting_users
from pipeline.model.relative_rules import RelativeRules

_ORDER = ("p50", "p95", "p99")

Share = Annotated[float, Field(gt=0, le=1)]
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


class WorkerSettings(Table):
    """ECS tasks that load staging; without any it is this machine."""

    tasks: Annotated[int, Field(ge=0, le=50)] = 0
    cpu: Annotated[int, Field(ge=256)] = 1024
    memory: Annotated[int, Field(ge=512)] = 2048
    start_timeout: Annotated[Seconds, Field(gt=0, le=240)] = 180.0
    base_image: Annotated[str, Field(min_length=1)] = "python:3.11-slim-bookworm"
    requirements: str = ""
    files: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    secrets: dict[str, str] = {}


class LoadSettings(Table):
    """What Locust offers to staging, alone (`duration`) or side by side with what production runs."""

    locustfile: str = "loadtests/locustfile.py"
    users: Annotated[int, Field(ge=1)] = 20
    spawn_rate: Annotated[float, Field(gt=0)] = 10.0
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    arrivals: Annotated[float, Field(gt=0)] | None = None
    warmup: Seconds = 5.0
    duration: Annotated[Seconds, Field(gt=0)] = 20.0
    baseline: Literal["prod", "none"] = "prod"
    min_duration: Annotated[Seconds, Field(gt=0)] = 16.0
    max_duration: Annotated[Seconds, Field(gt=0)] = 64.0
    every: Annotated[Seconds, Field(ge=1)] = 8.0
    solo: Annotated[Seconds, Field(gt=0)] = 10.0
    relative: RelativeSettings = RelativeSettings()
    errors: ErrorSettings = ErrorSettings()
    generator: GeneratorSettings = GeneratorSettings()
    workers: WorkerSettings = WorkerSettings()

    @model_validator(mode="after")
    def _fits(self) -> LoadSettings:
        sides = 2 if self.compares else 1
        fits = fitting_users(self.users, self.generators, sides)
        if fits != self.users:
            why = "twice the processes, half of the users a side" if self.compares else "the processes"
            why += f" ({self.generators} in all tasks)" if self.workers.tasks > 1 else ""
            raise ValueError(f"users must be a multiple of {why}: {self.users} is none, {fits} is")
        if self.workers.tasks and self.processes > max(1, self.workers.cpu // 1024):
            raise ValueError(
                f"{self.processes} processes need {self.processes} vCPU in each task: workers.cpu is "
                f"{self.workers.cpu}, {self.processes * 1024} does"
            )
        if self.max_duration < self.min_duration:
            raise ValueError(
                f"max_duration ({self.max_duration:g} s) is shorter than min_duration ({self.min_duration:g} s)"
            )
        return self

    @property
    def generators(self) -> int:
        """How many Locust processes there are in all; `processes` is what this machine runs, or each task."""
        return self.processes * max(1, self.workers.tasks)

    @property
    def compares(self) -> bool:
        """Whether there is a baseline."""
        return self.baseline != "none"

    @property
    def rules(self) -> RelativeRules:
        """What the sides are compared by."""
        return RelativeRules(
            **self.relative.model_dump(),
            max_error_increase=self.errors.max_increase,
            exclude_errors=self.errors.exclude,
            min_duration=self.min_duration,
            every=self.every,
            max_duration=self.max_duration,
        )

    @property
    def shape(self) -> LoadShape:
        """What is offered to the candidate alone."""
        return LoadShape(
            locustfile=Path(self.locustfile),
            users=self.users,
            spawn_rate=self.spawn_rate,
            warmup=self.warmup,
            duration=self.duration,
            processes=self.generators,
            arrivals=self.arrivals,
        )
