from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import docker
import requests

from tests.e2e.conftest import Copy, Done
from tests.iam.commands import amiss_in, asked_in

STAGES = ["build", "integration", "staging", "prod"]


def test_one_digest_passes_four_stages(project: Copy, released: Done) -> None:
    assert released.code == 0
    assert released.answer["outcome"] == "passed"
    assert list(released.stages) == STAGES
    assert {stage["outcome"] for stage in released.stages.values()} == {"passed"}
    assert released.answer["image"].endswith("@" + released.answer["digest"])
    assert all(stage["evidence"].startswith("sha256:") for stage in released.stages.values())


def test_production_runs_that_digest_and_says_so_through_the_load_balancer(
    project: Copy, released: Done
) -> None:
    digest = released.answer["digest"]
    tasks = docker.from_env().containers.list(filters={"label": f"dev.onedigest.cloud={project.cloud()}"})
    images = [task.attrs["Config"]["Image"] for task in tasks if "-app" in task.name]
    assert images == [released.answer["image"]] * 3  # one on staging, two on production
    assert project.serves("prod") == digest
    assert "Find owners" in requests.get(project.url("prod"), timeout=10).text


def test_the_run_left_a_report_and_its_junit(project: Copy, released: Done) -> None:
    report = Path(released.answer["report"])
    page = report.read_text("utf-8")
    assert "build, integration, staging and prod passed" in page
    assert released.answer["digest"] in page
    assert 'class="curve candidate"' in page
    assert released.stages["prod"]["inputs"].keys() == set(STAGES[:3])
    suites = {suite.get("name"): suite for suite in ET.parse(report.with_name("junit.xml")).getroot()}
    assert list(suites) == STAGES
    tests = released.stages["integration"]["metrics"]["tests"]
    assert int(suites["integration"].get("tests", "")) == tests + 1
    assert f"report `{report}`" in report.with_name("summary.md").read_text()


def test_report_prints_the_path_and_makes_a_missing_one_anew(project: Copy, released: Done) -> None:
    report = Path(released.answer["report"])
    before = report.read_bytes()
    report.unlink()
    found = project.pipeline("report", released.answer["run_id"])
    assert (found.code, found.out.strip()) == (0, str(report))
    assert report.read_bytes() == before


def test_what_the_run_asked_of_aws_is_on_record_and_was_allowed(project: Copy, released: Done) -> None:
    assert released.code == 0
    assert asked_in(project.root) >= {"dynamodb:PutItem", "ecs:RegisterTaskDefinition", "ecs:UpdateService"}
    assert amiss_in(project.root) == {}


def test_the_first_lines_say_which_cloud_it_is(released: Done) -> None:
    assert "cloud: local" in released.said


def test_a_second_run_reuses_every_stage_and_says_why(project: Copy, released: Done) -> None:
    again = project.pipeline("--json", "run")
    assert again.code == 0
    assert [stage["reused"] for stage in again.stages.values()] == [True] * 4
    assert all("PASSED at" in stage["reasons"][0]["text"] for stage in again.stages.values())
    assert again.answer["digest"] == released.answer["digest"]


def test_promoting_what_passed_is_done(project: Copy, released: Done) -> None:
    digest = released.answer["digest"]
    assert project.pipeline("promote", digest, "prod").code == 0
    assert project.pipeline("promote", digest.removeprefix("sha256:")[:12], "prod").code == 0
    assert project.pipeline("promote", released.answer["image"], "prod").code == 0


def test_verify_explains_and_touches_nothing(project: Copy, released: Done) -> None:
    verified = project.pipeline("--json", "verify", released.answer["digest"], "prod")
    assert verified.code == 0
    assert list(verified.answer["accepted"]) == STAGES[:3]


def test_the_way_of_ci_stage_by_stage(project: Copy, released: Done) -> None:
    built = project.pipeline("stage", "build")
    digest = built.out.strip()
    assert (built.code, digest) == (0, released.answer["digest"])
    assert project.pipeline("stage", "integration", digest).code == 0
    assert project.pipeline("stage", "staging", digest).code == 0
    assert project.pipeline("promote", digest, "prod").code == 0


def test_status_shows_what_runs_and_that_it_is_what_was_recorded(project: Copy, released: Done) -> None:
    status = project.pipeline("--json", "status")
    by_name = {environment["name"]: environment for environment in status.answer["environments"]}
    assert by_name["prod"]["digest"] == released.answer["digest"]
    assert (by_name["prod"]["healthy"], by_name["prod"]["desired"]) == (2, 2)
    assert by_name["prod"]["drift"] == ""
    assert len(by_name["prod"]["commit"]) == 40


def test_a_digest_that_never_passed_is_refused_with_the_command_that_helps(
    project: Copy, released: Done
) -> None:
    unknown = "sha256:" + "f" * 64
    refused = project.pipeline("promote", unknown, "prod")
    assert refused.code == 1
    assert f"python -m pipeline stage staging {unknown}" in refused.said
    assert project.serves("prod") == released.answer["digest"]


def test_a_tag_is_refused_with_the_digest_it_points_to(project: Copy, released: Done) -> None:
    registry = released.answer["image"].partition("/")[0]
    tags = requests.get(f"http://{registry}/v2/petclinic/tags/list", timeout=10).json()["tags"]
    tag = next(tag for tag in tags if tag.startswith("build-"))
    accept = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    manifest = requests.head(f"http://{registry}/v2/petclinic/manifests/{tag}", headers=accept, timeout=10)
    refused = project.pipeline("promote", f"petclinic:{tag}", "prod")
    assert refused.code == 2
    assert manifest.headers["Docker-Content-Digest"] in refused.said


def test_outputs_and_a_summary_are_written_for_github(project: Copy, released: Done) -> None:
    outputs, summary = project.root / ".pipeline" / "outputs", project.root / ".pipeline" / "summary.md"
    project.pipeline("run", env={"GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": str(summary)})
    assert f"digest={released.answer['digest']}\n" in outputs.read_text()
    assert "| staging | ↺ reused |" in summary.read_text()


def test_down_and_up_brings_back_what_ran_and_keeps_image_and_evidence(project: Copy, released: Done) -> None:
    assert project.pipeline("local", "down").code == 0
    assert project.containers(kind="cloud") == []
    up = project.pipeline("local", "up")
    assert up.code == 0
    assert project.serves("prod") == released.answer["digest"]
    again = project.pipeline("--json", "run")
    assert [stage["reused"] for stage in again.stages.values()] == [True] * 4
