"""What the suite needs besides `base_url` and `image_ref`, which the pipeline hands in."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests

SECONDS = 10


class Api:
    """The JSON API of the candidate."""

    def __init__(self, base_url: str, session: requests.Session) -> None:
        self._base_url = base_url
        self._session = session

    def beside(self) -> Api:
        """The same API on a connection of its own, for requests at the same time."""
        session = requests.Session()
        session.trust_env = False
        return Api(self._base_url, session)

    def ask(self, method: str, path: str, **request: Any) -> requests.Response:
        """The answer to one request under /api."""
        return self._session.request(method, f"{self._base_url}/api{path}", timeout=SECONDS, **request)

    def get(self, path: str, **params: Any) -> Any:
        """The parsed answer to a request that must succeed."""
        answer = self.ask("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def add(self, path: str, record: dict[str, Any]) -> Any:
        """The record as it was added."""
        answer = self.ask("POST", path, json=record)
        assert answer.status_code == 201, answer.text
        return answer.json()


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """A connection of its own for each test."""
    with requests.Session() as session:
        # The environment's proxies are not for a candidate on loopback.
        session.trust_env = False
        yield session


@pytest.fixture
def api(base_url: str, session: requests.Session) -> Api:
    """The JSON API."""
    return Api(base_url, session)


@pytest.fixture
def new_owner() -> dict[str, str]:
    """An owner nobody else has, so that tests do not see each other's."""
    return {
        "first_name": "Ada",
        "last_name": f"Unique{uuid.uuid4().hex}",
        "address": "12 Engine Row",
        "city": "London",
        "telephone": "+44 20 123456",
    }


@pytest.fixture
def owner(api: Api, new_owner: dict[str, str]) -> Any:
    """A recorded owner without pets."""
    return api.add("/owners", new_owner)


@pytest.fixture
def pet(api: Api, owner: Any) -> Any:
    """A recorded pet of `owner`, born in 2020."""
    return api.add(f"/owners/{owner['id']}/pets", {"name": "Rex", "birth_date": "2020-02-02", "type_id": 2})
