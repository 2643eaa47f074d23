"""What must be true after promotions that were killed, or that competed: read from the API's log, the service, the
records and `status`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from tests.chaos.fault_proxy import ECS, Call
from tests.chaos.project import Mayhem
from tests.chaos.screen import Screen


def unclean_after(mayhem: Mayhem, digest: str, again: Screen, began: float) -> Iterator[str]:
    """What is left wrong after a killed promotion of `digest` was followed by another: nothing, when all is well."""
    if again.process.returncode != 0:
        yield f"promoting again ended with {again.process.returncode}: {again.reason}"
    if serving := mayhem.serving() - {digest}:
        yield f"{', '.join(serving)} serves too, or instead"
    if (count := deployments(mayhem, since=began).count(digest)) != 1:
        yield f"{count} deployments of the digest, not one"
    status = mayhem.status()
    if status["digest"] != digest or status["drift"]:
        yield f"status tells of {status['digest']}, {status['drift'] or 'no drift'}"
    if status.get("lease"):
        yield f"the lease is held: {status['lease']}"
    records = mayhem.evidence(digest)
    newest = records[-1] if records else {"result": "nothing", "finished": "1970-01-01T00:00:00+00:00"}
    if newest["result"] != "PASSED" or datetime.fromisoformat(newest["finished"]).timestamp() < began:
        yield f"the newest record is {newest['result']} at {newest['finished']}"


def deployments(mayhem: Mayhem, since: float) -> Sequence[str]:
    """The digests of the deployments that the API was asked for and began, in order; each deployment once."""
    begun = dict.fromkeys(
        _primary(call.answer)
        for call in mayhem.proxy.changes(since)
        if call.name == "UpdateService" and call.answer
    )
    return [mayhem.image_of(definition) for _, definition in begun]


def _primary(answer: Mapping[str, object]) -> tuple[str, str]:
    listed = answer["service"]["deployments"]  # type: ignore[index]
    first = next(d for d in listed if d["status"] == "PRIMARY")
    return str(first["id"]), str(first["taskDefinition"])


def interleaved(calls: Sequence[Call]) -> Iterator[str]:
    """Changes of one caller that fell into the time of another: from its first change to its last call of ECS."""
    times = _turns(calls)
    for call in calls:
        for caller, (first, last) in times.items():
            if (
                call.changes
                and call.arrived
                and call.caller != caller
                and first < call.ended
                and call.began < last
            ):
                yield f"{call.name} of {call.caller} within the turn of {caller}"


def _turns(calls: Sequence[Call]) -> Mapping[str, tuple[float, float]]:
    """Of every caller that changed something: when its first change began, and its last call of ECS ended."""
    own = [call for call in calls if call.service == ECS]
    first: dict[str, float] = {}
    for call in own:
        if call.changes and call.arrived:
            first[call.caller] = min(call.began, first.get(call.caller, call.began))
    return {
        caller: (begun, max(call.ended for call in own if call.caller == caller))
        for caller, begun in first.items()
    }
