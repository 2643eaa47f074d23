"""A visitor of the clinic's register: looks around, finds owners, and now and then brings a new one with a pet."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from locust import FastHttpUser, between, task

# Part of the sample data, and so there in every environment.
FAMILIES = ("Davis", "Franklin", "Coleman", "Black", "Escobito")
SAMPLE_OWNERS = range(1, 11)
DOG = 2

Check = Callable[[Any], str | None]
"""Takes the parsed answer, gives what is wrong with it, or None."""


class Visitor(FastHttpUser):
    """One visitor; reads about ten times as often as writes."""

    wait_time = between(0.05, 0.25)
    connection_timeout = 10.0
    network_timeout = 10.0

    @task(3)
    def home(self) -> None:
        """The first page, as a person sees it."""
        with self.client.get("/", name="GET /", catch_response=True) as response:
            if response.status_code != 200 or "Find owners" not in (response.text or ""):
                response.failure(f"not the first page: status {response.status_code}")

    @task(8)
    def find_owners(self) -> None:
        """Search by last name, and look at one of those found."""
        family = random.choice(FAMILIES)
        found = self._ask(
            "GET",
            "/api/owners",
            "GET /api/owners",
            lambda page: _only(family, page),
            params={"last_name": family},
        )
        if found:
            self._look_at(random.choice(found["items"])["id"])

    @task(6)
    def owner_detail(self) -> None:
        """Come back to a known owner."""
        self._look_at(random.choice(SAMPLE_OWNERS))

    @task(4)
    def list_vets(self) -> None:
        """Look for a vet."""
        self._ask(
            "GET", "/api/vets", "GET /api/vets", lambda vets: None if len(vets) >= 6 else f"{len(vets)} vets"
        )

    @task(2)
    def register(self) -> None:
        """A new owner comes with a dog, which is seen at once."""
        surname = "Load" + "".join(random.choices(string.ascii_lowercase, k=10))
        owner = {
            "first_name": "Una",
            "last_name": surname,
            "address": "1 Test Lane",
            "city": "Madison",
            "telephone": "6085550000",
        }
        added = self._send("/api/owners", "POST /api/owners", owner, {"last_name": surname})
        if not added:
            return
        pets = f"/api/owners/{added['id']}/pets"
        dog = {"name": "Rex", "birth_date": "2020-02-02", "type_id": DOG}
        pet = self._send(pets, "POST /api/owners/{id}/pets", dog, {"name": "Rex"})
        if not pet:
            return
        visit = {"date": datetime.now(UTC).date().isoformat(), "description": "first check"}
        seen = self._send(
            f"{pets}/{pet['id']}/visits", "POST /api/owners/{id}/pets/{id}/visits", visit, visit
        )
        if seen:
            self._look_at(added["id"], visits=1)

    def _look_at(self, owner_id: int, visits: int = 0) -> None:
        def wrong(owner: Any) -> str | None:
            if owner["id"] != owner_id:
                return f"asked for owner {owner_id}, got {owner['id']}"
            kept = sum(len(pet["visits"]) for pet in owner["pets"])
            return None if kept >= visits else f"{kept} visits where {visits} were recorded"

        self._ask("GET", f"/api/owners/{owner_id}", "GET /api/owners/{id}", wrong)

    def _send(self, path: str, name: str, body: dict[str, Any], expected: dict[str, Any]) -> Any:
        def wrong(answer: Any) -> str | None:
            differing = [key for key, value in expected.items() if answer[key] != value]
            return f"not recorded as sent: {', '.join(differing)}" if differing else None

        return self._ask("POST", path, name, wrong, status=201, json=body)

    def _ask(self, method: str, path: str, name: str, wrong: Check, status: int = 200, **request: Any) -> Any:
        """The parsed answer, or None when it was not as it should be; that has then been counted as a failure."""
        with self.client.request(method, path, name=name, catch_response=True, **request) as response:
            if response.status_code != status:
                response.failure(f"status {response.status_code} instead of {status}")
                return None
            try:
                answer = response.json()
                complaint = wrong(answer)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                answer, complaint = None, f"not an answer of the API: {type(error).__name__} {error}"
            if complaint:
                response.failure(complaint)
                return None
            return answer


def _only(family: str, page: Any) -> str | None:
    strangers = [owner["last_name"] for owner in page["items"] if not owner["last_name"].startswith(family)]
    if strangers:
        return f"searched for {family}, got {strangers[0]}"
    return None if page["items"] and page["total"] >= len(page["items"]) else f"no owner called {family}"
