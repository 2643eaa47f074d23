from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from app.answers import messages_by_field
from app.clinic import beginning_with
from app.records import OwnerData, OwnerPage, PetData, VisitData

OWNER = {
    "first_name": "Ada",
    "last_name": "Lovelace",
    "address": "12 Engine Row",
    "city": "London",
    "telephone": "6085551023",
}


def _wrong_fields(kind: Any, data: dict[str, Any]) -> set[str]:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(data)
    return set(messages_by_field(caught.value.errors()))


def test_space_around_a_value_is_dropped() -> None:
    assert OwnerData.model_validate({**OWNER, "city": "  London "}).city == "London"


@pytest.mark.parametrize("telephone", ["6085551023", "+49 30 123456", "030/123-456", "030 (12) 34"])
def test_telephone_numbers_as_people_write_them_are_taken(telephone: str) -> None:
    assert OwnerData.model_validate({**OWNER, "telephone": telephone}).telephone == telephone


@pytest.mark.parametrize(
    "telephone", ["", "12", "call me", "123456789012345678901", "+", "١٢٣٤٥٦", "12345\n"[:5] + "x"]
)
def test_other_telephone_numbers_are_refused(telephone: str) -> None:
    assert _wrong_fields(OwnerData, {**OWNER, "telephone": telephone}) == {"telephone"}


@pytest.mark.parametrize("text", ["", " ", "x" * 61, "a\x00b", "a\nb", "a\x7fb", "\ud800", None, 7])
def test_names_that_are_no_names_are_refused(text: object) -> None:
    assert _wrong_fields(OwnerData, {**OWNER, "last_name": text}) == {"last_name"}


def test_every_wrong_field_is_named() -> None:
    assert _wrong_fields(OwnerData, {}) == set(OWNER)


def test_unknown_fields_are_refused() -> None:
    assert _wrong_fields(OwnerData, {**OWNER, "vip": "yes"}) == {"vip"}


def test_a_pet_born_today_is_taken_and_one_born_in_two_days_is_not() -> None:
    today = datetime.now(UTC).date()
    assert PetData.model_validate({"name": "Rex", "birth_date": today, "type_id": 1}).birth_date == today
    later = {"name": "Rex", "birth_date": today + timedelta(days=2), "type_id": 1}
    assert _wrong_fields(PetData, later) == {"birth_date"}


@pytest.mark.parametrize("type_id", [0, -1, 2**63, "dog"])
def test_a_pets_type_is_a_number_the_database_can_hold(type_id: object) -> None:
    assert _wrong_fields(PetData, {"name": "Rex", "birth_date": "2020-01-01", "type_id": type_id}) == {
        "type_id"
    }


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2023-02-30", "yesterday", ""])
def test_a_visit_is_on_a_plausible_day(day: str) -> None:
    assert _wrong_fields(VisitData, {"date": day, "description": "check"}) == {"date"}


def test_what_was_sent_is_not_repeated_in_messages() -> None:
    with pytest.raises(ValidationError) as caught:
        OwnerData.model_validate({**OWNER, "telephone": "hunter2!"})
    assert "hunter2" not in str(messages_by_field(caught.value.errors()))


@pytest.mark.parametrize(("total", "pages"), [(0, 1), (1, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_the_number_of_pages_covers_all_hits(total: int, pages: int) -> None:
    assert OwnerPage(items=[], page=1, size=10, total=total).pages == pages


def test_wildcards_in_a_search_are_escaped() -> None:
    assert beginning_with(r"50%_\x") == r"50\%\_\\x%"
    assert beginning_with("") == "%"
