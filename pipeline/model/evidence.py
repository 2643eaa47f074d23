"""What a stage leaves behind: a statement about one digest (in-toto Statement v1), and the stored form of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.model.digest import Digest
from pipeline.model.verdict import Reason

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

PREDICATE_TYPES: Mapping[str, str] = {
    "build": "https://slsa.dev/provenance/v1",
    "integration": "https://in-toto.io/attestation/test-result/v0.1",
    "staging": "https://in-toto.io/attestation/test-result/v0.1",
    "prod": "urn:onedigest:predicate:deployment:v1",
    "rollback": "urn:onedigest:predicate:deployment:v1",
    "approval": "urn:onedigest:predicate:approval:v1",
    "quarantine": "urn:onedigest:predicate:quarantine:v1",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One stage's run for one digest: the `onedigest_stage` object of every predicate, and the facts beside it.

    `result` is PASSED, FAILED or UNDECIDED. `plan` and the values of `inputs` are `sha256:…` strings; `inputs` maps a
    predecessor stage to the evidence it was admitted on. Times are aware and in UTC. `facts` holds JSON values.
    """

    app: str
    stage: str
    environment: str
    result: str
    plan: str
    run: str
    started: datetime
    finished: datetime
    inputs: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """A statement as it was found in a store: about which digest, and under which `sha256:…` it is kept.

    `signer` is the id of the key that verified it, empty where the store keeps nothing signed. `payload` is the
    `sha256:…` of the bytes that were signed: whoever may write to the store can wrap the same signed statement in other
    bytes, and so give it another `id`; another `payload` needs the key.
    """

    subject: Digest
    id: str
    statement: Statement
    signer: str = ""
    payload: str = ""


@dataclass(frozen=True, slots=True)
class Ignored:
    """Something that was found and does not count, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Collected:
    """All that a store holds about one digest.

    `witnessed` is what this machine recorded itself. It proves nothing, and may say no to what the others say.
    `services` is, of a release of several services, what is held about the image of each, by service; None where the
    registry does not have the digest, so that nobody knows which images are in it.
    """

    accepted: Sequence[Evidence] = ()
    ignored: Sequence[Ignored] = ()
    witnessed: Sequence[Evidence] = ()
    services: Mapping[str, ServiceImage] | None = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceImage:
    """The image of one service in a release, and what is held about it."""

    digest: Digest
    collected: Collected
