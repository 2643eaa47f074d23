"""What the tables of pipeline.toml have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pipeline.model.policy import parse_duration

Seconds = Annotated[float, BeforeValidator(parse_duration)]
Certificate = Annotated[str, Field(pattern=r"^(arn:aws[a-z-]*:acm:\S+)?$")]

AS_WRITTEN = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)
"""Unknown keys are mistakes, and so are TOML's inf and nan; values do not change."""


class BaselineSettings(BaseModel):
    """The service beside staging's that runs production's digest while both are loaded."""

    model_config = AS_WRITTEN

    service: str = ""
    url: str = ""
