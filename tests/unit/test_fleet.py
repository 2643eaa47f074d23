"""Several regions at once, on threads: what each comes to is told, whatever the others do, and one screen for all."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import pytest

from pipeline.adapters.clock import InterruptibleClock
from pipeline.errors import (
    BusyError,
    DetachedError,
    DetachedInterrupt,
    DisplacedError,
    ExitCode,
    PipelineError,
    StuckError,
    UnavailableError,
)
from pipeline.fleet import Fleet, Unit
from pipeline.model.deployment import RolloutOutcome, RolloutResult
from pipeline.model.verdict import Outcome, Reason
from pipeline.model.waves import Fate, OnFailure, Part, end_of
from pipeline.ports import Progress
from tests.fakes.load import InterruptingProgress, RecordedProgress

WAVES = (("a",), ("b", "c"))
GOOD = RolloutOutcome.SUCCEEDED


@dataclass
class World:
    """Regions that end as told: with an outcome, or an error."""

    ends: Mapping[str, RolloutOutcome | BaseException] = field(default_factory=dict)
    backs: Mapping[str, PipelineError] = field(default_factory=dict)
    went: list[str] = field(default_factory=list)
    put_back: list[str] = field(default_factory=list)
    why: set[str] = field(default_factory=set)
    progress: RecordedProgress = field(default_factory=RecordedProgress)
    interrupted: threading.Event = field(default_factory=threading.Event)

    def unit(self, name: str) -> Unit:
        def go(progress: Progress) -> Part:
            progress.step("waiting")
            progress.step("waiting")
            self.went.append(name)
            end = self.ends.get(name, GOOD)
            if isinstance(end, BaseException):
                raise end
            return Part.of(RolloutResult(end, (Reason(f"so {name} ended"),), "arn"), {})

        def back(part: Part, why: Reason, progress: Progress) -> Part:
            assert part.fate is Fate.SUCCEEDED
            self.put_back.append(name)
            self.why.add(why.text)
            if name in self.backs:
                raise self.backs[name]
            return Part(Fate.PUT_BACK)

        return Unit(go, back)

    def run(self, on_failure: OnFailure = OnFailure.ROLL_BACK) -> Mapping[str, Part]:
        units = {name: self.unit(name) for name in "abc"}
        parts: dict[str, Part] = {}
        Fleet(units, WAVES, on_failure, self.interrupted.set).run(parts, self.progress)
        return parts

    def fates(self, on_failure: OnFailure = OnFailure.ROLL_BACK) -> dict[str, Fate]:
        return {name: part.fate for name, part in self.run(on_failure).items()}


def test_all_regions_get_it_wave_by_wave() -> None:
    world = World()
    assert set(world.fates().values()) == {Fate.SUCCEEDED}
    assert world.went[0] == "a"
    assert sorted(world.went[1:]) == ["b", "c"]
    assert world.progress.notes == ["wave 1 of 2: a", "wave 2 of 2: b, c"]


def test_no_later_wave_begins_after_a_failure() -> None:
    world = World({"a": RolloutOutcome.ROLLED_BACK})
    assert world.fates() == {"a": Fate.ROLLED_BACK, "b": Fate.WAITING, "c": Fate.WAITING}
    assert world.went == ["a"]


ERRORS: Mapping[type[PipelineError], Fate] = {
    StuckError: Fate.STUCK,
    DetachedError: Fate.DETACHED,
    DisplacedError: Fate.DISPLACED,
    BusyError: Fate.NOT_BEGUN,
    UnavailableError: Fate.NOT_BEGUN,
}
ENDS = [*RolloutOutcome, *ERRORS]


@pytest.mark.parametrize("on_failure", list(OnFailure))
@pytest.mark.parametrize(("b", "c"), list(product(ENDS, ENDS)))
def test_every_combination_of_ends_in_the_second_wave(
    b: RolloutOutcome | type[PipelineError],
    c: RolloutOutcome | type[PipelineError],
    on_failure: OnFailure,
) -> None:
    ends = {"b": b, "c": c}
    world = World({n: e if isinstance(e, RolloutOutcome) else e("so", hint="") for n, e in ends.items()})
    fates = world.fates(on_failure)
    own = {n: Fate(e.value) if isinstance(e, RolloutOutcome) else ERRORS[e] for n, e in ends.items()}
    failed = any(fate is not Fate.SUCCEEDED for fate in own.values())
    goes_back = failed and on_failure is OnFailure.ROLL_BACK and Fate.DISPLACED not in own.values()
    served = ["a", *(name for name, fate in own.items() if fate is Fate.SUCCEEDED)]
    expected = {"a": Fate.SUCCEEDED, **own}
    assert fates == (expected | dict.fromkeys(served, Fate.PUT_BACK) if goes_back else expected)
    assert sorted(world.put_back) == (served if goes_back else [])
    assert sorted(world.went) == ["a", "b", "c"]
    if goes_back:
        names = [name for name in "bc" if name not in served]
        assert world.why == {f"the release failed in {', '.join(names)}"}


def test_an_error_is_told_with_its_next_step_and_code() -> None:
    parts = World({"b": BusyError("held by anne", hint="wait")}).run(OnFailure.STOP)
    assert parts["b"].reasons == (Reason("held by anne", "wait"),)
    assert parts["b"].code is ExitCode.BUSY


def test_a_region_that_cannot_be_put_back_is_stuck_and_the_others_are_put_back() -> None:
    world = World({"c": RolloutOutcome.ROLLED_BACK}, {"a": UnavailableError("no answer", hint="look")})
    parts = world.run()
    assert {n: p.fate for n, p in parts.items()} == {
        "a": Fate.STUCK,
        "b": Fate.PUT_BACK,
        "c": Fate.ROLLED_BACK,
    }
    end = end_of(parts)
    assert (end.outcome, end.code) == (Outcome.UNDECIDED, ExitCode.STUCK)


def test_each_line_is_under_its_regions_name_and_no_step_is_said_twice() -> None:
    world = World()
    world.run()
    assert sorted(world.progress.steps) == ["a: waiting", "b: waiting", "c: waiting"]


def test_a_bar_is_a_regions_own_too() -> None:
    def go(progress: Progress) -> Part:
        progress.share(0.5, "half")
        progress.note("done")
        return Part(Fate.SUCCEEDED)

    progress = RecordedProgress()
    unit = Unit(go, lambda part, _why, _progress: part)
    Fleet({"a": unit}, (("a",),), OnFailure.STOP, lambda: None).run({}, progress)
    assert "a: done" in progress.notes
    assert progress.shares == [(0.5, "a: half")]


class Interrupting:
    """Regions that wait on a clock of their own until they are interrupted, or have ended before it."""

    def __init__(self, *, begun: bool, first: bool = False) -> None:
        self.event = threading.Event()
        self.begun = begun
        self.first = first

    def go(self, progress: Progress) -> Part:
        progress.step("waiting")
        if self.first:
            self.first = False
            return Part(Fate.SUCCEEDED)
        threading.Timer(0.05, signal.raise_signal, (signal.SIGINT,)).start()
        try:
            InterruptibleClock(self.event).sleep(60)
        except KeyboardInterrupt:
            if self.begun:
                raise DetachedInterrupt from None
            raise
        raise AssertionError("nobody interrupted it")

    def fates(self, *waves: str) -> dict[str, Fate]:
        """What is known of each region once Ctrl-C has come through."""
        parts: dict[str, Part] = {}
        units = {name: Unit(self.go, lambda part, _why, _progress: part) for wave in waves for name in wave}
        fleet = Fleet(units, tuple(map(tuple, waves)), OnFailure.ROLL_BACK, self.event.set)
        with pytest.raises(KeyboardInterrupt):
            fleet.run(parts, RecordedProgress())
        return {name: part.fate for name, part in parts.items()}


def test_ctrl_c_lets_go_of_what_has_begun() -> None:
    assert Interrupting(begun=True).fates("a") == {"a": Fate.DETACHED}


def test_ctrl_c_before_anything_has_begun_leaves_everything_as_it_was() -> None:
    assert Interrupting(begun=False).fates("a", "b") == {"a": Fate.NOT_BEGUN, "b": Fate.WAITING}


def test_ctrl_c_after_an_earlier_wave_tells_what_that_one_came_to() -> None:
    found = Interrupting(begun=False, first=True).fates("a", "b", "c")
    assert found == {"a": Fate.SUCCEEDED, "b": Fate.NOT_BEGUN, "c": Fate.WAITING}


@pytest.mark.parametrize(
    ("word", "ends", "expected"),
    [
        ("wave 1", {}, (Fate.WAITING, Fate.WAITING, Fate.WAITING)),
        ("wave 2", {}, (Fate.SUCCEEDED, Fate.WAITING, Fate.WAITING)),
        (
            "putting back",
            {"b": RolloutOutcome.ROLLED_BACK},
            (Fate.SUCCEEDED, Fate.ROLLED_BACK, Fate.SUCCEEDED),
        ),
    ],
)
def test_ctrl_c_between_two_moves_leaves_what_is_known_of_each_region(
    word: str, ends: Mapping[str, RolloutOutcome], expected: tuple[Fate, ...]
) -> None:
    world, parts = World(ends), dict[str, Part]()
    units = {name: world.unit(name) for name in "abc"}
    fleet = Fleet(units, WAVES, OnFailure.ROLL_BACK, world.interrupted.set)
    with pytest.raises(KeyboardInterrupt):
        fleet.run(parts, InterruptingProgress(word=word))
    assert tuple(part.fate for part in parts.values()) == expected
    assert world.put_back == []


def test_a_region_interrupted_before_it_was_put_back_runs_the_release_still() -> None:
    waiting, world, parts = Interrupting(begun=False), World(), dict[str, Part]()
    failing = Unit(lambda _progress: Part(Fate.ROLLED_BACK), lambda part, _why, _progress: part)
    served = Unit(world.unit("a").go, lambda _part, _why, progress: waiting.go(progress))
    fleet = Fleet({"a": served, "b": failing}, (("a", "b"),), OnFailure.ROLL_BACK, waiting.event.set)
    with pytest.raises(KeyboardInterrupt):
        fleet.run(parts, RecordedProgress())
    assert {name: part.fate for name, part in parts.items()} == {"a": Fate.SUCCEEDED, "b": Fate.ROLLED_BACK}
    assert parts["a"].done is not None


def test_a_mistake_of_ours_in_one_region_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        World({"b": ZeroDivisionError()}).run()
