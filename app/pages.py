"""The HTML pages."""

from __future__ import annotations

from typing import Annotated, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.answers import messages_by_field
from app.api import MAX_PAGE, ClinicDep
from app.failures import FieldError, NotFoundError
from app.records import MAX_ID, OwnerData, PetData, SearchText, VisitData
from app.rendering import render

Data = TypeVar("Data", bound=BaseModel)

PAGE_SIZE = 10
_SEARCH = TypeAdapter[str](SearchText)

router = APIRouter(include_in_schema=False)


async def record_id(request: Request) -> int:
    """The owner's number in the address. Raises NotFoundError where it is none."""
    return _number(request.path_params["owner_id"])


OwnerId = Annotated[int, Depends(record_id)]
Form = dict[str, str]


async def read_form(request: Request) -> Form:
    """The submitted fields; files are left out."""
    async with request.form() as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}


FormDep = Annotated[Form, Depends(read_form)]


@router.get("/")
async def home() -> Response:
    """The first page."""
    return render("home.html")


@router.get("/owners/find")
async def find_form() -> Response:
    """The search form."""
    return render("find_owners.html", last_name="", error=None)


@router.get("/owners")
async def owners(clinic: ClinicDep, last_name: str = "", page: str = "1") -> Response:
    """What the search found: a list, the one owner's page, or the form again."""
    try:
        text = _SEARCH.validate_python(last_name)
    except ValidationError as error:
        return render("find_owners.html", 422, last_name="", error=error.errors()[0]["msg"])
    number = min(_number(page), MAX_PAGE)
    found = await clinic.find_owners(text, number, PAGE_SIZE)
    if found.total == 0:
        return render("find_owners.html", last_name=text, error="No owner of that name was found.")
    if found.total == 1 and text:
        return RedirectResponse(f"/owners/{found.items[0].id}", 303)
    return render("owners.html", found=found, last_name=text, query=urlencode({"last_name": text}))


@router.get("/owners/new")
async def new_owner_form() -> Response:
    """The form for a new owner."""
    return render("owner_form.html", title="New owner", values={}, errors={})


@router.post("/owners/new")
async def new_owner(clinic: ClinicDep, form: FormDep) -> Response:
    """Record the owner and show the page, or the form again with what is wrong."""
    data, errors = _parse(OwnerData, form)
    if data is None:
        return render("owner_form.html", 422, title="New owner", values=form, errors=errors)
    owner = await clinic.add_owner(data)
    return RedirectResponse(f"/owners/{owner.id}", 303)


@router.get("/owners/{owner_id}")
async def owner_page(clinic: ClinicDep, owner_id: OwnerId) -> Response:
    """An owner with pets and visits."""
    return render("owner.html", owner=await clinic.owner(owner_id))


@router.get("/owners/{owner_id}/edit")
async def edit_owner_form(clinic: ClinicDep, owner_id: OwnerId) -> Response:
    """The form for an owner's record."""
    owner = await clinic.owner(owner_id)
    return render("owner_form.html", title="Edit owner", values=owner.model_dump(), errors={})


@router.post("/owners/{owner_id}/edit")
async def edit_owner(clinic: ClinicDep, owner_id: OwnerId, form: FormDep) -> Response:
    """Replace the record, or show the form again with what is wrong."""
    data, errors = _parse(OwnerData, form)
    if data is None:
        return render("owner_form.html", 422, title="Edit owner", values=form, errors=errors)
    await clinic.update_owner(owner_id, data)
    return RedirectResponse(f"/owners/{owner_id}", 303)


@router.get("/owners/{owner_id}/pets/new")
async def new_pet_form(clinic: ClinicDep, owner_id: OwnerId) -> Response:
    """The form for a new pet."""
    return await _pet_form(clinic, owner_id, 200, {}, {})


@router.post("/owners/{owner_id}/pets/new")
async def new_pet(clinic: ClinicDep, owner_id: OwnerId, form: FormDep) -> Response:
    """Record the pet, or show the form again with what is wrong."""
    data, errors = _parse(PetData, form)
    if data is None:
        return await _pet_form(clinic, owner_id, 422, form, errors)
    try:
        await clinic.add_pet(owner_id, data)
    except FieldError as error:
        return await _pet_form(clinic, owner_id, 422, form, {error.field: error.message})
    return RedirectResponse(f"/owners/{owner_id}", 303)


@router.get("/owners/{owner_id}/pets/{pet_id}/visits/new")
async def new_visit_form(clinic: ClinicDep, owner_id: OwnerId, pet_id: Annotated[str, Path()]) -> Response:
    """The form for a visit."""
    return await _visit_form(clinic, (owner_id, _number(pet_id)), 200, {}, {})


@router.post("/owners/{owner_id}/pets/{pet_id}/visits/new")
async def new_visit(
    clinic: ClinicDep, owner_id: OwnerId, pet_id: Annotated[str, Path()], form: FormDep
) -> Response:
    """Record the visit, or show the form again with what is wrong."""
    pet = (owner_id, _number(pet_id))
    data, errors = _parse(VisitData, form)
    if data is None:
        return await _visit_form(clinic, pet, 422, form, errors)
    try:
        await clinic.add_visit(*pet, data)
    except FieldError as error:
        return await _visit_form(clinic, pet, 422, form, {error.field: error.message})
    return RedirectResponse(f"/owners/{owner_id}", 303)


@router.get("/vets")
async def vets_page(clinic: ClinicDep) -> Response:
    """The vets."""
    return render("vets.html", vets=await clinic.vets())


async def _pet_form(clinic: ClinicDep, owner_id: int, status: int, values: Form, errors: Form) -> Response:
    owner = await clinic.owner(owner_id)
    types = await clinic.pet_types()
    return render("pet_form.html", status, owner=owner, types=types, values=values, errors=errors)


async def _visit_form(
    clinic: ClinicDep, of: tuple[int, int], status: int, values: Form, errors: Form
) -> Response:
    owner_id, pet_id = of
    owner = await clinic.owner(owner_id)
    pet = next((pet for pet in owner.pets if pet.id == pet_id), None)
    if pet is None:
        raise NotFoundError(f"owner {owner_id} has no pet {pet_id}")
    return render("visit_form.html", status, owner=owner, pet=pet, values=values, errors=errors)


def _parse(kind: type[Data], form: Form) -> tuple[Data | None, Form]:
    known = {name: value for name, value in form.items() if name in kind.model_fields}
    try:
        return kind.model_validate(known), {}
    except ValidationError as error:
        return None, messages_by_field(error.errors())


def _number(digits: str) -> int:
    if digits.isascii() and digits.isdigit() and len(digits) < 20 and 1 <= int(digits) <= MAX_ID:
        return int(digits)
    raise NotFoundError(f"there is nothing numbered {digits[:40]!r} here")
