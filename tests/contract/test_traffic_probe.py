"""What every traffic probe promises, on the fake and on the real one against a server of our own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.traffic_probe import SteadyProbe
from pipeline.model.probe import Log
from pipeline.ports import Clock, HttpAnswer, RunningProbe, TrafficProbe
from pipeline.waiting import poll
from tests.fakes.clock import FakeClock
from tests.fakes.traffic import FakeTraffic

RATE, PATHS = 40.0, ("/one", "/two")


@dataclass
class Subject:
    """A probe at work on a service that answers `status` (0: it is gone) to every path."""

    probe: TrafficProbe
    clock: Clock
    url: str
    answer: Callable[[int], None]

    def until(self, running: RunningProbe, enough: Callable[[Log], bool]) -> Log:
        end = self.clock.monotonic() + 60.0
        found = poll(lambda: log if enough(log := running.log()) else None, 1.0 / RATE, end, self.clock)
        assert found, f"never came so far: {running.log()}"
        return found


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status: int = self.server.status  # type: ignore[attr-defined]
        if not status:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Location", "/else")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: object) -> None:
        """Says nothing."""


def _fake() -> Subject:
    clock, status = FakeClock(), [200]

    class Http:
        def get(self, url: str, *, timeout: float) -> HttpAnswer:
            return HttpAnswer(status[0], "", 0.01, error="" if status[0] else "gone")

    def answer(new: int) -> None:
        status[0] = new

    return Subject(FakeTraffic(clock, Http(), RATE, PATHS), clock, "http://service.test", answer)


@pytest.fixture(params=["fake", "real"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "fake":
        yield _fake()
        return
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        server.status = 200  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        clock = SystemClock()
        url = f"http://127.0.0.1:{server.server_port}"
        yield Subject(SteadyProbe(clock, RATE, PATHS), clock, url, lambda new: setattr(server, "status", new))
        server.shutdown()


def test_every_path_is_asked_on_a_plan_from_the_start_on(subject: Subject) -> None:
    running = subject.probe.start(subject.url)
    log = subject.until(running, lambda log: len(log.shots) >= 20)
    running.stop()
    assert {shot.path for shot in log.shots} == set(PATHS)
    planned = sorted(shot.planned for shot in log.shots)
    steps = {round((later - planned[0]) * RATE, 3) for later in planned}
    assert all(step == int(step) for step in steps), "planned moments lie on a grid of 1 / rate"
    assert all(shot.planned <= shot.started <= shot.finished for shot in log.shots)


def test_a_failing_service_is_told_as_it_is_and_is_seen_to_come_back(subject: Subject) -> None:
    running = subject.probe.start(subject.url)
    for status in (200, 503, 302, 404, 0):
        subject.answer(status)
        subject.until(running, lambda log, status=status: status in {s.status for s in log.shots})  # type: ignore[misc]
    subject.answer(200)
    gone = subject.until(running, lambda log: any(not s.status for s in log.shots)).shots
    assert all(bool(shot.error) is not bool(shot.status) for shot in gone)
    last = max(shot.planned for shot in gone)
    subject.until(running, lambda log: any(s.status == 200 and s.planned > last for s in log.shots))
    running.stop()


def test_after_its_end_nothing_more_is_sent_and_all_is_told(subject: Subject) -> None:
    running = subject.probe.start(subject.url)
    before = subject.until(running, lambda log: len(log.shots) >= 5)
    ended = running.stop()
    assert len(ended.shots) >= len(before.shots)
    subject.clock.sleep(5 / RATE)
    assert running.log() == ended
    assert running.stop() == ended
