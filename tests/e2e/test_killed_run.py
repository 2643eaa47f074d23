"""kill -9 in each stage: nothing of ours is left, and the next run goes on from the last stage that passed."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import docker
import pytest

from tests.e2e.conftest import Copy, Done, kill, wait_for

GRACE = 5.0


def own_sandboxes(project: Copy) -> list[str]:
    label = f"dev.onedigest.lock={project.root}"
    found = docker.from_env().containers.list(
        all=True, filters={"label": "dev.onedigest.kind=sandbox"}, sparse=True
    )
    return [
        c.attrs["Names"][0] for c in found if any(label in f"{k}={v}" for k, v in c.attrs["Labels"].items())
    ]


def load_processes(project: Copy) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if "locust" in words and str(project.root) in words:
            found.append(words)
    return found


@pytest.mark.parametrize(
    ("moment", "reused"),
    [
        ("integration running the tests", [True, False, False, False]),
        ("staging     starting the load", [True, True, False, False]),
        ("prod        waiting for", [True, True, True, False]),
    ],
)
def test_a_killed_run_leaves_nothing_and_is_taken_up_again(
    changed: Copy, released: Done, moment: str, reused: list[bool]
) -> None:
    changed.change("app/__init__.py", '"""', f'# {moment}\n"""', count=1)
    process = changed.start("run")
    wait_for(moment, process)
    kill(process)
    time.sleep(GRACE)
    assert own_sandboxes(changed) == []
    assert load_processes(changed) == []
    again = changed.pipeline("--json", "run")
    assert again.code == 0
    assert [stage["reused"] for stage in again.stages.values()] == reused
    assert changed.serves("prod") == again.answer["digest"]


def test_a_build_that_is_killed_leaves_no_container(changed: Copy) -> None:
    changed.change("requirements/app.txt", "fastapi==", "# another layer\nfastapi==")
    engine = docker.from_env()
    before = {container.id for container in engine.containers.list(all=True, sparse=True)}
    process = changed.start("stage", "build")
    wait_for("RUN", process)
    kill(process)
    time.sleep(GRACE)
    fresh = [c for c in engine.containers.list(all=True, sparse=True) if c.id not in before]
    building = [c.attrs["Names"][0] for c in fresh if "/bin/sh" in c.attrs["Command"]]
    assert building == []


def test_an_interrupted_run_leaves_a_report_of_what_there_is(changed: Copy) -> None:
    process = changed.start("--json", "run", "--fresh", "--until", "build")
    wait_for("building", process)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["outcome"]) == (130, "interrupted")
    report = Path(changed.pipeline("report").out.strip())
    assert str(report) in said
    assert "build did not pass: interrupted, exit code 130." in report.read_text("utf-8")
    document = json.loads(report.with_name("run.json").read_text())
    assert [(stage["name"], stage["outcome"], stage["evidence"]) for stage in document["stages"]] == [
        ("build", "undecided", "")
    ]
