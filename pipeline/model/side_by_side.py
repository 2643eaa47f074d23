"""The load gate's verdict on a candidate that was loaded side by side with what production runs.

1. The look that stands decides (`pipeline.model.looks`).
2. Nothing passes when a side was not asked, when one side sent its users to the other, when users never got their last
   answer, when one side answered less than half of what the other did, when an endpoint that production answers often
   was hardly asked of the candidate, or when the load generator may have been the bottleneck: undecided.
3. When production's own error share is surely above what is tolerated, its latencies are no measure: only errors
   that increased still refuse, everything else is undecided.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.model.alone import untried
from pipeline.model.findings import ERRORS
from pipeline.model.limits import show
from pipeline.model.load import GeneratorLimits, starved
from pipeline.model.looks import Look, Looks
from pipeline.model.relative_rules import FEWEST_OF_ENDPOINT, RelativeRules
from pipeline.model.sides import PairSummary
from pipeline.model.verdict import Outcome, Reason, Verdict, combine

FEWEST_AGAINST_OTHER = 0.5
"""Users ask both sides equally: a side with less than this share of the other's answers keeps its users waiting."""

FEWEST_OF_ENDPOINT_AGAINST_OTHER = 0.1
"""The same of one endpoint: users of the candidate with less than this share never got as far as there."""

_TOLD = 10
_GATE = "load"
_ANSWERS = "look at the application's log for what it waits for, and at Locust's log in the run's folder"


def conclude(looks: Looks, summary: PairSummary, generator: GeneratorLimits) -> Verdict:
    """The verdict once the load is over, by the rules at the top of this file; every reason is given.

    Takes a last look where none has decided yet.
    """
    seconds = min(summary.candidate.seconds, summary.baseline.seconds)
    look = looks.close(summary.blocks, seconds)
    often = next(iter(summary.baseline.errors), "")
    standing = _too_short(seconds, looks.rules) if look is None else _standing(look, looks.rules, often)
    idle = [Verdict(_GATE, Outcome.PASSED, (reason,)) for reason in untried(summary.candidate)]
    found = [standing, *_unsound(summary), *starved(summary.generator, generator), *idle]
    outcome = combine(found)
    telling = [verdict for verdict in found if outcome is Outcome.PASSED or not verdict.passed]
    return Verdict(_GATE, outcome, tuple(reason for verdict in telling for reason in verdict.reasons))


def _too_short(seconds: float, rules: RelativeRules) -> Verdict:
    return _undecided(
        f"{seconds:.1f} s were measured, {rules.min_duration:.0f} s are needed",
        "look in Locust's log, in the run's folder, for why the load ended early",
    )


def _standing(look: Look, rules: RelativeRules, often: str) -> Verdict:
    """What the look that stands says, with regard to whether the baseline is a measure at all.

    `often` is the commonest failure of the baseline.
    """
    theirs = look.comparison.total.errors.increase.baseline
    if theirs.requests == 0 or theirs.low <= rules.exclude_errors:
        if look.outcome is Outcome.PASSED and (missing := tuple(_not_reached(look))):
            return Verdict(_GATE, Outcome.UNDECIDED, missing)
        return Verdict(_GATE, look.outcome, (*look.reasons, *_unjudged(look)))
    errors = tuple(found.reason for found in look.confirmed if found.subject.what == ERRORS)
    if errors:
        return Verdict(_GATE, Outcome.REFUSED, errors)
    share = show("error_rate", theirs.share)
    return _undecided(
        f"production itself is ill: {share} of its requests failed ({theirs.failures:,} of {theirs.requests:,})"
        + (f", most often: {often}" if often else ""),
        "mend production, or the locustfile where the failure is its own, and run again; `diagnose` says what "
        "production's tasks report",
    )


def _not_reached(look: Look) -> Iterator[Reason]:
    """Endpoints that production answered often, and that the candidate's users did not get to."""
    for row in look.comparison.endpoints:
        asked, theirs = row.errors.increase.candidate.requests, row.errors.increase.baseline
        answered = theirs.requests - theirs.failures
        if answered >= FEWEST_OF_ENDPOINT and asked < FEWEST_OF_ENDPOINT_AGAINST_OTHER * answered:
            yield Reason(
                f"{row.name} was asked {asked:,} times of the candidate, of production {theirs.requests:,} times, by "
                "as many users",
                "see in the locustfile what leads there, and what the candidate answers before it; a whole journey "
                "must fit into load.min_duration",
            )


def _unjudged(look: Look) -> Iterator[Reason]:
    """Endpoints of which nothing can be said by themselves; they hold up nothing, and nobody should think them fine."""
    few = [
        f"{row.name} ({min(row.errors.increase.candidate.requests, row.errors.increase.baseline.requests):,})"
        for row in look.comparison.endpoints
        if all(ratio.ratio is None or ratio.samples < ratio.finding.subject.fewest for ratio in row.ratios)
    ]
    if few:
        more = f" and {len(few) - _TOLD:,} more" if len(few) > _TOLD else ""
        remedy = "group names with an id in each by name= in the locustfile" if more else ""
        yield Reason(f"too few requests to judge by themselves: {', '.join(few[:_TOLD])}{more}", remedy)


def _unsound(summary: PairSummary) -> Iterator[Verdict]:
    sides = (("the candidate", summary.candidate), ("production", summary.baseline))
    for name, side in sides:
        if side.total.requests <= 0:
            yield _undecided(f"not one request to {name} was measured", _ANSWERS)
        if side.crossed > 0:
            other = sides[1][0] if side is summary.candidate else sides[0][0]
            yield _undecided(
                f"{side.crossed:,} requests to {name} were redirected, or sent, to {other}",
                "let the application redirect by paths or to the host that was asked, and the locustfile ask paths",
            )
        if side.unfinished > 0:
            yield _undecided(
                f"{side.unfinished} users were still waiting for an answer of {name} when the load test had ended",
                "look in the application's log for requests that hang; tasks should wait by wait_time, not by sleeping",
            )
    asked = sorted(sides, key=lambda side: side[1].total.requests)
    (few, fewer), (_, more) = ((name, side.total.requests) for name, side in asked)
    if 0 < fewer < FEWEST_AGAINST_OTHER * more:
        yield _undecided(
            f"{few} answered {fewer:,} requests, the other side {more:,} from as many users: it keeps them waiting",
            _ANSWERS,
        )


def _undecided(text: str, remedy: str) -> Verdict:
    return Verdict(_GATE, Outcome.UNDECIDED, (Reason(text, remedy),))
