"""The product as its users have it: `python -m pipeline` as a program, on a copy of this project."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from pipeline.local.cloud import cloud_id
from tests.iam.commands import amiss_in, recording

ROOT = Path(__file__).parents[2]
FOLDERS = ("app", "loadtests", "tests/integration")
FILES = ("Dockerfile", ".dockerignore", "requirements/app.txt", "pipeline.toml")
SHORTER = {
    'duration = "20s"': 'duration = "8s"',
    'warmup = "4s"': 'warmup = "2s"',
    "requests = { min = 1000 }": "requests = { min = 300 }",
    "p99_ms = { max = 1600 }\n": "",
    '"GET /api/owners" = { p95_ms = { max = 800 } }\n': "",
    "p95_ms = { max = 800 }": "p95_ms = { max = 900 }",
    "desired = 2": 'desired = 2\nrollout = { bake = "2s" }',
    "desired = 1": 'desired = 1\nrollout = { bake = "2s" }',
    "users = 16": "users = 10",
    'baseline = "prod"': 'baseline = "none"',
    "[load]": "[load.generator]\nmax_cpu = 1.0\nmax_lag_share = 1.0\nmin_delivered = 0.3\n\n[load]",
}
"""The sample's pipeline.toml for machines that do other things at the same time."""


ANY_ORDER = ("--allow-older", "--reason", "two digests take turns here, and one of them is older")
"""Options of `promote` for what goes back and forth."""


@dataclass(frozen=True)
class Done:
    """How a command ended: exit code, the answer, and what it said to people."""

    code: int
    out: str
    said: str

    @property
    def answer(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self.out)
        return found

    @property
    def stages(self) -> Mapping[str, Mapping[str, Any]]:
        return {stage["name"]: stage for stage in self.answer["stages"]}


@dataclass(frozen=True)
class Copy:
    """A copy of this project with a local cloud of its own."""

    root: Path

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "GITHUB_", "ONEDIGEST_")) and name != "CI"
        }
        environment["XDG_CONFIG_HOME"] = str(self.root / ".pipeline" / "config")
        environment |= recording(self.root, arguments)
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", "-C", str(self.root), *arguments],
            cwd=ROOT,
            env=environment | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def pipeline(self, *arguments: str, env: Mapping[str, str] | None = None) -> Done:
        process = self.start(*arguments, env=env)
        out, said = process.communicate(timeout=900)
        print(said, file=sys.stderr)
        return Done(process.returncode, out, said)

    def change(self, file: str, old: str, new: str, *, count: int = -1) -> None:
        path = self.root / file
        text = path.read_text("utf-8")
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new, count), "utf-8")

    def url(self, environment: str) -> str:
        found: str = self.pipeline("--json", "local", "up").answer["environments"][environment]
        return found

    def serves(self, environment: str) -> str:
        answer = requests.get(self.url(environment) + "/version", timeout=10)
        return str(answer.json()["digest"])

    def containers(self, *, kind: str) -> list[str]:
        """Names of this cloud's containers, or of sandboxes of any run."""
        label = "dev.onedigest.kind=sandbox" if kind == "sandbox" else f"dev.onedigest.cloud={self.cloud()}"
        found = docker.from_env().containers.list(all=True, filters={"label": label}, sparse=True)
        return [container.attrs["Names"][0] for container in found]

    def cloud(self) -> str:
        return cloud_id(self.root / ".pipeline" / "local")


def copy_of_this(target: Path) -> Copy:
    for part in (*FOLDERS, *FILES):
        source, destination = ROOT / part, target / part
        destination.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, destination, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, destination)
    config = target / "pipeline.toml"
    text = config.read_text("utf-8")
    for old, new in SHORTER.items():
        assert old in text, f"pipeline.toml has no {old!r}"
        text = text.replace(old, new)
    config.write_text(text, "utf-8")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.test", "-C", str(target)]
        subprocess.run([*git, *command], check=True)
    (target / ".git" / "info" / "exclude").write_text(".pipeline/\n__pycache__/\n")
    return Copy(target)


@contextmanager
def opened(target: Path) -> Iterator[Copy]:
    """A copy with a local cloud of its own, which goes with it.

    AWS would refuse nothing that its commands ask: not by the printed policies, nor for a parameter.
    """
    copy = copy_of_this(target)
    try:
        yield copy
    finally:
        copy.pipeline("local", "reset", "--yes")
    assert amiss_in(target) == {}


def put_back(project: Copy) -> None:
    """The files as they were; what was recorded and rolled out meanwhile stays."""
    subprocess.run(["git", "-C", str(project.root), "checkout", "-q", "."], check=True)
    subprocess.run(["git", "-C", str(project.root), "clean", "-qfd"], check=True)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    """One copy, one local cloud, for all of these tests; each leaves the files as it found them."""
    with opened(tmp_path_factory.mktemp("project")) as copy:
        yield copy


@pytest.fixture(scope="session")
def released(project: Copy) -> Done:
    """The first run, through all four stages."""
    return project.pipeline("--json", "run")


@pytest.fixture
def changed(project: Copy, released: Done) -> Iterator[Copy]:
    """The copy after a good release, put back as it was afterwards."""
    assert released.code == 0, released.said
    yield project
    put_back(project)


def decided(project: Copy, *options: str) -> Done:
    """A run whose load decides: on a busy machine it may not, and then says to run again, which is done twice here."""
    for _ in range(2):
        done = project.pipeline("--json", "run", *options)
        if done.code != 4:
            return done
    return project.pipeline("--json", "run", *options)


def kill(process: subprocess.Popen[str]) -> None:
    """kill -9, as the system does when memory runs out."""
    process.send_signal(signal.SIGKILL)
    process.wait()


def wait_for(text: str, process: subprocess.Popen[str], seconds: float = 180.0) -> None:
    """Reads what the process says until a line has `text`."""
    end = time.monotonic() + seconds
    assert process.stderr is not None
    while time.monotonic() < end:
        line = process.stderr.readline()
        print(line, end="")
        if text in line:
            return
        if not line and process.poll() is not None:
            raise AssertionError(f"it ended with {process.returncode} before it said {text!r}")
    raise AssertionError(f"it did not say {text!r} in {seconds} s")
