"""A second release, loaded on staging beside what production runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.e2e.conftest import Copy, Done, decided, kill, opened, put_back, wait_for

VETS = "    return await clinic.vets()"
COMPARED = {
    'baseline = "none"': 'baseline = "prod"',
    "users = 10": 'users = 20\nevery = "4s"\n'
    'relative = { tolerance = 0.3, exclude = 0.8, percentiles = ["p50"] }',
    'min_duration = "16s"': 'min_duration = "12s"',
    'max_duration = "64s"': 'max_duration = "60s"',
}
"""What both sides answer on a busy machine differs by more than on a quiet one."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    """A copy for this file alone: what production runs decides here, and a variable once told stays in a service."""
    with opened(tmp_path_factory.mktemp("compared")) as copy:
        yield copy


@pytest.fixture(scope="module")
def first(alone: Copy) -> Done:
    """The first release, which every test here is compared with."""
    return alone.pipeline("--json", "run")


@pytest.fixture
def compared(alone: Copy, first: Done) -> Iterator[Copy]:
    assert first.code == 0, first.said
    for old, new in COMPARED.items():
        alone.change("pipeline.toml", old, new)
    alone.change("loadtests/locustfile.py", "@task(4)\n    def list_vets", "@task(20)\n    def list_vets")
    yield alone
    put_back(alone)


def beside(project: Copy) -> Any:
    """What `status` tells of the service beside staging."""
    environments = project.pipeline("--json", "status").answer["environments"]
    return next(each["baseline"] for each in environments if each["name"] == "staging")


def comparison(done: Done) -> Mapping[str, Any]:
    found: Mapping[str, Any] = done.stages["staging"]["facts"]["comparison"]
    return found


def test_a_release_as_good_as_productions_passes_although_a_run_before_it_was_killed(
    compared: Copy, first: Done
) -> None:
    compared.change("app/__init__.py", '"""', '# as good\n"""', count=1)
    process = compared.start("run", "--until", "staging")
    wait_for("starting the load on both sides", process)
    kill(process)
    production = first.answer["digest"]
    assert beside(compared)["digests"] == [production]
    assert production in compared.pipeline("doctor").said, "it says what was left beside staging"

    taken_over = compared.pipeline("--json", "run", "--until", "staging")
    assert "already runs" in taken_over.said, "what the killed run left was taken over"
    done = taken_over if taken_over.code != 4 else decided(compared, "--until", "staging")
    assert done.code == 0, done.said
    assert comparison(done)["baseline"]["digest"] == production
    assert comparison(done)["all"]["outcome"] == "passed"
    assert done.stages["staging"]["metrics"]["p50_ratio"] < 1.8
    assert beside(compared) is None, "it is at zero again"
    assert compared.pipeline("--json", "run", "--until", "staging").stages["staging"]["reused"]


def test_an_endpoint_slower_than_productions_is_refused_by_its_name_whatever_the_limits_say(
    compared: Copy, first: Done
) -> None:
    compared.change("app/api.py", VETS, "    await __import__('asyncio').sleep(0.04)\n" + VETS)
    refused = decided(compared)
    assert refused.code == 1, refused.said
    assert list(refused.stages) == ["build", "integration", "staging"]
    assert "p50 of GET /api/vets is" in refused.said
    rows = {row["name"]: row["outcome"] for row in comparison(refused)["endpoints"]}
    assert rows["GET /api/vets"] == "refused"
    assert compared.serves("prod") == first.answer["digest"]
    assert beside(compared) is None


def test_a_baseline_that_does_not_start_decides_nothing_and_is_explained(compared: Copy, first: Done) -> None:
    """The old version ends at a variable that only the new one understands."""
    level = 'level = environment.get("LOG_LEVEL", "INFO").upper()'
    compared.change("app/settings.py", level, 'level = "INFO"')
    compared.change(
        "pipeline.toml", "desired = 1\n", 'desired = 1\nenvironment = { LOG_LEVEL = "chatty" }\n', count=1
    )
    undecided = compared.pipeline("--json", "run")
    assert undecided.code == 4
    assert "which production runs, is not healthy beside the candidate" in undecided.said
    assert "LOG_LEVEL" in undecided.said, "its last lines are on screen"
    assert "load" not in undecided.stages["staging"]["facts"]
    assert beside(compared) is None
