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
from pipeline.model.sides import Block, Sides
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


def test_both_sides_are_loaded_at_once_until_it_is_enough(
    generator: Make, sides: Sides, tmp_path: Path
) -> None:
    asked: list[tuple[float, int]] = []

    def enough(blocks: Sequence[Block], seconds: float) -> bool:
        asked.append((seconds, len(blocks)))
        return seconds >= 2.0

    pair = generator(JOURNEY).compare(shape(60.0), sides, tmp_path / "run", RecordedProgress(), enough)
    assert asked == sorted(asked)
    assert asked[-1][0] >= 2.0
    assert asked[-1][0] <= pair.candidate.seconds == pair.baseline.seconds < 60.0
    for side, summary in (("candidate", pair.candidate), ("baseline", pair.baseline)):
        tallies = [tally for block in pair.blocks for tally in getattr(block, side).values()]
        assert sum(tally.requests for tally in tallies) == summary.total.requests > 0
        assert sum(tally.failures for tally in tallies) == summary.total.failures == 0


def test_users_that_do_not_share_evenly_are_told_the_next_number(
    generator: Make, sides: Sides, tmp_path: Path
) -> None:
    odd = replace(shape(), users=3)
    with pytest.raises(ConfigurationError) as caught:
        generator(JOURNEY).compare(odd, sides, tmp_path / "run", RecordedProgress(), lambda *_: True)
    assert "4" in caught.value.hint
