"""Locust against a real server: what passes, what is refused, what stays open, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.locust import Locust
from pipeline.errors import ConfigurationError, UnavailableError, UndecidedError
from pipeline.model.limits import Limit
from pipeline.model.load import GeneratorLimits, LoadLimits, LoadShape, LoadSummary, judge_load
from pipeline.model.verdict import Outcome, Verdict
from tests.fakes.load import RecordedProgress
from tests.fakes.load_target import TargetServer
from tests.processes import has_ended

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parent / "data"
LIMITS = LoadLimits(
    {"requests": Limit(min=50), "error_rate": Limit(max=0.01), "p50_ms": Limit(max=500)},
    {"GET /api/vets": {"p50_ms": Limit(max=500)}},
)
# What is under test here is the verdict on the service, on a machine that other work may keep busy.
PATIENT = GeneratorLimits(max_cpu=1.0, max_lag_share=1.0)

BLOCKING = "    @task\n    def go(self):\n        end = time.monotonic() + 60\n"
BLOCKING += "        while time.monotonic() < end:\n            pass"


def shape(locustfile: str = "journey.py", duration: float = 2.0) -> LoadShape:
    return LoadShape(Path(locustfile), users=8, spawn_rate=8, warmup=0.5, duration=duration)


def locust(root: Path = DATA, grace: float = 5.0) -> Locust:
    return Locust(sys.executable, SystemClock(), root=root, environ=os.environ, grace=grace)


def measure(url: str, directory: Path) -> LoadSummary:
    return locust().run(shape(), url, directory, RecordedProgress())


def judged(summary: LoadSummary) -> Verdict:
    return judge_load(summary, LIMITS, PATIENT)


def texts(verdict: Verdict) -> str:
    return "\n".join(reason.text for reason in verdict.reasons)


def write(folder: Path, body: str, wait: str = "constant(0.05)") -> Path:
    folder.mkdir(exist_ok=True)
    text = "import os, time, signal\nfrom locust import FastHttpUser, LoadTestShape, constant, events, task\n"
    text += f"class Visitor(FastHttpUser):\n    wait_time = {wait}\n    host = 'http://127.0.0.1:9'\n{body}\n"
    (folder / "journey.py").write_text(text)
    return folder


def test_a_good_service_passes(tmp_path: Path) -> None:
    with TargetServer() as target:
        verdict = judged(measure(target.url, tmp_path))
    assert verdict.outcome is Outcome.PASSED, texts(verdict)


def test_a_second_of_sleep_in_one_endpoint_is_refused_by_its_name(tmp_path: Path) -> None:
    with TargetServer(delays={"/api/vets": 1.0}) as target:
        verdict = judged(measure(target.url, tmp_path))
    assert verdict.outcome is Outcome.REFUSED
    assert "p50 of GET /api/vets was 1," in texts(verdict)
    assert "/api/owners" not in texts(verdict)


def test_five_per_cent_errors_are_refused(tmp_path: Path) -> None:
    with TargetServer(every=20) as target:
        summary = measure(target.url, tmp_path)
    assert summary.total.failures / summary.total.requests == pytest.approx(0.05, abs=0.01)
    assert judged(summary).outcome is Outcome.REFUSED
    assert any(message.startswith("GET /api/owners: ") and "500" in message for message in summary.errors)


def test_a_service_that_is_down_does_not_pass(tmp_path: Path) -> None:
    with TargetServer() as target:
        target.stop()
        summary = measure(target.url, tmp_path)
    assert summary.total.failures == summary.total.requests > 0
    assert judged(summary).outcome is Outcome.REFUSED


def test_a_service_that_never_answers_gives_no_result(tmp_path: Path) -> None:
    with (
        TargetServer(delays={"/api/owners": 600.0, "/api/vets": 600.0}) as target,
        pytest.raises(UndecidedError),
    ):
        locust(grace=0.5).run(shape(duration=1), target.url, tmp_path, RecordedProgress())


def test_requests_that_hang_leave_the_verdict_open(tmp_path: Path) -> None:
    with TargetServer(delays={"/hang": 600.0}) as target:
        body = "    asked = 0\n    @task\n    def go(self):\n        Visitor.asked += 1\n"
        body += "        self.client.get('/hang' if Visitor.asked == 40 else '/')"
        summary = locust(write(tmp_path / "root", body), grace=0.5).run(
            shape(), target.url, tmp_path / "run", RecordedProgress()
        )
    assert summary.unfinished == 1
    assert (
        judge_load(
            summary, LoadLimits({"error_rate": Limit(max=0.5), "requests": Limit(min=1)}), PATIENT
        ).outcome
        is Outcome.UNDECIDED
    )


def test_slow_answers_of_the_last_second_are_waited_for(tmp_path: Path) -> None:
    with TargetServer(delays={"/": 1.5}) as target:
        root = write(tmp_path / "root", "    @task\n    def go(self):\n        self.client.get('/')")
        summary = locust(root).run(shape(duration=1), target.url, tmp_path / "run", RecordedProgress())
    assert summary.unfinished == 0
    assert summary.total.requests > 0
    assert summary.total.quantiles["p50"] >= 1500


def test_a_task_that_raises_counts_as_a_failed_request(tmp_path: Path) -> None:
    with TargetServer() as target:
        body = "    @task\n    def go(self):\n        self.client.get('/')\n        raise KeyError('id')"
        summary = locust(write(tmp_path / "root", body)).run(
            shape(duration=1), target.url, tmp_path / "run", RecordedProgress()
        )
    # Up to one a user was under way when measuring ended.
    assert summary.total.failures == pytest.approx(summary.total.requests / 2, abs=8)
    assert any("raised KeyError: 'id'" in message for message in summary.errors)


def test_answers_of_another_server_are_not_the_services(tmp_path: Path) -> None:
    with TargetServer(delays={"/": 1.0}) as target, TargetServer() as other:
        tasks = "    @task\n    def ours(self):\n        self.client.get('/')\n"
        tasks += (
            f"    @task(9)\n    def theirs(self):\n        self.client.get('{other.url}/', name='/token')"
        )
        summary = locust(write(tmp_path / "root", tasks)).run(
            shape(), target.url, tmp_path / "run", RecordedProgress()
        )
    assert [endpoint.name for endpoint in summary.endpoints] == ["GET /"]
    assert summary.total.quantiles["p50"] > 900
    assert other.url.removeprefix("http://") in (tmp_path / "run" / "locust.log").read_text()


def test_a_locustfile_that_asks_only_another_server_gives_no_result(tmp_path: Path) -> None:
    with TargetServer() as target, TargetServer() as other:
        body = f"    @task\n    def go(self):\n        self.client.get('{other.url}/')"
        root = write(tmp_path / "root", body)
        with pytest.raises(UndecidedError, match="not one request"):
            locust(root).run(shape(duration=1), target.url, tmp_path / "run", RecordedProgress())


def test_users_that_die_are_load_that_was_not_delivered(tmp_path: Path) -> None:
    with TargetServer() as target:
        body = "    born = 0\n    def on_start(self):\n        Visitor.born += 1\n"
        body += "        assert Visitor.born % 2\n    @task\n    def go(self):\n        self.client.get('/')"
        summary = locust(write(tmp_path / "root", body)).run(
            shape(duration=1), target.url, tmp_path / "run", RecordedProgress()
        )
    assert summary.generator.delivered_share == pytest.approx(0.5, abs=0.01)
    assert (
        judge_load(
            summary, LoadLimits({"error_rate": Limit(max=0.01), "requests": Limit(min=1)}), PATIENT
        ).outcome
        is Outcome.UNDECIDED
    )


def test_a_busy_generator_shows_in_its_figures(tmp_path: Path) -> None:
    with TargetServer() as target:
        body = "    @task\n    def go(self):\n        self.client.get('/')\n"
        body += (
            "        end = time.monotonic() + 0.05\n        while time.monotonic() < end:\n            pass"
        )
        summary = locust(write(tmp_path / "root", body, wait="constant(0)")).run(
            shape(duration=1), target.url, tmp_path / "run", RecordedProgress()
        )
    assert summary.generator.lag_share > 0.5
    verdict = judge_load(
        summary, LoadLimits({"error_rate": Limit(max=0.01), "requests": Limit(min=1)}), GeneratorLimits()
    )
    assert verdict.outcome is Outcome.UNDECIDED


def test_a_load_shape_of_the_locustfile_does_not_replace_ours(tmp_path: Path) -> None:
    with TargetServer() as target:
        body = "    @task\n    def go(self):\n        self.client.get('/')\n"
        body += "class One(LoadTestShape):\n    def tick(self):\n        return (1, 1)"
        root = write(tmp_path / "root", body)
        summary = locust(root).run(shape(duration=1), target.url, tmp_path / "run", RecordedProgress())
    assert summary.generator.delivered_share == pytest.approx(1.0, abs=0.01)
    assert "LoadTestShape is not used" in (tmp_path / "run" / "locust.log").read_text()


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ("os._exit(0)", "breaks off after"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "breaks off after"),
        ("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (999, 999))", "breaks off after"),
        ("time.time = lambda real=time.time: real() + 3600", "clock jumped"),
    ],
)
def test_a_run_that_is_cut_or_disturbed_gives_no_result(tmp_path: Path, end: str, text: str) -> None:
    body = "    asked = 0\n    @task\n    def go(self):\n        self.client.get('/')\n"
    body += f"        Visitor.asked += 1\n        if Visitor.asked == 200:\n            {end}"
    with TargetServer() as target, pytest.raises(UndecidedError, match=text) as caught:
        locust(write(tmp_path / "root", body)).run(shape(), target.url, tmp_path / "run", RecordedProgress())
    assert "Locust's last lines:" in caught.value.message
    assert str(tmp_path / "run" / "locust.log") in caught.value.hint


def test_a_locustfile_that_ends_the_run_itself_does_not_pass(tmp_path: Path) -> None:
    body = "    asked = 0\n    @task\n    def go(self):\n        self.client.get('/')\n"
    body += "        Visitor.asked += 1\n        if Visitor.asked == 300:\n            self.environment.runner.quit()"
    with TargetServer() as target:
        summary = locust(write(tmp_path / "root", body)).run(
            shape(), target.url, tmp_path / "run", RecordedProgress()
        )
    assert (
        judge_load(
            summary, LoadLimits({"error_rate": Limit(max=0.01), "requests": Limit(min=1)}), PATIENT
        ).outcome
        is Outcome.UNDECIDED
    )


def test_a_crash_before_the_first_user_is_told_with_locusts_words(tmp_path: Path) -> None:
    root = write(tmp_path / "root", "raise RuntimeError('no data set')")
    with pytest.raises(UndecidedError, match="before it had started a user") as caught:
        locust(root).run(shape(), "http://127.0.0.1:9", tmp_path / "run", RecordedProgress())
    assert "RuntimeError: no data set" in caught.value.message


def test_a_locust_that_hangs_is_ended(tmp_path: Path) -> None:
    root = write(tmp_path / "root", BLOCKING)
    generator = Locust(sys.executable, SystemClock(), root=root, environ=os.environ, grace=0.5, slack=8)
    with (
        TargetServer() as target,
        pytest.raises(UndecidedError, match="did not end in time: its record breaks off"),
    ):
        generator.run(shape(duration=0.5), target.url, tmp_path / "run", RecordedProgress())
    assert has_ended(pid_of(tmp_path / "run"))


def test_an_older_record_is_never_taken_for_a_new_one(tmp_path: Path) -> None:
    with TargetServer() as target:
        measure(target.url, tmp_path)
    root = write(tmp_path / "root", "raise RuntimeError('no data set')")
    with pytest.raises(UndecidedError):
        locust(root).run(shape(), "http://127.0.0.1:9", tmp_path, RecordedProgress())


def test_settings_of_locust_in_the_environment_change_nothing(tmp_path: Path) -> None:
    environ = os.environ | {"LOCUST_RUN_TIME": "1s", "LOCUST_PROCESSES": "2", "LOCUST_USERS": "1"}
    generator = Locust(sys.executable, SystemClock(), root=DATA, environ=environ)
    with TargetServer() as target:
        summary = generator.run(shape(duration=2), target.url, tmp_path, RecordedProgress())
    assert summary.generator.delivered_share == pytest.approx(1.0, abs=0.01)


def test_several_locust_processes_are_refused_in_words(tmp_path: Path) -> None:
    root = write(tmp_path / "root", "    @task\n    def go(self):\n        self.client.get('/')")
    (root / "locust.conf").write_text(
        "master = true\nmaster-bind-host = 127.0.0.1\nmaster-bind-port = 21390\n"
    )
    with pytest.raises(UndecidedError, match="one Locust process"):
        locust(root).run(shape(), "http://127.0.0.1:9", tmp_path / "run", RecordedProgress())


def test_a_locustfile_that_does_not_import_is_told_in_its_own_words(tmp_path: Path) -> None:
    root = write(tmp_path / "root", "import nowhere_to_be_found")
    with pytest.raises(
        ConfigurationError, match="ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    ):
        locust(root).check(Path("journey.py"))


def test_an_interpreter_without_locust_is_told(tmp_path: Path) -> None:
    missing = Locust(str(tmp_path / "python"), SystemClock(), root=DATA, environ=os.environ)
    with pytest.raises(UnavailableError, match="cannot start Locust") as caught:
        missing.check(Path("journey.py"))
    assert "make setup" in caught.value.hint
    with pytest.raises(UnavailableError, match="cannot start Locust"):
        missing.run(shape(), "http://127.0.0.1:9", tmp_path, RecordedProgress())


class Interrupting(RecordedProgress):
    def share(self, done: float, text: str) -> None:
        raise KeyboardInterrupt


def test_an_interrupt_ends_locust(tmp_path: Path) -> None:
    with TargetServer() as target, pytest.raises(KeyboardInterrupt):
        locust().run(shape(), target.url, tmp_path, Interrupting())
    assert has_ended(pid_of(tmp_path))


DRIVER = """
import os, sys
from pathlib import Path
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.locust import Locust
from pipeline.model.load import LoadShape
from tests.fakes.load import RecordedProgress
shape = LoadShape(Path("journey.py"), users=4, spawn_rate=4, warmup=60, duration=60)
generator = Locust(sys.executable, SystemClock(), root=Path(sys.argv[1]), environ=os.environ)
generator.run(shape, sys.argv[2], Path(sys.argv[3]), RecordedProgress())
"""


@pytest.fixture
def driven(tmp_path: Path) -> Iterator[Callable[[Path], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(root: Path) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-c", DRIVER, str(root), target.url, str(tmp_path / "run")]
        started.append(subprocess.Popen(argv, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}))
        return started[-1]

    with TargetServer() as target:
        yield start
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.parametrize("blocking", [False, True], ids=["idle loop", "blocked loop"])
def test_kill_9_of_the_driver_leaves_no_locust(
    tmp_path: Path, driven: Callable[[Path], subprocess.Popen[bytes]], *, blocking: bool
) -> None:
    process = driven(write(tmp_path / "root", BLOCKING) if blocking else DATA)
    pid = eventually(lambda: pid_of(tmp_path / "run"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert has_ended(pid)


def eventually(seen: Callable[[], int | bool]) -> int:
    for _ in range(600):
        if found := seen():
            return found
        threading.Event().wait(0.05)
    raise AssertionError("it did not happen")


def pid_of(directory: Path) -> int:
    stream = directory / "locust.jsonl"
    lines = stream.read_text().splitlines() if stream.exists() else []
    return int(json.loads(lines[0])["pid"]) if lines else 0
