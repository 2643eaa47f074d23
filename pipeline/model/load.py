"""The load gate's values and its verdict: what Locust measured, held against absolute limits.

The rules of `judge_load`:

1. A latency limit is broken when the measured quantile is above it; a quantile counts as measured when at least
   ten requests lie beyond it (20 requests for p50, 200 for p95, 1,000 for p99). With fewer, the limit is broken only
   when the share of requests above it is surely (99 %, Wilson) larger than the quantile allows; else undecided.
2. An error share above its limit refuses when the lower end of its Wilson interval is above the limit too; when the
   interval still holds the limit, there is no verdict. A share that is within its limit passes.
3. Too few requests, a value that is missing or not finite, an unfinished request: undecided.
4. A load generator that was the bottleneck turns a pass into undecided, and never a refusal into anything else.
5. Without a limit on the error share nothing passes: a service that is down answers fast. Nor does anything without
   a least number of requests.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.model.histogram import Histogram
from pipeline.model.intervals import score_interval
from pipeline.model.limits import Breach, Limit, breaches, metric_name, number, show, split_metric
from pipeline.model.verdict import Outcome, Reason, Verdict, combine

QUANTILES: Mapping[str, float] = {"p50": 0.50, "p95": 0.95, "p99": 0.99}

TAIL = 10
"""How many requests must lie beyond a quantile before it counts as measured."""

_OF_USERS = (
    "see in Locust's log whether users ended early (on_start raised, StopUser) or are fewer than load.users "
    "(fixed_count); else lower load.users, or run on a machine with a free core"
)
_Z = 2.576
_GATE = "load"


@dataclass(frozen=True, slots=True)
class LoadShape:
    """What is offered: the locustfile, users, users started per second, and seconds of warm-up and of measuring.

    Measuring begins when the warm-up is over and every user has had the time to start, whichever is later.
    `processes` generators share the users. With `arrivals`, that many task iterations are started each second in all,
    whatever the answers take, and users are the pool they are taken from; without it users follow their own wait_time.
    """

    locustfile: Path
    users: int
    spawn_rate: float
    warmup: float
    duration: float
    processes: int = 1
    arrivals: float | None = None

    @property
    def lead(self) -> float:
        """Seconds from the first user's start to the begin of measuring."""
        return max(self.warmup, self.users / self.spawn_rate)


@dataclass(frozen=True, slots=True)
class EndpointSummary:
    """One endpoint, or all of them (`name` "all"): counts, and latency quantiles in milliseconds.

    `quantiles` maps "p50", "p95", "p99" to milliseconds; a quantile that could not be computed is not there.
    `histogram` holds the latencies of failed requests too.
    """

    name: str
    requests: int
    failures: int
    quantiles: Mapping[str, float]
    histogram: Histogram = field(default_factory=Histogram)

    @classmethod
    def of(cls, name: str, requests: int, failures: int, histogram: Histogram) -> EndpointSummary:
        """A summary whose quantiles come out of the histogram."""
        found = {label: histogram.quantile(share) for label, share in QUANTILES.items()}
        quantiles = {label: value for label, value in found.items() if value is not None}
        return cls(name, requests, failures, quantiles, histogram)


@dataclass(frozen=True, slots=True)
class GeneratorHealth:
    """Whether the load generator kept up.

    `cpu_share`: CPU time of its busiest process (1.0 = a core). `lag_share`: share of the time its event loop was
    late. `delivered_share`: share of the planned load that took place (1.0 = all of it): seconds of users, or
    iterations begun on time where arrivals are planned. `pressure_share`: share of the time in which something on the
    machine waited for a CPU, None where its kernel does not tell.
    """

    cpu_share: float
    lag_share: float
    delivered_share: float
    pressure_share: float | None = None


