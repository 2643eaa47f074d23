"""What was deployed to an environment, newest first: the signed evidence, and what only the deployment log knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.model.deployment_log import Ending, LogEntry
from pipeline.model.evidence import Evidence
from pipeline.model.rules import was_left


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One deployment. `outcome` is an `Ending`'s value, or the record's result where nothing more is known; `left`: no
    deployment, but a person's word that the environment went back from this digest.

    `recorded` is the result in the signed record (PASSED, FAILED, UNDECIDED) and `evidence` its id; both are empty
    where only the log tells of it: killed, detached, given way. What the log does not know of is empty or None.
    """

    run: str
    digest: str
    outcome: str
    who: str
    started: datetime
    finished: datetime | None
    recorded: str = ""
    evidence: str = ""
    reason: str = ""
    sent: int | None = None
    failed: int | None = None
    previous: str = ""
    forced: str = ""

    @property
    def seconds(self) -> float | None:
        """How long it took; None where no end is recorded."""
        return (self.finished - self.started).total_seconds() if self.finished else None


def merge(
    entries: Iterable[LogEntry], records: Iterable[Evidence], signers: Mapping[str, str], limit: int
) -> Sequence[HistoryLine]:
    """At most `limit` lines, the newest first. Where both tell of a run's deployment of a digest the record counts.

    `records` are the deployment records of the environment; `signers` names keys by their id.
    """
    logged: dict[tuple[str, str], LogEntry] = {(entry.run, entry.digest): entry for entry in entries}
    lines = []
    for record in records:
        if was_left(record):
            lines.append(_left(record))
            continue
        entry = logged.pop((record.statement.run, str(record.subject)), None)
        lines.append(_recorded(record, entry, signers.get(record.signer, "")))
    lines += map(_logged, logged.values())
    return sorted(lines, key=lambda line: line.started, reverse=True)[:limit]


def _logged(entry: LogEntry) -> HistoryLine:
    return HistoryLine(
        run=entry.run,
        digest=entry.digest,
        outcome=entry.ending.value,
        who=entry.who,
        started=entry.started,
        finished=entry.finished,
        reason=entry.reason,
        sent=entry.sent,
        failed=entry.failed,
        previous=entry.previous,
        forced=entry.forced,
    )


def _left(record: Evidence) -> HistoryLine:
    statement = record.statement
    return HistoryLine(
        run=statement.run,
        digest=str(record.subject),
        outcome="left",
        who=str(statement.facts.get("by", "")),
        started=statement.started,
        finished=statement.finished,
        recorded=statement.result,
        evidence=record.id,
        reason=str(statement.facts.get("reason", "")),
    )


def _recorded(record: Evidence, entry: LogEntry | None, signer: str) -> HistoryLine:
    statement = record.statement
    told, override = _facts(statement.facts, "deployment"), _facts(statement.facts, "override")
    probe = _facts(told, "probe")
    drained, healthy = _moment(told.get("drained_at")), _moment(told.get("healthy_at"))
    logged_end = entry.finished if entry else None
    return HistoryLine(
        run=statement.run,
        digest=str(record.subject),
        outcome=str(told.get("outcome") or _ending(entry) or statement.result.lower()),
        who=(entry.who if entry else "") or str(override.get("by") or signer),
        started=_moment(told.get("started_at")) or statement.started,
        finished=drained or logged_end or healthy or statement.finished,
        recorded=statement.result,
        evidence=record.id,
        reason=statement.reasons[0].text if statement.reasons else "",
        sent=probe.get("sent", entry.sent if entry else None),
        failed=probe.get("failed", entry.failed if entry else None),
        previous=next(iter(told.get("previous_digests") or ()), ""),
        forced=str(override.get("reason", "")),
    )


def _ending(entry: LogEntry | None) -> str:
    return entry.ending.value if entry and entry.ending is not Ending.RUNNING else ""


def _facts(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = facts.get(name)
    return found if isinstance(found, Mapping) else {}


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None
