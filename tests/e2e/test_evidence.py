"""What signed evidence does for the user of `python -m pipeline`. Each test leaves the release as it found it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest

from pipeline.adapters.registry import INDEX_TYPE, OciRegistry
from pipeline.adapters.registry_copy import ImageCopier
from pipeline.adapters.registry_evidence import DigestLocks
from pipeline.adapters.registry_referrers import Referrers
from pipeline.adapters.signer import file_signer
from pipeline.model.bundle import read_bundle
from pipeline.model.digest import Digest, ImageRef
from tests.e2e.conftest import Copy, Done, copy_of_this
from tests.fakes.registry_container import registry_container

TRUST = '[[trust]]\nname = "{name}"\nkey = "{key}"\nstages = {stages}\n'
ALL = '["build", "integration", "staging", "prod", "quarantine"]'


@pytest.fixture
def digest(released: Done) -> str:
    assert released.code == 0, released.said
    return str(released.answer["digest"])


@pytest.fixture
def quarantined(project: Copy, digest: str) -> Iterator[Copy]:
    assert project.pipeline("quarantine", digest, "--reason", "it leaks memory").code == 0
    yield project
    assert project.pipeline("quarantine", digest, "--lift").code == 0


def own_key(project: Copy) -> str:
    """This machine's public key, put into the project; gives its path there."""
    path = project.root / "own.pub"
    config = project.root / ".pipeline" / "config" / "onedigest" / "signing.key"
    path.write_text(file_signer(config, create=False).public_key)
    return path.name


def add(project: Copy, text: str) -> None:
    config = project.root / "pipeline.toml"
    config.write_text(config.read_text() + "\n" + text)


def test_the_first_run_makes_a_key_that_only_its_owner_can_read(project: Copy, digest: str) -> None:
    key = project.root / ".pipeline" / "config" / "onedigest" / "signing.key"
    assert key.stat().st_mode & 0o777 == 0o600


def test_every_stage_left_a_signed_record_that_commits_to_those_before(project: Copy, digest: str) -> None:
    listed = project.pipeline("--json", "evidence", digest)
    assert listed.code == 0
    passed = [each for each in listed.answer["evidence"] if each["result"] == "PASSED"]
    newest = {each["stage"]: each for each in passed}
    assert {"build", "integration", "staging", "prod"} <= set(newest)
    assert {each["signer"] for each in newest.values()} == {"this machine"}
    assert newest["prod"]["inputs"].keys() == {"build", "integration", "staging"}


def test_the_bundles_are_exported_one_a_line(project: Copy, digest: str, tmp_path: Path) -> None:
    path = tmp_path / "bundles.jsonl"
    listed = project.pipeline("--json", "evidence", digest, "--export", str(path))
    bundles = path.read_bytes().splitlines()
    assert len(bundles) == len(listed.answer["evidence"]) >= 4
    statements = [json.loads(read_bundle(bundle).payload) for bundle in bundles]
    assert {each["subject"][0]["digest"]["sha256"] for each in statements} == {digest.removeprefix("sha256:")}


def test_the_list_of_what_is_inside_lies_beside_the_image(
    project: Copy, released: Done, tmp_path: Path
) -> None:
    repository, _, digest = released.answer["image"].partition("@")
    registry = OciRegistry(lambda: None)
    image = ImageRef(repository, Digest(digest))
    listed = Referrers(registry, DigestLocks(tmp_path)).listed(image)
    kinds = [registry.manifest(ImageRef(repository, each)).document()["artifactType"] for each in listed]
    assert kinds.count("application/vnd.cyclonedx+json") == 1


def test_a_quarantined_digest_goes_nowhere_and_no_force_helps(quarantined: Copy, digest: str) -> None:
    for arguments in (
        ("promote", digest, "prod"),
        ("promote", digest, "prod", "--force", "--reason", "urgent"),
        ("stage", "integration", digest),
        ("verify", digest),
        ("run",),
    ):
        refused = quarantined.pipeline(*arguments)
        assert refused.code == 1, arguments
        assert "quarantined: it leaks memory" in refused.said
    assert quarantined.serves("prod") == digest, "what runs goes on running"


def test_a_lifted_quarantine_leaves_everything_as_it_was(project: Copy, digest: str) -> None:
    assert project.pipeline("quarantine", digest, "--reason", "wrong digest").code == 0
    assert project.pipeline("quarantine", digest, "--lift").code == 0
    again = project.pipeline("--json", "run")
    assert [stage["reused"] for stage in again.stages.values()] == [True] * 4


