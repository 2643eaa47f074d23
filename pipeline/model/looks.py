"""When to look at a load on two sides, what every look says, and what they say together.

1. Looks are taken at `min_duration`, then every `every` seconds, up to `max_duration`.
2. A look refuses when a finding against the candidate is sure, or stood in the look before as well.
3. It passes when nothing speaks against the candidate and all requests together pass.
4. Otherwise the load goes on; after `max_duration` it stays undecided.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.model.comparison import Comparison, compare
from pipeline.model.findings import Finding, Subject
from pipeline.model.relative_rules import RelativeRules
from pipeline.model.shortfall import Shortfall
from pipeline.model.sides import Block
from pipeline.model.verdict import Outcome, Reason

_EARLY = 0.5
"""Looks that are closer than this share of `every` are no two looks."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look, `at` seconds of measuring: what was seen, and what it means after the looks before it.

    `confirmed` is what refuses the candidate: findings that are sure, or were seen at the look before as well.
    """

    at: float
    comparison: Comparison
    outcome: Outcome
    reasons: tuple[Reason, ...]
    confirmed: tuple[Finding, ...] = ()
    until: int = -1
    """The index of the last block that was looked at; -1 without one."""

    @property
    def reason(self) -> Reason:
        """The one that says most."""
        return self.reasons[0]


class Looks:
    """The looks at one load. `look` can be given as `pipeline.model.sides.Enough`."""

    def __init__(self, rules: RelativeRules) -> None:
        self._rules = rules
        self._taken: list[Look] = []

    @classmethod
    def replay(
        cls, rules: RelativeRules, blocks: Sequence[Block], marks: Iterable[tuple[float, int]]
    ) -> Looks:
        """Takes looks again at recorded (seconds, number of blocks): the blocks and rules being the same, so is what
        they say.
        """
        looks = cls(rules)
        for at, count in marks:
            looks.take(blocks[:count], at)
        return looks

    def settled(self, blocks: Sequence[Block]) -> Looks:
        """The same looks at the blocks as they are in the end.

        Answers that came when nobody waited for them any more are among them: the slowest of all, which no look saw
        while the load ran.
        """
        looks = Looks(self._rules)
        for look in self._taken:
            looks.take([block for block in blocks if block.index <= look.until], look.at)
        return looks

    @property
    def rules(self) -> RelativeRules:
        """What is judged by."""
        return self._rules

    @property
    def taken(self) -> Sequence[Look]:
        """All looks so far, in order."""
        return tuple(self._taken)

    @property
    def last(self) -> Look | None:
        """The look that stands; None before the first."""
        return self._taken[-1] if self._taken else None

    @property
    def decided(self) -> bool:
        """Whether a look has passed or refused the candidate."""
        return self.last is not None and self.last.outcome is not Outcome.UNDECIDED

    def look(self, blocks: Sequence[Block], seconds: float) -> bool:
        """Looks if it is time to. True when it is decided, or the time is up.

        `blocks` are the whole blocks since measuring began, `seconds` ago. What changes in a block afterwards is seen
        by the next look, and by `settled`.
        """
        if not self.decided and seconds >= self._due:
            self.take(blocks, seconds)
        return self.decided or seconds >= self._rules.max_duration

    def close(self, blocks: Sequence[Block], seconds: float) -> Look | None:
        """The look that stands at the end of the load: where none has decided, a last one is taken now.

        None when less than `min_duration` was measured.
        """
        later = self.last is None or seconds > self.last.at
        if not self.decided and later and seconds >= self._rules.min_duration:
            self.take(blocks, seconds)
        return self.last

    def take(self, blocks: Sequence[Block], seconds: float) -> Look:
        """Looks now, whether it is time to or not."""
        comparison = compare(blocks, self._rules)
        before = self._seen_before(seconds)
        confirmed = tuple(found for found in comparison.refused if found.sure or found.subject in before)
        until = blocks[-1].index if blocks else -1
        meaning = _meaning(comparison, confirmed, self._short(comparison, seconds))
        look = Look(seconds, comparison, *meaning, confirmed, until)
        self._taken.append(look)
        return look

    @property
    def warnings(self) -> Sequence[str]:
        """What of all requests will probably stay undecided, as far as the look that stands can tell."""
        if self.last is None or self.decided:
            return ()
        short = self._short(self.last.comparison, self.last.at)
        return tuple(one.warning for one in short if one.beyond)

    def _short(self, comparison: Comparison, seconds: float) -> Sequence[Shortfall]:
        return [
            Shortfall(found, seconds, self._rules.max_duration)
            for found in comparison.total.ratios
            if found.finding.outcome is Outcome.UNDECIDED
        ]

    @property
    def _due(self) -> float:
        first, every = self._rules.min_duration, self._rules.every
        if self.last is None:
            return first
        passed = math.floor((self.last.at - first) / every + 1e-9)
        return min(first + every * (passed + 1), self._rules.max_duration)

    def _seen_before(self, seconds: float) -> set[Subject]:
        """What spoke against the candidate at the look before, if that was long enough ago to count as another."""
        if self.last is None or seconds - self.last.at < _EARLY * self._rules.every:
            return set()
        return {found.subject for found in self.last.comparison.refused}


def _meaning(
    comparison: Comparison, confirmed: Sequence[Finding], short: Sequence[Shortfall]
) -> tuple[Outcome, tuple[Reason, ...]]:
    if confirmed:
        return Outcome.REFUSED, tuple(found.reason for found in confirmed)
    if comparison.refused:
        return Outcome.UNDECIDED, tuple(_once(found) for found in comparison.refused)
    if comparison.outcome is Outcome.UNDECIDED and not comparison.disturbed:
        errors = comparison.total.errors.finding
        open_errors = (errors.reason,) if errors.outcome is Outcome.UNDECIDED else ()
        return Outcome.UNDECIDED, (*(one.reason for one in short), *open_errors)
    return comparison.outcome, (comparison.reason,)


def _once(found: Finding) -> Reason:
    remedy = f"run again: it refuses when two looks running say so. {found.reason.remedy}"
    return Reason(f"{found.reason.text}; only the last look says so", remedy)
