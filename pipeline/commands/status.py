"""`status`: what runs in each environment."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.reporting import describe_tenure
from pipeline.errors import ExitCode, PipelineError
from pipeline.terminal import Invocation

if TYPE_CHECKING:
    from pipeline.wiring import Session

ENVIRONMENTS = ("staging", "prod")
_NAME = 12


@click.command("status")
@click.pass_obj
def command(invocation: Invocation) -> int:
    """Per environment: the digest that runs, its commit, health, a deployment in progress, and what is on record."""
    from pipeline.wiring import Project

    project = Project.open(invocation.root, invocation.terminal)
    with project.session((), touch=False) as session:
        found = [_environment(session, name) for name in ENVIRONMENTS]
    for environment in found:
        for line in _several(environment) or _lines(environment):
            invocation.terminal.tell(line)
    document = {"command": "status", "outcome": "done", "exit_code": 0, "environments": found}
    invocation.terminal.answer("", document)
    return ExitCode.DONE


def _environment(session: Session, name: str) -> dict[str, Any]:
    """An environment as JSON: of several regions each with its own fields, and above them what they have in common."""
    keys = tuple(session.sites(name))
    if len(keys) == 1:
        found = _site(session, name, keys[0])
        return found if "error" in found else {**found, "lease": _lease(session, name)}
    each = [{**_site(session, name, key), "name": key} for key in keys]
    known = [one for one in each if "error" not in one]
    digests = sorted({digest for one in known for digest in one["digest"].split(", ") if digest})
    return {
        "name": name,
        "digest": ", ".join(digests),
        "recorded": known[0]["recorded"] if known else "",
        "lease": _lease(session, name),
        session.kind(name): each,
    }


def _site(session: Session, name: str, key: str) -> dict[str, Any]:
    try:
        seen = session.glance(name, key)
    except PipelineError as error:
        return {"name": name, "error": error.message, "hint": error.hint}
    return {
        "name": name,
        "url": session.url(name, key),
        "digest": ", ".join(seen.digests),
        "commit": seen.commit,
        "since": seen.since,
        "healthy": seen.healthy,
        "desired": seen.desired,
        "deployment": seen.in_progress,
        "recorded": seen.recorded,
        "drift": seen.drift,
        "barred": [{"text": reason.text, "remedy": reason.remedy} for reason in seen.barred],
        "baseline": _baseline(session, key) if name == "staging" else None,
    }


def _baseline(session: Session, key: str) -> dict[str, Any] | None:
    """What runs beside staging, which is there while a candidate is loaded; None where nothing does."""
    try:
        left = session.beside(key)
    except PipelineError as error:
        return {"error": error.message, "hint": error.hint}
    return asdict(left) if left else None


def _lease(session: Session, name: str) -> dict[str, Any] | None:
    """Who holds the environment; why that is not known, where it is not."""
    try:
        tenure = session.lease.tenure(name)
    except PipelineError as error:
        return {"error": error.message, "hint": error.hint}
    return describe_tenure(tenure) if tenure else None


def _several(environment: dict[str, Any]) -> list[str]:
    """Regions or services below the environment's name, and who holds all of them; empty where there is only one."""
    sites = (site for kind in ("regions", "services", "parts") for site in environment.get(kind, ()))
    lines = [line for site in sites for line in _lines({**site, "lease": None})]
    if not lines:
        return []
    return [environment["name"], *(f"  {line}" for line in lines), *_held(environment["lease"])]


def _lines(environment: dict[str, Any]) -> list[str]:
    name = f"{environment['name']:<12}" + ("  " if len(environment["name"]) >= _NAME else "")
    if "error" in environment:
        return [f"{name}unknown: {environment['error']}", f"{'':<12}next: {environment['hint']}"]
    if not environment["digest"]:
        return [f"{name}nothing runs yet", *_beside(environment["baseline"]), *_held(environment["lease"])]
    lines = [
        f"{name}{environment['digest']}",
        f"{'':<12}commit {environment['commit'][:12] or 'unknown'}, {_health(environment)}, {environment['url']}",
    ]
    if environment["since"]:
        since = f"{datetime.fromisoformat(environment['since']):%Y-%m-%d %H:%M:%S} UTC"
        lines.append(f"{'':<12}on record since {since}")
    if environment["deployment"]:
        lines.append(f"{'':<12}deployment in progress: {environment['deployment']}")
    if environment["drift"]:
        lines.append(f"{'':<12}drift: {environment['drift']}")
    lines += [f"{'':<12}kept out: {reason['text']}" for reason in environment["barred"]]
    return [*lines, *_beside(environment["baseline"]), *_held(environment["lease"])]


def _beside(baseline: dict[str, Any] | None) -> list[str]:
    if baseline is None:
        return []
    if "error" in baseline:
        return [f"{'':<12}what runs beside it is not known: {baseline['error']}"]
    count, digests = max(baseline["desired"], baseline["running"]), ", ".join(baseline["digests"])
    tasks = f"{count} task{'s' * (count != 1)} of {digests or 'nothing yet'}"
    return [f"{'':<12}beside it, for a comparison: {tasks}"]


def _held(lease: dict[str, Any] | None) -> list[str]:
    if lease is None:
        return []
    if "error" in lease:
        return [f"{'':<12}who holds it is not known: {lease['error']}", f"{'':<12}next: {lease['hint']}"]
    return [f"{'':<12}held by {lease['text']}"]


def _health(environment: dict[str, Any]) -> str:
    return f"{environment['healthy']} of {environment['desired']} healthy"
