"""Candidate against baseline: ratios of latencies, error shares, looks, and each endpoint's figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from markupsafe import Markup

from pipeline.model.load import QUANTILES
from pipeline.report.charts import Line, strip
from pipeline.report.reading import Recorded
from pipeline.report.scales import Scale
from pipeline.report.wording import (
    NONE,
    Column,
    Text,
    chip,
    count,
    interval,
    join,
    milliseconds,
    percent,
    ratio,
    seconds,
    table,
)

SIDES = {"candidate": "candidate", "baseline": "production"}
"""What the two sides are called: the baseline is what production runs."""

_UNMEASURED = Markup('<span class="none">not measured</span>')
_WEIGHT = Markup(
    "<p>All requests together decide whether the candidate passes. An endpoint can refuse it by itself; one with too "
    "few requests to tell, whose interval reaches past what is excluded, is undecided and holds up nothing.</p>"
)
_WIDEST = (0.4, 4.0)
_NAMED_RATIOS = (1.0, 1.25, 0.8, 1.5, 2.0, 0.6, 3.0, 4.0, 0.4, 6.0, 8.0, 0.2, 12.0, 20.0, 0.1, 50.0, 100.0)
_APART = 0.14
"""How far apart two named values of an axis are at least, as a share of it."""


def rows_of(comparison: Recorded) -> list[Recorded]:
    """All requests together first, then the endpoints."""
    return [row for row in (comparison["all"], *comparison["endpoints"]) if row]


def name_of(row: Recorded) -> str:
    """`all requests` or the endpoint's name."""
    name = row["name"].text
    return "all requests" if name in ("", "all") else name


def told(comparison: Recorded) -> Markup:
    """Everything that the comparison found, but its curves."""
    rows = rows_of(comparison)
    rules = comparison["rules"]
    forests = [_ratios(rows, rules), _errors(rows, rules), _WEIGHT]
    return join([*forests, _figures(rows), _looks(comparison), _solo(comparison)])


def _ratios(rows: Sequence[Recorded], rules: Recorded) -> Markup:
    found = [(row, label, one) for row in rows for label, one in row["ratios"].items()]
    if not found:
        return _without("Latency ratios: candidate ÷ production")
    bounds = [
        Line("the same", "same", 1.0),
        *_bound("tolerated", "tolerated", rules["tolerance"], 1.0),
        *_bound("excluded", "excluded", rules["exclude"], 1.0),
    ]
    values = [end.number for _, _, one in found for end in (one["low"], one["high"])]
    ends = [value for value in values if value is not None]
    points = [value for _, _, one in found if (value := one["point"].number) is not None and value > 0]
    # What is wide may go beyond the edge, what was measured never does.
    least, most = min([_WIDEST[0], *(p / 2 for p in points)]), max([_WIDEST[1], *(p * 2 for p in points)])
    low = max(least, min([0.9, *(end * 0.97 for end in ends)]))
    high = min(most, max([1.15, *(line.value * 1.08 for line in bounds), *(end * 1.03 for end in ends)]))
    scale = Scale(low, high, 0.0, 100.0, log=True)
    lines = [
        (
            f"{name_of(row)} · {label}",
            _drawn(f"{label} of {name_of(row)}", one["point"], one, scale, bounds),
            interval(one["point"], _ends(one), ratio) if one["point"] else _UNMEASURED,
            chip(one["outcome"].text) if one["outcome"] else NONE,
            _why(one),
        )
        for row, label, one in found
    ]
    axis = _axis(scale, [tick for tick in _NAMED_RATIOS if low <= tick <= high], "×")
    return join([_forest("Latency ratios: candidate ÷ production", axis, lines, rules), _key(bounds, "×")])


