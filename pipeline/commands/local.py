"""`local`: the embedded cloud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from pipeline.errors import ExitCode
from pipeline.terminal import Invocation

if TYPE_CHECKING:
    from pipeline.local.cloud import LocalCloud


@click.group("local")
def command() -> None:
    """The embedded cloud: an AWS emulator that runs real containers, a load balancer, a registry, a database."""


@command.command("up", short_help="Starts what is not up, and what the environments ran.")
@click.pass_obj
def up(invocation: Invocation) -> int:
    """Starts what is not up, repairs, and brings back what the environments ran."""
    endpoints = _cloud(invocation).up()
    width = max(12, *(len(name) + 2 for name in endpoints.urls))
    for name, url in endpoints.urls.items():
        invocation.terminal.say(f"{name:<{width}}{url}")
    document = {"aws": endpoints.aws, "registry": endpoints.registry, "environments": dict(endpoints.urls)}
    return _answer(
        invocation, "up", f"up: AWS API at {endpoints.aws}, registry {endpoints.registry}", document
    )


@command.command("down")
@click.pass_obj
def down(invocation: Invocation) -> int:
    """Stops everything. Images, databases, evidence and the record of what ran stay."""
    _cloud(invocation).down()
    return _answer(invocation, "down", "down: images, databases and evidence stay on disk", {})


@command.command("status", short_help="Whether each part is up, and what should run.")
@click.pass_obj
def status(invocation: Invocation) -> int:
    """Every part, whether it is up, and what each environment is recorded to run."""
    found = _cloud(invocation).status()
    for part in found.parts:
        port = str(part.port or "-")
        invocation.terminal.tell(f"{part.name:<12}{'up' if part.up else 'DOWN':<6}{port:<7}{part.detail}")
    for name, image in found.recorded.items():
        invocation.terminal.tell(f"{name:<12}  recorded: {image or 'nothing yet'}")
    parts = [
        {"name": part.name, "up": part.up, "port": part.port, "detail": part.detail} for part in found.parts
    ]
    document = {"up": found.up, "parts": parts, "recorded": dict(found.recorded)}
    return _answer(invocation, "status", "up" if found.up else "not up", document)


@command.command("reset", short_help="Stops everything and deletes its data.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def reset(invocation: Invocation, *, yes: bool) -> int:
    """Stops everything and deletes images, the evidence beside them, and databases."""
    if not yes:
        click.confirm(
            "Delete the local cloud's images, their evidence, and its databases?", abort=True, err=True
        )
    _cloud(invocation).reset()
    return _answer(
        invocation,
        "reset",
        "the local cloud is gone; what this machine recorded stays in .pipeline/evidence",
        {},
    )


def _cloud(invocation: Invocation) -> LocalCloud:
    from pipeline.clouds import local_cloud
    from pipeline.config import load

    return local_cloud(invocation.root, load(invocation.root), invocation.terminal.say)


def _answer(invocation: Invocation, verb: str, text: str, document: Mapping[str, object]) -> int:
    head = {"command": f"local {verb}", "outcome": "done", "exit_code": 0}
    invocation.terminal.answer(text, {**head, **document})
    return ExitCode.DONE
