"""Base images by the names everybody writes: taken from the engine, pulled, or made from the host's own packages."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound

from pipeline.errors import UnavailableError
from pipeline.local import build_variant, stand_in
from pipeline.local.debian import package_architecture, read_release
from pipeline.local.pip_settings import PipSettings, read_pip_settings
from pipeline.local.stand_in_recipes import RECIPES, Recipe
from pipeline.ports import Say

BUILD = "+build"
"""Put behind a name (`python:3.11-slim-bookworm+build`) it asks for the variant that the build stage starts from."""

USUAL = (
    "python:3.11-slim-bookworm",
    "python:3.11-slim-bookworm" + BUILD,
    "postgres:15-bookworm",
    "registry:2",
    "haproxy:2.6-bookworm",
)
"""What the sample service and the local cloud start from."""

_PREFIX = "onedigest-base"
_PULL_SECONDS = 30.0
_NO_ANSWER = re.compile(
    r"no such host|connection refused|network is unreachable|no route to host|i/o timeout|server misbehaving|"
    r"name resolution|TLS handshake|Client\.Timeout|context deadline exceeded|proxyconnect|certificate|timed out",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Found:
    tag: str
    recipe: Recipe | None


class BaseImages:
    """Finds or makes base images. Safe to use from several processes at once; the later ones wait and find.

    `client` is a docker.DockerClient; `say` takes one line for each image that had to be fetched or made; `recipes`
    are by the name of the repository they stand in for. Nothing is kept outside the engine.
    """

    def __init__(self, client: Any, say: Say, recipes: Mapping[str, Recipe] = RECIPES) -> None:
        self._client = client
        self._recipes = recipes
        self._say = say
        self._silent: dict[str, str] = {}
        self._asking = threading.Lock()

    def ensure(self, names: Iterable[str]) -> Mapping[str, str]:
        """From each name to an image reference the engine has, made now if need be.

        Raises UnavailableError for a name that is neither there, nor to be pulled, nor to be made; it says why.
        """
        wanted = list(dict.fromkeys(names))
        plain = list(dict.fromkeys(name.removesuffix(BUILD) for name in wanted))
        order = sorted(plain, key=self._rank)
        with ThreadPoolExecutor(max_workers=2) as pool:
            found = {name: pool.submit(self._both, name, build=name + BUILD in wanted) for name in order}
            results = {key: tag for future in found.values() for key, tag in future.result().items()}
        return {name: results[name] for name in wanted}

    def _both(self, name: str, *, build: bool) -> Mapping[str, str]:
        runtime = self._runtime(name)
        if not build:
            return {name: runtime.tag}
        return {name: runtime.tag, name + BUILD: self._variant(name, runtime)}

    def _runtime(self, name: str) -> _Found:
        if self._has(name):
            return _Found(name, None)
        repository, _, tag = name.rpartition(":")
        recipe = self._recipes.get(repository)
        made = self._stand_in_name(recipe, tag) if recipe else ""
        if recipe and self._has(made):
            return _Found(made, recipe)
        with stand_in.lock(made or name):
            if recipe and self._has(made):
                return _Found(made, recipe)
            problem = self._pull(repository, tag)
            if not problem:
                return _Found(name, None)
            self._make(name, recipe, made, problem)
        return _Found(made, recipe)

    def _make(self, name: str, recipe: Recipe | None, made: str, problem: str) -> None:
        tag = name.rpartition(":")[2]
        if recipe:
            stand_in.obtain_tool(self._host, self._say)
        reason = stand_in.why_not(self._host, recipe, tag) if recipe else "there is no recipe to make it"
        if recipe is None or reason:
            raise UnavailableError(
                f"base image {name}: it is not in the Docker engine, pulling failed ({problem}), and {reason}",
                hint=f"make a registry reachable and run: docker pull {name} (or docker load it from a file)",
            )
        self._say(f"{name}: {problem}; making a stand-in from {self._host.release.name} packages")
        started = time.monotonic()
        stand_in.make(self._client, recipe, tag, name=made, host=self._host)
        self._say(f"{name}: made {made} in {time.monotonic() - started:.0f} s")

    def _variant(self, name: str, runtime: _Found) -> str:
        settings = self._pip_settings
        if settings.plain and runtime.recipe is None:
            return runtime.tag
        image_id = self._client.images.get(runtime.tag).id
        digest = build_variant.variant_hash(image_id, settings, stand_in=runtime.recipe is not None)
        made = f"{_PREFIX}/python-build:{digest}"
        if self._has(made):
            return made
        with stand_in.lock(made):
            if not self._has(made):
                started = time.monotonic()
                release = self._host.release if runtime.recipe else None
                build_variant.make_variant(self._client, runtime.tag, settings, name=made, release=release)
                self._say(f"{name}{BUILD}: made {made} in {time.monotonic() - started:.0f} s")
        return made

    def _pull(self, repository: str, tag: str) -> str:
        """Pull; the reason why not, or the empty string. Who did not answer once is not asked again in this run."""
        server = _server(repository)
        with self._asking:
            if server in self._silent:
                return self._silent[server]
            problem = _pull(repository, tag)
            if _NO_ANSWER.search(problem):
                problem = f"no image registry answers ({_shortest(problem)})"
                self._silent[server] = problem
            return problem

    def _stand_in_name(self, recipe: Recipe, tag: str) -> str:
        digest = recipe.hash(tag, suite=self._host.release.suite, architecture=self._host.engine_architecture)
        return f"{_PREFIX}/{recipe.repository}:{digest}"

    @cached_property
    def _host(self) -> stand_in.Host:
        return stand_in.Host(read_release(), package_architecture(), self._client.version()["Arch"])

    @cached_property
    def _pip_settings(self) -> PipSettings:
        return read_pip_settings()

    def _rank(self, name: str) -> int:
        """What takes longest goes first, so that two at a time end together."""
        order = list(self._recipes)
        repository = name.rpartition(":")[0]
        return order.index(repository) if repository in order else len(order)

    def _has(self, reference: str) -> bool:
        try:
            self._client.images.get(reference)
        except ImageNotFound:
            return False
        return True


def _server(repository: str) -> str:
    first, slash, _ = repository.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else ""


def _shortest(problem: str) -> str:
    found = _NO_ANSWER.search(problem)
    return found[0] if found else problem


def _pull(repository: str, tag: str) -> str:
    """Pull with its own client, whose timeout bounds every silence; what went wrong in one line, or nothing."""
    client = docker.from_env(timeout=_PULL_SECONDS)
    try:
        client.images.pull(repository, tag=tag)
    except (DockerException, requests.RequestException) as problem:
        said = problem.explanation if isinstance(problem, APIError) and problem.explanation else problem
        return " ".join(str(said).split())[:300] or type(problem).__name__
    finally:
        client.close()
    return ""
