from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import PREDICATE_TYPES, Statement
from pipeline.model.statement import NotEvidence, decode, encode
from pipeline.model.verdict import Reason

IMAGE = ImageRef("localhost:5000/shop", Digest("sha256:" + "a" * 64))
STATEMENT = Statement(
    app="shop",
    stage="staging",
    environment="staging",
    result="PASSED",
    plan="sha256:p",
    run="r1",
    started=datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC),
    finished=datetime(2026, 3, 1, 12, 1, tzinfo=UTC),
    inputs={"build": "sha256:b"},
    metrics={"p95_ms": 12.5},
    facts={"note": "grün"},
    reasons=(Reason("all good", ""),),
)


def test_a_statement_comes_back_as_it_went() -> None:
    assert decode(encode(IMAGE, STATEMENT)) == (IMAGE.digest, STATEMENT)


def test_the_form_is_in_toto_statement_v1() -> None:
    document = json.loads(encode(IMAGE, STATEMENT))
    assert set(document) == {"_type", "subject", "predicateType", "predicate"}
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["subject"] == [{"name": "localhost:5000/shop", "digest": {"sha256": "a" * 64}}]
    assert document["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"


def test_the_same_statement_gives_the_same_bytes_whatever_its_time_zone() -> None:
    east = timezone(timedelta(hours=2))
    moved = Statement(
        **{name: getattr(STATEMENT, name) for name in STATEMENT.__slots__}
        | {"started": STATEMENT.started.astimezone(east)}
    )
    assert encode(IMAGE, moved) == encode(IMAGE, STATEMENT)


def test_a_number_that_is_not_finite_is_not_written() -> None:
    broken = Statement(
        **{name: getattr(STATEMENT, name) for name in STATEMENT.__slots__}
        | {"metrics": {"p95_ms": float("nan")}}
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(IMAGE, broken)


def changed(path: tuple[Any, ...], value: object) -> bytes:
    document = json.loads(encode(IMAGE, STATEMENT))
    inner = document
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return json.dumps(document).encode()


STAGE = ("predicate", "onedigest_stage")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"subject": []}',
        changed(("_type",), "https://in-toto.io/Statement/v0.1"),
        changed(("predicateType",), "https://slsa.dev/provenance/v1"),
        changed(("subject",), []),
        changed(("subject",), [{"digest": {"sha256": "a" * 64}}, {"digest": {"sha256": "b" * 64}}]),
        changed(("subject", 0, "digest", "sha256"), "A" * 64),
        changed((*STAGE, "result"), "OK"),
        changed((*STAGE, "app"), 7),
        changed((*STAGE, "stage"), "nightly"),
        changed((*STAGE, "startedOn"), "2026-03-01T12:00:00"),
        changed((*STAGE, "finishedOn"), "yesterday"),
        changed((*STAGE, "metrics"), None),
        changed((*STAGE, "inputs"), ["x"]),
        changed((*STAGE, "metrics"), []),
        changed((*STAGE, "inputs"), {"build": 7}),
        changed((*STAGE, "extra"), 1),
        changed(("extra",), 1),
        changed(("predicate", "result"), "FAILED"),
        changed(("predicate", "onedigest_facts"), None),
        changed(("predicate", "onedigest_reasons"), [{"text": 1, "remedy": ""}]),
        changed(("predicate",), {}),
        changed(("predicate",), []),
        encode(IMAGE, STATEMENT).replace(b'"result":"PASSED"', b'"result":"PASSED","result":"PASSED"'),
        encode(IMAGE, STATEMENT).replace(b"12.5", b"NaN"),
        encode(IMAGE, STATEMENT).replace(b"12.5", b"Infinity"),
        b"[" * 100_000,
    ],
)
def test_anything_else_is_no_evidence(payload: bytes) -> None:
    with pytest.raises(NotEvidence):
        decode(payload)


def predicate_of(**changes: Any) -> tuple[str, dict[str, Any]]:
    statement = replace(STATEMENT, **changes)
    document = json.loads(encode(IMAGE, statement))
    assert decode(encode(IMAGE, statement)) == (IMAGE.digest, statement)
    return document["predicateType"], document["predicate"]


