"""Load by Locust, as programs: our plugin beside the project's locustfile, its record read while it grows."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.adapters.atomic_file import write_whole
from pipeline.adapters.locust_following import Follower
from pipeline.adapters.locust_gathering import Gathering, RecordError
from pipeline.adapters.locust_process import Program, plans_of, started
from pipeline.adapters.locust_stream import Tail
from pipeline.errors import ConfigurationError, UndecidedError
from pipeline.model.load import LoadShape, LoadSummary, fitting_users
from pipeline.model.sides import Enough, PairSummary, Side, Sides
from pipeline.ports import Clock, Progress
from pipeline.waiting import poll

_LAST_LINES = 8
_EVERY = 0.25
_CHECK = 60.0
_HEADSTART = 0.4
"""Seconds between the word to begin and the common start, within which every process has read it."""


class Locust:
    """Drives load from Locust processes of its own, for `pipeline.ports.LoadGenerator`.

    `python` is the interpreter that has Locust. `root` is the folder the locustfile's imports are relative to.
    `environ` is what the locustfile sees of the environment; Locust's own variables are taken out of it. `grace` is
    how many seconds answers are waited for when the load has ended, `slack` how many more starting and ending Locust
    may take. The processes end with ours, even on kill -9.
    """

    def __init__(
        self,
        python: str,
        clock: Clock,
        *,
        root: Path,
        environ: Mapping[str, str],
        grace: float = 5.0,
        slack: float = 60.0,
    ) -> None:
        self._program = Program(python, root, environ)
        self._clock = clock
        self._root = root
        self._grace = grace
        self._slack = slack

    def check(self, locustfile: Path) -> None:
        """Imports the locustfile in a process of its own.

        Raises ConfigurationError when it is missing, does not import (with Locust's last lines) or has no User
        class, UnavailableError when Locust itself is not there.
        """
        path = self._there(locustfile)
        try:
            finished = self._program.list_users(path, _CHECK)
        except subprocess.TimeoutExpired as error:
            hint = f"import it by hand: {self._program.python} {path}"
            raise ConfigurationError(f"{path} did not import within {_CHECK:.0f} s", hint=hint) from error
        self._read_list(path, finished.returncode, finished.stdout.decode("utf-8", "replace"))

    def parse(self, locustfile: Path) -> None:
        """Reads the locustfile without importing it: for one whose imports are not on this machine.

        Raises ConfigurationError when it is missing, or is no Python.
        """
        path = self._there(locustfile)
        try:
            ast.parse(path.read_bytes(), str(path))
        except (SyntaxError, ValueError) as error:
            raise ConfigurationError(f"{path} does not import: {error}", hint=f"mend {path}") from error

    def _there(self, locustfile: Path) -> Path:
        path = self._root / locustfile
        if not path.is_file():
            raise ConfigurationError(
                f"no locustfile: {path}",
                hint="create it, or set load.locustfile in pipeline.toml to where it is",
            )
        return path

    def run(self, shape: LoadShape, base_url: str, directory: Path, progress: Progress) -> LoadSummary:
        """Offers the shape to `base_url`, and gives what was measured after the warm-up.

        `directory` takes `locust.jsonl` (the raw record), `locust.log` and Locust's own `locust-stats.json`; with
        several processes each has its own, as in `locust-2.jsonl`. Raises UndecidedError, with the last lines of the
        log, when a record is not whole: Locust crashed or was ended, no request, a jump of the clock. Raises
        UnavailableError when Locust cannot be started, ConfigurationError when users do not share evenly.
        """
        load = _Load(shape, {Side.CANDIDATE.value: base_url}, directory)
        with load.in_form():
            return self._measured(load, progress, None).summary()

    def compare(
        self, shape: LoadShape, sides: Sides, directory: Path, progress: Progress, enough: Enough
    ) -> PairSummary:
        """Offers half of the shape to either side at the same time; files and errors as of `run`."""
        urls = {Side.CANDIDATE.value: sides.candidate, Side.BASELINE.value: sides.baseline}
        load = _Load(shape, urls, directory)
        with load.in_form():
            return self._measured(load, progress, enough).pair()

    def _measured(self, load: _Load, progress: Progress, enough: Enough | None) -> Gathering:
        """The whole records of the load; raises as `run` does."""
        load.prepare()
        gathering = Gathering([Tail(path) for path in load.streams], load.shape, list(load.urls))
        plans = plans_of(load.shape, load.urls, load.streams, load.start, self._grace)
        with started(self._program, plans, load.shape.locustfile, load.logs) as fleet:
            follower = Follower(fleet, gathering, progress, enough)
            self._begin(load, follower)
            ended = poll(follower.look, _EVERY, self._deadline(load.shape), self._clock) is not None
        fault = follower.lost or gathering.fault(asked=follower.asked)
        if not ended:
            number, text = fault or (1, "")
            fault = number, f"Locust did not end in time{': ' if text else ''}{text}"
        if fault:
            raise load.undecided(fault[1], fault[0])
        return gathering

    def _begin(self, load: _Load, follower: Follower) -> None:
        """Gives several processes the moment of their common start, once all are there."""
        if load.start is None:
            return
        deadline = self._clock.monotonic() + self._slack
        if poll(follower.ready, _EVERY, deadline, self._clock) is None:
            raise load.undecided(f"it was not ready within {self._slack:g} s", follower.missing)
        if not follower.lost:
            write_whole(load.start, str(self._clock.now().timestamp() + _HEADSTART).encode())

    def _deadline(self, shape: LoadShape) -> float:
        return self._clock.monotonic() + shape.lead + shape.duration + self._grace + self._slack

    def _read_list(self, path: Path, code: int, output: str) -> None:
        if "No module named locust" in output:
            raise self._program.not_there("it has no module named locust")
        before, heading, names = output.partition("Available Users:\n")
        if code or not heading:
            raise ConfigurationError(
                f"{path} does not import:\n{_last(before.splitlines())}",
                hint=f"mend {path}; Locust's own words are above",
            )
        if not names.strip():
            raise ConfigurationError(
                f"{path} has no User class",
                hint="define a subclass of locust.HttpUser or FastHttpUser in it, with tasks",
            )


def require_shares(shape: LoadShape, sides: int) -> None:
    """Raises ConfigurationError, with the next number that does, when users do not share evenly."""
    fits = fitting_users(shape.users, shape.processes, sides)
    if fits != shape.users:
        both = " and both sides" if sides > 1 else ""
        raise ConfigurationError(
            f"{shape.users} users do not share evenly between {shape.processes} processes{both}",
            hint=f"set load.users = {fits} in pipeline.toml, or another multiple of {shape.processes * sides}",
        )


class _Load:
    """One load and its files. Raises ConfigurationError when its users do not share evenly."""

    def __init__(self, shape: LoadShape, urls: Mapping[str, str], directory: Path) -> None:
        require_shares(shape, len(urls))
        self.shape, self.urls, self._directory = shape, urls, directory
        several = shape.processes > 1
        names = [f"locust-{n + 1}" if several else "locust" for n in range(shape.processes)]
        self.streams = [directory / f"{name}.jsonl" for name in names]
        self.logs = [directory / f"{name}.log" for name in names]
        self.start = directory / "locust-start" if several else None

    def prepare(self) -> None:
        """Makes the folder, without anything of an earlier load that could be taken for this one's."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for old in (*self._directory.glob("locust*.jsonl"), self._directory / "locust-start"):
            old.unlink(missing_ok=True)

    @contextmanager
    def in_form(self) -> Iterator[None]:
        """What reads the records belongs inside; raises UndecidedError when they are not in form."""
        try:
            yield
        except RecordError as error:
            raise self.undecided(f"its record is not in form ({error})") from error

    def undecided(self, fault: str, number: int = 1) -> UndecidedError:
        """Why there is no result, with what that process said last."""
        log = self.logs[number - 1]
        which = f"Locust {number} of {len(self.logs)}: " if len(self.logs) > 1 else ""
        lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
        said = f"; Locust's last lines:\n{_last(lines)}" if lines else ""
        return UndecidedError(
            f"the load test gave no result: {which}{fault}{said}",
            hint=f"see {log}, mend the cause and run the stage again",
        )


def _last(lines: Sequence[str]) -> str:
    return "\n".join(f"  {line}" for line in [line for line in lines if line.strip()][-_LAST_LINES:])
