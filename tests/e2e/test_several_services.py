"""Two services as one release: one digest, tested together, rolled out together, put back together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
import requests

from tests.chaos.project import Told, opened_project
from tests.e2e.conftest import ANY_ORDER, Copy, Done

SERVICES = """\
[services.web]
environment = { PEER = "http://api:8080/", APP_DIGEST = "{digest}" }
smoke = [{ path = "/" }]

[services.api]
dockerfile = "api.dockerfile"
environment = { ROLE = "api", FAULT = "FAULTY" }

[integration]
"""
SUITE = """\
import requests


def test_the_front_reaches_the_other_by_its_name(base_url):
    assert requests.get(base_url + "/peer", timeout=5).json()["role"] == "api"
"""


class World:
    """The project, and what answers where."""

    def __init__(self, copy: Copy) -> None:
        self.copy = copy
        self.urls: Mapping[str, str] = {}
        (copy.root / "api.dockerfile").write_text((copy.root / "Dockerfile").read_text("utf-8"), "utf-8")
        (copy.root / "tests" / "integration" / "test_it.py").write_text(SUITE, "utf-8")

    def tell(self, variant: str, fault: str = "") -> None:
        toml = Told(variant, bake="1s").toml.replace("desired = 2", "desired = 1").replace('FAULT = ""\n', "")
        services = SERVICES.replace("FAULTY", fault)
        (self.copy.root / "pipeline.toml").write_text(toml.replace("[integration]\n", services), "utf-8")

    def run(self) -> Done:
        return self.copy.pipeline("--json", "run")

    def serving(self) -> dict[str, str]:
        """The image that each service says it is, in production."""
        found = {}
        for name in ("web", "api"):
            answer = requests.get(f"{self.urls[f'prod-{name}']}/version", timeout=10).json()
            found[name] = str(answer["digest"])
        return found


def images(done: Done) -> dict[str, str]:
    """The images that a run built, by service."""
    built = done.stages["build"]["facts"]["services"]
    return {name: str(facts["image"]) for name, facts in built.items()}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with opened_project(tmp_path_factory.mktemp("services") / "project") as copy:
        world = World(copy)
        world.tell("one")
        world.urls = copy.pipeline("--json", "local", "up").answer["environments"]
        yield world


@pytest.fixture(scope="module")
def released(world: World) -> Done:
    """The first release, through all stages."""
    return world.run()


def test_one_digest_is_all_services_and_each_runs_its_own_image(world: World, released: Done) -> None:
    assert released.code == 0, released.said
    built = images(released)
    assert world.serving() == built
    assert len({released.answer["digest"], *built.values()}) == 3
    facts = released.stages["prod"]["facts"]["deployment"]
    assert {name: one["image_digests"] for name, one in facts["services"].items()} == {
        name: [image] for name, image in built.items()
    }
    status = world.copy.pipeline("--json", "status").answer["environments"][1]
    assert {(one["name"], one["digest"], one["drift"]) for one in status["services"]} == {
        (name, released.answer["digest"], "") for name in built
    }
    again = world.run()
    assert (again.code, [stage["reused"] for stage in again.answer["stages"]]) == (0, [True] * 4)
    assert world.copy.pipeline("logs", "prod").code == 2
    assert "began, fault: none" in world.copy.pipeline("logs", "prod", "--service", "api").out


def test_the_image_of_one_service_that_is_quarantined_keeps_out_every_release_with_it(
    world: World, released: Done
) -> None:
    release, api = released.answer["digest"], images(released)["api"]
    assert world.copy.pipeline("quarantine", api, "--reason", "it leaks").code == 0
    told = f"{api[7:19]}, the image of api, is quarantined: it leaks, says "
    for arguments in (
        ("verify", release),
        ("promote", release, "prod", "--force", "--reason", "now"),
        ("run",),
    ):
        refused = world.copy.pipeline(*arguments)
        assert (refused.code, told in refused.said) == (1, True), refused.said
    status = world.copy.pipeline("status")
    assert (status.code, f"kept out: {told}" in status.said) == (0, True), status.said
    assert world.copy.pipeline("quarantine", api, "--lift").code == 0
    assert world.copy.pipeline("verify", release).code == 0


def test_a_service_that_fails_in_production_takes_all_of_them_back(world: World, released: Done) -> None:
    world.tell("two", fault="exits@eu-central-1")
    broken = world.run()
    assert broken.code == 5, broken.said
    assert world.serving() == images(released)
    fates = broken.stages["prod"]["facts"]["deployment"]["services"]
    assert {name: one["outcome"] for name, one in fates.items()} == {"web": "put_back", "api": "rolled_back"}
    assert "api did not come to run it; every service runs what it ran before" in broken.said


def test_services_are_rolled_back_together(world: World, released: Done) -> None:
    world.tell("two")
    second = world.run()
    assert second.code == 0, second.said
    assert world.serving() == images(second) != images(released)
    back = world.copy.pipeline("--json", "rollback", "prod")
    assert back.code == 0, back.said
    assert back.answer["digest"] == released.answer["digest"]
    assert world.serving() == images(released)
    history = world.copy.pipeline("--json", "history", "prod").answer["deployments"]
    assert [one["outcome"] for one in history][:3] == ["succeeded", "left", "succeeded"]


def test_a_service_that_is_broken_from_the_start_never_gets_past_integration(
    world: World, released: Done
) -> None:
    world.tell("three", fault="exits")
    broken = world.run()
    assert (broken.code, list(broken.stages)) == (1, ["build", "integration"])
    assert "api becomes ready" in broken.said
    world.tell("one")
    assert world.copy.pipeline("promote", released.answer["digest"], "prod", *ANY_ORDER).code == 0
