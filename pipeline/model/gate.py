"""Judging evidence: pure, so that every refusal can be replayed from stored files.

The rules are the functions in OF_RECORD, OF_STAGE, OF_GATE and OF_IMAGE of
`pipeline.model.rules`. In short:

1. A record counts only for this digest and app, signed by a key that may sign its stage, with nothing of it revoked.
   One that speaks for the image must have times that make sense; one that speaks against it counts all the same.
2. Of each required stage and environment the latest finished run decides; it must be PASSED.
3. It is young enough, and was run by the plan that holds today.
4. Every limit is met by a recorded metric; missing, bool or not finite denies.
5. It was admitted on the accepted predecessor's record, which had finished before it started.
6. This machine knows of no newer run that did not pass.
7. Where an approval is asked for, one stands for this environment; the environment is not frozen, and nobody has
   rolled the image back from it since it was last deployed there.
8. The image is neither revoked nor quarantined, nor is that of any service in it. No override lifts this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain

from pipeline.model.digest import Digest
from pipeline.model.evidence import Collected, Evidence, Ignored
from pipeline.model.policy import GatePolicy
from pipeline.model.rules import (
    OF_GATE,
    OF_IMAGE,
    OF_RECORD,
    OF_STAGE,
    Case,
    age_order,
    deployments,
    latest,
    required,
)
from pipeline.model.verdict import Outcome, Reason, Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, the record each stage was admitted on, and what was left out of account.

    `barred` are the reasons about the image itself; `firm` are these, and that nobody we trust says to have built it:
    reasons that no override lifts. `policy` is the hash of the rules that were judged by. `last` is, of a rollback's
    judgement, the newest deployment to the environment, good or not.
    """

    verdict: Verdict
    accepted: Mapping[str, Evidence] = field(default_factory=dict)
    ignored: tuple[Ignored, ...] = ()
    barred: tuple[Reason, ...] = ()
    firm: tuple[Reason, ...] = ()
    policy: str = ""
    last: Evidence | None = None


def judge(subject: Digest, collected: Collected, policy: GatePolicy, now: datetime) -> Judgement:
    """Judges what is recorded of `subject` by `policy` at `now`; every reason is collected."""
    case = _case(subject, collected, policy, now)
    barred = barred_for(subject, collected, policy, now)
    of_stages = (
        reason
        for requirement in policy.requirements
        for check in OF_STAGE
        for reason in check(requirement, case)
    )
    of_gate = (reason for check in OF_GATE for reason in check(case))
    reasons = (*barred, *of_stages, *of_gate)
    verdict = Verdict(policy.gate, Outcome.REFUSED if reasons else Outcome.PASSED, reasons)
    firm = (*barred, *_unproven(case))
    return Judgement(verdict, case.accepted, case.ignored, barred, firm, policy.hash)


def judge_rollback(subject: Digest, collected: Collected, policy: GatePolicy, now: datetime) -> Judgement:
    """Whether `policy.environment` may go back to `subject`: it ran well there once, however long ago.

    What the gate asks of a new image is not asked again; `accepted` holds the deployment it stands on, as `prod`. Only
    what the store shows is good; `last` may be one that did not end well and that this machine alone knows of.
    """
    case = _case(subject, collected, policy, now)
    barred = barred_for(subject, collected, policy, now)
    known = deployments(case.counting, policy.environment)
    good = [found for found in known if found.statement.result == "PASSED"]
    reasons = barred
    if not good:
        text = f"{subject.short} has no good deployment to {policy.environment} on record"
        remedy = f"python -m pipeline promote {subject} {policy.environment}"
        reasons = (*barred, Reason(text, remedy))
    verdict = Verdict(policy.gate, Outcome.REFUSED if reasons else Outcome.PASSED, reasons)
    accepted = {"prod": max(good, key=age_order)} if good else {}
    last = latest([*known, *deployments(case.witnessed, policy.environment)])
    return Judgement(verdict, accepted, case.ignored, barred, reasons, policy.hash, last)


def barred_for(
    subject: Digest, collected: Collected, policy: GatePolicy, now: datetime, service: str = ""
) -> tuple[Reason, ...]:
    """What keeps `subject` out whatever else is on record: its own image, and that of each service in it.

    `service` says whose image it is, where it is one in a release.
    """
    case = replace(_case(subject, collected, policy, now), service=service)
    own = tuple(reason for check in OF_IMAGE for reason in check(case))
    if collected.services is None:
        return (*own, _of_unknown_images(subject))
    shares = sorted(collected.services.items())
    theirs = (barred_for(held.digest, held.collected, policy, now, name) for name, held in shares)
    return (*own, *chain.from_iterable(theirs))


def _of_unknown_images(subject: Digest) -> Reason:
    text = (
        f"the registry does not have {subject.short}: whether it holds an image that is kept out is not known"
    )
    return Reason(text, "name a digest that is there, or build one: python -m pipeline run")


def weigh(subject: Digest, collected: Collected, policy: GatePolicy, now: datetime) -> Collected:
    """What of `collected` counts by `policy`, whatever it says, and what does not, with the reason why."""
    case = _case(subject, collected, policy, now)
    return Collected(tuple(case.counting), case.ignored, case.witnessed)


def _case(subject: Digest, collected: Collected, policy: GatePolicy, now: datetime) -> Case:
    """Sorts out what counts. A revoked bundle takes every other wrapping of the same signed statement with it."""
    rewrapped = {
        found.payload for found in collected.accepted if found.payload and found.id in policy.revoked
    }
    case = Case(subject, policy, now, policy.revoked | rewrapped)
    ignored = list(collected.ignored)
    counted: list[Evidence] = []
    for evidence in collected.accepted:
        flaw = next((flaw for check in OF_RECORD if (flaw := check(evidence, case))), "")
        if flaw:
            ignored.append(Ignored(evidence.id, flaw))
        else:
            counted.append(evidence)
    accepted = {
        requirement.stage: found
        for requirement in policy.requirements
        if (found := latest(required(counted, requirement))) is not None
    }
    shown = frozenset(found.payload for found in collected.accepted)
    witnessed = tuple(found for found in collected.witnessed if _witnesses(found, case, shown))
    return Case(subject, policy, now, case.revoked, tuple(counted), witnessed, accepted, tuple(ignored))


def _witnesses(found: Evidence, case: Case, shown: frozenset[str]) -> bool:
    """Whether a record of this machine's own counts: it can only speak against, and only where the store is silent.

    `shown` are the payloads that the store holds: of those, the keys decide.
    """
    statement = found.statement
    ours = found.subject == case.subject and statement.app == case.policy.app
    return ours and statement.result != "PASSED" and found.id not in case.revoked | shown


def _unproven(case: Case) -> Iterator[Reason]:
    asked = any(requirement.stage == "build" for requirement in case.policy.requirements)
    if asked and not case.passed("build"):
        text = f"nobody who is trusted says to have built {case.subject.short}"
        yield Reason(text, "build it here: python -m pipeline stage build")
