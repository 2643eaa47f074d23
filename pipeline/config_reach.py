"""Where an environment is: the account it is reached in, and the regions of production."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from pipeline.config_values import AS_WRITTEN, Certificate, Seconds
from pipeline.model.waves import mistake_in

RegistryHost = Annotated[str, Field(pattern=r"^([a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._/-]*[a-z0-9])?)?$")]
Region = Annotated[str, Field(pattern=r"^[a-z]{2,4}(-[a-z]+)+-[0-9]$")]
RoleArn = Annotated[str, Field(pattern=r"^(arn:aws[a-z-]*:iam::[0-9]{12}:role/\S+)?$")]


def _in_waves(told: Any) -> Any:
    """A flat list is one wave."""
    flat = isinstance(told, list | tuple) and told and all(isinstance(each, str) for each in told)
    return (told,) if flat else told


RegionWaves = Annotated[tuple[tuple[Region, ...], ...], BeforeValidator(_in_waves)]


class AccountSettings(BaseModel):
    """In whose name an environment is changed: a profile of the AWS configuration, and a role to assume from there."""

    model_config = AS_WRITTEN

    profile: str = ""
    role_arn: RoleArn = ""
    external_id: str = ""

    @model_validator(mode="after")
    def _goes_with_a_role(self) -> AccountSettings:
        if self.external_id and not self.role_arn:
            raise ValueError("external_id goes with role_arn: name the role that asks for it")
        return self


class RegionSettings(BaseModel):
    """The regions of one environment, in waves; `registries`, `urls` and `certificates` are by region."""

    model_config = AS_WRITTEN

    regions: RegionWaves = ()
    wave_bake: Seconds = 0.0
    on_failure: Literal["roll_back", "stop"] = "roll_back"
    registries: dict[str, RegistryHost] = {}
    urls: dict[str, str] = {}
    certificates: dict[str, Certificate] = {}

    @model_validator(mode="after")
    def _fit(self) -> RegionSettings:
        if mistake := mistake_in(self.regions):
            raise ValueError(f"regions: {mistake}")
        known = [name for wave in self.regions for name in wave]
        by_region = {"registries": self.registries, "urls": self.urls, "certificates": self.certificates}
        for key, told in by_region.items():
            if strange := unknown(told, known):
                raise ValueError(
                    f"{key}: {', '.join(strange)}: not in regions ({', '.join(known) or 'none'})"
                )
        return self


def unknown(told: Iterable[str], known: Iterable[str]) -> list[str]:
    """The names in `told` that are not known, in order."""
    return sorted(set(told) - set(known))
