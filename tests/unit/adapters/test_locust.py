"""The records of a load: what they say together, and everything that makes them none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.locust_gathering import Gathering, RecordError
from pipeline.adapters.locust_stream import Line, Tail
from pipeline.model.histogram import bin_of
from pipeline.model.load import LoadShape
from pipeline.model.sides import Side

SHAPE = LoadShape(Path("locustfile.py"), users=8, spawn_rate=8, warmup=1, duration=2)
SIDES = [side.value for side in Side]
FAST, SLOW = str(bin_of(10.0)), str(bin_of(1000.0))
Lines = list[dict[str, Any]]


class Fed:
    """A stream that is given its lines."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def lines(self) -> list[Line]:
        given, self._lines = self._lines, []
        return list(given)

    def add(self, *lines: dict[str, Any]) -> None:
        self._lines.extend(lines)


def entry(requests: int, failures: int = 0, latency: str = FAST) -> list[Any]:
    return [requests, failures, {latency: requests}]


def both(candidate: int, baseline: int) -> dict[str, Any]:
    return {"candidate": {"GET /": entry(candidate)}, "baseline": {"GET /": entry(baseline, latency=SLOW)}}


def interval(line: int, blocks: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    told = {
        "kind": "interval",
        "line": line,
        "from": (line - 1) / 2,
        "to": line / 2,
        "whole": line - 3,
        "users": {"candidate": 4, "baseline": 4},
        "skew": 0.0,
        "cpu": 0.1,
        "late": 0.01,
        "pressure": 0.05,
        "outside": 0 if blocks else 20,
        "blocks": blocks or {},
        "errors": {},
        "as_sent": {},
    }
    return told | changes


def begin(**changes: Any) -> dict[str, Any]:
    return {"kind": "begin", "shard": 0, "pid": 1, "wall": 1.0, "late": 0.0, "users": 8} | changes


def whole() -> Lines:
    """A second of warm-up, two of measuring; the last answer of block 3 comes after its end."""
    return [
        begin(),
        interval(1),
        interval(2),
        interval(3, {"0": both(10, 10)}),
        interval(4, {"0": both(1, 1), "1": both(9, 9)}, whole=0),
        interval(5, {"1": both(1, 1), "2": both(10, 10)}),
        interval(6, {"3": both(9, 9)}),
        interval(7, {"3": both(1, 1)}, to=3.1, users={"candidate": 0, "baseline": 0}),
        {
            "kind": "end",
            "lines": 7,
            "requests": 82,
            "measured": 2.0,
            "unfinished": {"candidate": 0, "baseline": 0},
            "crossed": {"candidate": 0, "baseline": 0},
            "arrivals": {},
            "idle": [],
        },
    ]


def changed(number: int, **changes: Any) -> Lines:
    lines = whole()
    lines[number] = lines[number] | changes
    return lines


def gathered(*records: Lines, shape: LoadShape = SHAPE, sides: list[str] | None = None) -> Gathering:
    told = replace(shape, processes=len(records))
    gathering = Gathering([Fed(lines) for lines in records], told, sides or SIDES)
    gathering.read()
    return gathering


def fault(*records: Lines) -> str:
    return (gathered(*records).fault() or (0, ""))[1]


def test_a_whole_record_has_no_fault() -> None:
    assert gathered(whole()).fault() is None


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([], "before it had started a user"),
        (whole()[1:], "before it had started a user"),
        (whole()[:1], "breaks off after 0.0 of 2 s"),
        (whole()[:5], "breaks off after 1.0 of 2 s"),
        (whole()[:-1], "breaks off after 2.0 of 2 s"),
        (whole()[:3] + whole()[4:], "lines of its record are missing"),
        (whole()[:7] + whole()[8:], "lines of its record are missing"),
        (changed(3, blocks={}), "holds 62 of 82 requests"),
        (changed(4, skew=3600.0), "clock jumped by +3600.0 s"),
        (changed(1, skew=-0.6), "clock jumped by -0.6 s"),
        (changed(0, late=0.7), "began 0.7 s after the others"),
        (changed(8, measured=1.5), "was ended after 1.5 of 2 s"),
    ],
)
def test_a_record_that_is_not_whole_says_why(lines: Lines, text: str) -> None:
    assert text in fault(lines)