@dataclass(frozen=True, slots=True)
class Second:
    """One interval of measuring, `at` seconds after its begin; the quantiles are None where nothing was answered."""

    at: float
    requests: int
    failures: int
    users: int
    p50_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """What was measured after the warm-up. `unfinished` counts users that never got their last answer.

    `crossed` counts requests that went to the other side instead, and are counted nowhere else. `idle` names the
    locustfile's User classes of which there was no user.
    """

    total: EndpointSummary
    endpoints: Sequence[EndpointSummary]
    seconds: float
    generator: GeneratorHealth
    errors: Mapping[str, int] = field(default_factory=dict)
    """The commonest failure messages and how often each came."""
    series: Sequence[Second] = ()
    unfinished: int = 0
    as_sent: Mapping[str, float] = field(default_factory=dict)
    """Quantiles as in `total` from the moment of sending rather than the planned one; only with arrivals."""
    crossed: int = 0
    idle: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """Limits by metric name (requests, error_rate, p50_ms, p95_ms, p99_ms): in all, and by endpoint's name."""

    total: Mapping[str, Limit]
    endpoints: Mapping[str, Mapping[str, Limit]] = field(default_factory=dict)

    @property
    def flat(self) -> Mapping[str, Limit]:
        """All of them under the names that `metrics_of` gives: `p95_ms`, `p95_ms[GET /api/owners]`."""
        named = {
            metric_name(key, name): limit
            for name, own in self.endpoints.items()
            for key, limit in own.items()
        }
        return {**self.total, **named}


@dataclass(frozen=True, slots=True)
class GeneratorLimits:
    """Bounds within which the generator proves that it was not the bottleneck; a bound itself is still within."""

    max_cpu: float = 0.70
    max_lag_share: float = 0.25
    min_delivered: float = 0.95


def judge_load(summary: LoadSummary, limits: LoadLimits, generator: GeneratorLimits) -> Verdict:
    """Holds what was measured against the limits, by the rules at the top of this file; every reason is given."""
    found = [
        *_unsound(summary),
        *_unlimited(limits),
        *_broken(summary, limits),
        *starved(summary.generator, generator),
    ]
    if not found:
        return Verdict(_GATE, Outcome.PASSED, (Reason(headline(summary)),))
    return Verdict(_GATE, combine(found), tuple(reason for verdict in found for reason in verdict.reasons))


def metrics_of(summary: LoadSummary) -> dict[str, float]:
    """The summary as flat metrics for the record; what is not finite or rests on too few requests is left out.

    In all: requests, failures, error_rate, p50_ms, p95_ms, p99_ms, requests_per_s, generator_cpu, generator_lag,
    generator_delivered. By endpoint, as in `p95_ms[GET /api/owners]`: requests, failures, error_rate and the quantiles.
    """
    health = summary.generator
    metrics: dict[str, float] = {
        "requests_per_s": summary.total.requests / summary.seconds if summary.seconds > 0 else math.nan,
        "generator_cpu": health.cpu_share,
        "generator_lag": health.lag_share,
        "generator_delivered": health.delivered_share,
        **_endpoint_metrics(summary.total, ""),
    }
    for endpoint in summary.endpoints:
        metrics.update(_endpoint_metrics(endpoint, endpoint.name))
    return {name: value for name, value in metrics.items() if number(value) is not None}


def facts_of(summary: LoadSummary) -> dict[str, Any]:
    """The summary as JSON for records and reports: all requests, a row an endpoint, errors, series, distribution."""
    return {
        "seconds": number(summary.seconds),
        "all": _row(summary.total),
        "endpoints": [_row(endpoint) for endpoint in summary.endpoints],
        "errors": dict(summary.errors),
        "unfinished": summary.unfinished,
        "as_sent": {f"{label}_ms": number(value) for label, value in summary.as_sent.items()},
        "generator": health_of(summary.generator),
        "series": [asdict(second) for second in summary.series],
        "distribution": summary.total.histogram.facts,
    }


def health_of(generator: GeneratorHealth) -> dict[str, Any]:
    """The same of the load generator's health."""
    return {
        "cpu_share": number(generator.cpu_share),
        "lag_share": number(generator.lag_share),
        "delivered_share": number(generator.delivered_share),
        "pressure_share": number(generator.pressure_share),
    }


