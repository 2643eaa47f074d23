"""What is counted inside of Locust: by the moment of sending, with answers under way, and never without bounds."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.locust_recorder import Flight, Health, Party, Recorder, Unseen
from pipeline.model.histogram import bin_of

CANDIDATE, BASELINE = Party("candidate", "http://127.0.0.1:81"), Party("baseline", "http://127.0.0.1:82/base")
PLAN = {
    "shard": 0,
    "users": 2,
    "lead": 0.0,
    "duration": 1000.0,
    "block": 0.5,
    "grace": 5.0,
    "arrivals": None,
}


class Written:
    """A recorder that began `ago` seconds ago, and what it wrote."""

    def __init__(self, ago: float = 0.0, **changes: Any) -> None:
        self._stream = io.StringIO()
        self.recorder = Recorder(PLAN | changes, [CANDIDATE, BASELINE], self._stream)
        self.origin = time.monotonic() - ago
        self.recorder.begin(self.origin)

    def sent(self, after: float, party: Party | None = CANDIDATE, *, seen: bool = True) -> Flight:
        """A request that was sent so long after the begin; as seen on departure it is under way."""
        if not seen:
            return Unseen(self.origin + after, party)
        flight = self.recorder.depart(party, "somebody")
        flight.at = self.origin + after
        return flight

    def answer(self, flight: Flight, took: float = 10.0, **more: Any) -> None:
        self.recorder.land(flight, "GET /", took, **more)

    def line(self) -> dict[str, Any]:
        self.recorder.interval({"candidate": 1, "baseline": 1})
        return self.last

    @property
    def last(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self._stream.getvalue().splitlines()[-1])
        return line


def test_a_request_counts_for_the_side_and_block_it_was_sent_in() -> None:
    written = Written(ago=10)
    written.answer(written.sent(0.2))
    written.answer(written.sent(1.7, BASELINE), 20.0)
    written.answer(written.sent(1.9, BASELINE), 20.0)
    assert written.line()["blocks"] == {
        "0": {"candidate": {"GET /": [1, 0, {str(bin_of(10.0)): 1}]}},
        "3": {"baseline": {"GET /": [2, 0, {str(bin_of(20.0)): 2}]}},
    }
    assert written.line()["blocks"] == {}


def test_what_was_sent_outside_of_measuring_or_by_nobody_is_not_counted() -> None:
    written = Written(ago=10, lead=2.0, duration=3.0)
    for flight in (written.sent(1.9), written.sent(5.1), written.sent(3.0, None)):
        written.answer(flight)
    line = written.line()
    assert (line["blocks"], line["outside"]) == ({}, 3)


def test_a_block_is_whole_once_every_answer_is_in() -> None:
    written = Written(ago=4.1)
    slow, slower = written.sent(1.2), written.sent(1.3)
    assert written.line()["whole"] == 1
    written.answer(slow)
    assert written.line()["whole"] == 1
    written.answer(slower)
    assert written.line()["whole"] == 7


def test_an_answer_holds_its_block_up_no_longer_than_the_grace_and_counts_when_it_comes() -> None:
    written = Written(ago=9.1)
    hanging = written.sent(1.2)
    assert written.line()["whole"] == 17
    written.answer(hanging, 8000.0)
    assert list(written.line()["blocks"]) == ["2"]
    assert written.line()["whole"] == 17


def test_a_client_that_does_not_tell_when_it_sends_lets_every_block_wait_for_the_grace() -> None:
    written = Written(ago=9.1)
    assert written.line()["whole"] == 17
    written.answer(written.sent(8.0, seen=False))
    assert written.line()["whole"] == 7


def test_a_request_without_an_answer_is_waited_for_no_more() -> None:
    written = Written(ago=4.1)
    written.recorder.lose(written.sent(1.2))
    assert written.line()["whole"] == 7


def test_a_task_that_raises_is_a_failure_and_ends_its_users_requests() -> None:
    written = Written(ago=4.1)
    written.sent(1.2)
    written.recorder.task_failed(CANDIDATE, "somebody", KeyError("id"))
    line = written.line()
    assert line["whole"] == 7
    assert line["blocks"] == {"8": {"candidate": {"task of str": [1, 1, {}]}}}
    assert line["errors"] == {"candidate": {"task of str raised KeyError: 'id'": 1}}


@pytest.mark.parametrize(
    ("url", "counted"),
    [
        ("http://127.0.0.1:81/api", True),
        ("http://127.0.0.1:81", True),
        ("http://127.0.0.1:81?a=b", True),
        ("http://somebody:secret@127.0.0.1:81/", True),
        ("", True),
        (None, True),
        ("http://127.0.0.1:810/api", False),
        ("http://127.0.0.1:82/base", False),
        ("https://sso.example/token", False),
    ],
)
def test_only_requests_to_the_sides_own_server_count(url: str | None, counted: bool) -> None:
    written = Written(ago=1)
    written.answer(written.sent(0.1), urls=(url,))
    assert (written.line()["outside"] == 0) is counted


OURS, THEIRS, LOGIN = "http://127.0.0.1:81/a", "http://127.0.0.1:82/base/a", "https://sso.example/login"


@pytest.mark.parametrize(
    ("urls", "counted", "crossed"),
    [
        ((OURS, OURS, "/b"), True, 0),
        ((OURS, OURS, LOGIN), True, 0),
        ((OURS, OURS, THEIRS), False, 1),
        ((OURS, THEIRS, OURS), False, 1),
        ((THEIRS,), False, 1),
        ((LOGIN,), False, 0),
    ],
)
def test_what_was_redirected_to_the_other_side_counts_for_neither_and_is_told(
    urls: tuple[str, ...], counted: bool, crossed: int
) -> None:
    written = Written(ago=1)
    written.answer(written.sent(0.1), urls=urls)
    assert (written.line()["outside"] == 0) is counted
    written.recorder.end({}, {})
    assert written.last["crossed"] == {"candidate": crossed, "baseline": 0}


def test_two_sides_behind_one_server_are_told_apart_by_nothing_here() -> None:
    alike = [Party("candidate", "http://127.0.0.1:81/new"), Party("baseline", "http://127.0.0.1:81/old")]
    recorder = Recorder(PLAN, alike, io.StringIO())
    recorder.begin(time.monotonic())
    recorder.land(recorder.depart(alike[0], "somebody"), "GET /", 10.0, urls=("http://127.0.0.1:81/old/a",))
    assert recorder._crossed == {"candidate": 0, "baseline": 0}


def test_failures_are_counted_with_their_reason() -> None:
    written = Written(ago=1)
    written.answer(written.sent(0.1), failure=ValueError("status 500\n  instead of 200"))
    written.answer(written.sent(0.1), None)  # type: ignore[arg-type]
    line = written.line()
    assert line["blocks"]["0"]["candidate"]["GET /"][:2] == [2, 2]
    assert line["errors"]["candidate"] == {
        "GET /: status 500 instead of 200": 1,
        "GET /: its response time is None": 1,
    }


def test_names_and_messages_are_bounded_and_nothing_is_lost() -> None:
    written = Written(ago=1)
    for number in range(700):
        flight = written.sent(0.1)
        written.recorder.land(flight, f"GET /{number}", 10.0, ValueError(f"no {number}"))
    line = written.line()
    endpoints = line["blocks"]["0"]["candidate"]
    assert len(endpoints) == 501
    assert endpoints["other endpoints"][0] == 200
    assert line["errors"]["candidate"]["other failures"] == 650


def test_an_iteration_behind_its_plan_is_counted_from_the_plan_and_as_sent() -> None:
    written = Written(ago=1, arrivals=10.0)
    written.answer(written.recorder.depart(CANDIDATE, "somebody", 2000.0))
    written.answer(written.recorder.depart(CANDIDATE, "somebody"))
    line = written.line()
    [cell] = [sides["candidate"]["GET /"] for sides in line["blocks"].values()]
    assert cell[2] == {str(bin_of(2010.0)): 1, str(bin_of(10.0)): 1}
    assert line["as_sent"] == {"candidate": {str(bin_of(10.0)): 2}}


def test_an_early_end_closes_with_the_block_that_runs() -> None:
    written = Written(ago=3.2)
    written.recorder.close_early()
    written.answer(written.sent(3.4))
    written.answer(written.sent(3.6))
    line = written.line()
    assert (list(line["blocks"]), line["outside"]) == (["6"], 1)
    written.recorder.end({"candidate": 0}, {})
    assert written.last["measured"] == pytest.approx(3.5)
    assert (written.last["lines"], written.last["requests"]) == (1, 1)


def test_an_end_before_measuring_began_measures_nothing() -> None:
    written = Written(ago=1.0, lead=5.0)
    written.recorder.close_early()
    written.recorder.end({}, {})
    assert written.last["measured"] == pytest.approx(0.0)


def test_pressure_is_what_the_kernel_tells_and_unknown_where_it_does_not(tmp_path: Path) -> None:
    told = tmp_path / "cpu"
    told.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\nfull total=9\n")
    health = Health(told)
    told.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=1250000\nfull total=9\n")
    assert health.take()["pressure"] == pytest.approx(0.25)
    told.unlink()
    assert health.take()["pressure"] is None
    told.write_text("nonsense")
    assert Health(told).take()["pressure"] is None
