"""The candidate alone, against absolute limits: as `judge_load` has it, with what it answered beside the baseline.

A limit on `requests` is about all of the candidate's measured requests, those beside the baseline and those alone.
Every other absolute limit, the error share too, is about the part in which the candidate had all users by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from pipeline.model.limits import Limit, breaches, split_metric
from pipeline.model.load import GeneratorLimits, LoadLimits, LoadSummary, judge_load, metrics_of
from pipeline.model.verdict import Outcome, Reason, Verdict, combine

RELATIVE = ("p50_ratio", "p95_ratio", "p99_ratio", "error_increase")
"""How the names begin of metrics that there are only where there was a baseline."""

_GATE = "load"
_ANY = Limit(min=1)


def judge_alone(
    alone: LoadSummary, beside: LoadSummary | None, limits: LoadLimits, generator: GeneratorLimits
) -> Verdict:
    """Holds the candidate against its absolute limits; `beside` is what it answered beside the baseline."""
    absolute = _absolute(limits)
    if beside is None:
        verdict = judge_load(alone, absolute, generator)
        return replace(verdict, reasons=(*verdict.reasons, *untried(alone))) if verdict.passed else verdict
    counted = {name: limit for name, limit in absolute.flat.items() if split_metric(name)[0] == "requests"}
    few = [
        Verdict(_GATE, Outcome.UNDECIDED, (breach.reason,))
        for breach in breaches(candidate_metrics(alone, beside), counted)
    ]
    return strictest([judge_load(alone, _counted_elsewhere(absolute), generator), *few])


def candidate_metrics(alone: LoadSummary, beside: LoadSummary | None) -> dict[str, float]:
    """`metrics_of` the candidate alone, with `requests` of both phases, in all and by endpoint."""
    metrics = metrics_of(alone)
    for name, value in (metrics_of(beside) if beside else {}).items():
        if split_metric(name)[0] == "requests":
            metrics[name] = metrics.get(name, 0.0) + value
    return metrics


def judge_relative_limits(metrics: Mapping[str, float], limits: LoadLimits, why: str) -> Verdict | None:
    """Holds limits such as that of `p95_ratio` against what was measured; None where there are none.

    `why` says why there was no baseline; empty where there was one. What was not measured decides nothing.
    """
    asked = {name: limit for name, limit in limits.flat.items() if name.startswith(RELATIVE)}
    if not asked:
        return None
    found = breaches(metrics, asked)
    verdicts = [
        Verdict(
            _GATE,
            Outcome.REFUSED if breach.measured else Outcome.UNDECIDED,
            (breach.reason if breach.measured or not why else _no_baseline(breach.reason, why),),
        )
        for breach in found
    ]
    return strictest(verdicts) if verdicts else Verdict(_GATE, Outcome.PASSED)


def strictest(verdicts: Iterable[Verdict]) -> Verdict:
    """The strictest outcome. Where it is a pass, with every reason; else with those of all that did not pass."""
    told = list(verdicts)
    outcome = combine(told)
    against = [verdict for verdict in told if not verdict.passed] or told
    ordered = sorted(against, key=lambda verdict: verdict.outcome is not outcome)
    return Verdict(_GATE, outcome, tuple(reason for verdict in ordered for reason in verdict.reasons))


def untried(summary: LoadSummary) -> Iterator[Reason]:
    """User classes that did nothing: nobody should think that what they would have asked is fine."""
    if summary.idle:
        text = f"too few users for every User class of the locustfile, there was none of {', '.join(summary.idle)}"
        yield Reason(text, "raise load.users in pipeline.toml, or that class's weight")


def _no_baseline(reason: Reason, why: str) -> Reason:
    return Reason(
        f"{reason.text}: {why}",
        "take the limit out of pipeline.toml until there is something to compare with",
    )


def _absolute(limits: LoadLimits) -> LoadLimits:
    def kept(told: Mapping[str, Limit]) -> dict[str, Limit]:
        return {name: limit for name, limit in told.items() if not name.startswith(RELATIVE)}

    return LoadLimits(kept(limits.total), {name: kept(own) for name, own in limits.endpoints.items()})


def _counted_elsewhere(limits: LoadLimits) -> LoadLimits:
    """The same limits, with `requests` (where it is limited) met by one request: all of them are counted elsewhere."""
    endpoints = {
        name: {key: limit for key, limit in own.items() if key != "requests"}
        for name, own in limits.endpoints.items()
    }
    asked = limits.total.get("requests")
    total = {**limits.total, "requests": _ANY} if asked and asked.min is not None else limits.total
    return replace(limits, total=total, endpoints=endpoints)
