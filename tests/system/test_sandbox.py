"""The sandbox on the real engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.leftovers import HOST, KIND, LOCK, RUN, Batch, host_id, sweep
from pipeline.adapters.sandbox import SandboxSettings, ServiceSettings, TestcontainersSandbox
from pipeline.errors import ConfigurationError, UnavailableError, UndecidedError
from pipeline.model.digest import Digest, ImageRef
from pipeline.ports import SuiteResult
from tests.candidates import COMMIT, POSTGRES, Shown
from tests.processes import has_ended, within

pytest_plugins = ["tests.candidate_fixtures"]

ROOT = Path(__file__).parents[2]
ANSWERS = """
import json, urllib.request

def ask(base_url, path="/"):
    with urllib.request.urlopen(base_url + path, timeout=10) as answer:
        return json.load(answer)

def test_it_answers(base_url): ask(base_url)
"""


class Sandboxes:
    """Runs suites in a project of their own and knows what of it is in the engine."""

    def __init__(self, root: Path, engine: docker.DockerClient) -> None:
        self.root, self.engine, self.run_id, self.shown = root, engine, root.name, Shown()
        self.directory = root / "out"
        self.settings = SandboxSettings(
            root, Path("suite"), root / "state", sys.executable, 8080, ready_path="/ready", ready_timeout=600
        )
        (root / "suite").mkdir()
        self.write(ANSWERS)

    def write(self, tests: str) -> None:
        (self.root / "suite" / "test_it.py").write_text(tests)

    def run(self, image: ImageRef, **settings: Any) -> SuiteResult:
        sandbox = TestcontainersSandbox(replace(self.settings, **settings), SystemClock(), run_id=self.run_id)
        return sandbox.run_suite(image, self.directory, self.shown)

    def there(self) -> list[str]:
        """Our containers and networks, whatever state they are in."""
        mine = {"label": f"{RUN}={self.run_id}"}
        containers = [thing["Names"][0] for thing in self.engine.api.containers(all=True, filters=mine)]
        return containers + [thing["Name"] for thing in self.engine.api.networks(filters=mine)]


@pytest.fixture
def sandboxes(tmp_path: Path, engine: docker.DockerClient) -> Sandboxes:
    return Sandboxes(tmp_path, engine)


def test_the_candidate_runs_by_its_digest_on_loopback_in_a_network_of_its_own(
    sandboxes: Sandboxes,
    candidate: ImageRef,
) -> None:
    seen: list[Mapping[str, Any]] = []

    def look(step: str) -> None:
        if step == "running the tests":
            seen.extend(
                sandboxes.engine.containers.get(name.lstrip("/")).attrs for name in sandboxes.there()[:-1]
            )

    sandboxes.shown.on_step = look
    result = sandboxes.run(candidate)
    assert (result.passed, result.failed, result.skipped, result.logs) == (1, 0, 0, {})
    [app] = seen
    assert app["Config"]["Image"] == str(candidate)
    assert {binding["HostIp"] for ports in app["NetworkSettings"]["Ports"].values() for binding in ports} == {
        "127.0.0.1"
    }
    assert [name.startswith("onedigest-") for name in app["NetworkSettings"]["Networks"]] == [True]
    labels = app["Config"]["Labels"]
    assert (labels[KIND], labels[HOST], labels[RUN]) == ("sandbox", host_id(), sandboxes.run_id)
    assert labels[LOCK].startswith(str(sandboxes.root / "state"))
    assert sandboxes.there() == []
    assert list((sandboxes.root / "state").iterdir()) == []
    assert sandboxes.shown.shares[-1] == "1/1 tests"


def test_the_app_is_told_its_digest_and_commit(sandboxes: Sandboxes, candidate: ImageRef) -> None:
    sandboxes.write(
        ANSWERS + "def test_version(base_url, image_ref):\n"
        "    told = ask(base_url)\n"
        "    assert image_ref.endswith('@' + told['DIGEST'])\n"
        f"    assert told['COMMIT'] == 'git-{COMMIT}'\n"
    )
    result = sandboxes.run(candidate, environment={"DIGEST": "{digest}", "COMMIT": "git-{commit}"})
    assert (result.passed, result.failed) == (2, 0)


def test_services_answer_by_name_before_the_before_command_runs_and_the_app_starts(
    sandboxes: Sandboxes,
    candidate: ImageRef,
    bases: Mapping[str, str],
) -> None:
    postgres = ServiceSettings(
        "db",
        bases[POSTGRES],
        environment={"POSTGRES_USER": "app", "POSTGRES_PASSWORD": "pw", "POSTGRES_DB": "app"},
        tmpfs=("/var/lib/postgresql/data",),
        ready=("pg_isready", "-h", "127.0.0.1", "-U", "app"),
    )
    echo = ServiceSettings("echo", str(candidate), port=8080)
    connect = "import socket; [socket.create_connection(at, 5) for at in (('db', 5432), ('echo', 8080))]"
    result = sandboxes.run(candidate, services=(postgres, echo), before=("python3", "-c", connect))
    assert (result.passed, result.failed) == (1, 0)
    steps = [step.partition(":")[0] for step in sandboxes.shown.steps]
    order = ["waiting for db", "waiting for echo", "before", "starting the candidate", "running the tests"]
    assert [step for step in steps if step in order] == order
    assert sandboxes.there() == []


def test_a_failing_test_comes_with_what_the_candidate_wrote_meanwhile(
    sandboxes: Sandboxes,
    candidate: ImageRef,
) -> None:
    sandboxes.write(
        ANSWERS + "def test_wrong(base_url): ask(base_url, '/wrong'); assert False, 'no such pet'\n"
    )
    result = sandboxes.run(candidate)
    assert (result.passed, result.failed) == (1, 1)
    [failure] = result.failures
    assert failure.name == "suite/test_it.py::test_wrong"
    assert "no such pet" in failure.message
    assert failure.message.endswith("last lines of app:\nasked for /wrong")
    assert "asked for /wrong" in result.junit.read_text()
    assert result.logs["app"][-1] == "asked for /wrong"
    assert (sandboxes.directory / "app.log").read_text().startswith("began as good\n")
    assert sandboxes.there() == []


def test_a_candidate_that_exits_at_once_has_failed_and_nobody_waits_for_the_time_out(
    sandboxes: Sandboxes,
    candidate: ImageRef,
) -> None:
    result = sandboxes.run(candidate, environment={"MODE": "exits"})
    assert (result.passed, result.failed) == (0, 1)
    assert "ended with exit code 1 after" in result.failures[0].message
    assert "no licence file" in result.failures[0].message
    assert result.logs["app"] == ("began as exits", "no licence file")
    assert "no licence file" in result.junit.read_text()
    assert sandboxes.there() == []


@pytest.mark.parametrize(("mode", "seen"), [("unready", "GET /ready answered 503"), ("deaf", "GET /ready: ")])
def test_a_candidate_that_does_not_get_ready_has_failed_with_what_was_seen_last(
    sandboxes: Sandboxes,
    candidate: ImageRef,
    mode: str,
    seen: str,
) -> None:
    result = sandboxes.run(candidate, environment={"MODE": mode}, ready_timeout=1.5)
    assert (result.passed, result.failed) == (0, 1)
    assert result.failures[0].name == "candidate becomes ready"
    assert "not ready within 1.5 s" in result.failures[0].message
    assert seen in result.failures[0].message


def test_a_candidate_that_ends_during_the_suite_has_failed_whatever_the_tests_say(
    sandboxes: Sandboxes,
    candidate: ImageRef,
) -> None:
    sandboxes.write(
        ANSWERS + "import contextlib\n"
        "def test_last(base_url):\n    with contextlib.suppress(Exception):\n        ask(base_url, '/die')\n"
    )
    result = sandboxes.run(candidate)
    assert (result.passed, result.failed) == (2, 1)
    assert "ended during the suite with exit code 9" in result.failures[0].message


def test_a_before_command_that_fails_is_the_candidates_failure_and_the_app_is_not_started(
    sandboxes: Sandboxes,
    candidate: ImageRef,
) -> None:
    result = sandboxes.run(candidate, before=("python3", "-c", "raise SystemExit('column exists')"))
    assert (result.passed, result.failed) == (0, 1)
    assert result.failures[0].name.startswith("before: python3 -c")
    assert result.failures[0].message.startswith("exit code 1\n")
    assert "column exists" in result.failures[0].message
    assert "starting the candidate" not in sandboxes.shown.steps


def test_a_before_command_that_the_image_does_not_have_is_the_candidates_failure(
    sandboxes: Sandboxes,
    candidate: ImageRef,
) -> None:
    result = sandboxes.run(candidate, before=("/no/such/program",))
    assert (result.passed, result.failed) == (0, 1)
    assert "/no/such/program" in result.failures[0].message
    assert sandboxes.there() == []


def test_a_service_that_does_not_come_up_decides_nothing_about_the_candidate(
    sandboxes: Sandboxes,
    candidate: ImageRef,
) -> None:
    service = ServiceSettings("queue", str(candidate), port=8080, environment={"MODE": "exits"}, timeout=600)
    with pytest.raises(
        UndecidedError, match=r"service queue .* did not come up: ended with exit code 1"
    ) as caught:
        sandboxes.run(candidate, services=(service,))
    assert "no licence file" in caught.value.message
    assert "no licence file" in (sandboxes.directory / "queue.log").read_text()
    assert sandboxes.there() == []


def test_a_port_that_only_the_engine_listens_on_is_not_ready(
    sandboxes: Sandboxes, candidate: ImageRef
) -> None:
    service = ServiceSettings("queue", str(candidate), port=8080, environment={"MODE": "deaf"}, timeout=1.5)
    with pytest.raises(UndecidedError, match=r"not ready within 1\.5 s; last seen: "):
        sandboxes.run(candidate, services=(service,))


def test_an_image_that_the_registry_does_not_have_is_not_the_candidates_failure(
    sandboxes: Sandboxes,
    candidate: ImageRef,
) -> None:
    unknown = ImageRef(candidate.repository, Digest("sha256:" + "0" * 64))
    with pytest.raises(UnavailableError, match=f"cannot pull {unknown}"):
        sandboxes.run(unknown)
    assert sandboxes.there() == []


def test_a_missing_suite_is_said_before_anything_is_started(
    sandboxes: Sandboxes, candidate: ImageRef
) -> None:
    with pytest.raises(ConfigurationError, match=r"no integration suite at .*/elsewhere"):
        sandboxes.run(candidate, tests=Path("elsewhere"))
    assert sandboxes.shown.steps == []


def test_no_engine_is_said_to_be_that(
    sandboxes: Sandboxes,
    candidate: ImageRef,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{sandboxes.root}/no.sock")
    with pytest.raises(UnavailableError, match="engine"):
        sandboxes.run(candidate)


def test_an_interrupt_leaves_nothing_behind(sandboxes: Sandboxes, candidate: ImageRef) -> None:
    sandboxes.write("import time\ndef test_slow(): time.sleep(600)\n")

    def interrupt(text: str) -> None:
        if text == "running the tests":
            signal.setitimer(signal.ITIMER_REAL, 0.2)

    def on_alarm(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, on_alarm)
    sandboxes.shown.on_step = interrupt
    try:
        with pytest.raises(KeyboardInterrupt):
            sandboxes.run(candidate)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert sandboxes.there() == []


DRIVER = """
import os, pathlib, signal, sys
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.sandbox import SandboxSettings, ServiceSettings, TestcontainersSandbox
from pipeline.model.digest import Digest, ImageRef

