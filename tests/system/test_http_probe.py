"""Asking once: an answer or a reason, never an exception."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipeline.adapters.http_probe import FreshConnectionProbe


class _Answers(BaseHTTPRequestHandler):
    peers: list[int]

    def do_GET(self) -> None:
        self.server.peers.append(self.client_address[1])  # type: ignore[attr-defined]
        status = {"/gone": 302, "/bad": 500}.get(self.path, 200)
        self.send_response(status)
        self.send_header("Location", "/else")
        self.end_headers()
        self.wfile.write(f"{self.path} é".encode())

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    made = HTTPServer(("127.0.0.1", 0), _Answers)
    made.peers = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.mark.parametrize(("path", "status"), [("/ok", 200), ("/gone", 302), ("/bad", 500)])
def test_the_answer_is_told_as_it_is(server: HTTPServer, path: str, status: int) -> None:
    answer = FreshConnectionProbe().get(f"http://127.0.0.1:{server.server_port}{path}", timeout=5.0)
    assert (answer.status, answer.body, answer.error) == (status, f"{path} é", "")
    assert answer.seconds > 0


def test_every_question_comes_on_a_connection_of_its_own(server: HTTPServer) -> None:
    probe = FreshConnectionProbe()
    for _ in range(3):
        probe.get(f"http://127.0.0.1:{server.server_port}/", timeout=5.0)
    assert len(set(server.peers)) == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "http://[::bad/", "ftp://127.0.0.1/", "http://"])
def test_no_answer_is_told_with_the_reason(url: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = FreshConnectionProbe().get(url.format(port=free.getsockname()[1]), timeout=1.0)
    assert answer.status == 0
    assert answer.error


def test_a_server_that_says_nothing_runs_into_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = FreshConnectionProbe().get(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.1)
    assert answer.status == 0
    assert "timed out" in answer.error.lower()
