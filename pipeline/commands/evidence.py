"""`evidence`: what is attested of a digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipeline.commands.targets import well_formed
from pipeline.errors import ExitCode
from pipeline.model.evidence import Evidence, Ignored
from pipeline.terminal import Invocation


@click.command("evidence")
@click.argument("digest", callback=well_formed)
@click.option(
    "--export", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write the bundles, one a line."
)
@click.pass_obj
def command(invocation: Invocation, digest: str, path: Path | None) -> int:
    """Lists the attestations of DIGEST: stage, result, when, who signed; and what does not count, and why."""
    from pipeline.wiring import Project

    project = Project.open(invocation.root, invocation.terminal)
    with project.session((), touch=False) as session:
        image = session.records.image(digest)
        found = session.records.weighed(image)
        names = {trust.key_id: trust.name for trust in session.signing.trust}
        exported = session.records.export(image, path) if path else 0
    records = sorted(found.accepted, key=lambda record: record.statement.finished)
    for line in (*(_line(record, names) for record in records), *map(_ignored, found.ignored)):
        invocation.terminal.tell(line)
    document = {
        "command": "evidence",
        "outcome": "done",
        "exit_code": 0,
        "digest": str(image.digest),
        "evidence": [_record(record, names) for record in records],
        "ignored": [{"id": each.id, "reason": each.reason} for each in found.ignored],
        "exported": str(path) if path else "",
    }
    count = f"{len(records)} records of {image.digest}, {len(found.ignored)} do not count"
    invocation.terminal.answer(f"{count}; {exported} written to {path}" if path else count, document)
    return ExitCode.DONE


def _record(record: Evidence, names: dict[str, str]) -> dict[str, Any]:
    statement = record.statement
    return {
        "stage": statement.stage,
        "environment": statement.environment,
        "result": statement.result,
        "finished": statement.finished.isoformat(),
        "signer": names.get(record.signer, ""),
        "key": record.signer,
        "evidence": record.id,
        "payload": record.payload,
        "run": statement.run,
        "inputs": dict(statement.inputs),
        "metrics": dict(statement.metrics),
        "override": statement.facts.get("override"),
    }


def _line(record: Evidence, names: dict[str, str]) -> str:
    statement = record.statement
    where = f" ({statement.environment})" if statement.environment not in ("", statement.stage) else ""
    when = f"{statement.finished:%Y-%m-%d %H:%M:%S} UTC"
    forced = "  FORCED" if statement.facts.get("override") else ""
    name = names.get(record.signer, record.signer)
    return f"{statement.stage + where:<20}{statement.result:<11}{when}  {name}  {record.id[:19]}{forced}"


def _ignored(each: Ignored) -> str:
    return f"{'ignored':<20}{each.id[:19]} {each.reason}"
