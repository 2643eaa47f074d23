"""Candidate and baseline compared at one look: by quantile, by error share, by endpoint and in all.

1. All requests together, each held against what is usual for its endpoint, decide whether the candidate passes.
2. An endpoint can fail it, at a confidence corrected for how many endpoints there are. One that is undecided says so
   and holds up nothing.
3. When more than 40 % of the blocks were disturbed there is no result. Errors are counted in every block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.model.error_increase import Counts, error_increase, summed
from pipeline.model.findings import (
    ERRORS,
    ErrorFinding,
    Finding,
    Measured,
    RatioFinding,
    Subject,
    judge_errors,
    judge_ratio,
)
from pipeline.model.histogram import Histogram
from pipeline.model.load import QUANTILES
from pipeline.model.quantile_ratio import PairedLatencies, merged
from pipeline.model.relative_rules import ALL, MOST_DISTURBED, RelativeRules
from pipeline.model.sides import Block, Tally
from pipeline.model.steady_blocks import Steadied, steady
from pipeline.model.verdict import Outcome, Reason


@dataclass(frozen=True, slots=True)
class Row:
    """All requests, or one endpoint: a finding for every quantile that is judged, and one for the errors."""

    name: str
    ratios: tuple[RatioFinding, ...]
    errors: ErrorFinding

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them; the errors come last."""
        return (*(ratio.finding for ratio in self.ratios), self.errors.finding)

    @property
    def outcome(self) -> Outcome:
        """REFUSED when one finding is, PASSED when all are."""
        return self.weightiest.outcome

    @property
    def weightiest(self) -> Finding:
        """The finding that decides the row."""
        return weightiest(self.findings)

    @property
    def reason(self) -> Reason:
        """The one sentence that says most."""
        decides = self.weightiest
        return Reason(self._summary) if decides.outcome is Outcome.PASSED else decides.reason

    @property
    def _summary(self) -> str:
        ratios = [f"{r.finding.subject.what} {r.ratio.point:.2f} ×" for r in self.ratios if r.ratio]
        increase = self.errors.increase
        counts = f"{increase.candidate.requests:,} and {increase.baseline.requests:,} requests"
        errors = f"{increase.difference * 100:+.2f} percentage points of errors"
        return f"against production {', '.join(ratios)}, {errors}, in {counts}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `blocks` blocks say; `used` of them hold requests and were not disturbed, `dropped` were."""

    total: Row
    endpoints: tuple[Row, ...]
    blocks: int
    used: int
    dropped: int
    confidence: float
    endpoint_confidence: float

    @property
    def rows(self) -> tuple[Row, ...]:
        """All requests first, then the endpoints by name."""
        return (self.total, *self.endpoints)

    @property
    def disturbed(self) -> bool:
        """Whether too many blocks were disturbed for the rest to say anything."""
        return self.dropped > MOST_DISTURBED * (self.used + self.dropped)

    @property
    def refused(self) -> tuple[Finding, ...]:
        """Everything that speaks against the candidate."""
        found = [finding for row in self.rows for finding in row.findings]
        return () if self.disturbed else tuple(f for f in found if f.outcome is Outcome.REFUSED)

    @property
    def outcome(self) -> Outcome:
        """What this look says by itself: REFUSED still has to be seen twice, unless the finding is sure."""
        if self.disturbed:
            return Outcome.UNDECIDED
        return Outcome.REFUSED if self.refused else self.total.outcome

    @property
    def reason(self) -> Reason:
        """The one sentence that says most."""
        if self.disturbed:
            share = self.dropped / (self.used + self.dropped)
            return Reason(
                f"the machine was disturbed in {share:.0%} of the half seconds, more than {MOST_DISTURBED:.0%} says "
                "nothing",
                "run again when less else is running on the machine",
            )
        if self.refused:
            return self.refused[0].reason
        return self.total.reason


def compare(blocks: Sequence[Block], rules: RelativeRules) -> Comparison:
    """Compares both sides in these blocks. Without requests every row is undecided; nothing is raised."""
    steadied = steady(blocks)
    parts = _parts(blocks, steadied)
    corrected = 1 - (1 - rules.confidence) / max(1, len(parts))
    total = _row(_together(steadied, parts, len(blocks)), rules, rules.confidence)
    endpoints = tuple(_row(part, rules, corrected) for part in parts)
    used, dropped = steadied.used, steadied.dropped
    return Comparison(total, endpoints, len(blocks), used, dropped, rules.confidence, corrected)


def compare_together(blocks: Sequence[Block], rules: RelativeRules) -> Row:
    """What `compare` says of all requests together, for a third of the time it takes: to be shown while waiting."""
    steadied = steady(blocks)
    return _row(_together(steadied, _parts(blocks, steadied), len(blocks)), rules, rules.confidence)


def weightiest(findings: Sequence[Finding]) -> Finding:
    """The first one refused; without one the first one undecided; without one the first."""
    return min(findings, key=lambda finding: _WEIGHT.index(finding.outcome))


_WEIGHT = (Outcome.REFUSED, Outcome.UNDECIDED, Outcome.PASSED)
_NOTHING = Tally()


@dataclass(frozen=True, slots=True)
class _Part:
    """What a row is made of: latencies in the blocks that are used, and counts and latencies of each side in all."""

    name: str
    latencies: PairedLatencies
    counts: tuple[Sequence[Counts], Sequence[Counts]]
    whole: tuple[Histogram, Histogram]


def _parts(blocks: Sequence[Block], steadied: Steadied) -> Sequence[_Part]:
    """Every endpoint's, by name."""
    names = sorted({name for block in blocks for side in (block.candidate, block.baseline) for name in side})
    return [_part(name, blocks, steadied.endpoints.get(name, PairedLatencies(()))) for name in names]


def _part(name: str, blocks: Sequence[Block], latencies: PairedLatencies) -> _Part:
    mine = [block.candidate.get(name, _NOTHING) for block in blocks]
    theirs = [block.baseline.get(name, _NOTHING) for block in blocks]
    return _Part(name, latencies, (_counts(mine), _counts(theirs)), (_latencies(mine), _latencies(theirs)))


def _together(steadied: Steadied, parts: Sequence[_Part], blocks: int) -> _Part:
    mine, theirs = (summed([part.counts[side] for part in parts], blocks) for side in (0, 1))
    whole = [Histogram(merged(part.whole[side].bins for part in parts)) for side in (0, 1)]
    return _Part(ALL, steadied.total, (mine, theirs), (whole[0], whole[1]))


def _counts(tallies: Sequence[Tally]) -> Sequence[Counts]:
    return [(tally.requests, tally.failures) for tally in tallies]


def _latencies(tallies: Sequence[Tally]) -> Histogram:
    return Histogram(merged(tally.histogram.bins for tally in tallies))


def _row(part: _Part, rules: RelativeRules, confidence: float) -> Row:
    samples = min(part.latencies.counts)
    ratios = []
    for label in rules.percentiles:
        share = QUANTILES[label]
        mine, theirs = (whole.quantile(share) or 0.0 for whole in part.whole)
        measured = Measured(part.latencies.ratio(share, confidence), samples, mine, theirs)
        ratios.append(judge_ratio(Subject(part.name, label, share), measured, rules, confidence))
    increase = error_increase(*part.counts, confidence)
    errors = judge_errors(Subject(part.name, ERRORS), increase, rules, confidence)
    return Row(part.name, tuple(ratios), errors)
