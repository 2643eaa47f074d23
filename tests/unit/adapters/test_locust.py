"""The record of a load test: what it says, and everything that makes it none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.locust_stream import Tail, fault_of, progress_of, summarise
from pipeline.model.histogram import bin_of
from pipeline.model.load import LoadShape

SHAPE = LoadShape(Path("locustfile.py"), users=10, spawn_rate=10, warmup=2, duration=3)
FAST, SLOW = str(bin_of(10.0)), str(bin_of(1000.0))


def second(number: int, requests: int = 0, **changes: Any) -> dict[str, Any]:
    line = {
        "kind": "second",
        "line": number,
        "from": number - 1.0,
        "to": float(number),
        "skew": 0.0,
        "cpu": 0.2,
        "late": 0.02,
        "users": 10,
        "outside": 0 if requests else 50,
        "endpoints": {"GET /": [requests, 0, {FAST: requests}]} if requests else {},
        "errors": {},
    }
    return line | changes


def whole() -> list[dict[str, Any]]:
    return [
        {"kind": "begin", "pid": 1, "wall": 1.0, "users": 10},
        *(
            second(1),
            second(2),
            second(3, 50),
            second(4, 50),
            second(5, 40),
            second(6, 0, outside=0, users=0),
        ),
        {"kind": "end", "lines": 6, "requests": 140, "unfinished": 0},
    ]


def changed(number: int, **changes: Any) -> list[dict[str, Any]]:
    lines = whole()
    lines[number] = lines[number] | changes
    return lines


def test_a_whole_record_has_no_fault() -> None:
    assert fault_of(whole(), SHAPE) == ""


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([], "before it had started a user"),
        (whole()[1:], "before it had started a user"),
        (whole()[:1], "breaks off after 0.0 of 3 s"),
        (whole()[:5], "breaks off after 2.0 of 3 s"),
        (whole()[:-1], "breaks off after 3.0 of 3 s"),
        (whole()[:3] + whole()[4:], "lines of its record are missing"),
        (whole()[:6] + whole()[7:], "lines of its record are missing"),
        (changed(3, endpoints={}), "holds 90 of 140 requests"),
        (changed(4, skew=3600.0), "clock jumped by +3600.0 s"),
        (changed(1, skew=-0.6), "clock jumped by -0.6 s"),
    ],
)
def test_a_record_that_is_not_whole_says_why(lines: list[dict[str, Any]], fault: str) -> None:
    assert fault in fault_of(lines, SHAPE)


def test_a_record_without_a_request_says_so() -> None:
    lines = [
        whole()[0],
        *(second(n) for n in range(1, 6)),
        {"kind": "end", "lines": 5, "requests": 0, "unfinished": 0},
    ]
    assert fault_of(lines, SHAPE) == "not one request was answered or failed within 3 s"


@pytest.mark.parametrize("key", ["kind", "to", "endpoints", "line", "skew"])
def test_a_record_that_is_not_in_form_raises(key: str) -> None:
    lines = whole()
    del lines[3][key]
    with pytest.raises(KeyError):
        fault_of(lines, SHAPE)


def test_counts_and_quantiles_are_those_of_the_measured_seconds() -> None:
    lines = changed(
        4, endpoints={"GET /": [40, 0, {FAST: 40}], "POST /": [10, 2, {SLOW: 9}]}, errors={"POST / 500": 2}
    )
    summary = summarise(lines, SHAPE)
    assert [(e.name, e.requests, e.failures) for e in summary.endpoints] == [
        ("GET /", 130, 0),
        ("POST /", 10, 2),
    ]
    assert (summary.total.requests, summary.total.failures) == (140, 2)
    assert summary.total.quantiles["p50"] == pytest.approx(10.0, rel=0.005)
    assert summary.total.quantiles["p99"] == pytest.approx(1000.0, rel=0.005)
    assert summary.errors == {"POST / 500": 2}
    assert summary.seconds == pytest.approx(3.0)


def test_late_answers_count_and_their_time_does_not() -> None:
    lines = changed(6, endpoints={"GET /": [7, 0, {SLOW: 7}]}, late=1.0, cpu=1.0)
    lines[-1] = lines[-1] | {"requests": 147, "unfinished": 2}
    summary = summarise(lines, SHAPE)
    assert summary.total.requests == 147
    assert summary.seconds == pytest.approx(3.0)
    assert summary.generator.cpu_share == pytest.approx(0.2)
    assert summary.unfinished == 2
    assert [s.at for s in summary.series] == [0.0, 1.0, 2.0]


def test_the_generators_health_is_that_of_the_measured_seconds() -> None:
    lines = changed(4, cpu=0.8, late=0.5)
    health = summarise(lines, SHAPE).generator
    assert health.cpu_share == pytest.approx(0.4)
    assert health.lag_share == pytest.approx(0.18)
    assert health.delivered_share == pytest.approx(1.0)


def test_users_that_are_missing_and_seconds_that_are_missing_lower_what_was_delivered() -> None:
    assert summarise(changed(4, users=4), SHAPE).generator.delivered_share == pytest.approx(0.8)
    assert summarise(whole()[:4] + whole()[5:], SHAPE).generator.delivered_share == pytest.approx(2 / 3)


def test_progress_tells_warm_up_measuring_and_the_wait_for_the_last_answers() -> None:
    assert progress_of(second(1), SHAPE) == (0.2, "warming up · 50 req/s")
    failing = second(3, 40, endpoints={"GET /": [40, 3, {FAST: 40}]})
    assert progress_of(failing, SHAPE) == (0.6, "40 req/s · p95 10 ms · 3 failed")
    assert progress_of(second(4, outside=0), SHAPE) == (0.8, "0 req/s · p95 – · 0 failed")
    assert progress_of(second(6), SHAPE) == (1.0, "waiting for the last answers")


class TestTail:
    def test_a_file_that_is_not_there_yet_has_no_lines(self, tmp_path: Path) -> None:
        assert Tail(tmp_path / "locust.jsonl").lines() == []

    def test_only_complete_lines_are_given_and_each_once(self, tmp_path: Path) -> None:
        path = tmp_path / "locust.jsonl"
        path.write_text('{"kind":"begin"}\n{"kind":"sec')
        tail = Tail(path)
        assert tail.lines() == [{"kind": "begin"}]
        assert tail.lines() == []
        with path.open("a") as file:
            file.write('ond","name":"Zürich"}\n')
        assert tail.lines() == [{"kind": "second", "name": "Zürich"}]

    @pytest.mark.parametrize("line", ["[1]", "nothing", '{"kind":', '"text"'])
    def test_what_is_no_object_is_refused(self, tmp_path: Path, line: str) -> None:
        path = tmp_path / "locust.jsonl"
        path.write_text(line + "\n")
        with pytest.raises(ValueError):  # noqa: PT011 - which text depends on the JSON library
            Tail(path).lines()

    def test_a_written_record_is_read_back_as_it_was(self, tmp_path: Path) -> None:
        path = tmp_path / "locust.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in whole()))
        assert Tail(path).lines() == whole()
