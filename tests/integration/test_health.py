"""The candidate says that it is alive, that it is ready, and what it was deployed as."""

from __future__ import annotations

import requests


def test_it_is_alive(base_url: str, session: requests.Session) -> None:
    answer = session.get(f"{base_url}/healthz", timeout=5)
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_it_is_ready_with_the_database_and_its_schema(base_url: str, session: requests.Session) -> None:
    answer = session.get(f"{base_url}/readyz", timeout=5)
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


def test_the_version_names_the_digest_of_the_image_under_test(
    base_url: str, image_ref: str, session: requests.Session
) -> None:
    version = session.get(f"{base_url}/version", timeout=5).json()
    assert version["digest"] == image_ref.partition("@")[2]
    assert version["digest"].startswith("sha256:")
    assert version["name"] == "petclinic"


def test_a_callers_request_id_comes_back_and_a_harmful_one_does_not(
    base_url: str, session: requests.Session
) -> None:
    kept = session.get(f"{base_url}/healthz", headers={"X-Request-ID": "trace-42"}, timeout=5)
    made = session.get(f"{base_url}/healthz", headers={"X-Request-ID": 'x"}{'}, timeout=5)
    assert kept.headers["X-Request-ID"] == "trace-42"
    assert made.headers["X-Request-ID"] not in ("", 'x"}{')
