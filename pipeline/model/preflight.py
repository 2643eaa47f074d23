"""Is everything there that a rollout needs? Judged before anything is changed, and all of it at once.

Unknown is never OK: what could not be looked up is SKIP, with what stood in the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pipeline.errors import ConfigurationError
from pipeline.model import dependencies
from pipeline.model.check import Check, Finding, State, combine, ng, ok, skip
from pipeline.model.dependencies import Intent
from pipeline.model.prediction import rounds
from pipeline.model.service import ServiceState, in_progress, short
from pipeline.model.strategy import Kind, check_traffic_can_shift, strategy_of, tells
from pipeline.model.surroundings import (
    Image,
    Surroundings,
    Unknown,
    pulled,
)

CREDENTIAL = "credential"
"""The name of the check whose failure is not a matter of configuration."""

_ARCHITECTURES = {"X86_64": "amd64", "ARM64": "arm64"}


def check_all(intent: Intent, seen: Surroundings) -> tuple[Check, ...]:
    """Every check, in the order in which people read them."""
    return tuple(combine(name, list(look(intent, seen))) for name, look in _CHECKS)


def refusals(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Those that keep a rollout from beginning."""
    return tuple(check for check in checks if check.state is State.NG)


def _service(intent: Intent, _seen: Surroundings) -> Iterable[Finding]:
    live = intent.service
    if live.status != "ACTIVE":
        yield ng(
            f"{live.arn} is {live.status or 'without a status'}", "find out who deletes it, or create it anew"
        )
    controller = (_raw(live, "deploymentController") or {}).get("type") or "ECS"
    if controller != "ECS":
        fix = "make ECS its deployment controller: aws ecs update-service --deployment-controller type=ECS"
        yield ng(f"its deployments belong to {controller}, not to ECS", fix)
    yield ok(f"{live.arn.rsplit(':', 1)[-1]}, {live.status}")


def _deployments(intent: Intent, _seen: Surroundings) -> Iterable[Finding]:
    moving = in_progress(intent.service)
    if moving:
        yield skip(
            f"{moving.id} of {short(moving.task_definition)} is in progress; a rollout waits for its end"
        )
    yield ok("none in progress")


def _strategy(intent: Intent, _seen: Surroundings) -> Iterable[Finding]:
    """The service has what its strategy needs to shift traffic."""
    raw = intent.service.raw
    kind = strategy_of(intent.service.configuration).kind or Kind.ROLLING
    if kind.shifts and not tells(raw):
        yield skip(f"{kind.word}: the API tells no service deployments, it looks like a rolling deployment")
        return
    try:
        check_traffic_can_shift(kind, raw)
    except ConfigurationError as error:
        yield ng(error.message, error.hint)
    yield ok(kind.word)


def _breaker(intent: Intent, _seen: Surroundings) -> Iterable[Finding]:
    told = (_raw(intent.service, "deploymentConfiguration") or {}).get("deploymentCircuitBreaker") or {}
    if not told.get("enable"):
        yield skip("off: ECS would start failing tasks for ever; a rollout is ended by onedigest's own rules")
    yield ok(
        "on, with rollback" if told.get("rollback") else "on, without rollback: onedigest goes back itself"
    )


def _percentages(intent: Intent, _seen: Surroundings) -> Iterable[Finding]:
    live = intent.service
    told = _raw(live, "deploymentConfiguration") or {}
    least, most = int(told.get("minimumHealthyPercent", 100)), int(told.get("maximumPercent", 200))
    rolling = (told.get("strategy") or "ROLLING") == "ROLLING"
    replica = (_raw(live, "schedulingStrategy") or "REPLICA") == "REPLICA"
    if live.desired and rolling and replica and rounds(live.desired, live.desired, least, most) is None:
        text = (
            f"with {live.desired} tasks, minimumHealthyPercent {least} and maximumPercent {most}, ECS may neither stop "
            "an old task nor start a new one"
        )
        yield ng(text, "set maximumPercent to 200 on the service, or minimumHealthyPercent lower")
    yield ok(
        f"at least {least} %, at most {most} % of {live.desired} task{'s' * (live.desired != 1)} during a rollout"
    )


