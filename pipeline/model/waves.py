"""One release to several regions: which come next, what becomes of the others after a failure, how all of it ended.

A region may as well be one of several services of the release, or a service in a region: `kind` is what people call it.

The rules:

1. A wave begins when every region of all earlier waves runs the release and was verified. Inside a wave all begin.
2. Whatever is not that is a failure, be it that nobody knows: no later wave begins then.
3. After a failure the regions that had succeeded go back, each to what it ran before, or are left, as configured.
4. Once somebody else holds the environment nothing is changed any more.
5. It has passed only when every region runs it. Where regions are left with different digests, or in neither state,
   a person is needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any

from pipeline.errors import ExitCode
from pipeline.model.deployment import RolloutOutcome, RolloutResult
from pipeline.model.verdict import Outcome, Reason

Waves = tuple[tuple[str, ...], ...]
"""Regions by name, in the order of the waves they are in."""


class OnFailure(StrEnum):
    """What becomes of regions that had succeeded when another one has not."""

    ROLL_BACK = "roll_back"
    STOP = "stop"


class Fate(StrEnum):
    """What became of one region. Only SUCCEEDED means that the release serves there.

    WAITING: its wave has not begun. NOT_BEGUN: it could not begin, and nothing was changed. PUT_BACK: it had succeeded,
    and what ran before serves again; EMPTIED: it had succeeded, nothing ran before, and it stands at zero. DETACHED: it
    goes on without us. DISPLACED: somebody else holds the environment. STUCK: it is in neither state. The others are
    those of `RolloutOutcome`.
    """

    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    FAILED_FIRST = "failed_first"
    BEFORE_FAILED = "before_failed"
    PUT_BACK = "put_back"
    EMPTIED = "emptied"
    NOT_BEGUN = "not_begun"
    SUPERSEDED = "superseded"
    DETACHED = "detached"
    DISPLACED = "displaced"
    STUCK = "stuck"


_UNTOUCHED = frozenset({Fate.WAITING, Fate.NOT_BEGUN})
_AGAINST_IT = frozenset({Fate.ROLLED_BACK, Fate.FAILED_FIRST, Fate.BEFORE_FAILED})
_WENT_BACK = frozenset({Fate.ROLLED_BACK, Fate.PUT_BACK})

_SERVES: Mapping[Fate, str] = {
    Fate.WAITING: "runs what it ran, its wave was not begun",
    Fate.SUCCEEDED: "runs it",
    Fate.ROLLED_BACK: "failed, and went back to what it ran before",
    Fate.FAILED_FIRST: "failed, and stands at zero: nothing ran there before",
    Fate.BEFORE_FAILED: "runs what it ran, its command before the rollout failed",
    Fate.PUT_BACK: "had succeeded, and was put back to what it ran before",
    Fate.EMPTIED: "had succeeded, and was scaled to zero again: nothing ran there before",
    Fate.NOT_BEGUN: "runs what it ran, it could not begin",
    Fate.SUPERSEDED: "runs what somebody else deployed",
    Fate.DETACHED: "goes on without us, its end is not known",
    Fate.DISPLACED: "goes on without us, somebody else holds the environment",
    Fate.STUCK: "is in neither state",
}
"""What serves in a region, in words."""


class Action(Enum):
    """What to do next with the regions of a move."""

    ROLL_OUT = "roll_out"
    PUT_BACK = "put_back"
    END = "end"


@dataclass(frozen=True, slots=True)
class Move:
    """What comes next, and in which regions at once."""

    action: Action
    regions: tuple[str, ...] = ()


def next_move(waves: Waves, fates: Mapping[str, Fate], on_failure: OnFailure) -> Move:
    """What comes next, by what has become of each region so far; one without a fate is WAITING."""
    so_far = {name: fates.get(name, Fate.WAITING) for wave in waves for name in wave}
    begun = {name: fate for name, fate in so_far.items() if fate is not Fate.WAITING}
    if all(fate is Fate.SUCCEEDED for fate in begun.values()):
        left = (tuple(name for name in wave if name not in begun) for wave in waves)
        wave = next(filter(None, left), ())
        return Move(Action.ROLL_OUT, wave) if wave else Move(Action.END)
    served = tuple(name for name, fate in begun.items() if fate is Fate.SUCCEEDED)
    if on_failure is OnFailure.STOP or not served or Fate.DISPLACED in begun.values():
        return Move(Action.END)
    return Move(Action.PUT_BACK, served)


@dataclass(frozen=True, slots=True)
class Part:
    """What became of one region: in one word, why, and what is recorded of its rollout (JSON values).

    `done` is the rollout's result where there was one: what to go back from. `code` is the exit code that an error of
    this region would end with alone.
    """

    fate: Fate
    reasons: tuple[Reason, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    done: RolloutResult | None = None
    code: ExitCode | None = None

    @classmethod
    def of(cls, result: RolloutResult, facts: Mapping[str, Any]) -> Part:
        """The part out of a rollout's result, and what is recorded of it."""
        return cls(Fate(result.outcome.value), result.reasons, facts, result)