class Shown:
    def step(self, text):
        print(text, flush=True)
    share = note = lambda *_: None

root, repository, digest, run_id = pathlib.Path(sys.argv[1]), *sys.argv[2:]
image = ImageRef(repository, Digest(digest))
settings = SandboxSettings(root, pathlib.Path("suite"), root / "state", sys.executable, 8080,
    services=(ServiceSettings("db", str(image), port=8080),), before=("python3", "-c", "import time; time.sleep(1)"))
TestcontainersSandbox(settings, SystemClock(), run_id=run_id).run_suite(image, root / "driven", Shown())
"""


def start_driver(sandboxes: Sandboxes, image: ImageRef) -> subprocess.Popen[str]:
    argv = [
        sys.executable,
        "-c",
        DRIVER,
        str(sandboxes.root),
        image.repository,
        str(image.digest),
        sandboxes.run_id,
    ]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def read_until(driver: subprocess.Popen[str], step: str) -> None:
    assert driver.stdout is not None
    for line in driver.stdout:
        if line.startswith(step):
            return
    raise AssertionError(f"the driver ended before {step!r}")


@pytest.mark.parametrize(
    "step", ["starting db", "waiting for db", "before", "starting the cand", "running the tests"]
)
def test_a_killed_run_leaves_nothing_behind(
    sandboxes: Sandboxes,
    candidate: ImageRef,
    step: str,
) -> None:
    pid = sandboxes.root / "pid"
    sandboxes.write(
        f"import os, time\ndef test_slow():\n    open({str(pid)!r}, 'w').write(str(os.getpid()))\n    time.sleep(600)\n"
    )
    driver = start_driver(sandboxes, candidate)
    read_until(driver, step)
    if step == "running the tests":
        assert within(60, lambda: pid.exists() and bool(pid.read_text()))
    driver.kill()
    driver.wait()
    assert within(30, lambda: sandboxes.there() == [])
    if pid.exists():
        assert has_ended(int(pid.read_text()))


def test_what_a_run_left_whose_watchdog_died_too_is_removed_by_the_next_run_and_said(
    sandboxes: Sandboxes,
    candidate: ImageRef,
) -> None:
    driver = start_driver(sandboxes, candidate)
    read_until(driver, "waiting for db")
    for child in Path(f"/proc/{driver.pid}/task/{driver.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
    driver.kill()
    driver.wait()
    assert sandboxes.there() != []
    result = sandboxes.run(candidate)
    assert result.passed == 1
    assert sandboxes.shown.notes == ["removed what 1 killed run had left behind"]
    assert sandboxes.there() == []


def test_a_sweep_leaves_a_running_sibling_alone(sandboxes: Sandboxes, engine: docker.DockerClient) -> None:
    kind = f"test-{sandboxes.run_id}"
    with Batch(sandboxes.root, kind, "alive", sandboxes.run_id) as alive:
        engine.networks.create("onedigest-test-alive", labels=dict(alive.labels))
        dead = Batch(sandboxes.root, kind, "dead", sandboxes.run_id)
        engine.networks.create("onedigest-test-dead", labels=dict(dead.labels))
        assert sweep(engine, kind) == 1
        assert sandboxes.there() == ["onedigest-test-alive"]
        assert sweep(engine, kind) == 0
    assert sweep(engine, kind) == 1
    assert sandboxes.there() == []


def test_a_sweep_leaves_alone_what_another_machine_on_the_same_engine_made(
    sandboxes: Sandboxes,
    engine: docker.DockerClient,
) -> None:
    kind = f"test-{sandboxes.run_id}"
    labels = dict(Batch(sandboxes.root, kind, "theirs", sandboxes.run_id).labels) | {HOST: "another"}
    network = engine.networks.create("onedigest-test-theirs", labels=labels)
    try:
        assert sweep(engine, kind) == 0
        assert sandboxes.there() == ["onedigest-test-theirs"]
    finally:
        network.remove()


def test_two_sandboxes_at_once_do_not_disturb_each_other(sandboxes: Sandboxes, candidate: ImageRef) -> None:
    first = start_driver(sandboxes, candidate)
    read_until(first, "before")
    assert sandboxes.run(candidate).passed == 1
    assert sandboxes.shown.notes == []
    assert first.wait() == 0
    report = (sandboxes.root / "driven" / "junit.xml").read_text()
    assert 'failures="0"' in report
    assert json.dumps(sandboxes.there()) == "[]"
