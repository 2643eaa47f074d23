"""Evidence kept in memory, and statements to keep."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import Collected, Evidence, Statement
from pipeline.model.policy import OWN_KEY, SIGNED, Trust
from pipeline.model.statement import encode

IMAGE = ImageRef("localhost:5000/shop", Digest("sha256:" + "a" * 64))
KEY = "SHA256:" + "K" * 43
TRUST = (Trust(OWN_KEY, KEY, frozenset(SIGNED)),)
_NOON = datetime(2026, 1, 1, tzinfo=UTC)


def statement_of(stage: str, **changes: object) -> Statement:
    """A PASSED statement of app `shop`, with the changes."""
    plain = Statement("shop", stage, "", "PASSED", "sha256:plan", "run-1", _NOON, _NOON)
    return replace(plain, **changes)  # type: ignore[arg-type]


class MemoryEvidenceStore:
    """`pipeline.ports.EvidenceStore` without a disk, signed by KEY. `broken` and `unreadable`, when set, are raised.

    The first by `attach`, the other by `collect`.
    """

    def __init__(self) -> None:
        self._kept: dict[Digest, list[Evidence]] = {}
        self.broken: Exception | None = None
        self.unreadable: Exception | None = None

    def attach(self, subject: ImageRef, statement: Statement) -> str:
        if self.broken:
            raise self.broken
        name = "sha256:" + hashlib.sha256(encode(subject, statement)).hexdigest()
        kept = self._kept.setdefault(subject.digest, [])
        if all(evidence.id != name for evidence in kept):
            kept.append(Evidence(subject.digest, name, statement, KEY, name))
        return name

    def collect(self, subject: ImageRef) -> Collected:
        if self.unreadable:
            raise self.unreadable
        return Collected(tuple(self._kept.get(subject.digest, ())))

    def subjects(self) -> Sequence[Digest]:
        return tuple(reversed(self._kept))


class MemoryBuildIndex:
    """`pipeline.ports.BuildIndex` without a disk."""

    def __init__(self) -> None:
        self.kept: dict[str, ImageRef] = {}

    def find(self, plan_hash: str) -> ImageRef | None:
        return self.kept.get(plan_hash)

    def remember(self, plan_hash: str, image: ImageRef) -> None:
        self.kept[plan_hash] = image
