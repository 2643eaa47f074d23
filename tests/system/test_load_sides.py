"""Locust on two real servers at once: who asks whom, what is measured of both, and what makes it no result."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.locust import Locust
from pipeline.errors import ConfigurationError, UndecidedError
from pipeline.model.limits import Limit
from pipeline.model.load import GeneratorLimits, LoadLimits, LoadShape, LoadSummary, judge_load
from pipeline.model.sides import Block, Enough, PairSummary, Sides
from pipeline.model.verdict import Outcome, Verdict
from tests.fakes.load import RecordedProgress
from tests.fakes.load_target import TargetServer
from tests.processes import has_ended

HEAD = "import os, sys, time, json\nfrom locust import FastHttpUser, HttpUser, constant, constant_throughput, task\n"
VISITOR = """
class Visitor({kind}):
    wait_time = {wait}
    host = "http://127.0.0.1:9"

    @task
    def go(self):
        {body}
"""
GO = 'self.client.get("/")'


def never(blocks: Sequence[Block], seconds: float) -> bool:
    return False


class Bench:
    """A locustfile and what comes of it; `shape` is changed by name."""

    def __init__(self, folder: Path, text: str) -> None:
        self.root, self.run = folder / "root", folder / "run"
        self.root.mkdir()
        (self.root / "journey.py").write_text(HEAD + text)
        self.progress = RecordedProgress()
        self.slack = 60.0
        self.shape: dict[str, Any] = {"users": 8, "spawn_rate": 8.0, "warmup": 0.5, "duration": 2.0}

    def compare(
        self,
        candidate: TargetServer,
        baseline: TargetServer,
        enough: Enough = never,
        **shape: Any,
    ) -> PairSummary:
        locust = Locust(sys.executable, SystemClock(), root=self.root, environ=os.environ, slack=self.slack)
        told = LoadShape(Path("journey.py"), **(self.shape | shape))
        return locust.compare(told, Sides(candidate.url, baseline.url), self.run, self.progress, enough)


def visitors(folder: Path, body: str = GO, kind: str = "FastHttpUser", wait: str = "constant(0.02)") -> Bench:
    return Bench(folder, VISITOR.format(kind=kind, wait=wait, body=body))


def requests(blocks: Sequence[Block]) -> tuple[int, int]:
    return (
        sum(tally.requests for block in blocks for tally in block.candidate.values()),
        sum(tally.requests for block in blocks for tally in block.baseline.values()),
    )


def pids(run: Path) -> list[int]:
    """Of the processes that have written a line, in the order of their numbers."""
    records = [path.read_text().splitlines() for path in sorted(run.glob("*.jsonl"))]
    return [json.loads(lines[0])["pid"] for lines in records if lines]


@pytest.mark.parametrize("kind", ["HttpUser", "FastHttpUser"])
def test_both_sides_get_the_same_users_who_keep_their_cookies_and_about_the_same_requests(
    tmp_path: Path, kind: str
) -> None:
    with TargetServer(cookie="candidate") as candidate, TargetServer(cookie="baseline") as baseline:
        pair = visitors(tmp_path, kind=kind).compare(candidate, baseline)
    assert {second.users for side in (pair.candidate, pair.baseline) for second in side.series} == {4}
    ours, theirs = pair.candidate.total.requests, pair.baseline.total.requests
    assert ours == pytest.approx(theirs, rel=0.2)
    assert requests(pair.blocks) == (ours, theirs)
    assert [block.index for block in pair.blocks] == list(range(4))
    assert pair.candidate.total.failures == pair.baseline.total.failures == 0
    assert pair.generator.delivered_share == pytest.approx(1.0, abs=0.01)


def test_each_side_is_measured_by_itself(tmp_path: Path) -> None:
    with TargetServer(delays={"/": 0.05}) as candidate, TargetServer() as baseline:
        pair = visitors(tmp_path).compare(candidate, baseline)
    assert pair.candidate.total.quantiles["p50"] > max(50, pair.baseline.total.quantiles["p50"])


def test_urls_from_the_environments_host_and_greenlets_that_a_user_starts_ask_its_own_side(
    tmp_path: Path,
) -> None:
    body = 'import gevent; url = f"{self.environment.host}/"\n'
    body += '        gevent.joinall([gevent.spawn(self.client.get, url, name="/") for _ in range(2)])'
    with TargetServer(cookie="candidate") as candidate, TargetServer(cookie="baseline") as baseline:
        pair = visitors(tmp_path, body=body).compare(candidate, baseline)
    assert pair.candidate.total.requests == pytest.approx(pair.baseline.total.requests, rel=0.2)
    assert (pair.candidate.errors, pair.baseline.errors) == ({}, {})


def test_requests_of_one_side_to_the_other_count_for_neither(tmp_path: Path) -> None:
    with TargetServer() as candidate, TargetServer() as baseline:
        pair = visitors(tmp_path, body=f'self.client.get("{candidate.url}/", name="/")').compare(
            candidate, baseline
        )
    assert pair.candidate.total.requests > 50
    assert pair.baseline.total.requests == 0
    assert (
        f"requests to {candidate.url.removeprefix('http://')} do not count"
        in (tmp_path / "run" / "locust.log").read_text()
    )


@pytest.mark.parametrize("kind", ["HttpUser", "FastHttpUser"])
def test_what_one_side_redirects_to_the_other_counts_for_neither_and_is_told(
    tmp_path: Path, kind: str
) -> None:
    with TargetServer() as candidate, TargetServer(redirect=f"{candidate.url}/home") as baseline:
        pair = visitors(tmp_path, kind=kind).compare(candidate, baseline)
    assert pair.candidate.total.requests > 50
    assert pair.baseline.total.requests == 0
    assert (pair.candidate.crossed, pair.baseline.crossed > 50) == (0, True)


@pytest.mark.parametrize("processes", [1, 2])
def test_both_sides_get_the_same_mix_of_users(tmp_path: Path, processes: int) -> None:
    text = VISITOR.format(kind="FastHttpUser", wait="constant(0.02)", body='self.client.get("/often")')
    text += (
        text.replace("class Visitor", "class Rare")
        .replace("/often", "/rare")
        .replace("wait_time", "weight = 1 / 3; wait_time")
    )
    with TargetServer() as candidate, TargetServer() as baseline:
        pair = Bench(tmp_path, text).compare(
            candidate, baseline, users=16, spawn_rate=16, processes=processes
        )
    for side in (pair.candidate, pair.baseline):
        counts = {endpoint.name: endpoint.requests for endpoint in side.endpoints}
        assert counts["GET /often"] / counts["GET /rare"] == pytest.approx(3.0, rel=0.25)


def test_a_user_class_that_users_are_too_few_for_is_named(tmp_path: Path) -> None:
    text = "".join(
        VISITOR.format(kind="FastHttpUser", wait="constant(0.02)", body=GO).replace("Visitor", name)
        for name in ("Anna", "Ben", "Cleo")
    )
    text += "class Never(HttpUser):\n    weight = 0\n    @task\n    def go(self): ...\n"
    with TargetServer() as candidate, TargetServer() as baseline:
        pair = Bench(tmp_path, text).compare(candidate, baseline, users=4, duration=1.0)
    assert pair.candidate.idle == pair.baseline.idle == ("Cleo",)


@pytest.mark.parametrize("kind", ["HttpUser", "FastHttpUser"])
def test_a_request_that_the_locustfile_gives_up_on_is_a_failure(tmp_path: Path, kind: str) -> None:
    body = "import gevent\n        with gevent.Timeout(0.5, False):\n            self.client.get('/slow')"
    with TargetServer({"/slow": 3.0}) as candidate, TargetServer() as baseline:
        pair = visitors(tmp_path, body=body, kind=kind).compare(candidate, baseline)
    total = pair.candidate.total
    assert total.requests == total.failures > 4
    assert total.quantiles["p50"] >= 499
    assert [endpoint.name for endpoint in pair.candidate.endpoints] == ["GET /slow"]
    assert pair.baseline.total.failures < pair.baseline.total.requests


class TestEarlyEnd:
    @pytest.mark.parametrize("processes", [1, 2])
    def test_it_loses_no_answer(self, tmp_path: Path, processes: int) -> None:
        seen: list[Sequence[Block]] = []
        asked: list[float] = []

        def enough(blocks: Sequence[Block], seconds: float) -> bool:
            seen.append(blocks)
            asked.append(seconds)
            return seconds >= 3

        # Every fourth answer takes longer than the block it was asked in.
        body = 'self.asked = getattr(self, "asked", 0) + 1; self.client.get("/slow" if self.asked % 4 == 0 else "/")'
        delays = {"/slow": 1.2}
        with TargetServer(delays) as candidate, TargetServer(delays) as baseline:
            bench = visitors(tmp_path, body=body)
            pair = bench.compare(candidate, baseline, enough, duration=30.0, processes=processes)
        assert 3 <= pair.candidate.seconds < 12
        assert pair.candidate.unfinished == pair.baseline.unfinished == 0
        assert requests(pair.blocks) == (pair.candidate.total.requests, pair.baseline.total.requests)
        assert pair.blocks[-1].index < pair.candidate.seconds * 2
        assert asked == sorted(set(asked))
        assert len(asked) <= 3
        # What was handed out while it ran was already whole, the slow answers too.
        assert all(list(blocks) == list(pair.blocks)[: len(blocks)] for blocks in seen)
        slow = [block.candidate["GET /slow"].requests for block in seen[-1] if "GET /slow" in block.candidate]
        assert sum(slow) > 5
        done = [share for share, _ in bench.progress.shares]
        assert done == sorted(done)
        assert done[-1] == 1.0

    def test_an_end_that_somebody_else_wished_is_no_result(self, tmp_path: Path) -> None:
        body = 'self.client.get("/"); Visitor.asked = getattr(Visitor, "asked", 0) + 1\n'
        body += "        if Visitor.asked == 300: os.kill(os.getpid(), 15)"
        with (
            TargetServer() as candidate,
            TargetServer() as baseline,
            pytest.raises(UndecidedError, match=r"was ended after .* of 2 s"),
        ):
            visitors(tmp_path, body=body).compare(candidate, baseline)


class TestSeveralProcesses:
    def test_they_begin_together_and_are_one_measurement(self, tmp_path: Path) -> None:
        with TargetServer() as candidate, TargetServer() as baseline:
            pair = visitors(tmp_path).compare(candidate, baseline, processes=2)
        records = [
            [json.loads(line) for line in path.read_text().splitlines()]
            for path in sorted((tmp_path / "run").glob("locust-*.jsonl"))
        ]
        assert len(records) == 2
        assert sum(record[-1]["requests"] for record in records) == sum(requests(pair.blocks))
        assert all(record[-1]["requests"] > 100 for record in records)
        assert {second.users for second in pair.candidate.series} == {4}
        assert pair.generator.delivered_share == pytest.approx(1.0, abs=0.01)

    def test_one_that_is_killed_midway_leaves_no_result_and_nothing_behind(self, tmp_path: Path) -> None:
        bench = visitors(tmp_path)
        killed: list[int] = []

        def kill(blocks: Sequence[Block], seconds: float) -> bool:
            if not killed:
                killed.append(pids(bench.run)[1])
                os.kill(killed[0], signal.SIGKILL)
            return False

        with (
            TargetServer() as candidate,
            TargetServer() as baseline,
            pytest.raises(
                UndecidedError, match=r"Locust 2 of 2: its record breaks off after .* of 30 s"
            ) as caught,
        ):
            bench.compare(candidate, baseline, kill, processes=2, duration=30.0)
        assert "locust-2.log" in caught.value.hint
        assert all(has_ended(pid) for pid in pids(bench.run))

    def test_one_that_does_not_get_ready_is_told(self, tmp_path: Path) -> None:
        text = 'if json.loads(os.environ.get("ONEDIGEST_LOAD", "{}")).get("shard") == 1: time.sleep(60)\n'
        bench = Bench(tmp_path, text + VISITOR.format(kind="FastHttpUser", wait="constant(0.02)", body=GO))
        bench.slack = 12.0
        with (
            TargetServer() as candidate,
            TargetServer() as baseline,
            pytest.raises(UndecidedError, match="Locust 2 of 2: it was not ready within 12 s"),
        ):
            bench.compare(candidate, baseline, processes=2)
        assert has_ended(pids(bench.run)[0])

    def test_one_that_does_not_start_is_told_at_once(self, tmp_path: Path) -> None:
        text = 'if json.loads(os.environ.get("ONEDIGEST_LOAD", "{}")).get("shard") == 1: sys.exit("no data set")\n'
        bench = Bench(tmp_path, text + VISITOR.format(kind="FastHttpUser", wait="constant(0.02)", body=GO))
        with (
            TargetServer() as candidate,
            TargetServer() as baseline,
            pytest.raises(
                UndecidedError, match="Locust 2 of 2: Locust ended before it had started"
            ) as caught,
        ):
            bench.compare(candidate, baseline, processes=2)
        assert "no data set" in caught.value.message

    @pytest.mark.parametrize(("users", "processes", "fits"), [(7, 1, 8), (8, 3, 6), (10, 2, 12)])
    def test_users_that_do_not_share_evenly_are_refused_with_a_number_that_does(
        self, tmp_path: Path, users: int, processes: int, fits: int
    ) -> None:
        with TargetServer() as target, pytest.raises(ConfigurationError, match=f"{users} users") as caught:
            visitors(tmp_path).compare(target, target, users=users, processes=processes)
        assert f"load.users = {fits} " in caught.value.hint


class TestNoResult:
    def test_a_side_that_is_down_is_seen_as_such(self, tmp_path: Path) -> None:
        with TargetServer() as candidate, TargetServer() as baseline:
            baseline.stop()
            pair = visitors(tmp_path).compare(candidate, baseline)
        assert pair.baseline.total.failures == pair.baseline.total.requests > 0
        assert pair.candidate.total.failures == 0

    def test_no_request_on_either_side(self, tmp_path: Path) -> None:
        with (
            TargetServer() as candidate,
            TargetServer() as baseline,
            pytest.raises(UndecidedError, match="not one request"),
        ):
            visitors(tmp_path, body="pass").compare(candidate, baseline, duration=1.0)

    def test_a_clock_that_jumps(self, tmp_path: Path) -> None:
        body = 'self.client.get("/"); Visitor.asked = getattr(Visitor, "asked", 0) + 1\n'
        body += "        if Visitor.asked == 300: time.time = lambda real=time.time: real() + 3600"
        with (
            TargetServer() as candidate,
            TargetServer() as baseline,
            pytest.raises(UndecidedError, match="clock jumped"),
        ):
            visitors(tmp_path, body=body).compare(candidate, baseline)

    def test_a_generator_that_is_the_bottleneck(self, tmp_path: Path) -> None:
        with TargetServer() as candidate, TargetServer() as baseline:
            bench = visitors(tmp_path, kind="HttpUser", wait="constant(0)")
            pair = bench.compare(candidate, baseline, users=32, spawn_rate=32)
        assert judged(pair.candidate).outcome is Outcome.UNDECIDED
        assert any("load generator" in reason.text for reason in judged(pair.candidate).reasons)


def judged(summary: LoadSummary) -> Verdict:
    limits = LoadLimits({"error_rate": Limit(max=0.01), "requests": Limit(min=1)})
    return judge_load(summary, limits, GeneratorLimits())


class TestArrivals:
    # Two seconds, beginning two seconds after the first request, which are not over when measuring begins.
    STALL = (2.0, 2.0)

    def stalled(self, bench: Bench, **shape: Any) -> PairSummary:
        with TargetServer(stall=self.STALL) as candidate, TargetServer() as baseline:
            return bench.compare(candidate, baseline, duration=5.0, **shape)

    def test_users_who_wait_for_their_answers_hide_a_stall(self, tmp_path: Path) -> None:
        pair = self.stalled(visitors(tmp_path, wait="constant_throughput(12)"))
        assert pair.candidate.total.quantiles["p95"] < 500
        assert pair.candidate.as_sent == {}

    def test_a_pool_that_is_large_enough_shows_it_and_delivers(self, tmp_path: Path) -> None:
        pair = self.stalled(visitors(tmp_path), users=240, spawn_rate=240.0, arrivals=100.0)
        assert pair.candidate.total.quantiles["p95"] > 1000
        assert pair.baseline.total.quantiles["p95"] < 500
        assert pair.candidate.total.requests == pytest.approx(250, rel=0.3)
        assert pair.candidate.total.requests == pytest.approx(pair.baseline.total.requests, rel=0.25)

    def test_a_pool_that_is_too_small_shows_it_too_and_that_the_load_was_not_delivered(
        self, tmp_path: Path
    ) -> None:
        pair = self.stalled(visitors(tmp_path), users=8, arrivals=100.0)
        assert pair.candidate.total.quantiles["p95"] > 1000
        assert pair.candidate.as_sent["p95"] < 500
        assert pair.generator.delivered_share < 0.9
        assert judged(pair.candidate).outcome is not Outcome.PASSED

    def test_the_rate_is_kept_over_sides_and_processes_and_a_nested_task_is_one_start(
        self, tmp_path: Path
    ) -> None:
        text = (
            "from locust import TaskSet\nclass Visitor(FastHttpUser):\n    @task\n    class Inner(TaskSet):\n"
        )
        text += '        @task\n        def go(self):\n            self.client.get("/")\n'
        shape: dict[str, Any] = {"users": 40, "spawn_rate": 40.0, "arrivals": 200.0, "processes": 2}
        with TargetServer() as candidate, TargetServer() as baseline:
            pair = Bench(tmp_path, text).compare(candidate, baseline, duration=3.0, **shape)
        assert pair.candidate.total.requests == pytest.approx(300, rel=0.3)
        assert pair.baseline.total.requests == pytest.approx(300, rel=0.3)
