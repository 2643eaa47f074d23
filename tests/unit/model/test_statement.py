from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import Statement
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
        changed(("predicate",), {}),
    ],
)
def test_anything_else_is_no_evidence(payload: bytes) -> None:
    with pytest.raises(NotEvidence):
        decode(payload)
