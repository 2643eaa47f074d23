"""Bounds on recorded metrics, and the one rule that holds a metric against its bound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.model.verdict import Reason


@dataclass(frozen=True, slots=True)
class Limit:
    """Bounds on one metric; the bound itself is still within."""

    max: float | None = None
    min: float | None = None


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that was not met. `measured` is False when there was nothing to hold against it."""

    metric: str
    reason: Reason
    measured: bool = True


def metric_name(metric: str, endpoint: str = "") -> str:
    """The flat name of a metric: `p95_ms` for all requests, `p95_ms[GET /api/owners]` for an endpoint."""
    return f"{metric}[{endpoint}]" if endpoint else metric


def split_metric(name: str) -> tuple[str, str]:
    """A flat name's metric and endpoint; the endpoint is empty where the metric is about all requests."""
    metric, bracket, rest = name.partition("[")
    return (metric, rest.removesuffix("]")) if bracket else (name, "")


def judge_metrics(metrics: Mapping[str, object], limits: Mapping[str, Limit]) -> list[Reason]:
    """Why recorded metrics do not meet the limits; empty when every one of them is met.

    A metric that is missing, a bool, not a number or not finite meets no limit, and a limit that bounds nothing or
    is not a finite number is met by nothing. No limits at all give no reasons: whether that opens anything is the
    caller's to decide.
    """
    return [breach.reason for breach in breaches(metrics, limits)]


def breaches(metrics: Mapping[str, object], limits: Mapping[str, Limit]) -> list[Breach]:
    """What `judge_metrics` finds, by metric and with whether it was measured."""
    found = (_breach(name, metrics.get(name), limit) for name, limit in limits.items())
    return [breach for breach in found if breach is not None]


def number(value: object) -> float | None:
    """A finite number out of a recorded value; None for anything else, bools too."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def show(metric: str, value: float) -> str:
    """A metric's value with its unit, as people read it."""
    if metric.endswith("_ms"):
        return f"{_digits(value)} ms"
    if metric == "error_rate":
        return f"{_digits(value * 100)} %"
    return _digits(value)


def _digits(value: float) -> str:
    places = 0 if abs(value) >= 1000 else 1 if abs(value) >= 1 else 3
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _breach(name: str, value: object, limit: Limit) -> Breach | None:
    bounds = [bound for bound in (limit.max, limit.min) if bound is not None]
    if not bounds or any(number(bound) is None for bound in bounds):
        text = f"the limit of {name} is no bound: max {limit.max}, min {limit.min}"
        return Breach(
            name, Reason(text, f"set a finite max or min for {name} in pipeline.toml"), measured=False
        )
    measured = number(value)
    if measured is None:
        return Breach(name, _unmeasured(name, value), measured=False)
    if limit.max is not None and measured > limit.max:
        return Breach(name, _over(name, measured, limit.max))
    if limit.min is not None and measured < limit.min:
        return Breach(name, _under(name, measured, limit.min))
    return None


def _unmeasured(name: str, value: object) -> Reason:
    metric, endpoint = split_metric(name)
    what = f"{metric} of {endpoint}" if endpoint else metric
    if value is not None:
        return Reason(f"{what} was recorded as {value!r}, which is no finite number", "run the stage again")
    remedy = f"correct the limit's name in pipeline.toml, or run the stage again so that it records {what}"
    if endpoint:
        remedy = f"let the locustfile ask {endpoint} under this very name, or correct the limit's name in pipeline.toml"
    return Reason(f"{what} was not measured", remedy)


def _over(name: str, value: float, bound: float) -> Reason:
    metric, _ = split_metric(name)
    slow = (
        "look for what takes the time in the application's log"
        if metric.endswith("_ms")
        else "mend the cause"
    )
    return Reason(
        f"{_subject(name)} was {_pair(metric, value, bound, 'limit')}", f"{slow}, or raise {_setting(name)}"
    )


def _under(name: str, value: float, bound: float) -> Reason:
    metric, _ = split_metric(name)
    more = "raise load.duration or load.users" if metric == "requests" else "mend the cause"
    return Reason(
        f"{_subject(name)} was {_pair(metric, value, bound, 'at least')}",
        f"{more}, or lower {_setting(name)}",
    )


def _pair(metric: str, value: float, bound: float, word: str) -> str:
    shown, limit = show(metric, value), show(metric, bound)
    if shown == limit:
        shown, limit = f"{value:.9g}", f"{bound:.9g}"
    return f"{shown}, {word} {limit}"


_SUBJECTS: Mapping[str, str] = {"error_rate": "error share", "requests": "number of requests"}


def _subject(name: str) -> str:
    metric, endpoint = split_metric(name)
    words = metric.removesuffix("_ms") if metric.endswith("_ms") else _SUBJECTS.get(metric, metric)
    if metric == "requests":
        return f"{words} to {endpoint}" if endpoint else words
    if endpoint:
        return f"{words} of {endpoint}"
    return f"{words} of all requests" if metric.endswith("_ms") or metric == "error_rate" else words


def _setting(name: str) -> str:
    metric, endpoint = split_metric(name)
    return (
        f'the limit {metric} of "{endpoint}" in pipeline.toml'
        if endpoint
        else f"the limit {metric} in pipeline.toml"
    )
