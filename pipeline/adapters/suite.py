"""A pytest suite in a process of its own, followed live and checked twice: by its events and by its JUnit file."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.adapters import junit, process, pytest_plugin
from pipeline.adapters.watchdog import Watchdog
from pipeline.errors import UndecidedError
from pipeline.ports import Clock, Command, Progress, SuiteResult, TestFailure

_OURS = Path(__file__).resolve().parents[2]
_INHERITED = frozenset(
    ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY")
)
_LOOK_AT_THE_CLOCK_EVERY = 0.5
_LAST_LINES = 30


@dataclass(frozen=True, slots=True)
class Suite:
    """What to run: `tests` below `root`, by the interpreter `python`, for at most `timeout` seconds in all."""

    root: Path
    tests: Path
    python: str
    pytest_args: tuple[str, ...]
    timeout: float


@dataclass(frozen=True, slots=True)
class Target:
    """What the tests are given: the candidate's address and reference, and every container's id by its name."""

    base_url: str
    image: str
    containers: Mapping[str, str]


class PytestSuite:
    """Runs a suite against a target. The watchdog ends it when we are killed."""

    def __init__(self, suite: Suite, clock: Clock, watchdog: Watchdog) -> None:
        self._suite = suite
        self._clock = clock
        self._watchdog = watchdog

    def run(self, target: Target, directory: Path, progress: Progress) -> SuiteResult:
        """Runs it and says what happened; no test at all gives zeros. `directory` gets junit.xml and pytest.txt.

        Raises UndecidedError, with the end of pytest's output, when pytest did not finish in form: collection
        errors, wrong arguments, a crash, no end within the time, or events and JUnit file that differ.
        """
        report, text, seen = directory / "junit.xml", directory / "pytest.txt", _Seen()
        report.unlink(missing_ok=True)
        exit_code = self._run(self._argv(report), target, text, _Watched(seen, progress))
        output = text.read_text(encoding="utf-8", errors="replace")
        _check_form(exit_code, seen, output, self._suite)
        _check_tally(seen, junit.read_tally(report), output)
        failures = seen.failures
        return SuiteResult(
            seen.count("passed"), len(failures), seen.count("skipped"), failures, report, output
        )

    def _argv(self, report: Path) -> tuple[str, ...]:
        ours = (
            "-p",
            pytest_plugin.__name__,
            f"--junitxml={report}",
            "-q",
            "--color=no",
        )
        return (self._suite.python, "-m", "pytest", str(self._suite.tests), *ours, *self._suite.pytest_args)

    def _run(self, argv: tuple[str, ...], target: Target, text: Path, watched: _Watched) -> int:
        ours, theirs = os.pipe()
        environment = _environment(target, theirs, self._suite.root)
        command = Command(argv, cwd=self._suite.root, env=environment)
        try:
            with text.open("wb") as output:
                running = process.start(command, output=output, keep=(theirs,))
            os.close(theirs)
            theirs = -1
            return self._follow(running, ours, watched)
        finally:
            os.close(ours)
            if theirs >= 0:
                os.close(theirs)

    def _follow(self, running: subprocess.Popen[bytes], events: int, watched: _Watched) -> int:
        """Its exit code. Whatever happens, nothing of its process group is left afterwards."""
        self._watchdog.guard_group(running.pid)
        end = self._clock.monotonic() + self._suite.timeout
        try:
            for line in _lines(events, running):
                watched.take(line)
                if self._clock.monotonic() > end:
                    raise watched.too_long(self._suite.timeout)
            return running.wait()
        finally:
            process.kill_group(running)
            running.wait()
            self._watchdog.release_group(running.pid)


@dataclass(slots=True)
class _Seen:
    """What the plugin told so far."""

    collected: int = 0
    running: str = ""
    finished: bool = False
    outcomes: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)

    def take(self, event: Mapping[str, object]) -> None:
        test = str(event.get("test", ""))
        match event.get("event"):
            case "collected":
                self.collected = int(str(event["tests"]))
            case "began":
                self.running = test
            case "ended":
                self.outcomes[test] = str(event["outcome"])
                self.messages[test] = str(event["message"])
            case "finished":
                self.finished = True

    def count(self, outcome: str) -> int:
        return sum(found == outcome for found in self.outcomes.values())

    @property
    def failures(self) -> tuple[TestFailure, ...]:
        failed = (test for test, outcome in self.outcomes.items() if outcome not in ("passed", "skipped"))
        return tuple(TestFailure(test, self.messages[test]) for test in failed)


@dataclass(frozen=True, slots=True)
class _Watched:
    """Turns the plugin's lines into what was seen and into progress."""

    seen: _Seen
    progress: Progress

    def take(self, line: bytes) -> None:
        if not line:
            return
        self.seen.take(json.loads(line))
        done, total = len(self.seen.outcomes), self.seen.collected
        if total:
            failed = len(self.seen.failures)
            self.progress.share(
                min(1.0, done / total), f"{done}/{total} tests" + (f" · {failed} failed" * bool(failed))
            )

    def too_long(self, timeout: float) -> UndecidedError:
        where = f"in {self.seen.running}" if self.seen.running else "before the first test began"
        return UndecidedError(
            f"the integration suite did not end within {timeout:g} s; it was {where}",
            hint="give that test a time limit of its own, or raise integration.timeout in pipeline.toml",
        )