def _errors(rows: Sequence[Recorded], rules: Recorded) -> Markup:
    found = [(row, row["errors"]) for row in rows if row["errors"]]
    if not found:
        return _without("Error shares: candidate − production")
    bounds = [
        Line("the same", "same", 0.0),
        *_bound("tolerated", "tolerated", _first(rules, "max_error_increase", "max_increase"), 0.0),
        *_bound("excluded", "excluded", _first(rules, "exclude_errors"), 0.0),
    ]
    values = [end.number for _, one in found for end in (one["low"], one["high"])]
    ends = [value for value in values if value is not None]
    high = max([0.001, *(line.value * 1.2 for line in bounds), *(end * 1.05 for end in ends)])
    low = min([-0.2 * high, *(end * 1.05 for end in ends)])
    scale = Scale(max(low, -3 * high), high, 0.0, 100.0)
    lines = [
        (
            name_of(row),
            _drawn(f"error share of {name_of(row)}", one["difference"], one, scale, bounds),
            interval(one["difference"], _ends(one), percent),
            chip(one["outcome"].text) if one["outcome"] else NONE,
            # What is undecided of errors is so because the interval reaches past a line, which is drawn.
            one["reason"].text if one["outcome"].text == "refused" else "",
        )
        for row, one in found
    ]
    axis = _axis(scale, sorted(scale.ticks(4), key=abs), "%")
    return join([_forest("Error shares: candidate − production", axis, lines, rules), _key(bounds, "%")])


def _drawn(of: str, point: Recorded, one: Recorded, scale: Scale, bounds: Sequence[Line]) -> Text:
    ends, middle = _ends(one), point.number
    if ends is None or middle is None:
        return strip("", scale, None, bounds)
    shown = ratio if scale.log else percent
    label = f"{of}: {shown(middle)}, interval {shown(ends[0])} to {shown(ends[1])}"
    return strip(label, scale, (ends[0], middle, ends[1]), bounds)


def _ends(one: Recorded) -> tuple[float, float] | None:
    return Recorded([one["low"].value, one["high"].value]).interval


def _why(one: Recorded) -> str:
    """What a row's drawing does not say already."""
    if one["outcome"].text == "passed":
        return ""
    samples, missing = one["samples"].number, one["missing"].number
    if one["outcome"].text == "undecided" and samples is not None and missing:
        return f"{count(samples)} of about {count(samples + missing)} requests a side"
    return one["reason"].text


def _forest(title: str, axis: Markup, lines: Sequence[tuple[Text, ...]], rules: Recorded) -> Markup:
    confidence = rules["confidence"].number
    sure = f" ({confidence * 100:g} % intervals, an endpoint's wider)" if confidence is not None else ""
    told = any(line[-1] for line in lines)
    kinds = ("", "drawn", "figures", "", "why")[: 5 if told else 4]
    head = [
        Markup('<th scope="col" class="{}">{}</th>').format(kind, name)
        for kind, name in zip(kinds, ("what", axis, "value (interval)", "outcome", "why"), strict=False)
    ]
    body = [Markup("<tr>{}</tr>").format(join(_cells(kinds, line))) for line in lines]
    return Markup(
        '<div class="wide" tabindex="0" role="region" aria-label="{0}"><table class="forest">'
        "<caption>{0}{1}</caption><thead><tr>{2}</tr></thead><tbody>{3}</tbody></table></div>"
    ).format(title, sure, join(head), join(body))


def _cells(kinds: Sequence[str], line: Sequence[Text]) -> Iterator[Markup]:
    yield Markup('<th scope="row">{}</th>').format(line[0])
    for kind, cell in zip(kinds[1:], line[1:], strict=False):
        yield Markup('<td class="{}">{}</td>').format(kind, cell)


def _axis(scale: Scale, wanted: Sequence[float], unit: str) -> Markup:
    """The values named above the drawn column; those too near to one that is named already are left out."""
    kept: list[float] = []
    for value in wanted:
        if all(abs(scale(value) - scale(other)) >= _APART * 100 for other in kept):
            kept.append(value)
    names = [
        Markup('<span style="left:{:.1f}%">{}</span>').format(
            scale(value), percent(value) if unit == "%" else ratio(value)
        )
        for value in kept
    ]
    return Markup('<span class="axis">{}</span>').format(join(names))


