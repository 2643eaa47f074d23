"""What a candidate is compared with: the digest that production runs now, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import UndecidedError
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.service import ServiceState, in_progress, short

WITHOUT = 'to judge by absolute limits alone: baseline = "none" under [load] in pipeline.toml'
"""What a person may decide who has no baseline, or none that works."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """`image` is what the candidate is compared with; None: there is nothing to compare with, and `why`.

    `recorded` is the digest of the newest good rollout of production on record, empty where there is none.
    """

    image: ImageRef | None = None
    why: str = ""
    recorded: str = ""

    @property
    def facts(self) -> Mapping[str, Any]:
        """The same as JSON values."""
        if self.image is None:
            return {"skipped": self.why}
        return {"digest": str(self.image.digest), "image": str(self.image), "recorded": self.recorded}


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