def _container(intent: Intent, _seen: Surroundings) -> Iterable[Finding]:
    names = [str(entry.get("name", "")) for entry in intent.definition.get("containerDefinitions", ())]
    if intent.container not in names:
        yield ng(
            f"{intent.definition.get('family', '?')} has no container {intent.container!r}",
            f"set `container` of the environment in pipeline.toml to one of: {', '.join(names) or 'it has none'}",
        )
    yield ok(intent.container)


def _image(intent: Intent, seen: Surroundings) -> Iterable[Finding]:
    if intent.image is None:
        yield skip("no digest was asked about")
        return
    if isinstance(seen.image, Unknown):
        yield skip(seen.image.why)
    elif seen.image is None:
        yield ng(
            f"{intent.image.repository} has no {intent.image.digest}",
            "build it (`python -m pipeline stage build`), or check app.repository and the environment's registry",
        )
    elif source := pulled(intent.image, seen.image):
        yield ok(f"in {source}, from where it is taken to {intent.image.repository}")
    else:
        yield ok(f"in {intent.image.repository}")


def _platform(intent: Intent, seen: Surroundings) -> Iterable[Finding]:
    if not isinstance(seen.image, Image):
        yield skip("the image was not seen")
        return
    wanted, why = _wanted_platform(intent.definition)
    if not wanted:
        yield skip(why)
    elif wanted not in seen.image.platforms:
        yield ng(
            f"the image is for {', '.join(seen.image.platforms) or 'no platform'}, the tasks run on {wanted}",
            f"build it for {wanted} (build.platform), or change runtimePlatform of the task definition",
        )
    else:
        yield ok(wanted)


def _wanted_platform(definition: Mapping[str, Any]) -> tuple[str, str]:
    """`os/arch` that the tasks run on; else why nobody can tell. Fargate takes X86_64 Linux where nothing is said."""
    told = definition.get("runtimePlatform") or {}
    fargate = "FARGATE" in (definition.get("requiresCompatibilities") or ())
    architecture = told.get("cpuArchitecture") or ("X86_64" if fargate else "")
    system = str(told.get("operatingSystemFamily") or "LINUX").partition("_")[0].lower()
    known = _ARCHITECTURES.get(architecture)
    if known:
        return f"{system}/{known}", ""
    return "", "the task definition names no runtimePlatform: what its instances are is not known"


def _credential(intent: Intent, seen: Surroundings) -> Iterable[Finding]:
    found = seen.credential
    if isinstance(found, Unknown):
        yield skip(found.why)
    elif found.expires is None:
        ends = found.temporary and not found.renews
        text = f"{found.method}: temporary, and nothing tells when it ends"
        yield skip(text) if ends else ok(f"{found.method}: no end is set")
    else:
        yield _outlives(intent, found.expires, found.method, renews=found.renews)


def _outlives(intent: Intent, expires: datetime, method: str, *, renews: bool) -> Finding:
    left = (expires - intent.now).total_seconds()
    when = f"{expires:%H:%M:%S %Z}"
    if expires > intent.now + timedelta(seconds=intent.lasts):
        return ok(f"{method}: until {when}, the rollout takes about {intent.lasts:.0f} s")
    if renews:
        return skip(f"{method}: ends at {when}, and is renewed as long as {method} can")
    state = f"ends in {left:.0f} s" if left > 0 else "has expired"
    return ng(
        f"{method}: the credential {state}, the rollout takes up to {intent.lasts:.0f} s",
        "renew it (`aws sso login`, or the CI role with a longer session)",
    )


def _raw(live: ServiceState, key: str) -> Any:
    return live.raw.get(key)


_CHECKS: tuple[tuple[str, Callable[[Intent, Surroundings], Iterable[Finding]]], ...] = (
    ("service", _service),
    ("deployments", _deployments),
    ("strategy", _strategy),
    ("circuit breaker", _breaker),
    ("percentages", _percentages),
    ("container", _container),
    ("image", _image),
    ("platform", _platform),
    ("roles", dependencies.roles),
    ("pass role", dependencies.passing),
    ("secrets", dependencies.secrets),
    ("secret access", dependencies.reading),
    ("log group", dependencies.log_group),
    ("target group", dependencies.target_group),
    ("listener", dependencies.listener),
    ("health check", dependencies.health),
    ("draining", dependencies.draining),
    ("alarms", dependencies.alarms),
    (CREDENTIAL, _credential),
)