def _key(bounds: Sequence[Line], unit: str) -> Markup:
    """What the lines across the intervals are."""
    sample = Markup(
        '<li><svg class="sample" viewBox="0 0 12 20" aria-hidden="true"><path class="{}" d="M6 0V20"/></svg>{} {}</li>'
    )
    shown = percent if unit == "%" else ratio
    return Markup('<ul class="key">{}</ul>').format(
        join(sample.format(line.kind, line.name, shown(line.value)) for line in bounds)
    )


def _bound(name: str, kind: str, value: Recorded, base: float) -> list[Line]:
    return [] if value.number is None else [Line(name, kind, base + value.number)]


def _first(table: Recorded, *names: str) -> Recorded:
    return next((table[name] for name in names if table[name].number is not None), Recorded())


def _without(title: str) -> Markup:
    return Markup("<p>{}: {}</p>").format(title, NONE)


def _figures(rows: Sequence[Recorded]) -> Markup:
    columns = [
        Column("endpoint"),
        Column("side"),
        Column("requests", "figures"),
        Column("failed", "figures"),
        Column("error share", "figures"),
        Column("p50", "figures"),
        Column("p95", "figures"),
        Column("p99", "figures"),
    ]
    lines = [
        (
            name_of(row),
            Markup('<span class="side {}">{}</span>').format(side, name),
            count(row[side]["requests"]),
            count(row[side]["failures"]),
            spread(percent, row[side], "error_rate"),
            *(spread(milliseconds, row[side], f"{label}_ms") for label in QUANTILES),
        )
        for row in rows
        for side, name in SIDES.items()
    ]
    return table("Endpoints", columns, lines)


def spread(shown: Callable[[float], Text], side: Recorded, name: str) -> Text:
    """A value of one side with its interval, where one is recorded."""
    return interval(side[name], side[f"{name}_interval"].interval, shown)


def _looks(comparison: Recorded) -> Markup:
    columns = [Column("after"), Column("outcome"), Column("why", "why")]
    lines = [
        (seconds(look["at"]), chip(look["outcome"].text), look["reason"].text) for look in comparison["looks"]
    ]
    return table("Looks at the figures while they came", columns, lines) if lines else _without("Looks")


def _solo(comparison: Recorded) -> Markup:
    skipped = comparison["solo"]["skipped"].text
    tries = [
        ("Each side alone, the first try", comparison["solo_before"]),
        ("Each side alone", comparison["solo"]),
    ]
    told = [_alone(title, solo) for title, solo in tries if solo["candidate"] or solo["baseline"]]
    return join(
        [*told, Markup("<p>Each side alone: not measured, {}.</p>").format(skipped) if skipped else ""]
    )


def _alone(title: str, solo: Recorded) -> Markup:
    columns = [
        Column("side"),
        Column("requests", "figures"),
        Column("failed", "figures"),
        *(Column(label, "figures") for label in QUANTILES),
    ]
    lines: list[tuple[Text, ...]] = [
        (
            Markup('<span class="side {}">{}</span>').format(side, name),
            count(solo[side]["all"]["requests"]),
            count(solo[side]["all"]["failures"]),
            *(milliseconds(solo[side]["all"][f"{label}_ms"]) for label in QUANTILES),
        )
        for side, name in SIDES.items()
    ]
    return table(
        title, columns, [*lines, ("ratio", "", "", *(_quotient(solo, f"{label}_ms") for label in QUANTILES))]
    )


def _quotient(solo: Recorded, name: str) -> Text:
    above, below = (solo[side]["all"][name].number for side in SIDES)
    return ratio(above / below) if above is not None and below else NONE