def test_the_fault_of_one_process_of_several_is_told_with_its_number() -> None:
    assert gathered(whole(), whole()).fault() is None
    number, text = gathered(whole(), whole()[:5]).fault() or (0, "")
    assert number == 2
    assert "breaks off" in text


def test_an_early_end_that_was_asked_for_is_no_fault() -> None:
    gathering = gathered(changed(8, measured=1.5))
    assert gathering.fault(asked=True) is None
    assert [block.index for block in gathering.pair().blocks] == [0, 1, 2]
    assert gathering.summary().seconds == 1.5


def test_records_without_a_request_say_so() -> None:
    lines = [begin(), *(interval(n) for n in range(1, 8)), whole()[-1] | {"requests": 0}]
    assert fault(lines) == "not one request was answered or failed within 2 s"


def everything(lines: Lines) -> None:
    gathering = gathered(lines)
    gathering.blocks()
    gathering.progress()
    gathering.fault()
    gathering.pair()


@pytest.mark.parametrize("key", ["kind", "to", "blocks", "line", "skew", "whole"])
def test_a_record_that_is_not_in_form_raises(key: str) -> None:
    lines = whole()
    for line in lines[3:8]:
        del line[key]
    with pytest.raises(RecordError, match=key):
        everything(lines)


class TestBlocks:
    def test_only_blocks_whose_answers_are_all_in_are_given_while_it_runs(self) -> None:
        stream = Fed(whole()[:4])
        gathering = Gathering([stream], SHAPE, SIDES)
        gathering.read()
        assert gathering.blocks()[0].candidate["GET /"].requests == 10
        assert gathering.seconds == 0.5
        stream.add(whole()[4])
        gathering.read()
        assert [block.index for block in gathering.blocks()] == [0]
        stream.add(whole()[5])
        gathering.read()
        assert [block.index for block in gathering.blocks()] == [0, 1, 2]
        assert gathering.seconds == 1.5

    def test_a_block_waits_for_the_slowest_process(self) -> None:
        gathering = gathered(whole()[:6], changed(5, whole=1)[:6])
        assert [block.index for block in gathering.blocks()] == [0, 1]

    def test_blocks_of_all_processes_are_one(self) -> None:
        block = gathered(whole(), whole()).pair().blocks[1]
        assert (block.candidate["GET /"].requests, block.baseline["GET /"].requests) == (20, 20)
        assert block.baseline["GET /"].histogram.bins == {int(SLOW): 20}

    def test_a_block_in_which_nothing_was_asked_leaves_a_gap(self) -> None:
        lines = changed(5, blocks={"2": both(10, 10)})
        lines[4] = interval(4, {"0": both(1, 1)}, whole=1)
        assert [block.index for block in gathered(lines[:6]).blocks()] == [0, 2]

    def test_an_answer_that_came_after_its_time_was_over_still_counts_in_the_end(self) -> None:
        lines = changed(7, blocks={"0": both(2, 2), "3": both(1, 1)})
        assert gathered(lines[:5]).blocks()[0].candidate["GET /"].requests == 11
        assert gathered(lines).pair().blocks[0].candidate["GET /"].requests == 13

    def test_a_block_that_was_given_before_is_given_again_with_an_answer_that_came_late(self) -> None:
        stream = Fed(whole()[:5])
        gathering = Gathering([stream], SHAPE, SIDES)
        gathering.read()
        assert gathering.blocks()[0].candidate["GET /"].requests == 11
        late = {"0": {"candidate": {"GET /": entry(2, latency=SLOW)}}, "1": both(1, 1)}
        stream.add(interval(5, late, whole=0))
        gathering.read()
        [block] = gathering.blocks()
        assert (block.candidate["GET /"].requests, gathering.seconds) == (13, 0.5)
        assert block.candidate["GET /"].histogram.bins[int(SLOW)] == 2

    def test_what_one_process_measured_longer_than_another_counts_for_nothing(self) -> None:
        pair = gathered(whole(), changed(8, measured=1.5)).pair()
        assert [block.index for block in pair.blocks] == [0, 1, 2]
        assert pair.candidate.total.requests == 62
        assert pair.candidate.seconds == 1.5