def test_a_build_is_slsa_provenance_with_commit_and_base_images() -> None:
    facts = {
        "commit": "c" * 40,
        "source": "https://example.test/shop.git",
        "args": {"A": "b"},
        "platform": "linux/amd64",
        "base_images": {"python:3.11": "sha256:" + "e" * 64},
    }
    kind, predicate = predicate_of(stage="build", facts=facts)
    assert kind == "https://slsa.dev/provenance/v1"
    definition = predicate["buildDefinition"]
    assert definition["buildType"] == "urn:onedigest:build:dockerfile:v1"
    assert definition["externalParameters"] == {
        "app": "shop",
        "args": {"A": "b"},
        "platform": "linux/amd64",
        "source": "https://example.test/shop.git",
    }
    assert definition["resolvedDependencies"] == [
        {"name": "source", "uri": "git+https://example.test/shop.git", "digest": {"gitCommit": "c" * 40}},
        {"name": "python:3.11", "digest": {"sha256": "e" * 64}},
    ]
    assert predicate["runDetails"] == {
        "builder": {"id": "urn:onedigest:builder:v1"},
        "metadata": {
            "invocationId": "r1",
            "startedOn": "2026-03-01T12:00:00.000005Z",
            "finishedOn": "2026-03-01T12:01:00.000000Z",
        },
    }


def test_a_work_tree_that_differs_from_its_commit_is_marked() -> None:
    _, predicate = predicate_of(stage="build", facts={"commit": "c" * 40, "dirty": True})
    (source,) = predicate["buildDefinition"]["resolvedDependencies"]
    assert source["annotations"] == {"dirty": True}


def test_a_build_outside_git_depends_on_no_commit() -> None:
    _, predicate = predicate_of(stage="build", facts={"commit": ""})
    assert predicate["buildDefinition"]["resolvedDependencies"] == []


@pytest.mark.parametrize("stage", ["integration", "staging"])
@pytest.mark.parametrize(
    ("result", "said"), [("PASSED", "PASSED"), ("FAILED", "FAILED"), ("UNDECIDED", "FAILED")]
)
def test_tests_are_a_test_result_and_undecided_is_no_pass(stage: str, result: str, said: str) -> None:
    facts = {"failures": [{"name": "test_a", "message": "m"}], "passed_tests": ["test_b"]}
    kind, predicate = predicate_of(stage=stage, result=result, facts=facts, plan="sha256:" + "e" * 64)
    assert kind == "https://in-toto.io/attestation/test-result/v0.1"
    assert predicate["result"] == said
    assert predicate["configuration"] == [{"name": "plan", "digest": {"sha256": "e" * 64}}]
    assert (predicate["passedTests"], predicate["failedTests"]) == (["test_b"], ["test_a"])


@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        ("prod", "deployment"),
        ("rollback", "deployment"),
        ("approval", "approval"),
        ("quarantine", "quarantine"),
    ],
)
def test_what_no_vetted_type_covers_has_a_type_of_ours(stage: str, kind: str) -> None:
    found, predicate = predicate_of(stage=stage)
    assert found == f"urn:onedigest:predicate:{kind}:v1"
    assert set(predicate) == {"onedigest_stage", "onedigest_facts", "onedigest_reasons"}


def test_the_object_we_judge_by_is_the_same_in_every_predicate() -> None:
    stages = ("build", "integration", "staging", "prod", "rollback", "approval", "quarantine")
    objects = [predicate_of(stage=stage)[1]["onedigest_stage"] for stage in stages]
    assert {frozenset(each) for each in objects} == {
        frozenset(
            {
                "app",
                "stage",
                "environment",
                "result",
                "plan",
                "run",
                "startedOn",
                "finishedOn",
                "inputs",
                "metrics",
            }
        )
    }


@pytest.mark.parametrize("stage", ["build", "integration", "prod", "approval"])
def test_a_statement_of_one_kind_does_not_pose_as_another(stage: str) -> None:
    with pytest.raises(NotEvidence, match="under predicate type"):
        decode(
            changed((*STAGE, "stage"), stage)
            if stage != "integration"
            else changed((*STAGE, "stage"), "build")
        )


REFERENCE = (Path(__file__).parents[3] / "docs" / "reference" / "evidence.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("stage", "kind"), PREDICATE_TYPES.items())
def test_the_reference_names_every_predicate_type_beside_its_stage(stage: str, kind: str) -> None:
    (row,) = [line for line in REFERENCE.splitlines() if f"`{kind}`" in line]
    assert f"`{stage}`" in row.split("|")[1]


def test_the_reference_names_every_field_of_our_object() -> None:
    document = json.loads(encode(IMAGE, STATEMENT))
    section = REFERENCE.split("## Our object")[1].split("## ")[0]
    for name in (*document["predicate"]["onedigest_stage"], "onedigest_facts", "onedigest_reasons"):
        assert f"`{name}`" in section
