"""The load test of a stage: verdict, curves, distribution, limits, the generator's health."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from pipeline.model.limits import Breach, Limit, breaches, show, split_metric
from pipeline.model.load import QUANTILES
from pipeline.report import comparison, rollout
from pipeline.report.charts import Curve, Line, Point, curves, distribution
from pipeline.report.comparison import SIDES
from pipeline.report.reading import Recorded
from pipeline.report.wording import (
    NONE,
    Column,
    Text,
    chip,
    count,
    digest,
    join,
    milliseconds,
    pairs,
    percent,
    reasons,
    seconds,
    table,
)

_SHORTEST = 0.25
"""Seconds: a shorter interval at either end of a series says nothing of a rate."""

_MISSING = 1.5
"""Seconds between two entries from which one between them is missing."""

_GENERATOR = (
    ("CPU, of a core", "cpu_share", "max_cpu", "at most"),
    ("event loop late, of the time", "lag_share", "max_lag_share", "at most"),
    ("delivered, of what was planned", "delivered_share", "min_delivered", "at least"),
)
"""Of the load generator: a title, the name of what was measured, that of its bound, and on which side it bounds."""

Sides = Mapping[str, Sequence[Recorded]]
"""The entries of both series, by side."""

Bins = Mapping[str, tuple[str, Mapping[int, int]]]
"""A side's name and its distribution, by side."""


def told(stage: Recorded, settings: Recorded) -> Markup:
    """What is known of a stage's load test."""
    facts = stage["facts"]
    compared, alone = facts["comparison"], facts["load"]
    return join(
        [
            Markup("<p>{} {}</p>").format(chip(stage["outcome"].text), _in_short(compared, alone)),
            reasons(stage),
            _setting(compared, alone),
            _drawn(compared, alone, settings),
            comparison.told(compared) if comparison.rows_of(compared) else _endpoints(alone),
            _limits(stage, settings),
            _generator(facts, settings),
            _messages(alone),
        ]
    )


def has_load(stage: Recorded) -> bool:
    """Whether a stage was loaded, or should have been."""
    return bool(stage["facts"]["load"] or stage["facts"]["comparison"]) or stage["name"].text == "staging"


def _in_short(compared: Recorded, alone: Recorded) -> Text:
    if compared["all"]:
        return f"candidate and production under the same load for {seconds(compared['seconds'])}"
    if not alone["all"]:
        return "No load was measured."
    return f"the candidate alone for {seconds(alone['seconds'])}, held against absolute limits"


def _setting(compared: Recorded, alone: Recorded) -> Markup:
    """What it was compared with, and how much of the time counted."""
    baseline = compared["baseline"]
    if baseline["skipped"]:
        why = Markup("<p>Not compared with production: {}.</p>").format(baseline["skipped"].text)
        return join([why, pairs(_left_out(baseline))]) if baseline["left_out"] else why
    if not compared:
        return Markup("<p>A comparison with production: {}.</p>").format(NONE) if alone else Markup("")
    known = pairs(
        [
            ("production's digest", digest(baseline["digest"])),
            *((f"production's {name}", digest(image)) for name, image in baseline["services"].items()),
            *_left_out(baseline),
            ("measured side by side", seconds(compared["seconds"])),
            ("half-second blocks", count(compared["blocks"])),
            ("left out, the machine was disturbed", count(compared["dropped"])),
        ]
    )
    several = [
        _beside(f"production's {name}", deployment) for name, deployment in baseline["deployments"].items()
    ]
    return join([known, _beside("production's digest", baseline["deployment"]), *several])


def _left_out(baseline: Recorded) -> list[tuple[str, Text]]:
    """Services of a release that were not compared, and why."""
    return [(f"{name}, not compared", why.text) for name, why in baseline["left_out"].items()]


def _beside(what: str, deployment: Recorded) -> Markup:
    """How the baseline came up; open where it did not."""
    if not deployment:
        return Markup("")
    failed = Markup(" open") if deployment["outcome"].text != "succeeded" else ""
    return Markup("<details{}><summary>How {} was started beside it</summary>{}</details>").format(
        failed, what, rollout.one(deployment)
    )


def _drawn(compared: Recorded, alone: Recorded, settings: Recorded) -> Markup:
    bounds = _bounds(settings)
    both = {side: list(compared["series"][side]) for side in SIDES}
    if any(both.values()):
        bins = _bins({side: compared["distribution"][side] for side in SIDES})
        key = join(
            Markup('<li><span class="side {}">{}</span></li>').format(side, name)
            for side, name in SIDES.items()
        )
        return Markup('<ul class="key sides">{}</ul><div class="charts">{}</div>').format(
            key, join(_charts(both, bounds, bins))
        )
    if not alone:
        return Markup("")
    only = {"candidate": _lasting(list(alone["series"]))}
    bins = _bins({"candidate": alone["distribution"]})
    return Markup('<div class="charts">{}</div>').format(join(_charts(only, bounds, bins)))


def _charts(sides: Sides, bounds: Mapping[str, Line], bins: Bins) -> Iterator[Markup]:
    yield curves("Requests", "per s", _curves(sides, "requests"))
    for label in ("p50", "p95"):
        drawn = _curves(sides, f"{label}_ms")
        yield curves(f"{label}, ms", "ms", drawn, [bounds[label]] if label in bounds else [])
    yield curves("Failed requests", "per s", _curves(sides, "failures"))
    yield distribution("Latencies, share of requests", bins)


