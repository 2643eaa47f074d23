"""Building and pushing, on an engine that gives the Engine API's answers line by line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest
from docker.errors import APIError, DockerException, ImageNotFound

from pipeline.adapters.docker_engine import DockerBuilder, connect
from pipeline.errors import ConfigurationError, PipelineError, UnavailableError
from pipeline.ports import BuildRequest, Command, Finished

BUILT = ({"stream": "Step 1/2 : FROM base\n"}, {"stream": "\n"}, {"stream": "Step 2/2 : CMD true"})
PUSHED = ({"status": "Preparing"}, {"status": "tag: digest: sha256:1"})


class Engine:
    """What of the SDK's client a build uses: `api.build`, `images.push`."""

    def __init__(
        self, build: Sequence[Mapping[str, str]] = BUILT, push: Sequence[Mapping[str, str]] = PUSHED
    ) -> None:
        self._build, self._push = build, push
        self.problem: Exception | None = None
        self.built: dict[str, Any] = {}
        self.pushed: dict[str, Any] = {}
        self.api = self.images = self

    def build(self, **how: Any) -> Iterator[Mapping[str, str]]:
        if self.problem:
            raise self.problem
        self.built = how
        return iter(self._build)

    def get(self, reference: str) -> Any:
        if self.problem:
            raise self.problem
        return SimpleNamespace(id=f"id of {reference}")

    def push(self, repository: str, **how: Any) -> Iterator[Mapping[str, str]]:
        self.pushed = {"repository": repository, **how}
        return iter(self._push)


class Programs:
    """A machine with or without `docker buildx`."""

    def __init__(self, *, buildx: int = 1, build: Finished | None = None) -> None:
        self._version = Finished(buildx, "", "")
        self._build = build or Finished(0, "", "")
        self.asked: list[Command] = []

    def run(self, command: Command) -> Finished:
        self.asked.append(command)
        return self._version if command.argv[-1] == "version" else self._build


class NoPrograms:
    def run(self, command: Command) -> Finished:
        raise UnavailableError("program not found: docker", hint="install it")


@pytest.fixture
def request_(tmp_path: Path) -> BuildRequest:
    (tmp_path / "Dockerfile").write_text("FROM base\nCMD true\n")
    return BuildRequest(
        context=tmp_path,
        dockerfile=tmp_path / "Dockerfile",
        repository="localhost:5000/shop",
        args={"A": "1"},
        labels={"l": "2"},
        platform="linux/amd64",
    )


def builder(engine: Engine, programs: Programs | None = None) -> DockerBuilder:
    login = {"username": "u", "password": "p"}
    return DockerBuilder(lambda: engine, programs or Programs(), lambda: login)


def fails(engine: Engine, request: BuildRequest, kind: type[PipelineError]) -> PipelineError:
    with pytest.raises(kind) as caught:
        builder(engine).build_and_push(request, "t", lambda _line: None)
    assert caught.value.hint
    return caught.value


def test_without_buildx_the_engine_builds_and_pushes_what_was_asked(request_: BuildRequest) -> None:
    engine, said = Engine(), list[str]()
    builder(engine).build_and_push(request_, "t", said.append)
    assert (engine.built["tag"], engine.built["buildargs"]) == ("localhost:5000/shop:t", {"A": "1"})
    assert (engine.built["labels"], engine.built["platform"]) == ({"l": "2"}, "linux/amd64")
    assert (engine.pushed["repository"], engine.pushed["tag"]) == ("localhost:5000/shop", "t")
    assert engine.pushed["auth_config"] == {"username": "u", "password": "p"}
    assert said == [
        "building with the Engine API",
        "Step 1/2 : FROM base",
        "Step 2/2 : CMD true",
        "pushing localhost:5000/shop:t",
    ]


def test_with_buildx_the_same_is_asked_of_buildkit(request_: BuildRequest) -> None:
    engine, programs = Engine(), Programs(buildx=0)
    builder(engine, programs).build_and_push(request_, "t", lambda _line: None)
    argv = programs.asked[-1].argv
    assert argv[:3] == ("docker", "buildx", "build")
    assert {"--build-arg=A=1", "--label=l=2", "--platform=linux/amd64", "--tag=localhost:5000/shop:t"} <= set(
        argv
    )
    assert "--provenance=false" in argv
    assert engine.built == {}
    assert engine.pushed["tag"] == "t"


def test_the_builder_is_named_after_what_answers() -> None:
    engine = Engine()
    assert builder(engine, Programs(buildx=0)).name == "buildkit"
    assert builder(engine, Programs(buildx=1)).name == "engine"
    assert DockerBuilder(lambda: engine, NoPrograms(), lambda: None).name == "engine"


