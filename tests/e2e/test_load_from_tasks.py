"""Staging loaded from ECS tasks rather than from this machine."""

from __future__ import annotations

import json

import docker

from tests.e2e.conftest import Copy, Done


def test_two_tasks_load_staging_and_are_gone_afterwards(changed: Copy, released: Done) -> None:
    changed.change("pipeline.toml", "[load.generator]", "[load.workers]\ntasks = 2\n\n[load.generator]")
    checked = changed.pipeline("--json", "doctor")
    found = {check["name"]: check for check in checked.answer["checks"]}
    assert found["staging load tasks"]["state"] == "OK", checked.said

    done = changed.pipeline("--json", "run", "--until", "staging")
    assert done.code == 0, done.said
    assert "starting 2 tasks that load" in done.said
    staging = done.stages["staging"]
    assert staging["outcome"] == "passed"
    assert staging["metrics"]["requests"] > 300
    assert staging["metrics"]["error_rate"] == 0
    (told,) = (changed.root / ".pipeline" / "runs").glob("*/load/load-tasks.json")
    assert len(json.loads(told.read_text())["tasks"]) == 2
    assert len(list(told.parent.glob("locust-*.jsonl"))) == 2
    running = docker.from_env().containers.list(
        filters={"label": f"dev.onedigest.cloud={changed.cloud()}"}, sparse=True
    )
    assert not [name for one in running for name in one.attrs["Names"] if name.endswith("-load")]

    again = changed.pipeline("--json", "run", "--until", "staging")
    assert again.stages["staging"]["reused"], "the same tasks, users and times are no other plan"
