"""The JSON API."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from app.clinic import Clinic
from app.records import (
    MAX_ID,
    Owner,
    OwnerData,
    OwnerPage,
    Pet,
    PetData,
    PetType,
    SearchText,
    Vet,
    Visit,
    VisitData,
)

MAX_PAGE_SIZE = 100
MAX_PAGE = 1_000_000


async def clinic_of(request: Request) -> Clinic:
    """The application's clinic."""
    clinic: Clinic = request.app.state.clinic
    return clinic


ClinicDep = Annotated[Clinic, Depends(clinic_of)]
PathId = Annotated[int, Path(ge=1, le=MAX_ID)]
PageNumber = Annotated[int, Query(ge=1, le=MAX_PAGE)]

router = APIRouter(prefix="/api")


@router.get("/owners")
async def find_owners(
    clinic: ClinicDep,
    last_name: SearchText = "",
    page: PageNumber = 1,
    size: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = 20,
) -> OwnerPage:
    """Owners whose last name begins with `last_name`, in any case."""
    return await clinic.find_owners(last_name, page, size)


@router.post("/owners", status_code=201)
async def add_owner(clinic: ClinicDep, data: OwnerData, response: Response) -> Owner:
    """Record an owner; Location names the new record."""
    owner = await clinic.add_owner(data)
    response.headers["Location"] = f"/api/owners/{owner.id}"
    return owner


@router.get("/owners/{owner_id}")
async def get_owner(clinic: ClinicDep, owner_id: PathId) -> Owner:
    """An owner with pets and visits."""
    return await clinic.owner(owner_id)


@router.put("/owners/{owner_id}")
async def update_owner(clinic: ClinicDep, owner_id: PathId, data: OwnerData) -> Owner:
    """Replace what is recorded about an owner."""
    return await clinic.update_owner(owner_id, data)


@router.post("/owners/{owner_id}/pets", status_code=201)
async def add_pet(clinic: ClinicDep, owner_id: PathId, data: PetData) -> Pet:
    """Record a pet."""
    return await clinic.add_pet(owner_id, data)


@router.post("/owners/{owner_id}/pets/{pet_id}/visits", status_code=201)
async def add_visit(clinic: ClinicDep, owner_id: PathId, pet_id: PathId, data: VisitData) -> Visit:
    """Record a visit."""
    return await clinic.add_visit(owner_id, pet_id, data)


@router.get("/vets")
async def list_vets(clinic: ClinicDep) -> list[Vet]:
    """The vets with their specialties."""
    return await clinic.vets()


@router.get("/pet-types")
async def list_pet_types(clinic: ClinicDep) -> list[PetType]:
    """The types of pets."""
    return await clinic.pet_types()