def test_a_gate_that_asks_for_an_approval_opens_with_one(changed: Copy, digest: str) -> None:
    add(changed, '[gate.prod.approval]\nmax_age = "1h"\n')
    refused = changed.pipeline("verify", digest)
    assert refused.code == 1
    assert f"python -m pipeline approve {digest} prod" in refused.said
    assert changed.pipeline("approve", digest, "prod", "--reason", "clicked through it").code == 0
    assert changed.pipeline("verify", digest).code == 0


def test_an_approval_by_a_key_that_was_not_asked_is_refused_at_once(changed: Copy, digest: str) -> None:
    add(
        changed,
        TRUST.format(
            name="ci", key=own_key(changed), stages='["build", "integration", "staging", "approval"]'
        ),
    )
    qa = file_signer(changed.root / "qa.key", create=True)
    (changed.root / "qa.pub").write_text(qa.public_key)
    add(changed, TRUST.format(name="qa", key="qa.pub", stages='["approval"]'))
    add(changed, '[gate.prod.approval]\nby = ["qa"]\n')
    refused = changed.pipeline("approve", digest, "prod")
    assert refused.code == 2
    assert "asks for the approval of qa" in refused.said
    secret = {"ONEDIGEST_SIGNING_KEY": (changed.root / "qa.key").read_text()}
    assert changed.pipeline("approve", digest, "prod", env=secret).code == 0
    assert changed.pipeline("verify", digest).code == 0


def test_a_key_in_kms_signs_what_it_is_trusted_with(changed: Copy, digest: str) -> None:
    endpoint = changed.pipeline("--json", "local", "up").answer["aws"]
    access = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "eu-central-1"}
    kms = boto3.client("kms", endpoint_url=endpoint, **access)
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/release", TargetKeyId=key)
    signer = '[evidence]\nsigner = "awskms:///alias/release"\n'
    add(changed, TRUST.format(name="ci", key=own_key(changed), stages=ALL))
    add(changed, TRUST.format(name="release", key="awskms:///alias/release", stages='["approval"]'))
    add(changed, '[gate.prod.approval]\nby = ["release"]\n' + signer)
    assert changed.pipeline("approve", digest, "prod").code == 0
    refused = changed.pipeline("run")
    assert refused.code == 3
    assert "the key that signs here, release, is not trusted to sign build" in refused.said
    changed.change("pipeline.toml", signer, "")
    assert changed.pipeline("verify", digest).code == 0


def test_a_frozen_environment_is_left_alone(changed: Copy, digest: str) -> None:
    now = datetime.now(UTC)
    begin, end = now - timedelta(hours=1), now + timedelta(hours=1)
    window = f"{begin:%a %H:%M}–{end:%a %H:%M} UTC"
    changed.change("pipeline.toml", "[gate.prod]\n", f'[gate.prod]\nfrozen = ["{window}"]\n')
    refused = changed.pipeline("promote", digest, "prod", "--fresh")
    assert refused.code == 1
    assert f"prod is frozen: {window}" in refused.said


def test_a_forced_promotion_says_so_on_screen_and_in_the_record(changed: Copy, digest: str) -> None:
    changed.change(
        "pipeline.toml", "error_rate = { max = 0.001 }", "error_rate = { max = 0.001 }\nrps = { min = 1e9 }"
    )
    assert changed.pipeline("promote", digest, "prod", "--fresh").code == 1
    assert changed.pipeline("promote", digest, "prod", "--force").code == 2, "a reason is asked for"
    forced = changed.pipeline("promote", digest, "prod", "--force", "--reason", "the fix cannot wait")
    assert forced.code == 0
    assert "the fix cannot wait; the gate had refused" in forced.said
    records = changed.pipeline("--json", "evidence", digest).answer["evidence"]
    assert records[-1]["override"]["reason"] == "the fix cannot wait"


def test_a_tightened_limit_judges_the_record_that_is_there(changed: Copy, digest: str) -> None:
    before = changed.pipeline("--json", "evidence", digest).answer["evidence"]
    changed.change("pipeline.toml", "p95_ms = { max = 900 }", "p95_ms = { max = 0.001 }")
    refused = changed.pipeline("verify", digest)
    assert refused.code == 1
    assert "p95" in refused.said
    assert changed.pipeline("--json", "evidence", digest).answer["evidence"] == before


def test_a_changed_test_is_another_plan_and_refuses_until_it_has_run(changed: Copy, digest: str) -> None:
    suite = changed.root / "tests" / "integration" / "test_more.py"
    suite.write_text("def test_more():\n    assert True\n")
    refused = changed.pipeline("verify", digest)
    assert refused.code == 1
    assert "integration was run by another plan" in refused.said
    again = changed.pipeline("--json", "stage", "integration", digest)
    assert again.code == 0
    assert not again.stages["integration"]["reused"]
    suite.unlink()
    assert changed.pipeline("stage", "integration", digest).code == 0
    assert changed.pipeline("stage", "staging", digest).code == 0
    assert changed.pipeline("promote", digest, "prod").code == 0


