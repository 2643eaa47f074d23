"""Production goes back: to the newest digest that ran well there, whatever happened to it since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
import requests

from tests.e2e.conftest import Copy, Done

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass
class Two:
    """A first digest on record in production, and a second one that runs there now."""

    project: Copy
    first: str
    second: str
    repository: str

    def promote(self, digest: str) -> Done:
        """Whatever was there before, and although somebody went back from it."""
        options = ("--allow-older", "--force", "--reason", "test")
        return self.project.pipeline("--json", "promote", digest, "prod", *options)

    def rollback(self, *options: str) -> Done:
        return self.project.pipeline("--json", "rollback", "prod", "--reason", "it leaks", *options)

    @property
    def ecs(self) -> Any:
        endpoint = self.project.pipeline("--json", "local", "up").answer["aws"]
        access = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "eu-central-1"}
        return boto3.client("ecs", endpoint_url=endpoint, **access)


@pytest.fixture(scope="module")
def two(project: Copy, released: Done) -> Iterator[Two]:
    """The first was promoted last before the second, whatever else has been there; at the end it runs again."""
    assert released.code == 0, released.said
    assert project.pipeline("run").code == 0, "whatever other tests have left on record of it"
    path = project.root / "app" / "__init__.py"
    before = path.read_text()
    path.write_text(before + "\nSECOND = True\n")
    second = project.pipeline("--json", "run", "--until", "staging")
    path.write_text(before)
    assert second.code == 0, second.said
    repository = released.answer["image"].partition("@")[0]
    made = Two(project, released.answer["digest"], second.answer["digest"], repository)
    assert made.promote(made.first).code == 0
    assert made.promote(made.second).code == 0
    yield made
    if project.serves("prod") != made.first:
        assert made.promote(made.first).code == 0


def test_an_older_digest_is_not_promoted_unasked(two: Two) -> None:
    refused = two.project.pipeline("--json", "promote", two.first, "prod")
    assert refused.code == 1
    assert "prod runs something newer" in refused.said
    assert "--allow-older --reason TEXT" in refused.said
    assert two.project.pipeline("promote", two.first, "prod", "--allow-older").code == 2, (
        "a reason is asked for"
    )
    assert two.project.serves("prod") == two.second


def test_a_digest_that_never_ran_well_there_cannot_be_named(two: Two) -> None:
    refused = two.rollback("--to", "sha256:" + "f" * 64)
    assert refused.code == 1
    assert "no good deployment to prod on record" in refused.said


def test_what_is_quarantined_cannot_be_gone_back_to(two: Two) -> None:
    assert two.project.pipeline("quarantine", two.first, "--reason", "worse").code == 0
    try:
        refused = two.rollback("--to", two.first)
        assert refused.code == 1
        assert "quarantined: worse" in refused.said
        assert two.project.serves("prod") == two.second
    finally:
        assert two.project.pipeline("quarantine", two.first, "--lift").code == 0


def test_it_goes_back_to_the_digest_before_by_the_definition_it_ran_with(two: Two) -> None:
    ran_with = set(_definitions_of(two, two.first))
    done = two.rollback()
    assert done.code == 0, done.said
    assert done.answer["digest"] == two.project.serves("prod") == two.first
    assert done.stages["rollback"]["facts"]["deployment"]["task_definition"] in ran_with
    newest = two.project.pipeline("--json", "evidence", two.first).answer["evidence"][-1]
    assert (newest["stage"], newest["result"]) == ("rollback", "PASSED")
    status = two.project.pipeline("--json", "status").answer["environments"][1]
    assert (status["digest"], status["drift"]) == (two.first, "")


def test_what_was_left_is_not_promoted_again_without_force(two: Two) -> None:
    refused = two.project.pipeline("promote", two.second, "prod")
    assert refused.code == 1
    assert "was rolled back from prod" in refused.said
    assert "it leaks" in refused.said
    assert two.promote(two.second).code == 0
    assert two.project.serves("prod") == two.second


def test_a_deregistered_definition_and_a_tag_that_is_gone_do_not_stand_in_the_way(two: Two) -> None:
    for definition in _definitions_of(two, two.first):
        two.ecs.deregister_task_definition(taskDefinition=definition)
    registry = f"http://{two.repository.partition('/')[0]}/v2/petclinic"
    for tag in requests.get(f"{registry}/tags/list", timeout=10).json()["tags"]:
        if tag.startswith(("build-", "promoted-")) and _digest(registry, tag) == two.first:
            _overwrite(registry, tag, two.second)
    done = two.rollback("--to", two.first)
    assert done.code == 0, done.said
    assert two.project.serves("prod") == two.first
    assert "was deregistered; registering the same again" in done.said


def _definitions_of(two: Two, digest: str) -> list[str]:
    """The active definitions of production's family that pin the digest."""
    arns = two.ecs.list_task_definitions(familyPrefix="petclinic-prod", status="ACTIVE")["taskDefinitionArns"]
    images = {
        arn: two.ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]["containerDefinitions"][
            0
        ]["image"]
        for arn in arns
    }
    return [arn for arn, image in images.items() if image.endswith(digest)]


def _digest(registry: str, tag: str) -> str:
    answer = requests.head(f"{registry}/manifests/{tag}", headers={"Accept": MANIFEST}, timeout=10)
    return str(answer.headers.get("Docker-Content-Digest", ""))


def _overwrite(registry: str, tag: str, digest: str) -> None:
    """The tag leads elsewhere from now on: this registry deletes none."""
    manifest = requests.get(f"{registry}/manifests/{digest}", headers={"Accept": MANIFEST}, timeout=10)
    headers = {"Content-Type": manifest.headers["Content-Type"]}
    put = requests.put(f"{registry}/manifests/{tag}", data=manifest.content, headers=headers, timeout=10)
    assert put.status_code == 201
