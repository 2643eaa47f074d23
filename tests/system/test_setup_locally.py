"""`setup` and `cleanup` as programs on a local cloud of their own, with real containers behind its load balancer."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from pipeline.clouds import local_cloud
from pipeline.config import load
from pipeline.local.base_images import BaseImages
from pipeline.local.cloud import cloud_id
from pipeline.model.digest import ImageRef
from tests.foundations import Grounds
from tests.processes import within
from tests.releases import PYTHON, Releases
from tests.system.steady_load import SteadyLoad

ROOT = Path(__file__).parents[2]
TOML = """
[app]
name = "releases"

[cloud]
provider = "local"

[load]
baseline = "none"

[environments.staging]
[environments.prod]
health_grace = "30s"
deregistration_delay = "1s"
"""


@dataclass
class Project:
    root: Path

    def run(self, *arguments: str) -> tuple[int, dict[str, Any], str]:
        """Exit code, answer, and what was said."""
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "-C", str(self.root), "--json", *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        print(done.stderr)
        return done.returncode, json.loads(done.stdout), done.stderr

    def change(self, old: str, new: str) -> None:
        file = self.root / "pipeline.toml"
        text = file.read_text("utf-8")
        assert old in text
        file.write_text(text.replace(old, new), "utf-8")

    def grounds(self) -> Grounds:
        endpoints = local_cloud(self.root, load(self.root), print).endpoints()
        assert endpoints is not None
        return Grounds(int(endpoints.aws.rsplit(":", 1)[1]), region=endpoints.region)

    def tasks(self) -> int:
        labels = [
            f"dev.onedigest.cloud={cloud_id(self.root / '.pipeline' / 'local')}",
            "dev.onedigest.part=task",
        ]
        return len(docker.from_env().containers.list(filters={"label": labels}))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "pipeline.toml").write_text(TOML, "utf-8")
    found = Project(tmp_path)
    try:
        yield found
    finally:
        found.run("local", "reset", "--yes")


def test_from_nothing_through_a_rollout_and_a_changed_template_to_nothing(project: Project) -> None:
    asked, refused, said = project.run("setup", "staging", "prod")
    assert (asked, refused["outcome"]) == (2, "usage")
    assert "--yes" in said

    elsewhere, _, said = project.run("setup", "prod", "--yes", "-r", "ap-south-1")
    assert (elsewhere, "no region ap-south-1" in said) == (2, True)

    code, made, _ = project.run("setup", "staging", "prod", "--yes")
    assert code == 0
    assert {one["did"] for one in made["stacks"]} == {"created"}
    url = next(one["url"] for one in made["environments"] if one["name"] == "prod")
    image = roll_out(project, count=2)
    ecs = project.grounds().client("ecs")

    def runs() -> tuple[str, int]:
        found = ecs.describe_services(cluster="releases-prod", services=["releases"])["services"][0]
        return found["taskDefinition"], found["desiredCount"]

    assert within(90.0, lambda: answers(url)), "nothing serves"
    before = runs()
    project.change('health_grace = "30s"', 'health_grace = "31s"\nmemory = 1024')
    with SteadyLoad(url, rate=20.0, path="/") as steady:
        code, changed, _ = project.run("setup", "prod", "--yes")

    assert code == 0
    assert {one["name"]: one["did"] for one in changed["stacks"]}["onedigest-releases-prod"] == "changed"
    assert runs() == before
    assert steady.tally.failed == 0
    assert steady.tally.sent > 0
    assert project.tasks() == 2, image

    code, gone, _ = project.run("cleanup", "staging", "prod", "--yes")

    assert (code, gone["left"]) == (0, [])
    assert gone["last"]
    assert project.tasks() == 0
    code, again, _ = project.run("cleanup", "staging", "prod", "--yes")
    assert (code, again["left"], again["found"]) == (0, [], again["noted"])


def answers(url: str) -> bool:
    try:
        return requests.get(url + "/", timeout=5).ok
    except requests.RequestException:
        return False


def roll_out(project: Project, count: int) -> ImageRef:
    """Tasks of an image that behaves, as a rollout begins them."""
    endpoints = local_cloud(project.root, load(project.root), print).endpoints()
    assert endpoints is not None
    engine = docker.from_env()
    grounds = project.grounds()
    base = BaseImages(engine, print).ensure([PYTHON])[PYTHON]
    image = Releases(endpoints, grounds.aws(), engine, base, {}).image("good")
    ecs = grounds.client("ecs")
    found = ecs.describe_services(cluster="releases-prod", services=["releases"])["services"][0]
    live = ecs.describe_task_definition(taskDefinition=found["taskDefinition"])["taskDefinition"]
    kept = (
        "family",
        "networkMode",
        "executionRoleArn",
        "taskRoleArn",
        "cpu",
        "memory",
        "containerDefinitions",
    )
    definition = {key: live[key] for key in (*kept, "requiresCompatibilities") if live.get(key)}
    definition["containerDefinitions"][0]["image"] = str(image)
    arn = ecs.register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"]
    ecs.update_service(cluster="releases-prod", service="releases", taskDefinition=arn, desiredCount=count)
    return image


WAVES = """health_grace = "30s"
regions = [["eu-central-1"], ["us-east-1", "us-west-2"]]
"""
REGIONS = ["eu-central-1", "us-east-1", "us-west-2"]


def killed_when_told(project: Project, told: str, *arguments: str) -> None:
    """Runs the command until it says so, then kills it (-9)."""
    command = [sys.executable, "-m", "pipeline", "-C", str(project.root), *arguments]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        try:
            assert any(told in line for line in running.stderr), f"never said {told!r}"
        finally:
            running.kill()
    assert running.returncode == -signal.SIGKILL


def test_three_regions_are_set_up_and_cleaned_up_whole_also_after_a_kill_midway(project: Project) -> None:
    project.change('health_grace = "30s"\n', WAVES)
    killed_when_told(
        project, "us-east-1: stack onedigest-releases-prod: making it", "setup", "staging", "prod", "--yes"
    )

    code, made, _ = project.run("setup", "staging", "prod", "--yes")

    assert code == 0
    assert [one["region"] for one in made["regions"]] == REGIONS
    assert [(one["region"], one["did"]) for one in made["stacks"] if one["name"].endswith("-prod")] == [
        (REGIONS[0], "unchanged"),
        *((region, "created") for region in REGIONS[1:]),
    ]
    fronts = {one["region"]: one["url"] for one in made["environments"] if one["name"] == "prod"}
    assert (list(fronts), len({*fronts.values()})) == (REGIONS, 3)
    assert project.run("setup", "prod", "-r", "us-west-2")[1]["stacks"][0]["did"] == "unchanged"

    code, west, _ = project.run("cleanup", "prod", "-r", "us-west-2", "--yes")
    assert (code, west["left"], west["last"]) == (0, [], True), "roles of other regions do not count"
    roles = project.grounds().client("iam").list_roles()["Roles"]
    assert len([one for one in roles if one["RoleName"].startswith("onedigest-releases-prod-")]) >= 5

    killed_when_told(
        project,
        "us-east-1: stack onedigest-releases-prod: deleting it",
        "cleanup",
        "staging",
        "prod",
        "--yes",
    )
    code, gone, _ = project.run("cleanup", "staging", "prod", "--yes")

    assert (code, gone["left"], gone["last"]) == (0, [], True)
    assert [(one["region"], one["left"]) for one in gone["regions"]] == [(one, 0) for one in REGIONS[::-1]]
