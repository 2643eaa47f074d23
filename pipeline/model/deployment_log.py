"""The deployment log of an environment: what was begun there, by whom, and how it ended as far as that was written.

It is a memory for people. What counts is the signed evidence; an entry of the log proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Ending(StrEnum):
    """How a deployment ended. RUNNING: nothing is written of its end, be it under way or its run dead.

    As `RolloutOutcome`, and: DETACHED: ECS goes on without us. STUCK: a person is needed. GAVE_WAY: somebody else's
    deployment or lease came first. NOT_DONE: it could not be done, and nothing of it goes on. STOPPED: some regions
    run it and others do not, as configured or as an interrupt left them. CLEARED: no deployment, but a lease that a
    person ended. UNKNOWN: written by a version that knows more.
    """

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    FAILED_FIRST = "failed_first"
    BEFORE_FAILED = "before_failed"
    SUPERSEDED = "superseded"
    DETACHED = "detached"
    STUCK = "stuck"
    GAVE_WAY = "gave_way"
    NOT_DONE = "not_done"
    STOPPED = "stopped"
    CLEARED = "cleared"
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, text: str) -> Ending:
        """The ending of that name, UNKNOWN where there is none."""
        return next((ending for ending in cls if ending.value == text), cls.UNKNOWN)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of the log, known by `environment`, `started` and `run`. Times are aware and in UTC.

    `who` as in a claim; `digest` and `previous` are `sha256:…` or empty; `sent` and `failed` count the requests of the
    traffic probe, None where there was none; `forced` is the reason given with --force, empty without.
    """

    environment: str
    run: str
    digest: str
    who: str
    started: datetime
    finished: datetime | None = None
    ending: Ending = Ending.RUNNING
    reason: str = ""
    sent: int | None = None
    failed: int | None = None
    previous: str = ""
    forced: str = ""
