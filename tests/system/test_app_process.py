"""The sample app as a process of its own on loopback, without a database: start, health, drain, exit."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.migrate import MigrationError, connect

ROOT = Path(__file__).parents[2]
PASSWORD = "hunter2-p%40ss"
PATIENCE = 30.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """`python -m app` whose database does not answer."""

    def __init__(self, drain_seconds: str) -> None:
        self.port = _free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "DATABASE_URL": f"postgresql://clinic:{PASSWORD}@127.0.0.1:{_free_port()}/clinic",
            "DRAIN_SECONDS": drain_seconds,
            "APP_DIGEST": "sha256:" + "a" * 64,
            "APP_COMMIT": "c0ffee",
        }
        # A file, since a pipe that nobody empties would stop the process in the middle of a log line.
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 closed by end()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app"],
            cwd=ROOT,
            env=environment,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def ask(
        self, path: str, method: str = "GET", body: str | None = None
    ) -> tuple[int, str, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text, answer.headers

    def wait_until_serving(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.ask("/healthz")
                return
            except OSError:
                assert self._process.poll() is None, self.output()
                assert time.monotonic() < deadline, "the app did not start"

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def wait_until_draining(self) -> None:
        """The signal has arrived when an answer says so."""
        deadline = time.monotonic() + PATIENCE
        while self.ask("/healthz")[2]["Connection"] != "close":
            assert time.monotonic() < deadline, "the app does not drain"

    def wait(self) -> int:
        return self._process.wait(timeout=PATIENCE)

    def output(self) -> str:
        """What the process, which has ended, wrote."""
        self._output.seek(0)
        return self._output.read()

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._output.close()


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[Process]:
    process = Process(drain_seconds=getattr(request, "param", "5"))
    try:
        process.wait_until_serving()
        yield process
    finally:
        process.end()


def test_without_a_database_it_is_alive_not_ready_and_knows_its_version(process: Process) -> None:
    assert process.ask("/healthz")[0] == 200
    status, text, _ = process.ask("/readyz")
    assert (status, json.loads(text)["reason"]) == (503, "the database does not answer")
    version = json.loads(process.ask("/version")[1])
    assert (version["digest"], version["commit"]) == ("sha256:" + "a" * 64, "c0ffee")


def test_without_a_database_records_are_answered_503_in_the_callers_form(process: Process) -> None:
    with ThreadPoolExecutor() as threads:
        data, page = threads.map(process.ask, ("/api/vets", "/vets"))
    status, text, headers = data
    assert (status, headers["Retry-After"]) == (503, "2")
    assert "database" in json.loads(text)["error"]
    status, _, headers = page
    assert (status, headers.get_content_type()) == (503, "text/html")


def test_a_request_in_flight_at_sigterm_is_answered(process: Process) -> None:
    body = b'{"first_name": ""}'
    with socket.create_connection(("127.0.0.1", process.port), timeout=PATIENCE) as connection:
        head = (
            "POST /api/owners HTTP/1.1",
            "Host: x",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        )
        connection.sendall("\r\n".join((*head, "", "")).encode() + body[:5])
        process.ask("/healthz")
        process.terminate()
        process.wait_until_draining()
        connection.sendall(body[5:])
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert b"connection: close" in answer.lower()
    assert process.wait() == 0


def test_a_request_after_sigterm_is_still_served_and_its_connection_closed(process: Process) -> None:
    process.terminate()
    process.wait_until_draining()
    status, _, headers = process.ask("/owners/find")
    assert (status, headers["Connection"]) == (200, "close")
    assert process.wait() == 0


@pytest.mark.parametrize("process", ["0.5"], indirect=True)
def test_a_server_that_stays_in_use_stops_when_its_drain_time_is_over(process: Process) -> None:
    process.terminate()
    refused = False
    deadline = time.monotonic() + PATIENCE
    while not refused and time.monotonic() < deadline:
        try:
            process.ask("/owners/find")
        except OSError:
            refused = True
    assert refused
    assert process.wait() == 0


def test_every_line_it_writes_is_json_and_none_holds_the_password(process: Process) -> None:
    process.ask("/readyz")
    process.ask("/owners/find?last_name=private")
    process.terminate()
    process.wait()
    output = process.output()
    lines = [json.loads(line) for line in output.splitlines()]
    assert {"starting", "draining", "stopped"} <= {line["msg"] for line in lines}
    assert any(line["msg"] == "request" and line["path"] == "/owners/find" for line in lines)
    assert all({"ts", "level", "msg"} <= line.keys() for line in lines)
    assert not [secret for secret in ("hunter2", "p%40ss", "p@ss", "private") if secret in output]


def test_a_body_beyond_any_form_is_refused(process: Process) -> None:
    status, text, _ = process.ask("/api/owners", "POST", '{"first_name": "' + "x" * 200_000 + '"}')
    assert status == 413, text


@pytest.mark.parametrize("module", ["app", "app.migrate"])
def test_a_missing_database_url_is_one_clear_line_and_exit_2(module: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: DATABASE_URL is not set")


def test_a_port_in_use_is_said_in_the_log_and_exit_1() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment = {
            "HOST": "127.0.0.1",
            "PORT": str(taken.getsockname()[1]),
            "DATABASE_URL": "postgresql://127.0.0.1:1/x",
        }
        ended = subprocess.run(
            [sys.executable, "-m", "app"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert ended.returncode == 1
    assert "address already in use" in ended.stdout
    assert ended.stderr == ""


def test_a_migration_gives_up_on_a_database_that_does_not_answer_without_the_password() -> None:
    with pytest.raises(MigrationError, match="did not answer within 0 s") as caught:
        connect(f"postgresql://clinic:{PASSWORD}@127.0.0.1:{_free_port()}/clinic", wait=0)
    assert "hunter2" not in str(caught.value)
