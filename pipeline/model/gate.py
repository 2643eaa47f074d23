"""Judging evidence: pure, so that every refusal can be replayed from stored files.

The rules, per required stage:
1. A record counts only for this digest and app, with times that make sense.
2. The latest finished run decides; it must be PASSED.
3. It is young enough, and was run by the plan that holds today.
4. Every limit is met by a recorded metric; missing, bool or not finite denies.
5. It was admitted on the accepted predecessor's record, which had finished before it started.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pipeline.model.digest import Digest
from pipeline.model.evidence import Collected, Evidence, Ignored
from pipeline.model.limits import judge_metrics
from pipeline.model.policy import GatePolicy, Requirement
from pipeline.model.verdict import Outcome, Reason, Verdict

CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, the record each stage was admitted on, and what was left out of account."""

    verdict: Verdict
    accepted: Mapping[str, Evidence] = field(default_factory=dict)
    ignored: tuple[Ignored, ...] = ()


def judge(subject: Digest, collected: Collected, policy: GatePolicy, now: datetime) -> Judgement:
    """Judges what is recorded of `subject` by `policy` at `now`; every reason is collected."""
    ignored = list(collected.ignored)
    counting: list[Evidence] = []
    for evidence in collected.accepted:
        flaw = _flaw(evidence, subject, policy.app, now)
        if flaw:
            ignored.append(Ignored(evidence.id, flaw))
        else:
            counting.append(evidence)
    accepted = {
        requirement.stage: latest
        for requirement in policy.requirements
        if (latest := _latest(counting, requirement)) is not None
    }
    reasons = tuple(
        reason
        for requirement in policy.requirements
        for reason in _denials(requirement, accepted, subject, now)
    )
    outcome = Outcome.REFUSED if reasons or not policy.requirements else Outcome.PASSED
    if not policy.requirements:
        reasons = (
            Reason(f"the gate of {policy.gate} asks for nothing", "name a stage in [gate] of pipeline.toml"),
        )
    return Judgement(Verdict(policy.gate, outcome, reasons), accepted, tuple(ignored))


def _flaw(evidence: Evidence, subject: Digest, app: str, now: datetime) -> str:
    statement = evidence.statement
    if evidence.subject != subject:
        return f"is about another image, {evidence.subject}"
    if statement.app != app:
        return f"is about another app, {statement.app!r}"
    if statement.started > statement.finished:
        return "finished before it started"
    if statement.finished > now + CLOCK_SKEW:
        return f"lies in the future ({statement.finished.isoformat()})"
    return ""


def _latest(counting: list[Evidence], requirement: Requirement) -> Evidence | None:
    of_stage = [
        evidence
        for evidence in counting
        if evidence.statement.stage == requirement.stage
        and requirement.environment in ("", evidence.statement.environment)
    ]
    return max(of_stage, key=lambda evidence: (evidence.statement.finished, evidence.id), default=None)


def _denials(
    requirement: Requirement, accepted: Mapping[str, Evidence], subject: Digest, now: datetime
) -> Iterator[Reason]:
    stage = requirement.stage
    again = _command(stage, subject)
    evidence = accepted.get(stage)
    if evidence is None:
        yield Reason(f"no {stage} evidence for {subject.short}", again)
        return
    statement = evidence.statement
    if statement.result != "PASSED":
        because = f": {statement.reasons[0].text}" if statement.reasons else ""
        yield Reason(f"{stage} of {subject.short} ended {statement.result}{because}", again)
        return
    age = (now - statement.finished).total_seconds()
    if requirement.max_age is not None and age > requirement.max_age:
        yield Reason(
            f"{stage} evidence is {_ago(age)} old, at most {_ago(requirement.max_age)} is allowed", again
        )
    if requirement.plan and requirement.plan != statement.plan:
        yield Reason(
            f"{stage} was run by another plan than today's (tests, load shape or target changed)", again
        )
    yield from judge_metrics(statement.metrics, requirement.limits)
    yield from _order(requirement, evidence, accepted, again)


def _order(
    requirement: Requirement, evidence: Evidence, accepted: Mapping[str, Evidence], again: str
) -> Iterator[Reason]:
    for name in requirement.after:
        before = accepted.get(name)
        if before is None:
            yield Reason(f"{requirement.stage} asks for {name} before it, and none is accepted", again)
        elif evidence.statement.inputs.get(name) != before.id:
            yield Reason(
                f"{requirement.stage} was not admitted on the {name} evidence that stands now", again
            )
        elif before.statement.finished > evidence.statement.started:
            yield Reason(f"{requirement.stage} started before {name} had finished", again)


def _command(stage: str, subject: Digest) -> str:
    argument = "" if stage == "build" else f" {subject}"
    return f"python -m pipeline stage {stage}{argument}"


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{math.floor(seconds / size * 10) / 10:g} {unit}"
    return f"{seconds:.0f} s"
