"""The traffic probe on real sockets: connections, slow services, and a machine that stands still."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.traffic_probe import SteadyProbe, SteadyRequests
from pipeline.model.probe import Mark, Phase, summarise
from tests.fakes.clock import FakeClock


class _Counts(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.peers.append(self.client_address)  # type: ignore[attr-defined]
        self.server.gate.wait(30.0)  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@contextmanager
def serving() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Counts) as server:
        server.daemon_threads = True
        server.peers = []  # type: ignore[attr-defined]
        server.gate = threading.Event()  # type: ignore[attr-defined]
        server.gate.set()  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield server
        finally:
            server.gate.set()  # type: ignore[attr-defined]
            server.shutdown()


def url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def wait_for(running: SteadyRequests, shots: int) -> None:
    end = time.monotonic() + 60.0
    while len(running.log().shots) < shots:
        assert time.monotonic() < end, "the probe sends nothing"
        time.sleep(0.02)


def test_half_the_requests_share_connections_and_half_have_their_own() -> None:
    with serving() as server:
        running = SteadyProbe(SystemClock(), 40.0, ("/",)).start(url(server))
        wait_for(running, 40)
        shots = len(running.stop().shots)
        peers: list[object] = server.peers  # type: ignore[attr-defined]
        once = [peer for peer in set(peers) if peers.count(peer) == 1]
        assert len(peers) == shots
        assert len(once) >= shots // 2 - 1
        assert len(set(peers)) - len(once) >= 1
        assert len(set(peers)) < shots * 0.9


def test_a_service_that_holds_requests_up_delays_no_later_one_and_is_told_slow() -> None:
    with serving() as server:
        running = SteadyProbe(SystemClock(), 40.0, ("/",), timeout=20.0).start(url(server))
        wait_for(running, 5)
        server.gate.clear()  # type: ignore[attr-defined]
        begun = len(server.peers)  # type: ignore[attr-defined]
        end = time.monotonic() + 60.0
        while len(server.peers) < begun + 20:  # type: ignore[attr-defined]
            assert time.monotonic() < end, "later requests wait for earlier ones"
            time.sleep(0.02)
        time.sleep(0.3)
        server.gate.set()  # type: ignore[attr-defined]
        log = running.stop()
        found = summarise(log, [Mark(Phase.BAKE, log.shots[0].planned)], time.monotonic())
        slowest = max(shot.finished - shot.planned for shot in log.shots)
        assert found.whole.failed == 0
        assert slowest > 0.2
        assert found.longest_gap > 0.2


def test_no_answer_in_time_no_connection_and_a_broken_one_are_told_apart() -> None:
    clock = SystemClock()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        running = SteadyProbe(clock, 20.0, ("/",), timeout=0.2).start(
            f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        wait_for(running, 4)
        slow = running.stop()
        port = silent.getsockname()[1]
    running = SteadyProbe(clock, 20.0, ("/",)).start(f"http://127.0.0.1:{port}")
    wait_for(running, 4)
    refused = running.stop()
    with _hanging_up() as port:
        running = SteadyProbe(clock, 20.0, ("/",)).start(f"http://127.0.0.1:{port}")
        wait_for(running, 4)
        broken = running.stop()
    assert {shot.error for shot in slow.shots} == {"no answer in time"}
    assert {shot.error for shot in refused.shots} == {"no connection"}
    assert {shot.error for shot in broken.shots} == {"connection broken"}


@contextmanager
def _hanging_up() -> Iterator[int]:
    """Reads a request and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)

        threading.Thread(target=hang_up, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_an_address_that_is_none_fails_every_request_and_raises_nothing() -> None:
    running = SteadyProbe(SystemClock(), 20.0, ("/",)).start("http://[::bad")
    wait_for(running, 2)
    log = running.stop()
    assert all(shot.failed and shot.error for shot in log.shots)


def test_what_was_missed_while_the_machine_stood_still_is_a_pause_and_not_sent_at_once() -> None:
    clock = _Held()
    with serving() as server:
        running = SteadyProbe(clock, 20.0, ("/",)).start(url(server))
        wait_for(running, 3)
        clock.advance(30.0)
        before = len(running.log().shots)
        wait_for(running, before + 3)
        log = running.stop()
    assert len([pause for pause in log.pauses if pause.until - pause.since > 25.0]) == 1
    assert len(log.shots) < 100
    assert summarise(log, [Mark(Phase.BAKE, log.shots[0].planned)], clock.monotonic()).longest_gap < 25.0


class _Held(FakeClock):
    """Real time that a test can put on."""

    def monotonic(self) -> float:
        return super().monotonic() + time.monotonic() - _BEGAN


_BEGAN = time.monotonic()
