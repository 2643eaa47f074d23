"""What each predicate type's own specification asks for, out of a statement: for readers who do not know us.

SLSA: https://slsa.dev/spec/v1.0/provenance. Test results: in-toto/attestation, spec/predicates/test-result.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pipeline.model.evidence import Statement

BUILD_TYPE = "urn:onedigest:build:dockerfile:v1"
BUILDER = "urn:onedigest:builder:v1"

_TEST_STAGES = ("integration", "staging")
_SHA256 = "sha256:"


def body_of(statement: Statement) -> dict[str, Any]:
    """The fields that the stage's predicate type requires; none for our own types, which hold our objects alone."""
    makers: Mapping[str, Callable[[Statement], dict[str, Any]]] = {
        "build": _provenance,
        "integration": _test_result,
        "staging": _test_result,
    }
    maker = makers.get(statement.stage)
    return maker(statement) if maker else {}


def verdict_of(statement: Statement) -> str | None:
    """The test-result type's `result` for a statement; None where the type has none.

    The type knows no "undecided". Who reads nothing but this field must not take such a run for a pass: FAILED.
    """
    if statement.stage not in _TEST_STAGES:
        return None
    return "PASSED" if statement.result == "PASSED" else "FAILED"


def time_text(time: datetime) -> str:
    """RFC 3339 in UTC, to the microsecond."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _provenance(statement: Statement) -> dict[str, Any]:
    facts = statement.facts
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "app": statement.app,
                "args": facts.get("args", {}),
                "platform": facts.get("platform", ""),
                "source": facts.get("source", ""),
            },
            "internalParameters": {},
            "resolvedDependencies": [*_commit(facts), *_base_images(facts)],
        },
        "runDetails": {
            "builder": {"id": BUILDER},
            "metadata": {
                "invocationId": statement.run,
                "startedOn": time_text(statement.started),
                "finishedOn": time_text(statement.finished),
            },
        },
    }


def _commit(facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The commit; a work tree that was not what the commit says is marked."""
    commit = facts.get("commit")
    if not commit:
        return
    found: dict[str, Any] = {"name": "source", "digest": {"gitCommit": commit}}
    if facts.get("source"):
        found["uri"] = f"git+{facts['source']}"
    if facts.get("dirty"):
        found["annotations"] = {"dirty": True}
    yield found


def _base_images(facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """From the facts' `base_images`, a mapping of reference to `sha256:…`."""
    for reference, digest in sorted(dict(facts.get("base_images") or {}).items()):
        yield {"name": reference, "digest": {"sha256": str(digest).removeprefix(_SHA256)}}


def _test_result(statement: Statement) -> dict[str, Any]:
    facts = statement.facts
    plan = {"name": "plan", "digest": {"sha256": statement.plan.removeprefix(_SHA256)}}
    return {
        "result": verdict_of(statement),
        "configuration": [plan],
        "passedTests": [str(name) for name in facts.get("passed_tests", ())],
        "warnedTests": [],
        "failedTests": [str(failure["name"]) for failure in facts.get("failures", ())],
    }