def test_once_other_keys_are_trusted_what_this_machine_signed_opens_nothing(
    changed: Copy, digest: str
) -> None:
    file_signer(changed.root / "ci.key", create=True)
    (changed.root / "ci.pub").write_text(file_signer(changed.root / "ci.key", create=False).public_key)
    add(changed, TRUST.format(name="ci", key="ci.pub", stages=ALL))
    refused = changed.pipeline("verify", digest)
    assert refused.code == 1
    assert "is signed by no key we trust" in refused.said
    early = changed.pipeline("run")
    assert early.code == 3
    assert "is not trusted to sign build, integration, staging, prod" in early.said
    assert "linting" not in early.said


def test_a_key_that_is_trusted_for_less_counts_for_less(changed: Copy, digest: str) -> None:
    add(changed, TRUST.format(name="dev", key=own_key(changed), stages='["build", "integration"]'))
    refused = changed.pipeline("verify", digest)
    assert refused.code == 1
    assert "which may not sign staging" in refused.said


def test_evidence_deleted_in_the_registry_is_no_evidence(project: Copy, released: Done) -> None:
    repository, _, digest = released.answer["image"].partition("@")
    tag = digest.replace(":", "-")
    registry = OciRegistry(lambda: None)
    kept = registry.find_manifest(repository, tag)
    assert kept is not None, "the local registry keeps the list under a tag"
    empty = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}
    registry.put_manifest(repository, tag, INDEX_TYPE, json.dumps(empty).encode())
    try:
        refused = project.pipeline("promote", digest, "prod", "--fresh")
        assert refused.code == 1
        assert "no staging evidence" in refused.said
    finally:
        registry.put_manifest(repository, tag, INDEX_TYPE, kept.content)
    assert project.pipeline("verify", digest).code == 0


def test_a_failure_deleted_in_the_registry_is_known_on_the_machine_that_saw_it(
    changed: Copy, released: Done
) -> None:
    repository, _, digest = released.answer["image"].partition("@")
    registry, tag = OciRegistry(lambda: None), digest.replace(":", "-")
    before = registry.find_manifest(repository, tag)
    assert before is not None
    suite = changed.root / "tests" / "integration" / "test_more.py"
    suite.write_text("def test_more():\n    assert False\n")
    assert changed.pipeline("stage", "integration", digest).code == 1
    suite.unlink()
    assert "ended FAILED" in changed.pipeline("verify", digest).said
    registry.put_manifest(repository, tag, INDEX_TYPE, before.content)
    refused = changed.pipeline("verify", digest)
    assert refused.code == 1
    assert "this machine knows of a run of integration that ended FAILED" in refused.said
    assert changed.pipeline("run").code == 0


def test_in_ci_on_aws_a_missing_key_ends_the_run_before_anything_begins(tmp_path: Path) -> None:
    project = copy_of_this(tmp_path / "project")
    project.change("pipeline.toml", 'provider = "local"', 'provider = "aws"')
    ended = project.pipeline("run", env={"CI": "true"})
    assert ended.code == 3
    assert "ONEDIGEST_SIGNING_KEY" in ended.said
    assert "cloud:" not in ended.said


def test_production_with_a_registry_of_its_own_gets_image_and_evidence(
    changed: Copy, released: Done, tmp_path: Path
) -> None:
    digest = released.answer["digest"]
    with registry_container() as host:
        host = host.replace("127.0.0.1", "localhost")
        changed.change("pipeline.toml", "[environments.prod]", f'[environments.prod]\nregistry = "{host}"')
        promoted = changed.pipeline("promote", digest, "prod")
        assert promoted.code == 0
        assert f"{host}/petclinic: " in promoted.said
        there = ImageRef(f"{host}/petclinic", Digest(digest))
        registry = OciRegistry(lambda: None)
        assert registry.resolve(there.repository, digest) == there.digest
        here = ImageRef(released.answer["image"].partition("@")[0], there.digest)
        again = ImageCopier(registry, registry, DigestLocks(tmp_path)).copy(here, there.repository)
        assert (again.sent, again.blobs, again.manifests) == (0, 0, 0)
        second = changed.pipeline("promote", digest, "prod", "--fresh")
        assert second.code == 0
        assert "nothing was transferred" in second.said
        changed.change("pipeline.toml", f'registry = "{host}"\n', "")
        assert changed.pipeline("promote", digest, "prod").code == 0