def test_a_step_that_fails_is_shown_with_what_it_said_last(request_: BuildRequest) -> None:
    lines = [{"stream": f"line {number}"} for number in range(30)]
    error = fails(Engine([*lines, {"error": "returned a non-zero code: 2"}]), request_, ConfigurationError)
    assert error.message.startswith("Dockerfile does not build:\n")
    assert "line 29" in error.message
    assert "non-zero code: 2" in error.message
    assert "line 3\n" not in error.message
    assert str(request_.dockerfile) in error.hint


def test_a_failing_buildkit_step_is_shown_too(request_: BuildRequest) -> None:
    programs = Programs(buildx=0, build=Finished(1, "", "step\nERROR: exit code: 1"))
    with pytest.raises(ConfigurationError, match="ERROR: exit code: 1"):
        builder(Engine(), programs).build_and_push(request_, "t", lambda _line: None)


def test_what_the_engine_refuses_to_build_is_the_dockerfiles_mistake(request_: BuildRequest) -> None:
    engine = Engine()
    engine.problem = APIError("dockerfile parse error line 1")
    assert "parse error line 1" in fails(engine, request_, ConfigurationError).message


def test_an_engine_that_goes_away_is_unavailable(request_: BuildRequest) -> None:
    engine = Engine()
    engine.problem = DockerException("connection reset\nmore")
    assert fails(engine, request_, UnavailableError).message == "no Docker engine answers: connection reset"


def test_a_push_that_the_registry_refuses_is_unavailable_and_names_both(request_: BuildRequest) -> None:
    engine = Engine(push=[{"status": "Preparing"}, {"error": "denied: no right to push"}])
    error = fails(engine, request_, UnavailableError)
    assert error.message == "pushing localhost:5000/shop:t failed: denied: no right to push"


def test_no_engine_is_told_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(UnavailableError) as caught:
        connect()
    assert "python -m pipeline doctor" in caught.value.hint


def test_the_fingerprint_is_of_every_file_that_the_build_sees(request_: BuildRequest) -> None:
    root = request_.context
    (root / "app").mkdir()
    (root / "app" / "a.py").write_text("1")
    (root / "app" / "a.pyc").write_text("x")
    (root / "notes.md").write_text("n")
    (root / "link").symlink_to("notes.md")
    (root / ".dockerignore").write_text("# comment\n\n**/*.pyc\n*.md\n!README.md\n")
    (root / "README.md").write_text("r")
    found = builder(Engine()).fingerprint(request_)
    assert set(found) >= {"Dockerfile", "app/a.py", "link", "README.md"}
    assert not {"app/a.pyc", "notes.md"} & set(found)
    assert found["link"] == "link:notes.md"


def test_the_fingerprint_changes_with_content_mode_and_name_and_nothing_else(request_: BuildRequest) -> None:
    root, look = request_.context, builder(Engine()).fingerprint
    file = root / "run.sh"
    file.write_text("true")
    first = look(request_)
    os.utime(file, (1, 1))
    assert look(request_) == first
    file.chmod(0o755)
    second = look(request_)
    assert second != first
    file.write_text("false")
    assert look(request_) != second
    assert look(replace(request_, args={"A": "2"})) == look(request_)


def test_without_a_dockerignore_git_is_left_out(request_: BuildRequest) -> None:
    (request_.context / ".git").mkdir()
    (request_.context / ".git" / "index").write_text("changes all the time")
    assert set(builder(Engine()).fingerprint(request_)) == {"Dockerfile"}


def test_the_client_is_the_sdks_own() -> None:
    assert {"build"} <= set(dir(docker.APIClient))
    assert {"push"} <= set(dir(docker.models.images.ImageCollection))


class Images:
    """An engine that has two images: one pulled by its digest, one made here."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem
        self.images = self

    def get(self, reference: str) -> SimpleNamespace:
        if self.problem:
            raise self.problem
        pulled = {"RepoDigests": ["python@sha256:" + "a" * 64]} if reference == "python:3" else {}
        if reference == "gone":
            raise ImageNotFound("no such image")
        return SimpleNamespace(id="sha256:" + "b" * 64, attrs=pulled)


def test_a_base_image_is_known_by_the_digest_it_was_pulled_by_or_else_by_its_id() -> None:
    builder = DockerBuilder(Images, NoPrograms(), lambda: None)
    assert builder.digests(["python:3", "made-here", "gone"]) == {
        "python:3": "sha256:" + "a" * 64,
        "made-here": "sha256:" + "b" * 64,
    }


def test_an_engine_that_is_gone_is_no_missing_base_image() -> None:
    builder = DockerBuilder(lambda: Images(DockerException("refused")), NoPrograms(), lambda: None)
    with pytest.raises(UnavailableError, match="refused"):
        builder.digests(["python:3"])
