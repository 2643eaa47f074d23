"""The JSON API against a real database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests


def test_owners_are_found_by_the_beginning_of_the_last_name_in_any_case(api: Any) -> None:
    found = api.get("/owners", last_name="dAV")
    assert {(owner["first_name"], owner["last_name"]) for owner in found["items"]} >= {
        ("Betty", "Davis"),
        ("Harold", "Davis"),
    }
    assert all(owner["last_name"].lower().startswith("dav") for owner in found["items"])


def test_pages_cut_the_same_search_without_gap_or_overlap(api: Any, new_owner: dict[str, str]) -> None:
    added = [api.add("/owners", {**new_owner, "first_name": f"No {n}"})["id"] for n in range(5)]
    pages = [api.get("/owners", last_name=new_owner["last_name"], page=n, size=2) for n in (1, 2, 3)]
    assert [owner["id"] for page in pages for owner in page["items"]] == added
    assert [page["total"] for page in pages] == [5, 5, 5]


def test_a_new_owner_is_found_where_the_location_says(
    api: Any, session: requests.Session, base_url: str, new_owner: dict[str, str]
) -> None:
    answer = api.ask("POST", "/owners", json=new_owner)
    assert answer.status_code == 201
    there = session.get(f"{base_url}{answer.headers['Location']}", timeout=5).json()
    assert there == {**new_owner, "id": answer.json()["id"], "pets": []}


def test_an_update_replaces_the_record_and_keeps_the_pets(
    api: Any, owner: Any, pet: Any, new_owner: dict[str, str]
) -> None:
    answer = api.ask("PUT", f"/owners/{owner['id']}", json={**new_owner, "city": "Paris"})
    assert (answer.status_code, answer.json()["city"]) == (200, "Paris")
    assert api.get(f"/owners/{owner['id']}") == {**owner, "city": "Paris", "pets": [pet]}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("telephone", "call me"),
        ("telephone", "123; DROP TABLE owners"),
        ("last_name", "   "),
        ("last_name", "x" * 61),
        ("city", "New\u0000York"),
        ("first_name", "\ud800"),
        ("address", None),
        ("nickname", "Countess"),
    ],
)
def test_an_invalid_owner_is_refused_by_field_and_not_recorded(
    api: Any, new_owner: dict[str, str], field: str, value: str | None
) -> None:
    answer = api.ask("POST", "/owners", json={**new_owner, field: value})
    assert answer.status_code == 422, answer.text
    assert list(answer.json()["fields"]) == [field]
    assert api.get("/owners", last_name=new_owner["last_name"])["total"] == 0


def test_a_body_that_is_not_json_is_refused(api: Any) -> None:
    answer = api.ask("POST", "/owners", data=b"{not json", headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"] == "invalid input"


@pytest.mark.parametrize("path", ["/owners/999999999", "/no-such-thing", "/owners/999999999/pets/1/visits"])
def test_what_is_not_there_is_answered_404_as_json(api: Any, path: str) -> None:
    method = "POST" if path.endswith("visits") else "GET"
    answer = api.ask(method, path, json={"date": "2024-01-01", "description": "lost"})
    assert answer.status_code == 404
    assert answer.json()["error"]


@pytest.mark.parametrize("query", ["page=0", "size=0", "size=101", "page=x", "last_name=%00"])
def test_a_search_outside_its_bounds_is_refused(api: Any, query: str) -> None:
    assert api.ask("GET", f"/owners?{query}").status_code == 422


def test_a_pet_is_recorded_with_its_type(api: Any, owner: Any) -> None:
    snake = next(kind for kind in api.get("/pet-types") if kind["name"] == "snake")
    added = api.add(
        f"/owners/{owner['id']}/pets", {"name": "Kaa", "birth_date": "2019-05-05", "type_id": snake["id"]}
    )
    assert added["type"] == snake
    assert api.get(f"/owners/{owner['id']}")["pets"] == [added]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"birth_date": "2099-01-01"}, "birth_date"),
        ({"birth_date": "2023-02-30"}, "birth_date"),
        ({"type_id": 424242}, "type_id"),
        ({"name": ""}, "name"),
    ],
)
def test_an_invalid_pet_is_refused_by_field(
    api: Any, owner: Any, changes: dict[str, Any], field: str
) -> None:
    pet = {"name": "Odd", "birth_date": "2020-01-01", "type_id": 1, **changes}
    answer = api.ask("POST", f"/owners/{owner['id']}/pets", json=pet)
    assert answer.status_code == 422
    assert list(answer.json()["fields"]) == [field]
    assert api.get(f"/owners/{owner['id']}")["pets"] == []


def test_visits_are_listed_newest_first(api: Any, owner: Any, pet: Any) -> None:
    for day in ("2022-01-01", "2024-01-01", "2023-01-01"):
        api.add(f"/owners/{owner['id']}/pets/{pet['id']}/visits", {"date": day, "description": "check"})
    (seen,) = api.get(f"/owners/{owner['id']}")["pets"]
    assert [visit["date"] for visit in seen["visits"]] == ["2024-01-01", "2023-01-01", "2022-01-01"]


def test_a_visit_before_the_pets_birth_is_refused(api: Any, owner: Any, pet: Any) -> None:
    visit = {"date": "2020-02-01", "description": "too early"}
    answer = api.ask("POST", f"/owners/{owner['id']}/pets/{pet['id']}/visits", json=visit)
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["date"])


def test_a_visit_is_not_added_to_another_owners_pet(api: Any, pet: Any, new_owner: dict[str, str]) -> None:
    stranger = api.add("/owners", new_owner)
    visit = {"date": "2024-01-01", "description": "mistaken"}
    assert api.ask("POST", f"/owners/{stranger['id']}/pets/{pet['id']}/visits", json=visit).status_code == 404


def test_the_vets_have_their_specialties(api: Any) -> None:
    specialties = {vet["last_name"]: vet["specialties"] for vet in api.get("/vets")}
    assert specialties["Douglas"] == ["dentistry", "surgery"]
    assert specialties["Carter"] == []


@pytest.mark.parametrize(
    "text",
    [
        "Jürgen Ångström",
        "🐕‍🦺 Ñandú",
        "Robert'); DROP TABLE owners;--",
        '50% "off" \\ _x_',
        "李小龍",
        "<b>&amp;",
    ],
)
def test_any_text_comes_back_as_it_was_sent(api: Any, new_owner: dict[str, str], text: str) -> None:
    added = api.add("/owners", {**new_owner, "address": text, "city": text})
    kept = api.get(f"/owners/{added['id']}")
    assert (kept["address"], kept["city"]) == (text, text)


def test_wildcards_of_the_database_search_for_themselves(api: Any, new_owner: dict[str, str]) -> None:
    unique = new_owner["last_name"]
    api.add("/owners", {**new_owner, "last_name": f"100%_{unique}"[:60]})
    assert api.get("/owners", last_name=f"100%_{unique}"[:60])["total"] == 1
    assert api.get("/owners", last_name=f"%{unique}"[:60])["total"] == 0


def test_of_many_simultaneous_pets_of_one_name_one_is_recorded(api: Any, owner: Any) -> None:
    def add(name: str) -> Any:
        pet = {"name": name, "birth_date": "2021-01-01", "type_id": 1}
        return api.beside().ask("POST", f"/owners/{owner['id']}/pets", json=pet).status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(add, ["Twin", "TWIN"] * 4))
    assert sorted(statuses) == [201] + [409] * 7
    assert len(api.get(f"/owners/{owner['id']}")["pets"]) == 1


def test_simultaneous_visits_are_all_recorded(api: Any, owner: Any, pet: Any) -> None:
    def add(number: int) -> Any:
        visit = {"date": "2024-01-01", "description": f"visit {number}"}
        path = f"/owners/{owner['id']}/pets/{pet['id']}/visits"
        return api.beside().ask("POST", path, json=visit).status_code

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(add, range(24))) == {201}
    (seen,) = api.get(f"/owners/{owner['id']}")["pets"]
    assert sorted(visit["description"] for visit in seen["visits"]) == sorted(f"visit {n}" for n in range(24))
