"""What an environment looks like at one moment, against what is on record of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.model.digest import Digest
from pipeline.model.evidence import Collected, Evidence
from pipeline.model.service import in_progress, short
from pipeline.model.verdict import Reason
from pipeline.ports import Service, TargetHealth


@dataclass(frozen=True, slots=True)
class Glance:
    """`digests` run now, `recorded` should by the newest PASSED record; `drift` says how they differ, if they do.

    `barred` says why what runs would not be let in again.
    """

    digests: Sequence[str]
    commit: str
    since: str
    healthy: int
    desired: int
    in_progress: str
    recorded: str
    drift: str
    barred: Sequence[Reason] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What is on record: `records` gives what is kept of a digest, `release` the release that an image is of, which is
    itself where there is one service; `barred` what keeps a digest out of the environment; `newest` is the
    environment's last good record.
    """

    records: Callable[[Digest], Collected]
    barred: Callable[[Digest], Sequence[Reason]]
    release: Callable[[Digest], Digest]
    newest: Evidence | None


def glance(
    service: Service,
    targets: Callable[[str, str], TargetHealth],
    container: str,
    known: Known,
) -> Glance:
    """Looks at a service once.

    `targets` gives the health of a target group by ARN, and of its alternate (empty: there is none).
    """
    newest = known.newest
    state = service.describe()
    tasks = [task for task in service.tasks() if task.alive]
    running = {digest for task in tasks if (digest := task.image_digests.get(container))}
    digests = sorted({str(known.release(Digest(digest))) for digest in running})
    groups = (state.target_group, state.alternate_target_group)
    healthy = sum(target.state == "healthy" for target in targets(*groups).states())
    moving = in_progress(state)
    recorded = str(newest.subject) if newest else ""
    return Glance(
        digests=digests,
        commit=_commit(known.records(Digest(digests[0]))) if len(digests) == 1 else "",
        since=newest.statement.finished.isoformat(timespec="seconds")
        if newest and digests == [recorded]
        else "",
        healthy=healthy,
        desired=state.desired,
        in_progress=f"{moving.id} of {short(moving.task_definition)}" if moving else "",
        recorded=recorded,
        drift=_drift(digests, recorded),
        barred=[reason for digest in digests for reason in known.barred(Digest(digest))],
    )


def _drift(digests: Sequence[str], recorded: str) -> str:
    if list(digests) == [recorded] or (not digests and not recorded):
        return ""
    return f"runs {', '.join(digests) or 'nothing'}, recorded {recorded or 'nothing'}"


def _commit(found: Collected) -> str:
    builds = [evidence for evidence in found.accepted if evidence.statement.stage == "build"]
    return str(builds[-1].statement.facts.get("commit", "")) if builds else ""
