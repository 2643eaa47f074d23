"""Runs one release through waves of regions: inside a wave in parallel, each region's words under its name.

What comes next is `pipeline.model.waves`' to say. A region whose rollout raises is a part like any other: what is known
of it is told, and the others are not torn down with it. Ctrl-C lets go of all regions at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TypeVar

from pipeline.errors import DetachedError, DetachedInterrupt, DisplacedError, PipelineError, StuckError
from pipeline.model.verdict import Reason
from pipeline.model.waves import Action, Fate, OnFailure, Part, Waves, next_move
from pipeline.ports import Progress

_EVERY = 0.2
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Unit:
    """One region's part: `go` rolls out, `back` puts back what ran before it, for the reason given."""

    go: Callable[[Progress], Part]
    back: Callable[[Part, Reason, Progress], Part]


@dataclass(frozen=True, slots=True)
class Fleet:
    """Regions by name, and the waves they go in. `interrupt` makes every region's rollout let go at its next pause."""

    units: Mapping[str, Unit]
    waves: Waves
    on_failure: OnFailure
    interrupt: Callable[[], None]

    def run(self, parts: dict[str, Part], progress: Progress) -> None:
        """Puts what became of every region into `parts`, in the order of the waves, as soon as that is known.

        Raises nothing that one region raised. Ctrl-C, which may come at any moment, goes on once every region has let
        go; `parts` then says how far each had come.
        """
        voices = Voices(progress)
        parts |= {name: Part(Fate.WAITING) for wave in self.waves for name in wave}
        while True:
            move = next_move(self.waves, {name: part.fate for name, part in parts.items()}, self.on_failure)
            if move.action is Action.END:
                return
            progress.note(_announced(move.action, move.regions, self.waves))
            if move.action is Action.ROLL_OUT:
                calls = {name: _bound(self.units[name].go, voices.of(name)) for name in move.regions}
                self._at_once(calls, Fate.NOT_BEGUN, parts)
            else:
                why = Reason(f"the release failed in {', '.join(_failed(parts))}")
                calls = {
                    name: _bound(self.units[name].back, parts[name], why, voices.of(name))
                    for name in move.regions
                }
                self._at_once(calls, Fate.STUCK, parts)

    def _at_once(
        self, calls: Mapping[str, Callable[[], Part]], at_worst: Fate, parts: dict[str, Part]
    ) -> None:
        """Puts what all of them come to into `parts`; `at_worst` is what an error before anything was changed leaves.

        Once interrupted, each is waited for only until it has let go.
        """

        def kept(name: str, call: Callable[[], Part], before: Part) -> None:
            parts[name] = _tried(call, at_worst, before)

        futures: list[Future[None]] = []
        with ThreadPoolExecutor(len(calls), thread_name_prefix="region") as pool:
            try:
                for name, call in calls.items():
                    before = parts[name]
                    parts[name] = replace(before, fate=Fate.DETACHED)  # until its own thread says what it is
                    futures.append(pool.submit(kept, name, call, before))
                while wait(futures, timeout=_EVERY).not_done:
                    pass
            except KeyboardInterrupt:
                self.interrupt()
                wait(futures)
                raise
        for future in futures:
            future.result()


def at_once(calls: Mapping[str, Callable[[], _T]]) -> Mapping[str, Future[_T]]:
    """What every call comes to, in their order; all of them begin at once.

    Nothing here waits for a call whose result nobody asks for any more, as after Ctrl-C: they may change nothing.
    """
    return {name: _begun(call) for name, call in calls.items()}


def _begun(call: Callable[[], _T]) -> Future[_T]:
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 – raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _tried(call: Callable[[], Part], at_worst: Fate, before: Part) -> Part:
    try:
        return call()
    except DetachedInterrupt:
        return Part(Fate.DETACHED, (Reason("detached, it goes on without us"),))
    except KeyboardInterrupt:  # before it had changed anything
        return Part(Fate.NOT_BEGUN, (Reason("interrupted"),)) if before.fate is Fate.WAITING else before
    except PipelineError as error:
        fate = next((fate for family, fate in _FATES if isinstance(error, family)), at_worst)
        return Part(fate, (Reason(error.message, error.hint),), code=error.exit_code)


_FATES = ((StuckError, Fate.STUCK), (DetachedError, Fate.DETACHED), (DisplacedError, Fate.DISPLACED))


def _bound(call: Callable[..., Part], *arguments: object) -> Callable[[], Part]:
    return lambda: call(*arguments)


def _failed(parts: Mapping[str, Part]) -> list[str]:
    return [name for name, part in parts.items() if part.fate not in (Fate.SUCCEEDED, Fate.WAITING)]


def _announced(action: Action, regions: tuple[str, ...], waves: Waves) -> str:
    names = ", ".join(regions)
    if action is Action.PUT_BACK:
        return f"putting back what ran before in {names}"
    number = next(n for n, wave in enumerate(waves, 1) if regions[0] in wave)
    return f"wave {number} of {len(waves)}: {names}"


class Voices:
    """Several regions that speak at once to one screen: one at a time, and each under its name."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()

    def of(self, name: str) -> Voice:
        """The progress of one region."""
        return Voice(name, self._progress, self._lock)


class Voice:
    """See `pipeline.ports.Progress`: every line begins with the region, and no step is said twice in a row."""

    def __init__(self, name: str, progress: Progress, lock: threading.Lock) -> None:
        self._name = name
        self._progress = progress
        self._lock = lock
        self._last = ""

    def step(self, text: str) -> None:
        """See `pipeline.ports.Progress.step`."""
        if text != self._last:
            self._last = text
            with self._lock:
                self._progress.step(f"{self._name}: {text}")

    def share(self, done: float, text: str) -> None:
        """See `pipeline.ports.Progress.share`."""
        with self._lock:
            self._progress.share(done, f"{self._name}: {text}")

    def note(self, text: str) -> None:
        """See `pipeline.ports.Progress.note`."""
        with self._lock:
            self._progress.note(f"{self._name}: {text}")
