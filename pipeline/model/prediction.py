"""How long a rollout should take, from the figures that decide it, and which of them makes it slow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.model.strategy import Kind, steps_of, strategy_of
from pipeline.model.surroundings import Running, Surroundings, TargetGroup

_STOP_TIMEOUT = 30.0
_CONTAINER_INTERVAL = 30.0
_WORTH_A_WORD = 60.0
_DELAY_ENOUGH = 30.0


@dataclass(frozen=True, slots=True)
class Term:
    """A part of the time: what it is and how many seconds."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """Seconds from the beginning until healthy, until drained, and until drained when tasks are slow to stop.

    `terms` are the parts, in order; `unknown` what could not be counted; `slow` says what takes most of it, empty where
    nothing is worth a word.
    """

    healthy: float
    drained: float
    at_most: float
    terms: tuple[Term, ...]
    unknown: tuple[str, ...] = ()
    slow: str = ""

    @property
    def text(self) -> str:
        """One line for people."""
        more = "".join(f" and {name}" for name in self.unknown)
        later = self.drained - self.healthy
        end = f"drained {_s(later)} later" if later >= 0.5 else "old tasks drained by then"
        return f"healthy in about {_s(self.healthy)}{more}, {end}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """As JSON values."""
        return {
            "healthy_s": round(self.healthy, 1),
            "drained_s": round(self.drained, 1),
            "at_most_s": round(self.at_most, 1),
            "terms": {term.name: round(term.seconds, 1) for term in self.terms},
            "unknown": list(self.unknown),
            "slow": self.slow,
        }


@dataclass(frozen=True, slots=True)
class Timing:
    """What decides how long a rollout takes. All times are seconds; None: not known.

    `start` is from the order of a task to its start, `checks` interval and number of good answers that make a target
    healthy ((0, 0) without a target group), `container` until the containers' own health check says so, `delay` the
    deregistration delay, `stop` the most between SIGTERM and SIGKILL, `stay_up` how long success must last. `tasks`
    are to run, `old` run now; ECS keeps at least `least` running and at most `most`, in per cent of `tasks`. `shift`
    is what a strategy adds, `before` the command that runs first.
    """

    start: float | None
    checks: tuple[float, int] | None
    delay: float | None
    container: float = 0.0
    stop: float = _STOP_TIMEOUT
    stay_up: float = 0.0
    tasks: int = 1
    old: int = 1
    least: int = 100
    most: int = 200
    shift: tuple[Term, ...] = ()
    before: str = ""


def predict(timing: Timing) -> Prediction:
    """The time a rollout takes when nothing fails."""
    count = rounds(timing.tasks, timing.old, timing.least, timing.most) or 1
    interval, threshold = timing.checks or (0.0, 0)
    check = max(interval * threshold, timing.container)
    switch = (
        Term("task start", count * (timing.start or 0.0)),
        Term("health checks", count * check),
        *timing.shift,
    )
    bake = Term("bake", timing.stay_up)
    leaving = Term("deregistration delay", (timing.delay or 0.0) if timing.old else 0.0)
    stop = timing.stop if timing.old else 0.0
    switched = sum(term.seconds for term in switch)
    healthy = switched + bake.seconds
    terms = tuple(term for term in (*switch, bake, leaving) if term.seconds)
    return Prediction(
        healthy=healthy,
        drained=max(healthy, switched + leaving.seconds),
        at_most=max(healthy, switched + leaving.seconds + stop),
        terms=terms,
        unknown=_not_counted(timing),
        slow=_slow(terms, timing, count),
    )


def rounds(tasks: int, old: int, least: int, most: int) -> int | None:
    """How many times ECS starts tasks and waits for them in a rolling deployment; None: it can never get on.

    ECS rounds the lower bound up and the upper one down, in per cent of the wanted `tasks`.
    """
    lower, upper = math.ceil(tasks * least / 100), math.floor(tasks * most / 100)
    new, count = 0, 0
    while new < tasks:
        old -= max(0, min(old, old + new - lower))
        started = min(upper - old - new, tasks - new)
        if started <= 0:
            return None
        new += started
        count += 1
    return count


def timing_of(
    service: Mapping[str, Any],
    live: Mapping[str, Any],
    seen: Surroundings,
    *,
    stay_up: float,
    first: int,
    before: str = "",
) -> Timing:
    """The figures of a service (as DescribeServices gives it), its live definition, and what surrounds them.

    `first` is the number of tasks where the service stands at zero.
    """
    configuration = service.get("deploymentConfiguration") or {}
    shift = shift_terms(configuration)
    desired = int(service.get("desiredCount", 0))
    groups = list(seen.target_groups.values())
    known = [group for group in groups if isinstance(group, TargetGroup)]
    whole = len(known) == len(groups)
    slowest = max(((g.interval, g.threshold) for g in known), key=lambda c: c[0] * c[1], default=(0.0, 0))
    return Timing(
        start=seen.running.start if isinstance(seen.running, Running) else None,
        checks=slowest if whole else None,
        delay=max((group.delay for group in known), default=0.0) if whole else None,
        container=max((_container_check(c) for c in live.get("containerDefinitions", ())), default=0.0),
        stop=max((_stop(c) for c in live.get("containerDefinitions", ())), default=_STOP_TIMEOUT),
        stay_up=stay_up,
        tasks=desired or first,
        old=desired,
        least=100 if shift else int(configuration.get("minimumHealthyPercent", 100)),
        most=200 if shift else int(configuration.get("maximumPercent", 200)),
        shift=shift,
        before=before,
    )


def shift_terms(configuration: Mapping[str, Any]) -> tuple[Term, ...]:
    """What ECS's own traffic shifting adds: its steps, and its bake (DeploymentConfiguration of the ECS API)."""
    strategy = strategy_of(configuration)
    if strategy.kind is None or not strategy.kind.shifts:
        return ()
    count, seconds = steps_of(strategy)
    names = {Kind.LINEAR: f"{count} traffic steps", Kind.CANARY: "canary"}
    steps = [Term(name, count * seconds) for kind, name in names.items() if kind is strategy.kind]
    return (*steps, Term("ECS bake", strategy.shift_bake or 0.0))


