"""The order of releases: a lease keeps two from happening at once, it does not keep the older from coming last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from pipeline.model.digest import Digest
from pipeline.model.policy import Override
from pipeline.model.verdict import Outcome, Reason, Verdict


class Ancestry(Enum):
    """How a commit stands to another one: before it in history, after it, the same, on another line, or not known."""

    BEFORE = "before"
    AFTER = "after"
    SAME = "same"
    APART = "apart"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an image comes from: `commit` 40 hex digits or empty, `built` aware or None where it is not on record."""

    digest: Digest | None
    commit: str = ""
    built: datetime | None = None

    @property
    def words(self) -> str:
        """The image as people tell it apart."""
        parts = [self.digest.short if self.digest else "the image"]
        parts += [f"commit {self.commit[:12]}"] if self.commit else []
        parts += [f"built {self.built:%Y-%m-%d %H:%M:%S} UTC"] if self.built else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Order:
    """The verdict on an order, and what of it belongs on record (JSON values)."""

    verdict: Verdict
    facts: Mapping[str, Any]


def judge_order(
    environment: str,
    candidate: Origin,
    running: Sequence[tuple[Origin, Ancestry]],
    override: Override | None = None,
) -> Order:
    """Whether `candidate` may replace what is `running`: refused when any of that is newer.

    The ancestry is the candidate's commit's to the running one's. Git decides where it knows; for one commit, for lines
    of history apart and where git knows nothing, the build times do. Where these are not on record either, nothing
    speaks against the candidate, and the record says that the order is not known. `override` lets the older one in.
    """
    older = [origin for origin, ancestry in running if _is_older(candidate, origin, ancestry)]
    known = all(_is_known(candidate, origin, ancestry) for origin, ancestry in running)
    facts: dict[str, Any] = {
        "candidate": candidate.words,
        "replaces": [origin.words for origin, _ in running],
        "order": "older" if older else "newer or the same" if known else "not known",
    }
    if not older:
        return Order(Verdict(environment, Outcome.PASSED), facts)
    if override:
        facts["override"] = {"reason": override.reason, "by": override.by}
        return Order(Verdict(environment, Outcome.PASSED), facts)
    text = f"{environment} runs something newer ({older[0].words}) than {candidate.words}"
    remedy = (
        f"promote the newer one, or go back on purpose: python -m pipeline rollback {environment}; "
        "promote … --allow-older --reason TEXT does it by name"
    )
    return Order(Verdict(environment, Outcome.REFUSED, (Reason(text, remedy),)), facts)


def _is_older(candidate: Origin, running: Origin, ancestry: Ancestry) -> bool:
    if candidate.digest is not None and candidate.digest == running.digest:
        return False
    if ancestry in (Ancestry.BEFORE, Ancestry.AFTER):
        return ancestry is Ancestry.BEFORE
    return bool(candidate.built and running.built and candidate.built < running.built)


def _is_known(candidate: Origin, running: Origin, ancestry: Ancestry) -> bool:
    same = candidate.digest is not None and candidate.digest == running.digest
    return same or ancestry in (Ancestry.BEFORE, Ancestry.AFTER) or bool(candidate.built and running.built)
