"""The clinic's records as they come in and go out, and what is valid in them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

MAX_ID = 2**63 - 1


def _printable(text: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("must not contain control characters")
    return text


def _not_in_future(day: date) -> date:
    if day > datetime.now(UTC).date():
        raise ValueError("must not be in the future")
    return day


def _plausible(day: date) -> date:
    if not 1900 <= day.year <= 2100:
        raise ValueError("must be between 1900 and 2100")
    return day


Id = Annotated[int, Field(ge=1, le=MAX_ID)]
_Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60), AfterValidator(_printable)
]
_Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), AfterValidator(_printable)
]
_Telephone = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"^\+?[0-9][0-9 /()-]{2,18}[0-9]$", max_length=20)
]
_Day = Annotated[date, AfterValidator(_plausible)]
SearchText = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=60), AfterValidator(_printable)
]


class _Incoming(BaseModel):
    model_config = ConfigDict(extra="forbid")


class OwnerData(_Incoming):
    """What is written about an owner."""

    first_name: _Name
    last_name: _Name
    address: _Line
    city: _Name
    telephone: _Telephone


class PetData(_Incoming):
    """What is written about a new pet."""

    name: _Name
    birth_date: Annotated[_Day, AfterValidator(_not_in_future)]
    type_id: Id


class VisitData(_Incoming):
    """What is written about a visit."""

    date: _Day
    description: _Line


class PetType(BaseModel):
    """A kind of animal."""

    id: int
    name: str


class Visit(BaseModel):
    """A pet's visit."""

    id: int
    date: date
    description: str


class Pet(BaseModel):
    """A pet with its visits, newest first."""

    id: int
    name: str
    birth_date: date
    type: PetType
    visits: list[Visit]


class Owner(BaseModel):
    """An owner with pets, by name."""

    id: int
    first_name: str
    last_name: str
    address: str
    city: str
    telephone: str
    pets: list[Pet]


class OwnerSummary(BaseModel):
    """An owner in a list, with the names of the pets."""

    id: int
    first_name: str
    last_name: str
    address: str
    city: str
    telephone: str
    pets: list[str]


class OwnerPage(BaseModel):
    """One page of owners; `total` counts all that fit the search, `page` starts at 1."""

    items: list[OwnerSummary]
    page: int
    size: int
    total: int

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(1, -(-self.total // self.size))


class Vet(BaseModel):
    """A vet with specialties, by name."""

    id: int
    first_name: str
    last_name: str
    specialties: list[str]
