"""Production in three regions and two waves: one digest through all of them, or through none."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from tests.chaos.project import Told, opened_project
from tests.e2e.conftest import ANY_ORDER, Copy, Done, kill, wait_for

HOME, EAST, WEST = "eu-central-1", "us-east-1", "us-west-2"
WAVES = f'regions = [["{HOME}"], ["{EAST}", "{WEST}"]]'
STOP = f'{WAVES}\non_failure = "stop"'


@dataclass
class World:
    """A project whose production was in one region, and is in three now."""

    copy: Copy
    urls: Mapping[str, str] = field(default_factory=dict)
    digests: list[str] = field(default_factory=list)
    single: Mapping[str, Any] = field(default_factory=dict)

    def tell(self, variant: str, *, fault: str = "", regions: str = WAVES) -> None:
        """Writes pipeline.toml."""
        told = Told(variant, fault, bake="1s", regions=regions).toml.replace("desired = 2", "desired = 1")
        (self.copy.root / "pipeline.toml").write_text(told, "utf-8")

    def promote(self, digest: str) -> Done:
        return self.copy.pipeline("--json", "promote", digest, "prod", *ANY_ORDER)

    def serving(self) -> list[str]:
        """What answers in each region, in the order of the waves."""
        return [self._answering(self.urls[name]) for name in ("prod", f"prod-{EAST}", f"prod-{WEST}")]

    @staticmethod
    def _answering(url: str) -> str:
        answers = set()
        for _ in range(6):
            with contextlib.suppress(requests.RequestException):
                answers.add(str(requests.get(f"{url}/version", timeout=10).json()["digest"]))
        return " ".join(sorted(answers)) or "nothing"

    def status(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.copy.pipeline("--json", "status").answer["environments"][1]
        return found

    def two(self) -> str:
        """The newer digest, passed by staging."""
        if len(self.digests) == 1:
            self.tell("two")
            done = self.copy.pipeline("--json", "run", "--until", "staging")
            assert done.code == 0, done.said
            self.digests.append(str(done.answer["digest"]))
        return self.digests[1]

    def one_everywhere(self) -> str:
        """The older digest in all regions, whatever was there."""
        self.tell("one")
        done = self.promote(self.digests[0])
        assert done.code == 0, done.said
        return self.digests[0]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with opened_project(tmp_path_factory.mktemp("regions") / "project") as copy:
        world = World(copy)
        world.tell("one", regions="")
        first = copy.pipeline("--json", "run")
        assert first.code == 0, first.said
        world.digests.append(str(first.answer["digest"]))
        world.single = copy.pipeline("--json", "local", "up").answer
        world.tell("one")
        world.urls = copy.pipeline("--json", "local", "up").answer["environments"]
        yield world


def test_a_cloud_of_one_region_is_taken_over_and_the_others_get_the_digest(world: World) -> None:
    digest = world.digests[0]
    before = world.single["environments"]
    assert {name: world.urls[name] for name in before} == dict(before), "what was there keeps its place"
    done = world.copy.pipeline("--json", "run")
    assert done.code == 0, done.said
    assert world.serving() == [digest] * 3
    facts = done.stages["prod"]["facts"]["deployment"]
    assert facts["outcome"] == "succeeded"
    assert facts["waves"] == [[HOME], [EAST, WEST]]
    assert list(facts["regions"]) == [HOME, EAST, WEST]
    assert facts["regions"][HOME]["already"], "it ran there before"
    assert facts["regions"][EAST]["started_at"] > facts["regions"][HOME]["healthy_at"]
    again = world.copy.pipeline("--json", "run")
    assert (again.code, again.stages["prod"]["reused"]) == (0, True), "every region still serves it"


def test_every_region_is_shown(world: World) -> None:
    digest = world.digests[0]
    status = world.status()
    assert [region["name"] for region in status["regions"]] == [HOME, EAST, WEST]
    assert {region["digest"] for region in status["regions"]} == {digest} == {status["digest"]}
    looked = world.copy.pipeline("--json", "promote", digest, "prod", "--dry-run", "--fresh")
    assert looked.code == 0, looked.said
    assert [region["name"] for region in looked.answer["regions"]] == [HOME, EAST, WEST]
    assert world.copy.pipeline("logs", "prod").code == 2
    east = world.copy.pipeline("logs", "prod", "--region", EAST)
    assert "began, fault: none" in east.out


def test_a_release_that_is_bad_in_one_region_is_put_back_in_all(world: World) -> None:
    old = world.one_everywhere()
    new = world.two()
    world.tell("two", fault=f"exits@{WEST}")
    done = world.promote(new)
    assert done.code == 5, done.said
    assert world.serving() == [old] * 3
    stage = done.stages["prod"]
    assert stage["outcome"] == "refused"
    fates = {name: one["outcome"] for name, one in stage["facts"]["deployment"]["regions"].items()}
    assert fates == {HOME: "put_back", EAST: "put_back", WEST: "rolled_back"}
    assert f"{WEST} did not come to run it; every region runs what it ran before" in done.said
    assert world.status()["digest"] == old


def test_a_promotion_killed_in_the_second_wave_goes_on_from_there(world: World) -> None:
    world.one_everywhere()
    new = world.two()
    world.tell("two")
    process = world.copy.start("promote", new, "prod", *ANY_ORDER)
    wait_for("wave 2 of 2", process)
    wait_for(f"{EAST}: registered", process)
    kill(process)
    done = world.promote(new)
    assert done.code == 0, done.said
    assert world.serving() == [new] * 3
    regions = done.stages["prod"]["facts"]["deployment"]["regions"]
    assert regions[HOME]["already"]
    entries = world.copy.pipeline("--json", "history", "prod", "--limit", "2").answer["deployments"]
    assert [entry["outcome"] for entry in entries] == ["succeeded", "running"]


def test_ctrl_c_lets_go_of_all_regions_at_once(world: World) -> None:
    old, new = world.digests[0], world.two()
    assert world.serving() == [new] * 3
    world.tell("one")
    process = world.copy.start("promote", old, "prod", *ANY_ORDER)
    wait_for("wave 2 of 2", process)
    wait_for(": waiting for", process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert f"{EAST}: detached, still running" in said
    done = world.promote(old)
    assert done.code == 0, done.said
    assert world.serving() == [old] * 3
    entries = world.copy.pipeline("--json", "history", "prod", "--limit", "2").answer["deployments"]
    assert entries[1]["outcome"] == "detached"


def test_regions_that_had_succeeded_are_left_where_that_is_configured_and_rolled_back_by_hand(
    world: World,
) -> None:
    old, new = world.one_everywhere(), world.two()
    world.tell("two", fault=f"exits@{WEST}", regions=STOP)
    done = world.promote(new)
    assert done.code == 6, done.said
    assert world.serving() == [new, new, old]
    assert done.answer["deployment"]["outcome"] == "stopped"
    assert world.status()["digest"] == ", ".join(sorted({old, new}))
    back = world.copy.pipeline("--json", "rollback", "prod")
    assert back.code == 0, back.said
    assert world.serving() == [old] * 3
    regions = back.stages["rollback"]["facts"]["deployment"]["regions"]
    assert regions[WEST]["already"], "it had never left"