class TestSummary:
    def test_each_side_has_its_own_counts_and_quantiles(self) -> None:
        pair = gathered(whole()).pair()
        assert pair.candidate.total.requests == pair.baseline.total.requests == 41
        assert pair.candidate.total.quantiles["p50"] == pytest.approx(10.0, rel=0.005)
        assert pair.baseline.total.quantiles["p50"] == pytest.approx(1000.0, rel=0.005)
        assert [endpoint.name for endpoint in pair.candidate.endpoints] == ["GET /"]

    def test_endpoints_failures_and_messages_are_those_of_the_side(self) -> None:
        blocks = {"2": both(10, 10)}
        blocks["2"]["candidate"]["POST /"] = entry(4, 2, SLOW)
        lines = changed(5, blocks={"1": both(1, 1), **blocks}, errors={"candidate": {"POST / 500": 2}})
        lines[-1] = lines[-1] | {
            "requests": 86,
            "unfinished": {"candidate": 2, "baseline": 1},
            "crossed": {"candidate": 0, "baseline": 3},
        }
        pair = gathered(lines).pair()
        assert [(e.name, e.requests, e.failures) for e in pair.candidate.endpoints] == [
            ("GET /", 41, 0),
            ("POST /", 4, 2),
        ]
        assert (pair.candidate.errors, pair.baseline.errors) == ({"POST / 500": 2}, {})
        assert (pair.candidate.unfinished, pair.baseline.unfinished) == (2, 1)
        assert (pair.candidate.crossed, pair.baseline.crossed) == (0, 3)

    def test_a_side_that_was_never_asked_is_seen(self) -> None:
        lines = [
            begin(),
            *(interval(n) for n in (1, 2)),
            interval(3, {"0": {"candidate": {"GET /": entry(5)}}}),
            *(interval(n) for n in range(4, 8)),
            whole()[-1] | {"requests": 5},
        ]
        gathering = gathered(lines)
        assert gathering.fault() is None
        assert gathering.pair().baseline.total.requests == 0

    def test_the_series_is_by_the_second_in_which_was_sent(self) -> None:
        series = gathered(whole(), whole()).pair().candidate.series
        assert [(s.at, s.requests, s.users) for s in series] == [(0.0, 42, 8), (1.0, 40, 8)]
        assert series[0].p50_ms == pytest.approx(10.0, rel=0.005)
        assert series[0].p95_ms == pytest.approx(10.0, rel=0.005)

    def test_a_load_on_one_side_is_the_candidates(self) -> None:
        shape = replace(SHAPE, users=4)
        summary = gathered(whole(), shape=shape, sides=["candidate"]).summary()
        assert summary.total.requests == 41
        assert summary.generator.delivered_share == 1.0

    def test_latencies_from_the_moment_of_sending_are_told_where_they_were_counted(self) -> None:
        assert gathered(whole()).summary().as_sent == {}
        told = gathered(changed(4, as_sent={"candidate": {FAST: 10}})).pair()
        assert told.candidate.as_sent["p95"] == pytest.approx(10.0, rel=0.005)
        assert told.baseline.as_sent == {}


def test_a_user_class_is_idle_when_it_is_in_every_process() -> None:
    one, other = changed(8, idle=["Buyer", "Clerk"]), changed(8, idle=["Buyer"])
    assert gathered(one, other).pair().candidate.idle == ("Buyer",)
    assert gathered(one).summary().idle == ("Buyer", "Clerk")
    assert gathered(one, whole()).summary().idle == ()


