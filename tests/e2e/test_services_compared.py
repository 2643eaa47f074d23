"""Two services as one release, loaded on staging beside production's: the load meets the second through the first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.chaos.project import LOCUSTFILE, Told, opened_project
from tests.e2e.conftest import Copy, Done, decided

SERVICES = """\
[services.web]
environment = { PEER = "{url.api}/" }
smoke = [{ path = "/" }]

[services.api]
dockerfile = "api.dockerfile"
environment = { ROLE = "api"MORE }

[integration]
"""
SUITE = """\
import requests


def test_the_front_reaches_the_other(base_url):
    assert requests.get(base_url + "/peer", timeout=5).json()["role"] == "api"
"""
COMPARED = {
    "users = 2\n": "users = 12\n",
    'baseline = "none"\n': 'baseline = "prod"\nmin_duration = "8s"\nevery = "4s"\nmax_duration = "60s"\nsolo = "5s"\n'
    'relative = { tolerance = 0.3, exclude = 0.8, percentiles = ["p50"], min_delta_ms = 10 }\n',
}
"""What both sides answer on a busy machine differs by more than on a quiet one, of a few milliseconds by some."""

STRICT = (
    'ENTRYPOINT ["sh", "-c", "test -z \\"$LICENCE\\" || { echo LICENCE is not known; exit 3; }; '
    'exec python3 -u /server.py"]\n'
)
"""A first version that ends at a variable that only later ones understand."""


class World:
    """The project, and what its second service is made of."""

    def __init__(self, copy: Copy) -> None:
        self.copy = copy
        (copy.root / "tests" / "integration" / "test_it.py").write_text(SUITE, "utf-8")
        (copy.root / "loadtests" / "locustfile.py").write_text(LOCUSTFILE.replace('"/"', '"/peer"'), "utf-8")

    def tell(self, api: str, more: str = "", workers: str = "") -> None:
        """Writes `api`, the end of the second service's Dockerfile, `more` of its variables, and who loads."""
        recipe = (self.copy.root / "Dockerfile").read_text("utf-8")
        # No layer in common: of two builds at once either may be the one that a later build finds.
        recipe = recipe.replace("ARG VARIANT\n", "ENV SERVICE=api\nARG VARIANT\n")
        (self.copy.root / "api.dockerfile").write_text(recipe + api, "utf-8")
        toml = Told(bake="1s").toml.replace("desired = 2", "desired = 1").replace('FAULT = ""\n', "")
        for old, new in {**COMPARED, "[integration]\n": SERVICES.replace("MORE", more)}.items():
            assert old in toml
            toml = toml.replace(old, new)
        (self.copy.root / "pipeline.toml").write_text(toml + workers, "utf-8")

    def run(self) -> Done:
        return self.copy.pipeline("--json", "run")

    def beside(self) -> dict[str, Any]:
        """What `status` tells of the services beside staging's."""
        environments = self.copy.pipeline("--json", "status").answer["environments"]
        staging = next(each for each in environments if each["name"] == "staging")
        return {one["name"]: one["baseline"] for one in staging["services"]}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with opened_project(tmp_path_factory.mktemp("services-compared") / "project") as copy:
        yield World(copy)


@pytest.fixture(scope="module")
def first(world: World) -> Done:
    """The first release, which every test here is compared with."""
    world.tell(STRICT)
    return world.run()


def comparison(done: Done) -> Mapping[str, Any]:
    found: Mapping[str, Any] = done.stages["staging"]["facts"]["comparison"]
    return found


def images(done: Done) -> dict[str, str]:
    """The images that a run built, by service."""
    built = done.stages["build"]["facts"]["services"]
    return {name: str(facts["image"]) for name, facts in built.items()}


def test_a_release_as_good_as_productions_passes_loaded_from_a_task(world: World, first: Done) -> None:
    assert first.code == 0, first.said
    assert comparison(first)["baseline"] == {"skipped": "nothing runs in production yet"}
    world.tell(STRICT + "ENV RELEASE=two\n", workers='\n[load.workers]\ntasks = 1\nstart_timeout = "120s"\n')
    checked = world.copy.pipeline("--json", "doctor")
    states = {
        one["name"]: one["state"] for one in checked.answer["checks"] if one["name"].startswith("staging ")
    }
    assert {name: state for name, state in states.items() if name.endswith(("baseline", "load tasks"))} == {
        "staging web baseline": "OK",
        "staging web load tasks": "OK",
        "staging api baseline": "OK",
    }
    done = decided(world.copy, "--until", "staging")
    assert done.code == 0, done.said
    baseline = comparison(done)["baseline"]
    assert baseline["digest"] == first.answer["digest"]
    assert baseline["services"] == images(first), "the first calls the second: both are production's"
    assert images(done)["web"] == images(first)["web"] != images(done)["api"]
    assert {name: one["image_digests"] for name, one in baseline["deployments"].items()} == {
        name: [image] for name, image in images(first).items()
    }
    assert comparison(done)["all"]["outcome"] == "passed"
    assert "starting 1 task that load" in done.said
    assert world.beside() == {"web": None, "api": None}, "both are at zero again"


def test_a_service_behind_the_first_that_is_slower_than_productions_is_refused(
    world: World, first: Done
) -> None:
    world.tell(STRICT + "ENV FAULT=sluggish\n")
    refused = decided(world.copy)
    assert (refused.code, list(refused.stages)) == (1, ["build", "integration", "staging"]), refused.said
    assert "p50 of all requests is" in refused.said or "p50 of GET / is" in refused.said
    assert images(refused)["web"] == images(first)["web"]
    assert world.beside() == {"web": None, "api": None}


def test_a_service_of_productions_that_does_not_start_beside_it_decides_nothing_and_is_named(
    world: World, first: Done
) -> None:
    world.tell("", more=', LICENCE = "free"')
    undecided = world.run()
    assert undecided.code == 4, undecided.said
    assert "which production runs, is not healthy beside the candidate: api: " in undecided.said
    assert "LICENCE is not known" in undecided.said, "its last lines are on screen"
    assert "load" not in undecided.stages["staging"]["facts"]
    assert world.beside() == {"web": None, "api": None}
