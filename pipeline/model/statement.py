"""Statements as JSON: in-toto Statement v1 (https://github.com/in-toto/attestation, spec/v1/statement.md) and back.

What the predicate type asks for is there for others to read. What we judge by is the one object `onedigest_stage`, the
same in every predicate, with `onedigest_facts` and `onedigest_reasons` beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import PREDICATE_TYPES, STATEMENT_TYPE, Statement
from pipeline.model.predicate import body_of, time_text, verdict_of
from pipeline.model.verdict import Reason

STAGE_KEY = "onedigest_stage"
FACTS_KEY = "onedigest_facts"
REASONS_KEY = "onedigest_reasons"
RESULTS = ("PASSED", "FAILED", "UNDECIDED")

_WORDS = ("app", "stage", "environment", "result", "plan", "run")
_KEYS = frozenset({*_WORDS, "startedOn", "finishedOn", "inputs", "metrics"})


class NotEvidence(ValueError):
    """The bytes are no statement of ours; the text says why."""


def encode(subject: ImageRef, statement: Statement) -> bytes:
    """Canonical JSON: sorted keys, no white space, UTF-8. Raises ValueError for a number that is not finite."""
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": subject.repository, "digest": {"sha256": subject.digest.hex}}],
        "predicateType": PREDICATE_TYPES[statement.stage],
        "predicate": {
            **body_of(statement),
            STAGE_KEY: _stage_object(statement),
            FACTS_KEY: statement.facts,
            REASONS_KEY: [{"text": reason.text, "remedy": reason.remedy} for reason in statement.reasons],
        },
    }
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    ).encode()


def decode(payload: bytes) -> tuple[Digest, Statement]:
    """The subject's digest and the statement. Raises NotEvidence for everything that is not exactly of our form."""
    document = read_json(payload)
    try:
        if document.get("_type") != STATEMENT_TYPE:
            raise NotEvidence(f"has the type {document.get('_type')!r}")
        if set(document) != {"_type", "subject", "predicateType", "predicate"}:
            raise NotEvidence(f"has other fields than a statement: {', '.join(sorted(document))}")
        subject = Digest("sha256:" + _only(document["subject"])["digest"]["sha256"])
        return subject, _statement(document["predicateType"], document["predicate"])
    except NotEvidence:
        raise
    except Exception as error:  # whatever a stranger's bytes do to the parser, they are not evidence
        raise NotEvidence(f"is no statement of ours: {error!r}") from error


def read_json(data: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8. Raises NotEvidence for anything else, for a key given twice, and for NaN and infinities.

    Parsers disagree on which of two equal keys counts; a text that two readers may read differently is no evidence.
    """
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_not_finite)
    except (ValueError, RecursionError) as error:
        if isinstance(error, NotEvidence):
            raise
        raise NotEvidence(f"is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise NotEvidence("is no JSON object")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotEvidence("gives a key twice")
    return found


def _not_finite(constant: str) -> Any:
    raise NotEvidence(f"holds {constant}, which is no JSON")


def _stage_object(statement: Statement) -> dict[str, Any]:
    return {
        "app": statement.app,
        "stage": statement.stage,
        "environment": statement.environment,
        "result": statement.result,
        "plan": statement.plan,
        "run": statement.run,
        "startedOn": time_text(statement.started),
        "finishedOn": time_text(statement.finished),
        "inputs": dict(statement.inputs),
        "metrics": dict(statement.metrics),
    }


def _statement(predicate_type: Any, predicate: Any) -> Statement:
    if not isinstance(predicate, dict) or STAGE_KEY not in predicate:
        raise NotEvidence(f"is no statement of ours: {predicate_type!r} without {STAGE_KEY}")
    statement = _read(predicate[STAGE_KEY], predicate)
    if predicate_type != PREDICATE_TYPES.get(statement.stage):
        raise NotEvidence(f"is of stage {statement.stage!r} under predicate type {predicate_type!r}")
    said = verdict_of(statement)
    if said is not None and predicate.get("result") != said:
        raise NotEvidence(f"says {predicate.get('result')!r} to others and {statement.result!r} to us")
    return statement


def _read(stage: Mapping[str, Any], predicate: Mapping[str, Any]) -> Statement:
    if set(stage) != _KEYS:
        raise NotEvidence(f"has other fields than ours: {', '.join(sorted(set(stage) ^ _KEYS))}")
    if stage["result"] not in RESULTS:
        raise NotEvidence(f"has the result {stage['result']!r}")
    inputs = _object(stage, "inputs")
    return Statement(
        **{name: _string(stage, name) for name in _WORDS},
        started=_time(stage["startedOn"]),
        finished=_time(stage["finishedOn"]),
        inputs={name: _string(inputs, name) for name in inputs},
        metrics=_object(stage, "metrics"),
        facts=_object(predicate, FACTS_KEY),
        reasons=tuple(
            Reason(_string(reason, "text"), _string(reason, "remedy")) for reason in predicate[REASONS_KEY]
        ),
    )


def _string(fields: Mapping[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise NotEvidence(f"has {name} = {value!r}")
    return value


def _object(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = fields[name]
    if not isinstance(value, dict):
        raise NotEvidence(f"has {name} = {value!r}")
    return value


def _only(items: Any) -> Any:
    if not isinstance(items, list) or len(items) != 1:
        raise NotEvidence("does not have exactly one subject")
    return items[0]


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise NotEvidence(f"has a time without zone: {text!r}")
    return time.astimezone(UTC)