def headline(summary: LoadSummary) -> str:
    """What was measured, in one line."""
    total = summary.total
    latencies = [
        f"{key} {show('p95_ms', total.quantiles[key])}" for key in QUANTILES if key in total.quantiles
    ]
    counts = f"{total.requests:,} requests in {summary.seconds:.0f} s, {total.failures:,} failed"
    return ", ".join([counts, *latencies])


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """The 99 % score interval of a share. Raises ValueError unless 0 <= hits <= trials and trials > 0."""
    if not 0 <= hits <= trials or trials <= 0:
        raise ValueError(f"no share: {hits} of {trials}")
    return score_interval(hits / trials, trials, _Z)


def fitting_users(users: int, processes: int, sides: int = 2) -> int:
    """The number nearest to `users` that gives each side of each process as many (the higher of two), at least one."""
    step = sides * processes
    return max(1, (2 * users + step) // (2 * step)) * step


def needed(quantile: float) -> int:
    """How many requests a quantile needs to count as measured."""
    return math.ceil(TAIL / min(quantile, 1 - quantile) - 1e-9)


def _endpoint_metrics(endpoint: EndpointSummary, name: str) -> dict[str, float]:
    requests = endpoint.requests
    metrics: dict[str, float] = {"requests": requests, "failures": endpoint.failures}
    if requests > 0:
        metrics["error_rate"] = endpoint.failures / requests
    for label, value in endpoint.quantiles.items():
        if requests >= needed(QUANTILES.get(label, 0.999)):
            metrics[f"{label}_ms"] = value
    return {metric_name(key, name): value for key, value in metrics.items()}


def _row(endpoint: EndpointSummary) -> dict[str, Any]:
    counted = _counts_fit(endpoint) and endpoint.requests > 0
    return {
        "name": endpoint.name,
        "requests": endpoint.requests,
        "failures": endpoint.failures,
        "error_rate": endpoint.failures / endpoint.requests if counted else None,
        "error_rate_interval": list(wilson(endpoint.failures, endpoint.requests)) if counted else None,
        **{f"{label}_ms": number(endpoint.quantiles.get(label)) for label in QUANTILES},
    }


def _counts_fit(endpoint: EndpointSummary) -> bool:
    return 0 <= endpoint.failures <= endpoint.requests


def _undecided(text: str, remedy: str) -> Verdict:
    return Verdict(_GATE, Outcome.UNDECIDED, (Reason(text, remedy),))


def _refused(reason: Reason) -> Verdict:
    return Verdict(_GATE, Outcome.REFUSED, (reason,))


def _unsound(summary: LoadSummary) -> Iterator[Verdict]:
    again = "run the load test again; its raw samples and Locust's log are in the run's folder"
    if summary.total.requests <= 0:
        remedy = "look whether the locustfile's tasks ask anything, and at Locust's log in the run's folder"
        yield _undecided("not one request was measured", remedy)
    if not number(summary.seconds) or summary.seconds < 0:
        yield _undecided(f"the time measured is {summary.seconds} s", again)
    for endpoint in (summary.total, *summary.endpoints):
        if not _counts_fit(endpoint):
            yield _undecided(
                f"the counts of {endpoint.name} do not fit: {endpoint.failures} of {endpoint.requests} failed",
                again,
            )
        for label, value in endpoint.quantiles.items():
            if number(value) is None:
                yield _undecided(f"{label} of {endpoint.name} is {value}, which is no finite number", again)
    if summary.unfinished > 0:
        yield _undecided(
            f"{summary.unfinished} users were still waiting for an answer when the load test had ended",
            "look for requests that hang in the application's log; a task should wait by wait_time, not by sleeping",
        )


def _unlimited(limits: LoadLimits) -> Iterator[Verdict]:
    limit = limits.total.get("error_rate")
    if limit is None or limit.max is None:
        yield _undecided(
            "there is no limit for the error share, and latencies say nothing without it",
            "set the limit error_rate = { max = 0.01 } in pipeline.toml",
        )
    fewest = limits.total.get("requests")
    if fewest is None or fewest.min is None:
        yield _undecided(
            "there is no limit for how few requests are enough, and one that succeeds proves nothing",
            "set the limit requests = { min = 1000 } in pipeline.toml",
        )


def _broken(summary: LoadSummary, limits: LoadLimits) -> Iterator[Verdict]:
    flat = limits.flat
    by_name = {"": summary.total, **{endpoint.name: endpoint for endpoint in summary.endpoints}}
    for breach in breaches(metrics_of(summary), flat):
        metric, name = split_metric(breach.metric)
        yield _weigh(breach, metric, flat[breach.metric], by_name.get(name))


def _weigh(breach: Breach, metric: str, limit: Limit, endpoint: EndpointSummary | None) -> Verdict:
    """Whether a limit that was not met refuses, or leaves the question open."""
    few = Verdict(_GATE, Outcome.UNDECIDED, (breach.reason,))
    if endpoint is None or (metric == "requests" and limit.min is not None):
        return few
    if metric == "error_rate" and breach.measured and _counts_fit(endpoint):
        return _weigh_errors(breach.reason, limit, endpoint)
    if breach.measured:
        return _refused(breach.reason)
    share = QUANTILES.get(metric.removesuffix("_ms"))
    if share is None or limit.max is None or number(limit.max) is None:
        return few
    return _weigh_few(metric, share, limit.max, endpoint)


def _weigh_errors(reason: Reason, limit: Limit, endpoint: EndpointSummary) -> Verdict:
    low, high = wilson(endpoint.failures, endpoint.requests)
    counted = f"{endpoint.failures:,} of {endpoint.requests:,} failed"
    text = f"{reason.text} ({counted}; 99 % interval {show('error_rate', low)} to {show('error_rate', high)})"
    if limit.max is not None and low > limit.max:
        return _refused(Reason(text, reason.remedy))
    return _undecided(
        f"{text}: too few requests to tell", "raise load.duration or load.users, or mend the failures"
    )


def _weigh_few(metric: str, share: float, bound: float, endpoint: EndpointSummary) -> Verdict:
    """A quantile that rests on too few requests is above its limit when surely too many requests are."""
    label, counted = metric.removesuffix("_ms"), endpoint.histogram.count
    slow = endpoint.histogram.above(max(0.0, bound))
    of = "all requests" if endpoint.name == "all" else endpoint.name
    if counted and wilson(slow, counted)[0] > 1 - share:
        text = f"{label} of {of} was {show(metric, endpoint.histogram.quantile(share) or math.nan)}"
        remedy = "look for what takes the time in the application's log"
        return _refused(
            Reason(
                f"{text}, limit {show(metric, bound)} ({slow} of {counted} requests were above it)", remedy
            )
        )
    return _undecided(
        f"{label} of {of} was not measured: {endpoint.requests} requests, {needed(share)} are needed",
        f"raise load.duration or load.users, or take the limit {metric} off {of}",
    )


def starved(health: GeneratorHealth, limits: GeneratorLimits) -> Iterator[Verdict]:
    """Everything by which the generator may have been the bottleneck, each undecided by itself."""
    most, least = "at most", "at least"
    figures = (
        ("used", health.cpu_share, "of a core", most, limits.max_cpu),
        ("was late for", health.lag_share, "of the time", most, limits.max_lag_share),
        ("delivered", health.delivered_share, "of the planned load", least, limits.min_delivered),
    )
    for verb, value, what, bound, limit in figures:
        within = value <= limit if bound == most else value >= limit
        if not (within and math.isfinite(value)):
            yield _undecided(
                f"the load generator {verb} {value:.2f} {what}, {bound} {limit} is asked for: "
                "it may have been the bottleneck",
                _OF_USERS
                if verb == "delivered"
                else "lower load.users, run on a machine with a free core, or see load.generator in pipeline.toml",
            )
