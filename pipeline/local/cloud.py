"""The local cloud: emulator, load balancer, registry and database on loopback, started, repaired and stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.local.spec import (
    Desired,
    Endpoints,
    Images,
    LocalEnvironment,
    LocalSpec,
    LocalStatus,
    PartStatus,
    Provision,
)

__all__ = [
    "Desired",
    "Endpoints",
    "LocalCloud",
    "LocalEnvironment",
    "LocalSpec",
    "LocalStatus",
    "PartStatus",
    "cloud_id",
]

Say = Callable[[str], None]


class LocalCloud:
    """One cloud per state directory. Several may run side by side; every call is safe from several processes."""

    def __init__(self, state: Path, spec: LocalSpec, images: Images, provision: Provision, say: Say) -> None:
        """`state` is `.pipeline/local` of the project; it is created. `provision` is called by `up` where needed."""
        raise NotImplementedError

    def up(self) -> Endpoints:
        """Starts what is not up, repairs what is broken, restores what the environments ran, and says what it did.

        Idempotent; under half a second when all is up. Raises UnavailableError when Docker does not answer,
        a recorded port is taken, or a part does not come up (with its last log lines).
        """
        raise NotImplementedError

    def endpoints(self) -> Endpoints | None:
        """Where everything is when all of it is up; None otherwise. Starts nothing."""
        raise NotImplementedError

    def status(self) -> LocalStatus:
        """Every part as it is now. Starts nothing."""
        raise NotImplementedError

    def down(self) -> None:
        """Stops tasks, emulator and containers. Images, databases and the record of what ran stay on disk."""
        raise NotImplementedError

    def reset(self) -> None:
        """`down`, then deletes the state directory and the databases, saying what goes."""
        raise NotImplementedError

    def record(self, desired: Desired) -> None:
        """Keeps what an environment runs now, so that `up` brings it back. Call it after each good rollout."""
        raise NotImplementedError


def cloud_id(state: Path) -> str:
    """Ten hex digits that tell this cloud's containers from any other's: label `dev.onedigest.cloud`."""
    raise NotImplementedError
