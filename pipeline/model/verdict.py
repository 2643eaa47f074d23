"""A gate's answer: passed, refused or undecided, with reasons that name the next step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """PASSED opens the next stage; REFUSED and UNDECIDED do not."""

    PASSED = "passed"
    REFUSED = "refused"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that spoke for or against, and what mends it (empty where nothing needs mending)."""

    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `gate` says: the outcome and every reason for it."""

    gate: str
    outcome: Outcome
    reasons: tuple[Reason, ...] = ()

    @property
    def passed(self) -> bool:
        """True for PASSED alone."""
        return self.outcome is Outcome.PASSED


_STRICTNESS = (Outcome.PASSED, Outcome.UNDECIDED, Outcome.REFUSED)


def combine(verdicts: Iterable[Verdict]) -> Outcome:
    """The strictest outcome; combining nothing is UNDECIDED, because absence proves nothing."""
    outcomes = [verdict.outcome for verdict in verdicts]
    if not outcomes:
        return Outcome.UNDECIDED
    return max(outcomes, key=_STRICTNESS.index)
