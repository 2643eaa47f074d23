"""What every load generator promises: the fake, Locust against a server of this machine, tasks of a local cloud."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.locust import Locust
from pipeline.errors import ConfigurationError, UndecidedError
from pipeline.model.load import LoadShape
from pipeline.model.sides import BLOCK_SECONDS, Block, Sides
from pipeline.ports import LoadGenerator
from tests.fakes.load import FakeLoad, Measured, RecordedProgress
from tests.fakes.load_target import TargetServer
from tests.system.cloud_in_hand import ENVIRONMENTS, CloudInHand
from tests.system.tasks_in_hand import TasksInHand

JOURNEY = (Path(__file__).parents[1] / "system" / "data" / "journey.py").read_text()
IDLE = """
from locust import User, constant, task

class Idle(User):
    wait_time = constant(0.1)

    @task
    def rest(self):
        pass
"""
Make = Callable[[str], LoadGenerator]


@pytest.fixture(scope="module")
def target() -> Iterator[TargetServer]:
    with TargetServer() as server:
        yield server


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudInHand]:
    """A local cloud whose staging and prod serve."""
    hand = CloudInHand(tmp_path_factory.mktemp("cloud") / "local")
    try:
        for environment in ENVIRONMENTS:
            hand.serving(environment, "good")
        yield hand
    finally:
        hand.cloud.reset()
        hand.engine.close()


@pytest.fixture(params=["fake", "locust", "tasks"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def sides(kind: str, request: pytest.FixtureRequest) -> Sides:
    """Two servers that the generator reaches, good ones."""
    if kind == "tasks":
        urls = request.getfixturevalue("cloud").endpoints.urls
        return Sides(urls["staging"], urls["prod"])
    url = request.getfixturevalue("target").url
    return Sides(url, url)


@pytest.fixture
def generator(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    def make(locustfile: str) -> LoadGenerator:
        (tmp_path / "journey.py").write_text(locustfile)
        if kind == "tasks":
            return TasksInHand(request.getfixturevalue("cloud"), tmp_path).generator(1)
        if kind == "locust":
            return Locust(sys.executable, SystemClock(), root=tmp_path, environ=os.environ)
        asked = (
            {"GET /api/owners": Measured(80), "GET /api/vets": Measured(20)} if "client" in locustfile else {}
        )
        return FakeLoad(root=tmp_path, endpoints=asked)

    return make


def shape(duration: float = 1.0) -> LoadShape:
    return LoadShape(Path("journey.py"), users=2, spawn_rate=10, warmup=0.5, duration=duration)


def test_a_run_measures_every_endpoint_and_tells_how_far_it_is(
    generator: Make, sides: Sides, tmp_path: Path
) -> None:
    progress = RecordedProgress()
    summary = generator(JOURNEY).run(shape(), sides.candidate, tmp_path / "run", progress)
    assert {e.name for e in summary.endpoints} == {"GET /api/owners", "GET /api/vets"}
    assert summary.total.requests == sum(e.requests for e in summary.endpoints) > 0
    assert summary.total.failures == 0
    assert {"p50", "p95", "p99"} <= set(summary.total.quantiles)
    assert summary.total.histogram.count == summary.total.requests
    assert summary.seconds == pytest.approx(1.0, abs=0.1)
    assert summary.unfinished == 0
    done = [share for share, _ in progress.shares]
    assert done == sorted(done)
    assert 0 < done[0] <= done[-1] == 1.0
    assert (tmp_path / "run" / "locust.jsonl").exists()


def test_two_sides_are_measured_by_themselves_and_in_blocks_that_they_share(
    generator: Make, sides: Sides, tmp_path: Path
) -> None:
    progress = RecordedProgress()
    pair = generator(JOURNEY).compare(shape(2.0), sides, tmp_path / "run", progress, lambda *_: False)
    for side, blocks in (
        (pair.candidate, [block.candidate for block in pair.blocks]),
        (pair.baseline, [block.baseline for block in pair.blocks]),
    ):
        tallies = [tally for block in blocks for tally in block.values()]
        assert {e.name for e in side.endpoints} == {"GET /api/owners", "GET /api/vets"}
        assert side.total.requests == sum(tally.requests for tally in tallies) > 0
        assert side.total.histogram.count == sum(tally.histogram.count for tally in tallies)
        assert side.generator == pair.generator
        assert side.seconds == pytest.approx(2.0, abs=0.1)
    assert [block.index for block in pair.blocks] == list(range(4))
    done = [share for share, _ in progress.shares]
    assert done == sorted(done)
    assert done[-1] == 1.0


def test_enough_is_asked_with_whole_blocks_and_ends_the_load_early(
    generator: Make, sides: Sides, tmp_path: Path
) -> None:
    asked: list[tuple[int, float]] = []

    def enough(blocks: Sequence[Block], seconds: float) -> bool:
        asked.append((len(blocks), seconds))
        return seconds >= 2

    pair = generator(JOURNEY).compare(shape(60.0), sides, tmp_path / "run", RecordedProgress(), enough)
    assert asked == sorted(set(asked))
    assert all(count <= seconds / BLOCK_SECONDS for count, seconds in asked)
    assert asked[-1][1] <= pair.candidate.seconds < 30
    assert asked[-1][0] <= len(pair.blocks) <= pair.candidate.seconds / BLOCK_SECONDS


def test_users_that_do_not_share_evenly_are_told_a_number_that_does(
    generator: Make, sides: Sides, tmp_path: Path
) -> None:
    uneven = replace(shape(), users=5)
    with pytest.raises(ConfigurationError, match="5 users do not share evenly") as caught:
        generator(JOURNEY).compare(uneven, sides, tmp_path / "run", RecordedProgress(), lambda *_: False)
    assert "load.users = 6" in caught.value.hint


def test_a_locustfile_that_asks_nothing_gives_no_summary(
    generator: Make, sides: Sides, tmp_path: Path
) -> None:
    with pytest.raises(UndecidedError) as caught:
        generator(IDLE).run(shape(0.5), sides.candidate, tmp_path / "run", RecordedProgress())
    assert caught.value.hint


def test_a_good_locustfile_is_accepted(generator: Make) -> None:
    generator(JOURNEY).check(Path("journey.py"))


def test_a_missing_locustfile_is_told_by_its_path(generator: Make) -> None:
    with pytest.raises(ConfigurationError, match=r"no locustfile: .*nowhere\.py") as caught:
        generator(JOURNEY).check(Path("nowhere.py"))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("locustfile", "text"),
    [("def broken(:\n", "does not import"), ("import os\n", "has no User class")],
)
def test_a_locustfile_that_cannot_work_is_told_so(generator: Make, locustfile: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        generator(locustfile).check(Path("journey.py"))
