"""`python -m pipeline.local.prepare`: the engine and the base images, so that the first run finds them."""

from __future__ import annotations

import sys
import time

import docker

from pipeline.errors import PipelineError
from pipeline.local import engine
from pipeline.local.base_images import USUAL, BaseImages
from pipeline.ports import Say

_PULL_AND_BUILD_SECONDS = 600


def prepare(say: Say, *, dry_run: bool = False) -> None:
    """Have an engine that answers and the usual base images; with `dry_run` only say what would be run for it."""
    started = time.monotonic()
    state = engine.ensure(say, dry_run=dry_run)
    if dry_run:
        say(state.message)
        return
    client = docker.from_env(timeout=_PULL_AND_BUILD_SECONDS)
    try:
        found = BaseImages(client, say).ensure(USUAL)
    finally:
        client.close()
    what = f"Docker engine {state.version} (API {state.api}, {state.storage}), {len(found)} base images"
    say(f"ready: virtual environment, {what}; checked in {time.monotonic() - started:.1f} s")


def main(arguments: list[str]) -> int:
    """Run from the command line; returns the exit code. The one argument is --dry-run."""
    try:
        prepare(lambda line: _write(f"setup: {line}"), dry_run="--dry-run" in arguments)
    except PipelineError as problem:
        _write(f"error: {problem.message}\nnext: {problem.hint}")
        return int(problem.exit_code)
    return 0


def _write(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