@dataclass(frozen=True, slots=True)
class End:
    """How all of it ended. `word` is an `Ending`'s value; `began` False: nothing was changed anywhere."""

    outcome: Outcome
    code: ExitCode | None
    word: str
    began: bool = True


def end_of(parts: Mapping[str, Part]) -> End:
    """How it ended, by what became of every region; of no region at all: undecided."""
    fates = {part.fate for part in parts.values()}
    if fates == {Fate.SUCCEEDED}:
        return End(Outcome.PASSED, None, "succeeded")
    for fate, code, word in _NOBODY_KNOWS:
        if fate in fates:
            return End(Outcome.UNDECIDED, code, word)
    if fates <= _UNTOUCHED:
        codes = [part.code for part in parts.values() if part.code is not None]
        return End(Outcome.UNDECIDED, next(iter(codes), ExitCode.UNDECIDED), "not_done", began=False)
    outcome = Outcome.REFUSED if fates & _AGAINST_IT else Outcome.UNDECIDED
    if Fate.SUCCEEDED in fates:
        return End(outcome, ExitCode.STUCK, "stopped")
    if fates & _WENT_BACK:
        return End(outcome, ExitCode.ROLLED_BACK, "rolled_back")
    first = fates & {Fate.FAILED_FIRST, Fate.EMPTIED}
    return End(outcome, None, "failed_first" if first else "before_failed")


_NOBODY_KNOWS = (
    (Fate.STUCK, ExitCode.STUCK, "stuck"),
    (Fate.DISPLACED, ExitCode.BUSY, "gave_way"),
    (Fate.DETACHED, ExitCode.UNAVAILABLE, "detached"),
    (Fate.SUPERSEDED, ExitCode.BUSY, "superseded"),
)
"""What makes the whole undecided, the strictest first."""


def reasons_of(parts: Mapping[str, Part], end: End, kind: str = "region") -> tuple[Reason, ...]:
    """What to tell: one line on all of it, then region by region what serves there and why."""
    return (
        _head(parts, end, kind),
        *(reason for name, part in parts.items() for reason in _told(name, part)),
    )


def interrupted_reasons(parts: Mapping[str, Part]) -> tuple[Reason, ...]:
    """What to tell where Ctrl-C ended a release that had begun: in one line what serves in each region, then why."""
    served = "; ".join(f"{name} {_SERVES[part.fate]}" for name, part in parts.items())
    why = (reason for name, part in parts.items() for reason in _why(name, part))
    return (Reason(f"interrupted: {served}", _NEXT["detached"]), *why)


def _head(parts: Mapping[str, Part], end: End, kind: str) -> Reason:
    if end.outcome is Outcome.PASSED:
        return Reason(f"all {len(parts)} {kind}s run it, healthy and verified")
    served = [name for name, part in parts.items() if part.fate is Fate.SUCCEEDED]
    fine = {Fate.SUCCEEDED, Fate.WAITING, Fate.PUT_BACK, Fate.EMPTIED}
    failed = [name for name, part in parts.items() if part.fate not in fine]
    then = _THEN.get(end.word, "what serves where is said below").format(", ".join(served), kind)
    return Reason(
        f"{', '.join(failed) or 'no region'} did not come to run it; {then}", _NEXT.get(end.word, "")
    )


