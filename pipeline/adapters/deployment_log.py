"""The deployment log in the app's DynamoDB table: the entries of environment X are under `log#X`, by time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline.adapters.table import Item, Table
from pipeline.model.deployment_log import Ending, LogEntry


class DynamoDeploymentLog:
    """See `pipeline.ports.DeploymentLog`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def begin(self, entry: LogEntry) -> None:
        """See `pipeline.ports.DeploymentLog.begin`."""
        self._table.put(_item(entry), None)

    def complete(self, entry: LogEntry) -> None:
        """See `pipeline.ports.DeploymentLog.complete`."""
        item = _item(entry)
        if not self._table.put(item, {"ending": Ending.RUNNING.value}):
            self._table.put(item, None)

    def entries(self, environment: str, limit: int) -> Sequence[LogEntry]:
        """See `pipeline.ports.DeploymentLog.entries`."""
        return [_entry(environment, item) for item in self._table.newest(_key(environment), limit)]


def _key(environment: str) -> str:
    return f"log#{environment}"


def _item(entry: LogEntry) -> Item:
    started = _text(entry.started)
    told: dict[str, str | int | None] = {
        "pk": _key(entry.environment),
        "sk": f"{started}#{entry.run}",
        "run": entry.run,
        "digest": entry.digest,
        "who": entry.who,
        "started": started,
        "finished": _text(entry.finished) if entry.finished else None,
        "ending": entry.ending.value,
        "reason": entry.reason,
        "sent": entry.sent,
        "failed": entry.failed,
        "previous": entry.previous,
        "forced": entry.forced,
    }
    return {key: value for key, value in told.items() if value is not None}


def _text(moment: datetime) -> str:
    """One form for all, so that the order of texts is the order of time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _entry(environment: str, item: Item) -> LogEntry:
    def text(key: str) -> str:
        return str(item.get(key, ""))

    def count(key: str) -> int | None:
        return int(item[key]) if key in item else None

    return LogEntry(
        environment=environment,
        run=text("run"),
        digest=text("digest"),
        who=text("who"),
        started=datetime.fromisoformat(text("started")),
        finished=datetime.fromisoformat(text("finished")) if "finished" in item else None,
        ending=Ending.of(text("ending")),
        reason=text("reason"),
        sent=count("sent"),
        failed=count("failed"),
        previous=text("previous"),
        forced=text("forced"),
    )