def _curves(sides: Sides, name: str) -> list[Curve]:
    made = [Curve(SIDES[side], side, list(_points(entries, name))) for side, entries in sides.items()]
    return [curve for curve in made if curve.values]


def _points(entries: Sequence[Recorded], name: str) -> Iterator[Point]:
    """A second that is left out interrupts the curve."""
    last: float | None = None
    for entry in entries:
        at = entry["at"].number
        if at is None:
            continue
        if last is not None and at - last > _MISSING:
            yield last + 1, None
        yield at, entry[name].number
        last = at


def _lasting(entries: Sequence[Recorded]) -> list[Recorded]:
    """Without the ends of a series that are no whole second."""
    at = [entry["at"].number or 0.0 for entry in entries]
    return [
        entry
        for place, entry in enumerate(entries)
        if place + 1 == len(at) or at[place + 1] - at[place] >= _SHORTEST
    ]


def _bins(sides: Mapping[str, Recorded]) -> Bins:
    counts = {
        side: {
            int(label): int(value.number)
            for label, value in told.items()
            if label.lstrip("-").isdecimal() and value.number
        }
        for side, told in sides.items()
    }
    return {side: (SIDES[side], found) for side, found in counts.items() if found}


def _bounds(settings: Recorded) -> dict[str, Line]:
    """The limits that a curve is held against, by the quantile's label."""
    found = {label: settings["limits"][f"{label}_ms"]["max"].number for label in ("p50", "p95", "p99")}
    return {label: Line("limit", "limit", value) for label, value in found.items() if value is not None}


def _endpoints(alone: Recorded) -> Markup:
    rows = [row for row in (alone["all"], *alone["endpoints"]) if row]
    columns = [
        Column("endpoint"),
        Column("requests", "figures"),
        Column("failed", "figures"),
        Column("error share (interval)", "figures"),
        *(Column(label, "figures") for label in QUANTILES),
    ]
    lines = [
        (
            comparison.name_of(row),
            count(row["requests"]),
            count(row["failures"]),
            comparison.spread(percent, row, "error_rate"),
            *(milliseconds(row[f"{label}_ms"]) for label in QUANTILES),
        )
        for row in rows
    ]
    return table("Endpoints", columns, lines) if lines else Markup("")


def _limits(stage: Recorded, settings: Recorded) -> Markup:
    """Today's absolute limits, each with what was measured."""
    limits = {name: Limit(one["max"].number, one["min"].number) for name, one in settings["limits"].items()}
    metrics = {name: value.number for name, value in stage["metrics"].items()}
    if not limits or not metrics:
        return Markup("")
    broken = {breach.metric: breach for breach in breaches(metrics, limits)}
    columns = [
        Column("limit"),
        Column("measured", "figures"),
        Column("bound", "figures"),
        Column("held"),
    ]
    lines = [
        (
            _metric(name),
            show(split_metric(name)[0], value) if (value := metrics.get(name)) is not None else NONE,
            _range(name, limit),
            _held(broken.get(name)),
        )
        for name, limit in limits.items()
    ]
    return table("Absolute limits (today's pipeline.toml)", columns, lines)


def _held(breach: Breach | None) -> Markup:
    if breach is None:
        return chip("passed")
    return chip("refused" if breach.measured else "undecided")


def _metric(name: str) -> str:
    metric, endpoint = split_metric(name)
    return f"{endpoint}: {metric}" if endpoint else metric


def _range(name: str, limit: Limit) -> str:
    metric = split_metric(name)[0]
    ends = [("at least", limit.min), ("at most", limit.max)]
    return ", ".join(f"{word} {show(metric, value)}" for word, value in ends if value is not None)


def _generator(facts: Recorded, settings: Recorded) -> Markup:
    """A row a phase of the load: whether what offered it kept up."""
    compared, bounds = facts["comparison"], settings["generator"]
    phases = [
        ("side by side", compared["generator"]),
        ("candidate alone", compared["solo"]["candidate"]["generator"] or facts["load"]["generator"]),
        ("production alone", compared["solo"]["baseline"]["generator"]),
    ]
    found = [(name, health) for name, health in phases if health]
    if not found:
        return Markup("<p>The load generator's health: {}.</p>").format(NONE)
    limits = [(word, bounds[name].number) for _, _, name, word in _GENERATOR]
    columns = [Column("phase"), *(Column(title, "figures") for title, *_ in _GENERATOR), Column("kept up")]
    bound = [NONE if limit is None else f"{word} {percent(limit)}" for word, limit in limits]
    lines = [(name, *_health(health, bounds)) for name, health in found]
    return table("Did the load generator keep up?", columns, [*lines, ("bounds", *bound, "")])


def _health(health: Recorded, bounds: Recorded) -> Iterator[Text]:
    kept: list[bool] = []
    for _, measured, bound, word in _GENERATOR:
        value, limit = health[measured].number, bounds[bound].number
        yield percent(value)
        if value is not None and limit is not None:
            kept.append(value <= limit if word == "at most" else value >= limit)
    yield NONE if len(kept) < len(_GENERATOR) else chip("passed" if all(kept) else "undecided")


def _messages(alone: Recorded) -> Markup:
    found = [(message, count(times)) for message, times in alone["errors"].items()]
    columns = [Column("what failed", "why"), Column("times", "figures")]
    return table("Commonest failures", columns, found) if found else Markup("")