class TestHealth:
    def test_it_is_that_of_the_measured_time(self) -> None:
        lines = changed(4, cpu=0.5, late=0.25, pressure=0.3)
        lines[1] = lines[1] | {"cpu": 0.5}
        health = gathered(lines).summary().generator
        assert health.cpu_share == pytest.approx(0.4)
        assert health.lag_share == pytest.approx(0.14)
        assert health.pressure_share == pytest.approx(0.225)
        assert health.delivered_share == pytest.approx(1.0)

    def test_the_worst_process_counts(self) -> None:
        health = (
            gathered(whole(), changed(4, cpu=0.5, late=0.2), shape=replace(SHAPE, users=16, spawn_rate=16))
            .pair()
            .generator
        )
        assert health.cpu_share == pytest.approx(0.4)
        assert health.lag_share == pytest.approx(0.115)
        assert health.delivered_share == pytest.approx(1.0)

    def test_a_pressure_that_a_process_cannot_tell_is_unknown(self) -> None:
        assert gathered(whole(), changed(4, pressure=None)).pair().generator.pressure_share is None

    def test_users_that_are_missing_on_one_side_are_load_that_was_not_delivered(self) -> None:
        lines = changed(4, users={"candidate": 4, "baseline": 2})
        assert gathered(lines).pair().generator.delivered_share == pytest.approx(0.875)
        several = gathered(lines, whole(), shape=replace(SHAPE, users=16, spawn_rate=16))
        assert several.pair().generator.delivered_share == pytest.approx(0.9375)

    def test_time_that_is_missing_is_load_that_was_not_delivered(self) -> None:
        assert gathered(whole()[:4] + whole()[5:]).pair().generator.delivered_share == pytest.approx(0.75)

    def test_of_arrivals_those_that_began_on_time_were_delivered(self) -> None:
        shape = replace(SHAPE, arrivals=40.0)
        lines = changed(8, arrivals={"candidate": [40, 40], "baseline": [40, 30]})
        assert gathered(lines, shape=shape).pair().generator.delivered_share == pytest.approx(0.75)
        nothing = changed(8, arrivals={"candidate": [0, 0], "baseline": [0, 0]})
        assert gathered(nothing, shape=shape).pair().generator.delivered_share != 1.0


class TestProgress:
    def at(self, count: int, **changes: Any) -> tuple[float, str]:
        lines = whole()[: count + 1]
        lines[-1] = lines[-1] | changes
        return gathered(lines).progress()

    def test_it_tells_warm_up_measuring_and_the_wait_for_the_last_answers(self) -> None:
        assert self.at(0) == (0.0, "starting")
        done, text = self.at(1)
        assert (round(done, 3), text) == (0.167, "warming up · 40 req/s")
        done, text = self.at(3)
        assert (done, text) == (0.5, "40 req/s · p95 10 ms against 1,003 ms · 0 against 0 failed")
        assert self.at(4, blocks={})[1] == "0 req/s · p95 – against – · 0 against 0 failed"
        assert self.at(7) == (1.0, "waiting for the last answers")

    def test_one_side_is_told_by_itself(self) -> None:
        lines = changed(3, blocks={"0": {"candidate": {"GET /": entry(20, 3)}}})
        assert gathered(lines[:4], sides=["candidate"]).progress() == (0.5, "40 req/s · p95 10 ms · 3 failed")

    def test_it_is_that_of_the_slowest_process_and_of_the_requests_of_all(self) -> None:
        assert gathered(whole()[:5], whole()[:4]).progress()[0] == 0.5
        assert gathered(whole()[:4], whole()[:4]).progress()[1].startswith("80 req/s")
        assert gathered(whole()[:4], whole()[:1]).progress() == (0.0, "starting")


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
