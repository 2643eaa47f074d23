"""Staging loaded from ECS tasks rather than from this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator

import docker
import pytest

from tests.e2e.conftest import Copy, Done, put_back


@pytest.fixture
def healed(changed: Copy) -> Iterator[Copy]:
    """Afterwards the newest record of staging is by the plan of the files as they were."""
    yield changed
    put_back(changed)
    assert changed.pipeline("run", "--until", "staging").code == 0


def test_two_tasks_load_staging_and_are_gone_afterwards(healed: Copy, released: Done) -> None:
    healed.change("pipeline.toml", "[load.generator]", "[load.workers]\ntasks = 2\n\n[load.generator]")
    checked = healed.pipeline("--json", "doctor")
    found = {check["name"]: check for check in checked.answer["checks"]}
    assert found["staging load tasks"]["state"] == "OK", checked.said

    done = healed.pipeline("--json", "run", "--until", "staging")
    assert done.code == 0, done.said
    assert "starting 2 tasks that load" in done.said
    staging = done.stages["staging"]
    assert staging["outcome"] == "passed"
    assert staging["metrics"]["requests"] > 300
    assert staging["metrics"]["error_rate"] == 0
    (told,) = (healed.root / ".pipeline" / "runs").glob("*/load/load-tasks.json")
    assert len(json.loads(told.read_text())["tasks"]) == 2
    assert len(list(told.parent.glob("locust-*.jsonl"))) == 2
    running = docker.from_env().containers.list(
        filters={"label": f"dev.onedigest.cloud={healed.cloud()}"}, sparse=True
    )
    assert not [name for one in running for name in one.attrs["Names"] if name.endswith("-load")]

    again = healed.pipeline("--json", "run", "--until", "staging")
    assert again.stages["staging"]["reused"], "the same tasks, users and times are no other plan"
