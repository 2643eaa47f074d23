"""The integration tests of a run: how many, which failed and what was written meanwhile, which took longest."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from pipeline.model.suite import SuiteCase
from pipeline.report.reading import Recorded
from pipeline.report.wording import Column, Text, block, chip, count, join, plain, reasons, table

_SHOWN = 40
_SLOWEST = 10
_OUTPUT = 80


def told(stage: Recorded, cases: Sequence[SuiteCase]) -> Markup:
    """What is known of the tests; `cases` is empty where their JUnit file is not to be had."""
    facts = stage["facts"]
    counts = ", ".join(
        f"{count(facts[name])} {name}" for name in ("passed", "failed", "skipped") if facts[name]
    )
    head = Markup("<p>{} {}</p>").format(chip(stage["outcome"].text), counts or "No test is on record.")
    return join(
        [head, _reused(stage), _why(stage, facts), _failed(facts, cases), _logs(facts), _slowest(cases)]
    )


def _reused(stage: Recorded) -> Markup:
    if not stage["reused"].flag:
        return Markup("")
    return Markup("<p>{} They ran in an earlier run; these are the figures of its record.</p>").format(
        chip("reused")
    )


def _why(stage: Recorded, facts: Recorded) -> Markup:
    """The stage's reasons, unless they say no more than which tests failed."""
    return Markup("") if facts["failures"] or stage["outcome"].text == "passed" else reasons(stage)


def _failed(facts: Recorded, cases: Sequence[SuiteCase]) -> Markup:
    bad = [(f"{case.suite}::{case.name}", case.message, case.text) for case in cases if case.bad]
    found = bad or [(one["name"].text, one["message"].text, "") for one in facts["failures"]]
    if not found:
        return Markup("")
    more = len(found) - _SHOWN
    left = Markup("<p>… and {} more, see junit.xml.</p>").format(more) if more > 0 else ""
    shown = join(_failure(*one, opened=place < 3) for place, one in enumerate(found[:_SHOWN]))
    return Markup("<h3>Failed</h3>{}{}").format(shown, left)


def _failure(name: str, message: str, text: str, *, opened: bool) -> Markup:
    first, _, rest = plain(message).partition("\n")
    return Markup(
        '<details class="failure"{}><summary><code>{}</code><br>{} {}</summary>{}</details>'
    ).format(
        Markup(" open") if opened else "",
        name,
        chip("refused", "failed"),
        first,
        block(text or rest or message, _OUTPUT),
    )


def _logs(facts: Recorded) -> Markup:
    found = [
        Markup("<details><summary>last lines of {}</summary>{}</details>").format(
            name, block("\n".join(line.text for line in lines))
        )
        for name, lines in facts["logs"].items()
        if lines
    ]
    return Markup("<h3>Containers</h3>{}").format(join(found)) if found else Markup("")


def _slowest(cases: Sequence[SuiteCase]) -> Markup:
    timed = sorted((case for case in cases if case.seconds), key=lambda case: -(case.seconds or 0.0))
    lines: list[tuple[Text, ...]] = [
        (case.name, case.suite, f"{case.seconds or 0.0:,.3f} s") for case in timed[:_SLOWEST]
    ]
    columns = [Column("test"), Column("file"), Column("took", "figures")]
    return table("Slowest tests", columns, lines) if lines else Markup("")
