"""Charts as inline SVG: curves over time, a distribution of latencies, an interval beside its bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from pipeline.model.histogram import upper_edge
from pipeline.report.scales import Scale, rounded_up
from pipeline.report.wording import digits, join

WIDTH, HEIGHT = 360, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 352, 8, 164
_GROUPS = 56
"""Into how many steps a distribution is drawn: its bins are too fine to see."""

_NOTHING = Markup('<p class="none">not recorded</p>')

Point = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Curve:
    """Values over seconds (None: nothing was measured); `kind` is the side, which gives it its stroke."""

    name: str
    kind: str
    points: Sequence[Point]

    @property
    def values(self) -> list[float]:
        """What was measured."""
        return [value for _, value in self.points if value is not None]


@dataclass(frozen=True, slots=True)
class Line:
    """A bound to hold values against."""

    name: str
    kind: str
    value: float


def curves(title: str, unit: str, drawn: Sequence[Curve], bounds: Sequence[Line] = ()) -> Markup:
    """Curves over one axis of time. A bound far above everything that was measured is named, not drawn."""
    drawn = [curve for curve in drawn if curve.values]
    if not drawn:
        return _figure(title, _NOTHING)
    highest = max(max(curve.values) for curve in drawn)
    near = [line for line in bounds if line.value <= 3 * highest]
    y = Scale(0.0, rounded_up(max([highest * 1.05, *(line.value * 1.05 for line in near)])), _BOTTOM, _TOP)
    x = Scale(0.0, max(at for curve in drawn for at, _ in curve.points) or 1.0, _LEFT, _RIGHT)
    body = join(
        [
            _axes(x, y, "s"),
            *(_bound(line, y) for line in near),
            *(_curve(curve, x, y) for curve in drawn),
            _hover(drawn, x, unit),
        ]
    )
    far = [f"{line.name} {digits(line.value)} {unit}" for line in bounds if line not in near]
    none = ["none"] if highest == 0 else []
    return _figure(title, _svg(f"{title} over time. {_told(drawn, unit)}", body), "; ".join(none + far))


def distribution(title: str, sides: Mapping[str, tuple[str, Mapping[int, int]]]) -> Markup:
    """How often each latency came, on a logarithmic axis; `sides` gives name and bins (`model.histogram`) by kind."""
    filled = {kind: side for kind, side in sides.items() if sum(side[1].values()) > 0}
    if not filled:
        return _figure(title, _NOTHING)
    first = min(min(bins) for _, bins in filled.values())
    last = max(max(bins) for _, bins in filled.values())
    width = max(1, -(-(last - first + 1) // _GROUPS))
    shares = {kind: _grouped(bins, first, last, width) for kind, (_, bins) in filled.items()}
    ends = upper_edge(first - 1), upper_edge(first - 1 + width * ((last - first) // width + 1))
    x = Scale(*ends, _LEFT, _RIGHT, log=True)
    y = Scale(0.0, rounded_up(max(max(steps) for steps in shares.values()) * 105), _BOTTOM, _TOP)
    steps = [_steps(kind, found, first, width, x, y) for kind, found in shares.items()]
    told = ", ".join(f"{name} {sum(bins.values()):,} requests" for name, bins in filled.values())
    body = join([_axes(x, y, "ms", "%"), *steps])
    return _figure(title, _svg(f"{title}: {told}, from {digits(x.low)} to {digits(x.high)} ms", body))


def strip(
    label: str, scale: Scale, found: tuple[float, float, float] | None, bounds: Sequence[Line]
) -> Markup:
    """An interval as low end, point and high end, with the bounds it is held against; None: the bounds alone.

    `scale` runs from 0 to 100.
    """
    # Drawn in a square that is stretched to its cell: strokes keep their width, and a stroke of no length is a dot.
    lines = join(
        Markup('<path class="{}" d="M{:.2f} 0V20"/>').format(line.kind, scale(line.value)) for line in bounds
    )
    frame = Markup('<svg class="strip" viewBox="0 0 100 20" preserveAspectRatio="none" {}>{}</svg>')
    if found is None:
        return frame.format(Markup('aria-hidden="true"'), lines)
    low, point, high = map(scale, found)
    whisker = Markup('<path class="whisker" d="M{:.2f} 10H{:.2f}"/><path class="dot" d="M{:.2f} 10h.01"/>')
    named = Markup('role="img" aria-label="{}"').format(label)
    title = Markup("<title>{}</title>").format(label)
    return frame.format(named, join([title, lines, whisker.format(low, high, point)]))


def _figure(title: str, content: Markup, note: str = "") -> Markup:
    added = Markup(' <span class="note">({})</span>').format(note) if note else ""
    return Markup("<figure><figcaption>{}{}</figcaption>{}</figure>").format(title, added, content)


def _svg(label: str, body: Markup) -> Markup:
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, label, body
    )


def _told(drawn: Sequence[Curve], unit: str) -> str:
    def one(curve: Curve) -> str:
        values = sorted(curve.values)
        middle = values[len(values) // 2]
        return f"{curve.name}: {digits(values[0])} to {digits(values[-1])} {unit}, median {digits(middle)} {unit}"

    return "; ".join(map(one, drawn))


def _axes(x: Scale, y: Scale, x_unit: str, y_unit: str = "") -> Markup:
    across = [
        Markup('<path class="grid" d="M{} {:.1f}H{}"/><text x="{}" y="{:.1f}" class="y">{}</text>').format(
            _LEFT, y(tick), _RIGHT, _LEFT - 5, y(tick) + 3.5, digits(tick) + (y_unit and f" {y_unit}")
        )
        for tick in y.ticks(4)
    ]
    ticks = x.ticks(6)
    along = [
        Markup(
            '<path class="tick" d="M{0:.1f} {1}v4"/><text x="{0:.1f}" y="{2}" class="x">{3}</text>'
        ).format(x(tick), _BOTTOM, _BOTTOM + 16, digits(tick) + (f" {x_unit}" if tick == ticks[-1] else ""))
        for tick in ticks
    ]
    return join([*across, *along])


def _bound(line: Line, y: Scale) -> Markup:
    place = y(line.value)
    return Markup(
        '<path class="{}" d="M{} {:.1f}H{}"/><text x="{}" y="{:.1f}" class="named">{}</text>'
    ).format(line.kind, _LEFT, place, _RIGHT, _RIGHT, place - 3, line.name)


def _curve(curve: Curve, x: Scale, y: Scale) -> Markup:
    """One stroke; it is interrupted where nothing was measured."""
    parts = []
    for measured, run in groupby(curve.points, key=lambda point: point[1] is not None):
        places = [f"{x(at):.1f} {y(value or 0.0):.1f}" for at, value in run] if measured else []
        if places:
            parts.append("M" + "L".join(places if len(places) > 1 else places * 2))
    return Markup('<path class="curve {}" d="{}"/>').format(curve.kind, "".join(parts))


def _hover(drawn: Sequence[Curve], x: Scale, unit: str) -> Markup:
    """A band for each second that tells its values when it is pointed at."""
    told: dict[float, list[str]] = {}
    for curve in drawn:
        for at, value in curve.points:
            if value is not None:
                told.setdefault(round(at), []).append(f"{curve.name} {digits(value)} {unit}")
    half = (x(1) - x(0)) / 2
    return join(
        Markup(
            '<rect class="band" x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>{} s: {}</title></rect>'
        ).format(x(at) - half, _TOP, 2 * half, _BOTTOM - _TOP, f"{at:g}", ", ".join(values))
        for at, values in sorted(told.items())
    )


def _grouped(bins: Mapping[int, int], first: int, last: int, width: int) -> list[float]:
    """The share of the requests in each step of `width` bins."""
    whole = sum(bins.values())
    steps = [0.0] * ((last - first) // width + 1)
    for number, count in bins.items():
        steps[(number - first) // width] += count / whole
    return steps


def _steps(kind: str, shares: Sequence[float], first: int, width: int, x: Scale, y: Scale) -> Markup:
    def edge(step: int) -> float:
        return x(upper_edge(first - 1 + step * width))

    path = "".join(f"V{y(share * 100):.1f}H{edge(place + 1):.1f}" for place, share in enumerate(shares))
    return Markup('<path class="area {}" d="M{:.1f} {}{}V{}"/>').format(kind, edge(0), _BOTTOM, path, _BOTTOM)
