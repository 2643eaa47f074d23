"""What a candidate is compared with: the digest that production runs now, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import ConfigurationError, UndecidedError
from pipeline.model.calls import Calls, reached_from
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.service import ServiceState, in_progress, short

WITHOUT = 'to judge by absolute limits alone: baseline = "none" under [load] in pipeline.toml'
"""What a person may decide who has no baseline, or none that works."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """`image` is what the candidate is compared with; None: there is nothing to compare with, and `why`.

    `recorded` is the digest of the newest good rollout of production on record, empty where there is none. Of a release
    of several services `services` are those that stand beside the candidate's, with their images, and `left_out` says
    of each other one why it does not.
    """

    image: ImageRef | None = None
    why: str = ""
    recorded: str = ""
    services: Mapping[str, Digest] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def beside(self) -> tuple[str, ...]:
        """The services that stand beside the candidate's; one without a name where the release is one image."""
        return tuple(self.services) or ("",)

    @property
    def not_compared(self) -> str:
        """What is left out, in words; empty: nothing is."""
        return ", ".join(f"{name} ({why})" for name, why in self.left_out.items())

    @property
    def facts(self) -> Mapping[str, Any]:
        """The same as JSON values."""
        left_out = {"left_out": dict(self.left_out)} if self.left_out else {}
        if self.image is None:
            return {"skipped": self.why, **left_out}
        services = {name: str(digest) for name, digest in self.services.items()}
        known = {"digest": str(self.image.digest), "image": str(self.image), "recorded": self.recorded}
        return known | ({"services": services} if services else {}) | left_out


@dataclass(frozen=True, slots=True)
class LoadPath:
    """Several services as the load meets them: it is sent to `front`, which calls others as `calls` say."""

    front: str
    calls: Calls

    @property
    def reached(self) -> frozenset[str]:
        """What the load reaches: the front and, from call to call, whatever is named on the way."""
        return reached_from(self.front, self.calls)


def compared_with(
    production: Mapping[str, Digest], candidate: Mapping[str, Digest], path: LoadPath
) -> tuple[frozenset[str], Mapping[str, str], str]:
    """Which of production's services are to stand beside the candidate's; why each other one is not; why none is.

    Both releases are told by their services' images. A service stands beside the candidate's where its image differs
    and the load reaches it, or where it lies between the front and such a one: production's front then calls
    production's services, and what both sides share is the same image.
    """
    calls = {name: named & set(production) for name, named in path.calls.items() if name in production}
    reached = reached_from(path.front, calls)
    changed = {name for name in reached if production[name] != candidate.get(name)}
    beside = frozenset(name for name in reached if reached_from(name, calls) & changed)
    left_out = {
        name: _why_not(name, production, digest, path)
        for name, digest in candidate.items()
        if name not in beside
    }
    if path.front not in production:
        return beside, left_out, f"production's release has no service {path.front}, which is loaded"
    return beside, left_out, "" if beside else "production runs the same images of all that the load reaches"


def _why_not(name: str, production: Mapping[str, Digest], digest: Digest, path: LoadPath) -> str:
    if name not in production:
        return "production's release has none"
    if production[name] == digest:
        return "the same image in production"
    if name not in path.reached:
        return f"changed, but no variable on the way from {path.front} names {{url.{name}}}"
    return "changed, but only services that are new lead to it"


def production_runs(
    live: ServiceState, pinned: Digest | None, running: frozenset[Digest], platforms: frozenset[Digest]
) -> Digest | None:
    """The one digest that production runs; None when it is told to run nothing, and runs nothing.

    `pinned` is the digest in its task definition (None: it names a tag), `running` what its tasks report, `platforms`
    the digests of the pinned index's platform manifests. Raises UndecidedError when there is no one answer.
    """
    moving = in_progress(live)
    if moving:
        raise _undecided(
            f"deployment {moving.id} of {short(moving.task_definition)} is in progress on production",
            "wait for its end (`python -m pipeline status`), then run the stage again",
        )
    if not running:
        if live.desired == 0:
            return None
        raise _undecided(
            f"production should have {live.desired} tasks, and none that runs tells its digest",
            f"see why: python -m pipeline logs prod; {WITHOUT}",
        )
    told = {pinned} if pinned else set()
    others = running - told - platforms
    if pinned and not others:
        return pinned
    if pinned is None and len(running) == 1:
        return next(iter(running))
    raise _undecided(
        f"production runs several digests: {', '.join(sorted(map(str, others | told)))}",
        "bring it to one (`python -m pipeline status`, `promote` or `rollback prod`), then run the stage again",
    )


def require_comparable(staging: ServiceState, baseline: ServiceState) -> None:
    """Raises ConfigurationError when the two services are no two sides, or when one is reached or hosted otherwise."""
    mine, others = ({one.target_group, one.alternate_target_group} - {""} for one in (staging, baseline))
    alike = "make both services alike: they are compared"
    if staging.arn == baseline.arn:
        raise _no_other_side(f"{staging.arn} is staging's own service")
    if both := sorted(mine & others):
        raise _no_other_side(f"both services are behind {', '.join(both)}")
    if bool(mine) != bool(others):
        without, other = (baseline, "staging's") if mine else (staging, "the baseline's")
        raise ConfigurationError(f"{without.arn} has no target group, {other} service has", hint=alike)
    for key in ("launchType", "capacityProviderStrategy"):
        ours, theirs = staging.raw.get(key) or "none", baseline.raw.get(key) or "none"
        if ours != theirs:
            raise ConfigurationError(f"{key} is {theirs} for the baseline, {ours} for staging", hint=alike)


def _no_other_side(text: str) -> ConfigurationError:
    return ConfigurationError(
        f"{text}: the candidate would be compared with itself",
        hint="give the baseline a service of its own, behind a target group and a listener of its own, and name it in "
        "baseline.service",
    )


def sizes(definition: Mapping[str, Any], container: str) -> Mapping[str, str]:
    """What of a task definition says how large a task and its container are; what it does not say is left out."""
    own: Mapping[str, Any] = next(
        (c for c in definition.get("containerDefinitions", ()) if c.get("name") == container), {}
    )
    told = {
        "cpu": definition.get("cpu"),
        "memory": definition.get("memory"),
        "container cpu": own.get("cpu"),
        "container memory": own.get("memory"),
        "container memoryReservation": own.get("memoryReservation"),
    }
    return {name: str(value) for name, value in told.items() if value not in (None, 0, "0", "")}


def shown(found: Mapping[str, str]) -> str:
    """Sizes in words."""
    return ", ".join(f"{name} {value}" for name, value in found.items()) or "no size"


def _undecided(text: str, hint: str) -> UndecidedError:
    return UndecidedError(f"what to compare the candidate with is not clear: {text}", hint=hint)
