"""The clinic's records in PostgreSQL: every query the application makes."""

from __future__ import annotations

import psycopg

from app.database import Pool
from app.failures import FieldError, NotFoundError
from app.records import (
    Owner,
    OwnerData,
    OwnerPage,
    OwnerSummary,
    Pet,
    PetData,
    PetType,
    Vet,
    Visit,
    VisitData,
)

_FIND = """
SELECT o.id, o.first_name, o.last_name, o.address, o.city, o.telephone,
       ARRAY(SELECT p.name FROM pets p WHERE p.owner_id = o.id ORDER BY lower(p.name)) AS pets
FROM owners o
WHERE lower(o.last_name) LIKE lower(%s)
ORDER BY o.last_name, o.first_name, o.id
LIMIT %s OFFSET %s
"""
_COUNT = "SELECT count(*) AS total FROM owners WHERE lower(last_name) LIKE lower(%s)"
_OWNER = """
SELECT id, first_name, last_name, address, city, telephone FROM owners WHERE id = %s
"""
_PETS = """
SELECT p.id, p.name, p.birth_date, json_build_object('id', t.id, 'name', t.name) AS type,
       COALESCE((SELECT json_agg(json_build_object('id', v.id, 'date', v.visit_date, 'description', v.description)
                                 ORDER BY v.visit_date DESC, v.id DESC)
                 FROM visits v WHERE v.pet_id = p.id), '[]'::json) AS visits
FROM pets p JOIN pet_types t ON t.id = p.type_id
WHERE p.owner_id = %s
ORDER BY lower(p.name), p.id
"""
_ADD_OWNER = """
INSERT INTO owners (first_name, last_name, address, city, telephone)
VALUES (%(first_name)s, %(last_name)s, %(address)s, %(city)s, %(telephone)s) RETURNING id
"""
_UPDATE_OWNER = """
UPDATE owners SET first_name = %(first_name)s, last_name = %(last_name)s, address = %(address)s,
       city = %(city)s, telephone = %(telephone)s
WHERE id = %(id)s RETURNING id
"""
_ADD_PET = """
WITH added AS (
    INSERT INTO pets (name, birth_date, type_id, owner_id)
    VALUES (%(name)s, %(birth_date)s, %(type_id)s, %(owner_id)s) RETURNING id, name, birth_date, type_id
)
SELECT a.id, a.name, a.birth_date, json_build_object('id', t.id, 'name', t.name) AS type, '[]'::json AS visits
FROM added a JOIN pet_types t ON t.id = a.type_id
"""
_BORN = "SELECT birth_date FROM pets WHERE id = %s AND owner_id = %s"
_ADD_VISIT = """
INSERT INTO visits (pet_id, visit_date, description) VALUES (%s, %s, %s)
RETURNING id, visit_date AS date, description
"""
_VETS = """
SELECT v.id, v.first_name, v.last_name,
       ARRAY(SELECT s.name FROM vet_specialties vs JOIN specialties s ON s.id = vs.specialty_id
             WHERE vs.vet_id = v.id ORDER BY s.name) AS specialties
FROM vets v ORDER BY v.last_name, v.first_name, v.id
"""


class Clinic:
    """Reads and writes the clinic's records through `pool`.

    Raises NotFoundError for a record that is not there, FieldError for a value that does not fit what is recorded,
    psycopg.OperationalError when the database cannot be used.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find_owners(self, last_name: str, page: int, size: int) -> OwnerPage:
        """The owners whose last name begins with `last_name` in any case, by name; all of them for an empty one."""
        pattern = beginning_with(last_name)
        async with self._pool.connection() as connection:
            counted = await (await connection.execute(_COUNT, (pattern,))).fetchone()
            found = await connection.execute(_FIND, (pattern, size, (page - 1) * size))
            items = [OwnerSummary.model_validate(row) for row in await found.fetchall()]
        return OwnerPage(items=items, page=page, size=size, total=counted["total"] if counted else 0)

    async def owner(self, owner_id: int) -> Owner:
        """The owner with pets and visits."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_OWNER, (owner_id,))).fetchone()
            if row is None:
                raise NotFoundError(f"there is no owner {owner_id}")
            pets = await (await connection.execute(_PETS, (owner_id,))).fetchall()
        return Owner.model_validate({**row, "pets": pets})

    async def add_owner(self, data: OwnerData) -> Owner:
        """Record a new owner."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_ADD_OWNER, data.model_dump())).fetchone()
        return Owner.model_validate({**data.model_dump(), **(row or {}), "pets": []})

    async def update_owner(self, owner_id: int, data: OwnerData) -> Owner:
        """Replace what is recorded about the owner; the pets stay."""
        async with self._pool.connection() as connection:
            row = await (
                await connection.execute(_UPDATE_OWNER, {**data.model_dump(), "id": owner_id})
            ).fetchone()
        if row is None:
            raise NotFoundError(f"there is no owner {owner_id}")
        return await self.owner(owner_id)

    async def add_pet(self, owner_id: int, data: PetData) -> Pet:
        """Record a new pet of the owner; an owner's pets have different names, whatever their case."""
        async with self._pool.connection() as connection:
            try:
                cursor = await connection.execute(_ADD_PET, {**data.model_dump(), "owner_id": owner_id})
            except psycopg.errors.UniqueViolation as error:
                raise FieldError("name", "this owner already has a pet of that name", taken=True) from error
            except psycopg.errors.ForeignKeyViolation as error:
                if error.diag.constraint_name == "pets_type":
                    raise FieldError("type_id", "there is no such type of pet") from error
                raise NotFoundError(f"there is no owner {owner_id}") from error
            return Pet.model_validate(await cursor.fetchone())

    async def add_visit(self, owner_id: int, pet_id: int, data: VisitData) -> Visit:
        """Record a visit of the owner's pet, not before the pet was born."""
        async with self._pool.connection() as connection:
            born = await (await connection.execute(_BORN, (pet_id, owner_id))).fetchone()
            if born is None:
                raise NotFoundError(f"owner {owner_id} has no pet {pet_id}")
            if data.date < born["birth_date"]:
                raise FieldError("date", f"must not be before the pet's birth on {born['birth_date']}")
            row = await (
                await connection.execute(_ADD_VISIT, (pet_id, data.date, data.description))
            ).fetchone()
        return Visit.model_validate(row)

    async def vets(self) -> list[Vet]:
        """All vets by name."""
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(_VETS)).fetchall()
        return [Vet.model_validate(row) for row in rows]

    async def pet_types(self) -> list[PetType]:
        """All types of pets by name."""
        async with self._pool.connection() as connection:
            rows = await (await connection.execute("SELECT id, name FROM pet_types ORDER BY name")).fetchall()
        return [PetType.model_validate(row) for row in rows]


def beginning_with(text: str) -> str:
    """The LIKE pattern for texts that begin with `text`, in which nothing of it acts as a wildcard."""
    escaped = text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"{escaped}%"