_THEN: Mapping[str, str] = {
    "rolled_back": "every {1} runs what it ran before",
    "failed_first": "nothing ran before, and what was begun stands at zero",
    "before_failed": "every {1} runs what it ran",
    "not_done": "nothing was changed anywhere",
    "stopped": "{0} run it and are left so",
}

_NEXT: Mapping[str, str] = {
    "stopped": "to go on, mend what failed and promote the same digest again; to go back everywhere, run the rollback "
    "command",
    "detached": "run the same command again: it finds every region as it is then, and goes on",
    "not_done": "mend that, then run the same command again",
}


def _told(name: str, part: Part) -> Iterable[Reason]:
    yield Reason(f"{name} {_SERVES[part.fate]}")
    yield from _why(name, part)


def _why(name: str, part: Part) -> Iterable[Reason]:
    return (Reason(f"{name}: {reason.text}", reason.remedy) for reason in part.reasons)


def facts_of(waves: Waves, parts: Mapping[str, Part], end: End, kind: str = "region") -> dict[str, Any]:
    """The whole for the record, as JSON values: what readers of one rollout look for, and each region's own facts."""
    known = [part.facts for part in parts.values() if part.facts]
    return {
        "outcome": end.word,
        "image_digests": _united(known, "image_digests"),
        "previous_digests": _united(known, "previous_digests"),
        "started_at": min(_moments(known, "started_at"), default=None),
        "healthy_at": _last(known, "healthy_at", of=len(parts)),
        "drained_at": _last(known, "drained_at", of=len(parts)),
        "already": bool(known) and all(facts.get("already") for facts in known),
        "reattached": any(facts.get("reattached") for facts in known),
        "probe": _probed(known),
        "waves": [list(wave) for wave in waves],
        f"{kind}s": {name: {**part.facts, "outcome": part.fate.value} for name, part in parts.items()},
    }


def _united(known: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return sorted({digest for facts in known for digest in facts.get(key) or ()})


def _moments(known: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return sorted((facts[key] for facts in known if facts.get(key)), key=datetime.fromisoformat)


def _last(known: Sequence[Mapping[str, Any]], key: str, *, of: int) -> str | None:
    """The latest moment, where all regions have one."""
    found = _moments(known, key)
    return found[-1] if len(found) == of and found else None


def _probed(known: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What the probes of all regions counted together; None where there was none."""
    probes = [facts["probe"] for facts in known if facts.get("probe")]
    if not probes:
        return None
    counted = {key: sum(probe.get(key) or 0 for probe in probes) for key in ("sent", "failed")}
    longest = max(probes, key=lambda probe: probe.get("longest_gap_s") or 0.0)
    gap = {key: longest.get(key) for key in ("longest_gap_s", "longest_gap_in", "longest_gap_at")}
    return {**counted, **gap}


def deployment_in(facts: Mapping[str, Any], region: str) -> Mapping[str, Any]:
    """What a record's facts say of the rollout in one region (of one service); empty where they say nothing of it.

    A record of a single region has no list of regions: its task definition's ARN says which one it was.
    """
    told = facts.get("deployment")
    if not isinstance(told, Mapping):
        return {}
    regions = next((told[kind] for kind in ("regions", "services", "parts") if kind in told), None)
    if isinstance(regions, Mapping):
        found = regions.get(region)
        return found if isinstance(found, Mapping) else {}
    where = str(told.get("task_definition", "")).split(":")
    return told if len(where) > 3 and where[3] == region else {}


def mistake_in(waves: Waves) -> str:
    """What is wrong with the waves, in words; empty when nothing is."""
    twice = sorted(name for name, number in Counter(n for wave in waves for n in wave).items() if number > 1)
    if twice:
        return f"named twice: {', '.join(twice)}"
    return "" if all(waves) else "a wave without a region"


def undone(outcome: RolloutOutcome, reason: Reason, before: Part) -> Part:
    """What became of a region that had succeeded and was put back, by how that ended."""
    fates = {
        RolloutOutcome.ROLLED_BACK: Fate.PUT_BACK,
        RolloutOutcome.FAILED_FIRST: Fate.EMPTIED,
        RolloutOutcome.SUPERSEDED: Fate.SUPERSEDED,
    }
    return Part(fates[outcome], (reason,), before.facts)
