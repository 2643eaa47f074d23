"""What an environment's tasks are told: words in variables, and where the other services of the release are."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from pipeline import config
from pipeline.model.digest import Digest, ImageRef
from pipeline.places import Place, _variables
from pipeline.reach import Site

IMAGE = ImageRef("registry.test/shop", Digest("sha256:" + "a" * 64))
TOLD = """
[app]
name = "shop"
[cloud]
provider = "aws"
region = "eu-central-1"
[load]
baseline = "none"
[environments.staging]
environment = { STOCK = "{url.stock}/v2" }
[environments.prod]
[services.web]
environment = { API = "{url.api}", ME = "{digest} in {region} of {commit}" }
[services.api]
[services.stock]
"""


def place(name: str, records: Any = None) -> Place:
    settings = config.parse(TOLD)
    cloud: Any = SimpleNamespace(
        url=lambda *where: f"https://{'/'.join(where)}",
        inside=lambda url: url.replace("https:", "http:"),
        login=None,
    )
    unused: Any = None
    return Place(
        name,
        Site("web", "eu-central-1", "web"),
        settings.of("web"),
        cloud,
        records,
        unused,
        unused,
    )


def test_a_service_is_told_where_tasks_reach_the_others_in_its_environment_and_region() -> None:
    labels = {"org.opencontainers.image.revision": "c0ffee"}
    assert _variables(place("staging"), IMAGE, labels) == {
        "API": "http://staging/eu-central-1/api",
        "ME": f"{IMAGE.digest} in eu-central-1 of c0ffee",
        "STOCK": "http://staging/eu-central-1/stock/v2",
    }
    assert _variables(place("prod"), IMAGE, {})["API"] == "http://prod/eu-central-1/api"


def test_what_stands_beside_staging_calls_what_stands_there_and_otherwise_the_candidates() -> None:
    told = _variables(replace(place("staging"), beside=frozenset({"web", "api"})), IMAGE, {})
    assert told["API"] == "http://staging-baseline/eu-central-1/api"
    assert told["STOCK"] == "http://staging/eu-central-1/stock/v2"
