"""Puts back what ran before a rollout that had succeeded, because the release failed elsewhere."""

from __future__ import annotations

from pipeline.errors import (
    BusyError,
    DetachedError,
    DetachedInterrupt,
    DisplacedError,
    PipelineError,
    StuckError,
)
from pipeline.model.deployment import RolloutOutcome, RolloutResult
from pipeline.model.rollout import Action, Step
from pipeline.model.service import primary_of, short
from pipeline.model.verdict import Reason
from pipeline.watching import Calls
from pipeline.way_back import WayBack


def undo(calls: Calls, done: RolloutResult, container: str, why: Reason) -> tuple[RolloutOutcome, Reason]:
    """Goes back from `done` to what ran before it, by its own task definition, and to zero where nothing did.

    ROLLED_BACK, FAILED_FIRST at zero; SUPERSEDED where something else is deployed by now, and nothing is changed then.
    Nor is anything where it ran already when we came and nothing else is known to have run: as of several services one
    whose image a release does not change. That is what ran before; it is ROLLED_BACK as it stands.
    Raises StuckError when what ran before does not come up, DetachedError or DisplacedError when the end is not seen,
    DetachedInterrupt after Ctrl-C.
    """
    live = calls.live()
    primary = primary_of(live)
    if primary is not None and primary.task_definition != done.task_definition:
        text = f"{short(primary.task_definition)} is deployed by now, which is not ours: it is left"
        return RolloutOutcome.SUPERSEDED, Reason(text)
    if done.already and done.previous is None:
        text = f"{short(done.task_definition)} ran here before the release already: it is left as it is"
        return RolloutOutcome.ROLLED_BACK, Reason(text)
    back = WayBack(calls, Step(Action.ROLL_BACK, why), done.previous, container, live)
    try:
        if done.previous is None:
            return RolloutOutcome.FAILED_FIRST, back.to_zero(done.task_definition)
        outcome, reason, _ = back.to_previous(done.previous, None)
    except KeyboardInterrupt as interrupt:
        calls.progress.note(f"detached: {back.broken_off}")
        raise DetachedInterrupt from interrupt
    except StuckError:
        raise
    except PipelineError as error:
        family = DisplacedError if isinstance(error, BusyError | DisplacedError) else DetachedError
        raise family(f"{error.message} – detached: {back.broken_off}", hint=back.look) from error
    return outcome, reason
