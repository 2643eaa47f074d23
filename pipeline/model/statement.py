"""Statements as JSON: in-toto Statement v1 (https://github.com/in-toto/attestation, spec/v1/statement.md) and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import PREDICATE_TYPES, STATEMENT_TYPE, Statement
from pipeline.model.verdict import Reason

STAGE_KEY = "onedigest_stage"
RESULTS = ("PASSED", "FAILED", "UNDECIDED")


class NotEvidence(ValueError):
    """The bytes are no statement of ours; the text says why."""


def encode(subject: ImageRef, statement: Statement) -> bytes:
    """Canonical JSON: sorted keys, no white space, UTF-8. Raises ValueError for a number that is not finite."""
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": subject.repository, "digest": {"sha256": subject.digest.hex}}],
        "predicateType": PREDICATE_TYPES[statement.stage],
        "predicate": {
            STAGE_KEY: _stage_object(statement),
            "facts": statement.facts,
            "reasons": [{"text": reason.text, "remedy": reason.remedy} for reason in statement.reasons],
        },
    }
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    ).encode()


def decode(payload: bytes) -> tuple[Digest, Statement]:
    """The subject's digest and the statement. Raises NotEvidence for everything that is not exactly of our form."""
    try:
        document = json.loads(payload)
        subject = Digest("sha256:" + _only(document["subject"])["digest"]["sha256"])
        statement = _statement(document["predicate"])
    except NotEvidence:
        raise
    except Exception as error:  # whatever a stranger's bytes do to the parser, they are not evidence
        raise NotEvidence(f"is no statement of ours: {error!r}") from error
    if document.get("_type") != STATEMENT_TYPE:
        raise NotEvidence(f"has the type {document.get('_type')!r}")
    if document.get("predicateType") != PREDICATE_TYPES.get(statement.stage):
        raise NotEvidence(
            f"is of stage {statement.stage!r} under predicate type {document.get('predicateType')!r}"
        )
    return subject, statement


def _stage_object(statement: Statement) -> dict[str, Any]:
    return {
        "app": statement.app,
        "stage": statement.stage,
        "environment": statement.environment,
        "result": statement.result,
        "plan": statement.plan,
        "run": statement.run,
        "startedOn": _text(statement.started),
        "finishedOn": _text(statement.finished),
        "inputs": dict(statement.inputs),
        "metrics": dict(statement.metrics),
    }


def _statement(predicate: Mapping[str, Any]) -> Statement:
    stage = predicate[STAGE_KEY]
    if stage["result"] not in RESULTS:
        raise NotEvidence(f"has the result {stage['result']!r}")
    words = {name: _string(stage, name) for name in ("app", "stage", "environment", "result", "plan", "run")}
    return Statement(
        **words,
        started=_time(stage["startedOn"]),
        finished=_time(stage["finishedOn"]),
        inputs={str(name): str(value) for name, value in stage["inputs"].items()},
        metrics=dict(stage["metrics"]),
        facts=dict(predicate.get("facts", {})),
        reasons=tuple(Reason(reason["text"], reason["remedy"]) for reason in predicate.get("reasons", ())),
    )


def _string(stage: Mapping[str, Any], name: str) -> str:
    value = stage[name]
    if not isinstance(value, str):
        raise NotEvidence(f"has {name} = {value!r}")
    return value


def _only(items: Any) -> Any:
    if not isinstance(items, list) or len(items) != 1:
        raise NotEvidence("does not have exactly one subject")
    return items[0]


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise NotEvidence(f"has a time without zone: {text!r}")
    return time
