"""A rollout to one environment: what happened when, what the probe counted, which digest came after which."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from pipeline.report.reading import Recorded
from pipeline.report.wording import (
    NONE,
    Column,
    Text,
    block,
    chip,
    count,
    digest,
    join,
    moment,
    pairs,
    said,
    seconds,
    table,
)

_EVENTS = (
    ("begun", "started_at", ""),
    ("all new tasks healthy, and so for as long as the bake asks", "healthy_at", "healthy_s"),
    ("old tasks drained", "drained_at", "drained_s"),
)
_PHASES = {
    "before": "before: what ran before answers",
    "switch": "switch: old and new tasks answer",
    "bake": "bake: new tasks alone, on trial",
    "drain": "drain: new tasks count as good, old ones leave",
    "back": "on the way back",
}
_WORDS = {
    "succeeded": "passed",
    "rolled_back": "refused",
    "failed_first": "refused",
    "before_failed": "refused",
    "put_back": "refused",
    "emptied": "refused",
}


def told(stage: Recorded) -> Markup:
    """The rollout of a stage; one that was rehearsed on the way too."""
    facts = stage["facts"]
    rehearsed = [
        Markup("<h4>{}</h4>{}").format(title, one(facts["rehearsal"][name]))
        for name, title in (("back", "Rehearsed rollback"), ("again", "The candidate again"))
        if facts["rehearsal"][name]
    ]
    return join([one(facts["deployment"]), *rehearsed])


_SEVERAL = ("regions", "services", "parts")
"""What the rollouts of one release to several places are recorded under; `parts` are services in regions."""


def one(deployment: Recorded) -> Markup:
    """One deployment, as its facts tell it."""
    outcome = deployment["outcome"].text
    already = " It ran already; nothing was changed." if deployment["already"].flag else ""
    taken_up = " A deployment that was under way was taken up." if deployment["reattached"].flag else ""
    head = Markup("<p>{} {}{}{}</p>").format(
        chip(_WORDS.get(outcome, "undecided")), outcome.replace("_", " ") or NONE, already, taken_up
    )
    kind = next((kind for kind in _SEVERAL if deployment[kind].items()), "regions")
    regions = deployment[kind].items()
    return join(
        [
            head,
            _diagnosis(deployment),
            pairs(
                [*_digests_of(deployment), *(_waves(kind, deployment) if regions else _of_one(deployment))]
            ),
            _events(deployment),
            _probe(deployment["probe"]),
            *(_region(name, facts) for name, facts in regions),
        ]
    )


def _region(name: str, facts: Recorded) -> Markup:
    """One of several regions or services; open where it is not as it should be."""
    outcome = facts["outcome"].text
    opened = Markup(" open") if outcome != "succeeded" else ""
    return Markup("<details{}><summary>{} {} {}</summary>{}</details>").format(
        opened, chip(_WORDS.get(outcome, "undecided")), name, outcome.replace("_", " "), one(facts)
    )


def _waves(kind: str, deployment: Recorded) -> Iterator[tuple[str, Text]]:
    waves = [" and ".join(region.text for region in wave) for wave in deployment["waves"]]
    yield kind, ", then ".join(waves) or NONE


def _digests_of(deployment: Recorded) -> Iterator[tuple[str, Text]]:
    yield "tasks run", _digests(deployment["image_digests"])
    before = deployment["previous_digests"]
    yield "before it ran", "nothing" if before.value == [] else _digests(before)


def _of_one(deployment: Recorded) -> Iterator[tuple[str, Text]]:
    yield "service", f"{deployment['cluster'].text} / {deployment['service'].text}"
    yield "task definition", said(Recorded(deployment["task_definition"].text.rpartition("/")[2]))
    yield "deployment", said(deployment["deployment"])
    checked, skipped = list(deployment["preflight"]["ok"]), deployment["preflight"]["skipped"].items()
    if checked:
        unknown = "; ".join(f"{name}: {why.text}" for name, why in skipped)
        yield "looked at before", f"{len(checked)} OK" + (f", not known: {unknown}" if unknown else "")


def _digests(found: Recorded) -> Text:
    return Markup(", ").join([digest(one) for one in found]) if found else NONE


def _diagnosis(deployment: Recorded) -> Markup:
    text = deployment["diagnosis"].text
    return Markup("<h4>What went wrong</h4>{}").format(block(text)) if text else Markup("")


def _events(deployment: Recorded) -> Markup:
    begun = deployment["started_at"].moment
    columns = [
        Column("event"),
        Column("when"),
        Column("after", "figures"),
        Column("foreseen", "figures"),
    ]
    lines: list[tuple[Text, ...]] = []
    for name, key, foreseen in _EVENTS:
        at = deployment[key].moment
        after = seconds((at - begun).total_seconds()) if at and begun else NONE
        expected = seconds(deployment["predicted"][foreseen]) if foreseen else ""
        # The day is told once: on a phone a column of whole dates is a tall one.
        told = f"{at:%H:%M:%S %Z}" if at and lines else moment(deployment[key])
        lines.append((name, told, after, expected))
    return table("Events", columns, lines)


def _probe(probe: Recorded) -> Markup:
    if not probe:
        return Markup("<p>Traffic probe: {}.</p>").format(NONE)
    columns = [
        Column("requests of the traffic probe"),
        Column("sent", "figures"),
        Column("failed", "figures"),
        Column("4xx", "figures"),
        Column("p50", "figures"),
        Column("p95", "figures"),
        Column("what failed", "why"),
    ]
    lines = [_phase("in all", probe)] + [
        _phase(_PHASES.get(name, name), figures) for name, figures in probe["phases"].items()
    ]
    return join([_gaps(probe), table("Traffic probe", columns, lines)])


def _phase(name: str, figures: Recorded) -> tuple[Text, ...]:
    kinds = ", ".join(f"{kind} ({count(times)})" for kind, times in figures["failures"].items())
    return (
        name,
        count(figures["sent"]),
        count(figures["failed"]),
        count(figures["client_errors"]),
        *(_tenths(figures[f"{label}_ms"]) for label in ("p50", "p95")),
        kinds,
    )


def _tenths(latency: Recorded) -> str:
    """Recorded to a tenth of a millisecond; empty where nothing was answered."""
    return "" if latency.number is None else f"{latency.number:,.1f} ms"


def _gaps(probe: Recorded) -> Markup:
    """The longest time without a good answer, and when and in which phase it began."""
    phase, at = probe["longest_gap_in"].text, probe["longest_gap_at"].moment
    began = (f" at {at:%H:%M:%S %Z}" if at else "") + (f" in the phase “{phase}”" if phase else "")
    where = f", begun{began}" if began else ""
    late = probe["late"].number
    own = f" {count(late)} requests were sent late by the probe itself." if late else ""
    verdict = probe["verdict"]
    judged = Markup(" {} {}").format(chip(verdict["outcome"].text), verdict["text"].text) if verdict else ""
    return Markup("<p>Longest time without a good answer: {}{}.{}{}</p>").format(
        seconds(probe["longest_gap_s"]), where, own, judged
    )
