"""Values as people read them, and the few pieces of HTML that every section uses.

`Markup` escapes whatever is put into it: no text of an application, a test or a log becomes HTML here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from pipeline.report.reading import Recorded

Text = str | Markup

NONE = Markup('<span class="none">not recorded</span>')

MARKS = {"passed": "✓", "refused": "✕", "undecided": "?", "reused": "↺"}
_HEX = re.compile(r"(?:.*sha256:)?([0-9a-f]{12})[0-9a-f]{52}")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LONGEST_LINE = 400


def join(pieces: Iterable[Text]) -> Markup:
    """One after the other; what is not markup yet is escaped."""
    return Markup("").join(pieces)


def milliseconds(value: Recorded | float | None) -> Text:
    """`5.20 ms`: with as many decimals as others of its size, so that they stand below each other."""
    found = _number(value)
    return NONE if found is None else f"{found:,.{_places(found)}f} ms"


def seconds(value: Recorded | float | None) -> Text:
    """`5.2 s`, from two minutes on `2 min 5 s`."""
    found = _number(value)
    if found is not None and found >= 120:
        return f"{found // 60:.0f} min {found % 60:.0f} s"
    return _unit(found, "s")


def percent(value: Recorded | float | None) -> Text:
    """A share: `0.12 %`."""
    found = _number(value)
    return NONE if found is None else f"{digits(found * 100)} %"


def count(value: Recorded | float | None) -> Text:
    """`3,287`."""
    found = _number(value)
    return NONE if found is None else f"{found:,.0f}"


def ratio(value: Recorded | float | None) -> Text:
    """`1.02`."""
    found = _number(value)
    return NONE if found is None else f"{found:.2f}"


def binary_size(value: Recorded) -> Text:
    """`57.9 MiB`, from ten on `24.0 GiB`."""
    if value.number is None:
        return NONE
    mebibytes = value.number / 2**20
    return f"{mebibytes:,.1f} MiB" if mebibytes < 10 * 1024 else f"{mebibytes / 1024:,.1f} GiB"


def interval(point: Recorded, ends: tuple[float, float] | None, shown: Callable[[float], Text]) -> Text:
    """A value with the interval around it, whose ends go without the unit: `2.61 ms 2.54 to 2.69`."""
    if point.number is None:
        return NONE
    if ends is None:
        return shown(point.number)
    low, high = (str(shown(end)).partition(" ")[0] for end in ends)
    return Markup("{} <small>{} to {}</small>").format(shown(point.number), low, high)


def digits(value: float) -> str:
    """A number with about three significant digits."""
    places = _places(value) if abs(value) >= 0.1 or value == 0 else 4
    text = f"{value:,.{places}f}".replace("-", "−")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _places(value: float) -> int:
    """Decimals that make about three significant digits, two at most."""
    size = abs(value)
    return 0 if size >= 100 else 1 if size >= 10 else 2


def moment(value: Recorded) -> Text:
    """`2026-11-28 17:30:09 UTC`, or in the zone it was recorded in."""
    return when(value.moment) if value.moment else NONE


def when(value: datetime) -> str:
    """As `moment`."""
    return f"{value:%Y-%m-%d %H:%M:%S} {value:%Z}".rstrip()


def said(value: Recorded) -> Text:
    """A text as it is."""
    return value.text or NONE


def code(text: str) -> Markup:
    """Something to be copied."""
    return Markup("<code>{}</code>").format(text) if text else NONE


def short(digest: str) -> str:
    """The first twelve hex digits of a digest; anything else as it is."""
    found = _HEX.fullmatch(digest)
    return found[1] if found else digest


def digest(value: Recorded) -> Markup:
    """A digest, short, with the whole of it to be seen and copied."""
    if not value.text:
        return NONE
    return Markup('<code title="{}">{}</code>').format(value.text, short(value.text))


def chip(outcome: str, word: str = "") -> Markup:
    """An outcome as sign and word, its own where none is given."""
    kind = outcome if outcome in MARKS else "undecided"
    sign = MARKS.get(outcome, "?")
    return Markup('<span class="chip {}"><span aria-hidden="true">{}</span> {}</span>').format(
        kind, sign, word or outcome or "unknown"
    )


def reasons(stage: Recorded) -> Markup:
    """Why, and what mends it."""
    found = [_reason(reason) for reason in stage["reasons"] if reason["text"]]
    return Markup('<ul class="reasons">{}</ul>').format(join(found)) if found else Markup("")


def _reason(reason: Recorded) -> Markup:
    text, remedy = reason["text"].text, reason["remedy"].text
    following = Markup('<span class="next">next: {}</span>').format(remedy) if remedy else ""
    kind = "said lines" if "\n" in text else "said"
    return Markup('<li><span class="{}">{}</span>{}</li>').format(kind, plain(text), following)


def plain(text: str) -> str:
    """Without a terminal's colours, and no line longer than a screen of them."""
    lines = _ANSI.sub("", text).splitlines()
    return "\n".join(line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + " …" for line in lines)


def block(text: str, lines: int = 40) -> Markup:
    """Output of a program: its last lines."""
    found = plain(text).splitlines()
    left = len(found) - lines
    kept = [f"… {left} lines before", *found[left:]] if left > 0 else found
    return Markup('<pre tabindex="0">{}</pre>').format("\n".join(kept))


def pairs(entries: Iterable[tuple[str, Text]]) -> Markup:
    """A list of names and values."""
    rows = [Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(*entry) for entry in entries]
    return Markup("<dl>{}</dl>").format(join(rows))


def section(name: str, title: str, *content: Text) -> Markup:
    """A part of the page with its heading, to be linked to by `name`."""
    return Markup(
        '<section id="{0}" aria-labelledby="{0}-title"><h2 id="{0}-title">{1}</h2>{2}</section>'
    ).format(name, title, join(content))


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column. `kind` is figures for numbers, which are set to the right, or why for sentences."""

    title: str
    kind: str = ""


def table(caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Text]]) -> Markup:
    """A table that scrolls by itself where it is too wide; the first cell of a row is its heading."""
    kinds = [Markup(' class="{}"').format(column.kind) if column.kind else "" for column in columns]
    head = [
        Markup('<th scope="col"{}>{}</th>').format(kind, column.title)
        for kind, column in zip(kinds, columns, strict=True)
    ]
    body = [
        Markup("<tr>{}</tr>").format(
            join(_cell(place, kind, cell) for place, (kind, cell) in enumerate(zip(kinds, row, strict=True)))
        )
        for row in rows
    ]
    # tabindex: what scrolls must be reachable from the keyboard
    return Markup(
        '<div class="wide" tabindex="0" role="region" aria-label="{0}"><table><caption>{0}</caption>'
        "<thead><tr>{1}</tr></thead><tbody>{2}</tbody></table></div>"
    ).format(caption, join(head), join(body))


def _cell(place: int, kind: Text, cell: Text) -> Markup:
    if place == 0:
        return Markup('<th scope="row"{}>{}</th>').format(kind, cell)
    return Markup("<td{}>{}</td>").format(kind, cell)


def _number(value: Recorded | float | None) -> float | None:
    return value.number if isinstance(value, Recorded) else value


def _unit(value: Recorded | float | None, unit: str) -> Text:
    found = _number(value)
    return NONE if found is None else f"{digits(found)} {unit}"
