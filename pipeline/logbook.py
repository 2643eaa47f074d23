"""Rolls out, and writes into the deployment log that it began and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pipeline.errors import (
    BusyError,
    DetachedError,
    DetachedInterrupt,
    DisplacedError,
    PipelineError,
    StuckError,
)
from pipeline.model.deployment_log import Ending, LogEntry
from pipeline.model.digest import ImageRef
from pipeline.model.lease import Tenure
from pipeline.model.verdict import Reason
from pipeline.ports import Clock, DeploymentLog, Progress
from pipeline.rollout import DeploySpec, Rollout, RolloutResult

_LONGEST_REASON = 1000
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a deployment ended: an `Ending`'s value, why, and what is recorded of it (see `RolloutResult.facts`)."""

    word: str
    reasons: tuple[Reason, ...]
    facts: Mapping[str, Any]


class HalfwayInterrupt(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, when a release to several regions had begun; `ended` is how far it came."""

    def __init__(self, ended: Ended) -> None:
        super().__init__()
        self.ended = ended


@dataclass(frozen=True, slots=True)
class Logbook:
    """The log of one environment, written by one run. `who` acts; `forced` is the reason given with --force."""

    log: DeploymentLog
    clock: Clock
    environment: str
    run: str
    who: str
    forced: str = ""

    def deploy(
        self, rollout: Rollout, image: ImageRef, spec: DeploySpec, progress: Progress
    ) -> RolloutResult:
        """As `Rollout.deploy`, kept in the log."""

        def deploy() -> tuple[RolloutResult, Ended]:
            result = rollout.deploy(image, spec, progress)
            return result, Ended(result.outcome.value, result.reasons, result.facts)

        return self.keep(image, deploy, progress)

    def keep(self, image: ImageRef, act: Callable[[], tuple[_T, Ended]], progress: Progress) -> _T:
        """What `act` comes to, with its beginning and end in the log as one deployment of the image.

        A log that cannot be written is said, and stops nothing: the evidence is what counts.
        """
        entry = LogEntry(
            environment=self.environment,
            run=self.run,
            digest=str(image.digest),
            who=self.who,
            started=self.clock.now(),
            forced=self.forced,
        )
        self._begin(entry, progress)
        try:
            result, ended = act()
        except HalfwayInterrupt as interrupt:
            self._complete(_ended(entry, interrupt.ended), progress)
            raise
        except (PipelineError, KeyboardInterrupt) as error:
            reason = error.message if isinstance(error, PipelineError) else "interrupted"
            self._complete(replace(entry, ending=_ending(error), reason=reason), progress)
            raise
        self._complete(_ended(entry, ended), progress)
        return result

    def cleared(self, taken: Tenure, reason: str) -> None:
        """Keeps that the lease was taken from its holder. Raises UnavailableError when the log cannot be reached."""
        now = self.clock.now()
        text = f"{reason} (was held by {taken.holder})"[:_LONGEST_REASON]
        digest = taken.claim.digest
        self.log.complete(
            LogEntry(self.environment, self.run, digest, self.who, now, now, Ending.CLEARED, text)
        )

    def _begin(self, entry: LogEntry, progress: Progress) -> None:
        try:
            self.log.begin(entry)
        except PipelineError as error:
            progress.note(f"the deployment log cannot be written: {error.message}")

    def _complete(self, entry: LogEntry, progress: Progress) -> None:
        try:
            self.log.complete(
                replace(entry, finished=self.clock.now(), reason=entry.reason[:_LONGEST_REASON])
            )
        except PipelineError as error:
            progress.note(f"the end is not in the deployment log: {error.message}")


def _ended(entry: LogEntry, ended: Ended) -> LogEntry:
    probe = ended.facts.get("probe") or {}
    return replace(
        entry,
        ending=Ending.of(ended.word),
        reason=ended.reasons[0].text if ended.reasons else "",
        sent=probe.get("sent"),
        failed=probe.get("failed"),
        previous=next(iter(ended.facts["previous_digests"]), ""),
    )


def _ending(error: PipelineError | KeyboardInterrupt) -> Ending:
    if isinstance(error, DetachedError | DetachedInterrupt):
        return Ending.DETACHED
    if isinstance(error, StuckError):
        return Ending.STUCK
    return Ending.GAVE_WAY if isinstance(error, BusyError | DisplacedError) else Ending.NOT_DONE