def _container_check(container: Mapping[str, Any]) -> float:
    check = container.get("healthCheck")
    return float(check.get("interval") or _CONTAINER_INTERVAL) if check else 0.0


def _stop(container: Mapping[str, Any]) -> float:
    return float(container.get("stopTimeout") or _STOP_TIMEOUT)


def _not_counted(timing: Timing) -> tuple[str, ...]:
    parts = {
        f"the time of {timing.before}": bool(timing.before),
        "the start of a task": timing.start is None,
        "the health checks": timing.checks is None,
        "the deregistration delay": timing.delay is None,
    }
    return tuple(name for name, left_out in parts.items() if left_out)


def _slow(terms: tuple[Term, ...], timing: Timing, count: int) -> str:
    total = sum(term.seconds for term in terms)
    if total < _WORTH_A_WORD:
        return ""
    longest = max(terms, key=lambda term: term.seconds)
    share = "most of it" if longest.seconds > total / 2 else "the longest part of it"
    said = f"{longest.name} {_s(longest.seconds)} is {share}"
    advice = _advice(longest, timing, count)
    return f"{said}; {advice}" if advice else said


def _advice(longest: Term, timing: Timing, count: int) -> str:
    if longest.name == "deregistration delay" and longest.seconds > _DELAY_ENOUGH:
        return f"{_s(_DELAY_ENOUGH)} is enough for requests under {_s(_DELAY_ENOUGH)}"
    if longest.name in ("health checks", "task start") and count > 1:
        return (
            f"ECS does it in {count} rounds, since maximumPercent is {timing.most}: 200 makes it one, "
            "where there is room for twice the tasks"
        )
    if longest.name == "health checks" and timing.checks and timing.checks[0] > 5:
        interval, threshold = timing.checks
        return f"the target group asks {threshold} times, {_s(interval)} apart; twice, 5 s apart, is enough"
    if longest.name == "bake":
        return "it is `rollout.bake` in pipeline.toml"
    if longest.name == "task start":
        return "a smaller image starts sooner"
    return ""


def _s(seconds: float) -> str:
    return f"{seconds:.0f} s"