def _lines(events: int, running: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """Each line as it comes, and an empty one now and then meanwhile; ends when the program has closed the pipe.

    A program that ended while a grandchild keeps the pipe open counts as having closed it.
    """
    rest = b""
    while True:
        readable, _, _ = select.select([events], [], [], _LOOK_AT_THE_CLOCK_EVERY)
        if readable:
            chunk = os.read(events, 65536)
            if not chunk:
                return
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole
        elif running.poll() is not None:
            return
        yield b""


def _environment(target: Target, events: int, root: Path) -> dict[str, str]:
    """Only what pytest needs: no credentials, no secrets and no proxies of ours reach the tests."""
    inherited = {name: value for name, value in os.environ.items() if name in _INHERITED}
    ours = {
        pytest_plugin.BASE_URL: target.base_url,
        pytest_plugin.IMAGE: target.image,
        pytest_plugin.CONTAINERS: json.dumps(dict(target.containers)),
        pytest_plugin.EVENTS: str(events),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    elsewhere = {} if root.resolve() == _OURS else {"PYTHONPATH": str(_OURS)}
    return inherited | ours | elsewhere


def _check_form(exit_code: int, seen: _Seen, output: str, suite: Suite) -> None:
    """Exit codes 0, 1 and 5 (no tests) are answers, the others and a run cut short are not."""
    what = {
        2: "was interrupted or could not collect the tests",
        3: "had an internal error",
        4: "refused its arguments",
    }.get(
        exit_code,
        f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with exit code {exit_code}",
    )
    if exit_code not in (0, 1, 5) or not seen.finished:
        raise _undecided(f"pytest {what} on {suite.tests}", output)
    if (exit_code == 1) != bool(seen.failures) or (exit_code == 5 and seen.outcomes):
        raise _undecided(
            f"pytest {what}, yet {len(seen.failures)} of {len(seen.outcomes)} tests failed", output
        )
    if exit_code == 0 and len(seen.outcomes) != seen.collected:
        raise _undecided(f"pytest collected {seen.collected} tests and ran {len(seen.outcomes)}", output)


def _check_tally(seen: _Seen, tally: junit.Tally, output: str) -> None:
    told = junit.Tally(len(seen.outcomes), len(seen.failures))
    if told != tally:
        raise _undecided(
            f"pytest's events tell of {told.tests} tests with {told.failed} failed, "
            f"its JUnit file of {tally.tests} with {tally.failed}",
            output,
        )


def _undecided(what: str, output: str) -> UndecidedError:
    last = "\n".join(output.rstrip().splitlines()[-_LAST_LINES:])
    hint = "mend the suite so that pytest runs it to the end, then run the stage again"
    return UndecidedError(f"{what}\n{last}", hint=hint)
