"""What the tables of pipeline.toml have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pipeline.model.policy import parse_duration

Seconds = Annotated[float, BeforeValidator(parse_duration)]
Certificate = Annotated[str, Field(pattern=r"^(arn:aws[a-z-]*:acm:\S+)?$")]

LONGEST_NAME = 18
"""As many characters an app's name may have, or a service's with the app's.

In `onedigest-NAME-staging-ExecutionRole-` and 13 more a role's name has the 64 that IAM takes. Of a longer one
CloudFormation cuts off the stack's end, by which our policies know whose the role is.
"""

AS_WRITTEN = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)
"""Unknown keys are mistakes, and so are TOML's inf and nan; values do not change."""


class BaselineSettings(BaseModel):
    """The service beside staging's that runs production's digest while both are loaded."""

    model_config = AS_WRITTEN

    service: str = ""
    url: str = ""


def aws_takes(name: str) -> str:
    """An app's name as it is. Raises ValueError for one by which AWS takes no load balancer."""
    if f"{name}-".startswith("internal-"):
        raise ValueError("a load balancer's name must not begin with internal-")
    return name
