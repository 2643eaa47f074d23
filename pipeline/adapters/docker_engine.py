"""Building and pushing with the Docker engine: BuildKit where `docker buildx` answers, else the Engine API."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, BuildError, DockerException, ImageNotFound
from docker.utils.build import exclude_paths

from pipeline.errors import ConfigurationError, PipelineError, UnavailableError
from pipeline.ports import BuildRequest, Command, CommandRunner, Say

Credentials = Callable[[], Mapping[str, str] | None]
"""Gives `{"username": …, "password": …}` for the registry pushed to, or None for an open one."""

_BUILD_SECONDS = 1800.0
_TAIL = 15


def connect() -> docker.DockerClient:
    """A client of the engine that the environment names. Raises UnavailableError with the fix."""
    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except (DockerException, OSError) as error:
        raise engine_unavailable(error) from error
    return client


def engine_unavailable(error: Exception) -> UnavailableError:
    """The error for an engine that does not answer."""
    return UnavailableError(
        f"no Docker engine answers: {_first_line(error)}",
        hint="start it (`make setup` installs and starts one on Debian or Ubuntu as root); "
        "`python -m pipeline doctor` says what is wrong with it",
    )


class DockerBuilder:
    """See `pipeline.ports.ImageBuilder`. `engine` connects when it is first needed."""

    def __init__(
        self, engine: Callable[[], docker.DockerClient], runner: CommandRunner, credentials: Credentials
    ) -> None:
        self._engine = engine
        self._runner = runner
        self._credentials = credentials

    @property
    def name(self) -> str:
        """`buildkit` when `docker buildx version` answers, else `engine`."""
        try:
            answer = self._runner.run(Command(("docker", "buildx", "version"), timeout=20.0))
        except UnavailableError:
            return "engine"
        return "buildkit" if answer.exit_code == 0 else "engine"

    def fingerprint(self, request: BuildRequest) -> Mapping[str, str]:
        """See `pipeline.ports.ImageBuilder.fingerprint`."""
        patterns = _ignore_patterns(request.context)
        paths = exclude_paths(str(request.context), patterns)
        files = {path: request.context / path for path in sorted(paths)}
        return {path: _hash(file) for path, file in files.items() if file.is_file() or file.is_symlink()}

    def image_id(self, reference: str) -> str:
        """See `pipeline.ports.ImageBuilder.image_id`."""
        try:
            return str(self._engine().images.get(reference).id)
        except ImageNotFound:
            return ""
        except (DockerException, OSError) as error:
            raise engine_unavailable(error) from error

    def build_and_push(self, request: BuildRequest, tag: str, say: Say) -> None:
        """See `pipeline.ports.ImageBuilder.build_and_push`."""
        name = f"{request.repository}:{tag}"
        if self.name == "buildkit":
            self._build_with_buildkit(request, name, say)
        else:
            self._build_with_engine(request, name, say)
        self._push(request.repository, tag, say)

    def _build_with_buildkit(self, request: BuildRequest, name: str, say: Say) -> None:
        options = [f"--build-arg={key}={value}" for key, value in request.args.items()]
        options += [f"--label={key}={value}" for key, value in request.labels.items()]
        argv = ("docker", "buildx", "build", "--load", "--provenance=false", "--progress=plain")
        target = (f"--platform={request.platform}", f"--tag={name}", f"--file={request.dockerfile}")
        say("building with BuildKit")
        done = self._runner.run(
            Command((*argv, *target, *options, str(request.context)), timeout=_BUILD_SECONDS)
        )
        if done.exit_code != 0:
            raise _build_failed(request.dockerfile, (done.errors or done.output).splitlines())

    def _build_with_engine(self, request: BuildRequest, name: str, say: Say) -> None:
        say("building with the Engine API")
        lines: list[str] = []
        try:
            stream = self._engine().api.build(
                path=str(request.context),
                dockerfile=str(request.dockerfile),
                tag=name,
                rm=True,
                forcerm=True,
                decode=True,
                buildargs=dict(request.args),
                labels=dict(request.labels),
                platform=request.platform,
            )
            for line in _build_lines(stream):
                lines.append(line)
                if line.startswith("Step "):
                    say(line)
        except (APIError, BuildError) as error:
            raise _build_failed(request.dockerfile, [*lines, str(error)]) from error
        except (DockerException, OSError) as error:
            raise engine_unavailable(error) from error

    def _push(self, repository: str, tag: str, say: Say) -> None:
        say(f"pushing {repository}:{tag}")
        try:
            stream = self._engine().images.push(
                repository, tag=tag, stream=True, decode=True, auth_config=self._credentials()
            )
            problem = next((entry["error"] for entry in stream if "error" in entry), "")
        except (DockerException, OSError) as error:
            problem = _first_line(error)
        if problem:
            raise UnavailableError(
                f"pushing {repository}:{tag} failed: {problem}",
                hint="check that the registry is up (`python -m pipeline local status`) and that you may push",
            )


def _build_lines(stream: Iterator[Any]) -> Iterator[str]:
    """Every line the engine says; raises BuildError at the one that says it failed."""
    for entry in stream:
        if "error" in entry:
            raise BuildError(entry["error"].strip(), iter(()))
        for line in str(entry.get("stream", "")).splitlines():
            if line.strip():
                yield line.rstrip()


def _build_failed(dockerfile: Path, lines: list[str]) -> PipelineError:
    tail = "\n".join(f"    {line}" for line in lines[-_TAIL:])
    return ConfigurationError(
        f"{dockerfile.name} does not build:\n{tail}",
        hint=f"mend the step above in {dockerfile}",
    )


def _ignore_patterns(context: Path) -> list[str]:
    file = context / ".dockerignore"
    if not file.is_file():
        return [".git"]
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _hash(file: Path) -> str:
    if file.is_symlink():
        return "link:" + str(file.readlink())
    mode = "x" if file.stat().st_mode & 0o111 else "-"
    return f"{mode}:sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
