"""Load by Locust, as a program: our plugin beside the project's locustfile, its record read while it grows."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.adapters.locust_stream import Line, Tail, fault_of, progress_of, summarise
from pipeline.errors import ConfigurationError, PipelineError, UnavailableError, UndecidedError
from pipeline.model.load import LoadShape, LoadSummary
from pipeline.model.sides import Enough, PairSummary, Sides
from pipeline.ports import Clock, Progress
from pipeline.waiting import poll

PLUGIN = Path(__file__).with_name("locust_plugin.py")
_OURS = PLUGIN.parents[2]
_LAST_LINES = 8
_EVERY = 0.25
_CHECK = 60.0
_POLITE = 3.0


class Locust:
    """Drives load from a Locust process of its own, for `pipeline.ports.LoadGenerator`.

    `python` is the interpreter that has Locust. `root` is the folder the locustfile's imports are relative to.
    `environ` is what the locustfile sees of the environment; Locust's own variables are taken out of it. `grace` is
    how many seconds answers are waited for when the load has ended, `slack` how many more starting and ending Locust
    may take. The process ends with ours, even on kill -9.
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
        self._python = python
        self._clock = clock
        self._root = root
        self._environ = {key: value for key, value in environ.items() if not key.startswith("LOCUST_")}
        self._grace = grace
        self._slack = slack

    def check(self, locustfile: Path) -> None:
        """Imports the locustfile in a process of its own.

        Raises ConfigurationError when it is missing, does not import (with Locust's last lines) or has no User
        class, UnavailableError when Locust itself is not there.
        """
        path = self._root / locustfile
        if not path.is_file():
            raise ConfigurationError(
                f"no locustfile: {path}",
                hint="create it, or set load.locustfile in pipeline.toml to where it is",
            )
        with _guard() as guard:
            finished = self._list(path, guard)
        self._read_list(path, finished.returncode, finished.stdout.decode("utf-8", "replace"))

    def _list(self, path: Path, guard: int) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                [*self._locust(guard, path), "--list"],
                cwd=self._root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(guard,),
                timeout=_CHECK,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            hint = f"import it by hand: {self._python} {path}"
            raise ConfigurationError(f"{path} did not import within {_CHECK:.0f} s", hint=hint) from error
        except OSError as error:
            raise self._not_there(error.strerror or str(error)) from error

    def run(self, shape: LoadShape, base_url: str, directory: Path, progress: Progress) -> LoadSummary:
        """Offers the shape to `base_url`, and gives what was measured after the warm-up.

        `directory` takes `locust.jsonl` (the raw record), `locust.log` and Locust's own `locust-stats.json`.
        Raises UndecidedError, with the last lines of the log, when the record is not whole: Locust crashed or was
        ended, no request, a jump of the clock. Raises UnavailableError when Locust cannot be started.
        """
        directory.mkdir(parents=True, exist_ok=True)
        stream, log = directory / "locust.jsonl", directory / "locust.log"
        stream.unlink(missing_ok=True)
        lines: list[Line] = []
        try:
            with self._started(shape, base_url, stream, log) as process:
                ended = self._follow(process, Tail(stream), shape, lines, progress)
            fault = fault_of(lines, shape)
        except (ValueError, KeyError, TypeError) as error:
            raise _undecided(f"its record is not in form ({error!r})", log) from error
        if not ended:
            fault = f"Locust did not end in time{': ' if fault else ''}{fault}"
        if fault:
            raise _undecided(fault, log)
        return summarise(lines, shape)

    def compare(
        self, shape: LoadShape, sides: Sides, directory: Path, progress: Progress, enough: Enough
    ) -> PairSummary:
        """Loads both sides at the same time."""
        raise NotImplementedError

    def _follow(
        self,
        process: subprocess.Popen[bytes],
        tail: Tail,
        shape: LoadShape,
        lines: list[Line],
        progress: Progress,
    ) -> bool:
        """Collects lines until the process has ended; False when its time was over before."""

        def look() -> int | None:
            # Asked before reading: what is in the file after the process has ended is all there will be.
            status = process.poll()
            for line in tail.lines():
                lines.append(line)
                if line["kind"] == "second":
                    progress.share(*progress_of(line, shape))
            return status

        deadline = self._clock.monotonic() + shape.lead + shape.duration + self._grace + self._slack
        return poll(look, _EVERY, deadline, self._clock) is not None

    @contextlib.contextmanager
    def _started(
        self, shape: LoadShape, base_url: str, stream: Path, log: Path
    ) -> Iterator[subprocess.Popen[bytes]]:
        with _guard() as guard, log.open("wb") as output:
            process = self._start(shape, base_url, stream, output.fileno(), guard)
            try:
                yield process
            finally:
                self._end(process)

    def _start(
        self, shape: LoadShape, base_url: str, stream: Path, output: int, guard: int
    ) -> subprocess.Popen[bytes]:
        plan = {
            "stream": str(stream.resolve()),
            "users": shape.users,
            "lead": shape.lead,
            "duration": shape.duration,
            "grace": self._grace,
        }
        argv = [
            *self._locust(guard, self._root / shape.locustfile),
            *("--headless", "--only-summary", "--exit-code-on-error", "0", "--loglevel", "INFO"),
            *("--host", base_url, "--users", str(shape.users), "--spawn-rate", str(shape.spawn_rate)),
            # With a file to write its own figures to, Locust does not print them over the log's last lines.
            *("--json-file", str(stream.with_name("locust-stats").resolve())),
            # Longer than our own grace, so that we see who is still waiting before Locust ends them.
            *("--stop-timeout", str(math.ceil(self._grace) + 1)),
        ]
        try:
            return subprocess.Popen(
                argv,
                cwd=self._root,
                env=self._environment() | {"ONEDIGEST_LOAD": json.dumps(plan)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(guard,),
            )
        except OSError as error:
            raise self._not_there(error.strerror or str(error)) from error

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLITE)
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _locust(self, guard: int, locustfile: Path) -> list[str]:
        # Relative, because Locust separates the two by a comma and a folder above may have one in its name.
        files = ",".join(os.path.relpath(path, self._root) for path in (PLUGIN, locustfile))
        return [self._python, "-m", "pipeline.adapters.locust_main", str(guard), "-f", files]

    def _environment(self) -> dict[str, str]:
        paths = [str(_OURS), self._environ.get("PYTHONPATH", "")]
        return self._environ | {
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "PYTHONUNBUFFERED": "1",
        }

    def _read_list(self, path: Path, code: int, output: str) -> None:
        if "No module named locust" in output:
            raise self._not_there("it has no module named locust")
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

    def _not_there(self, why: str) -> PipelineError:
        return UnavailableError(
            f"cannot start Locust with {self._python}: {why}", hint="run `make setup`, which installs Locust"
        )


@contextlib.contextmanager
def _guard() -> Iterator[int]:
    """A pipe's read end for the process to watch; only we hold the other side, so that it closes when we end."""
    watched, held = os.pipe()
    try:
        yield watched
    finally:
        os.close(held)
        os.close(watched)


def _undecided(fault: str, log: Path) -> UndecidedError:
    lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
    said = f"; Locust's last lines:\n{_last(lines)}" if lines else ""
    return UndecidedError(
        f"the load test gave no result: {fault}{said}",
        hint=f"see {log}, mend the cause and run the stage again",
    )


def _last(lines: Sequence[str]) -> str:
    return "\n".join(f"  {line}" for line in [line for line in lines if line.strip()][-_LAST_LINES:])
