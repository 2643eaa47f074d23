"""The rules a gate holds evidence against, one function each; `pipeline.model.gate` puts them together.

A check of a record says why it does not count, or nothing. The others say what they refuse for, each with its remedy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pipeline.model.digest import Digest
from pipeline.model.evidence import Evidence, Ignored
from pipeline.model.limits import judge_metrics
from pipeline.model.policy import GatePolicy, Requirement
from pipeline.model.verdict import Reason

CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Case:
    """What the checks look at: records that count, those this machine wrote itself, and what each stage stands on.

    `service` is the one that the subject is the image of, empty where it is judged for itself.
    """

    subject: Digest
    policy: GatePolicy
    now: datetime
    revoked: frozenset[str] = frozenset()
    counting: Sequence[Evidence] = ()
    witnessed: Sequence[Evidence] = ()
    accepted: Mapping[str, Evidence] = field(default_factory=dict)
    ignored: tuple[Ignored, ...] = ()
    service: str = ""

    @property
    def image(self) -> str:
        """What the subject is called: its digest, and whose image it is."""
        return f"{self.subject.short}, the image of {self.service}," if self.service else self.subject.short

    def passed(self, stage: str) -> Evidence | None:
        """The record that a stage stands on, when it is there and PASSED."""
        found = self.accepted.get(stage)
        return found if found and found.statement.result == "PASSED" else None


# What a record is not counted for: why, or the empty string.


def is_of_this_image(evidence: Evidence, case: Case) -> str:
    """Bundles are bound to a digest; one attached elsewhere says nothing there."""
    return "" if evidence.subject == case.subject else f"is about another image, {evidence.subject}"


def is_of_this_app(evidence: Evidence, case: Case) -> str:
    """A registry may be shared by apps."""
    app = evidence.statement.app
    return "" if app == case.policy.app else f"is about another app, {app!r}"


def is_by_a_key_for_its_stage(evidence: Evidence, case: Case) -> str:
    """Who may build may not for that reason approve."""
    stage = evidence.statement.stage
    known = [trust for trust in case.policy.trust if trust.key_id == evidence.signer]
    if any(stage in trust.stages for trust in known):
        return ""
    if not known:
        return f"is signed by a key that is not trusted here, {evidence.signer or 'none'}"
    return f"is signed by {known[0].name!r} ({evidence.signer}), which may not sign {stage}"


def is_by_no_revoked_key(evidence: Evidence, case: Case) -> str:
    """A key that was lost signs nothing any more, whatever time it gives."""
    return f"is signed by a revoked key, {evidence.signer}" if evidence.signer in case.revoked else ""


def is_not_revoked(evidence: Evidence, case: Case) -> str:
    """By the bundle's id, or by that of what was signed: the same statement in another bundle is revoked with it."""
    revoked = {evidence.id, evidence.payload} & case.revoked
    return f"is revoked, as {min(revoked)}" if revoked else ""


def has_started_before_it_finished(evidence: Evidence, case: Case) -> str:  # noqa: ARG001 – a check's signature
    """Doubtful times take the weight from a record that speaks for the image, not from one against it."""
    statement = evidence.statement
    wrong = statement.result == "PASSED" and statement.started > statement.finished
    return "finished before it started" if wrong else ""


def is_not_of_the_future(evidence: Evidence, case: Case) -> str:
    """Clocks differ by minutes; more would let a record stay young for longer than it is."""
    statement = evidence.statement
    wrong = statement.result == "PASSED" and statement.finished > case.now + CLOCK_SKEW
    return f"lies in the future ({statement.finished.isoformat()})" if wrong else ""


# What a required stage is refused for.


def is_on_record(requirement: Requirement, case: Case) -> Iterator[Reason]:
    """Nothing recorded is no pass."""
    if requirement.stage in case.accepted:
        return
    text = f"no {requirement.stage} evidence for {case.subject.short}"
    remedy = _again(requirement.stage, case)
    if case.ignored:
        text += f" ({len(case.ignored)} records do not count)"
        remedy += f"; why records do not count: python -m pipeline evidence {case.subject}"
    if not case.policy.trust:
        remedy = (
            "no key is trusted here: run a stage on this machine, or name a key in [[trust]] of pipeline.toml"
        )
    yield Reason(text, remedy)


def has_passed(requirement: Requirement, case: Case) -> Iterator[Reason]:
    """The latest finished run is the one that counts."""
    evidence = case.accepted.get(requirement.stage)
    if evidence is None or evidence.statement.result == "PASSED":
        return
    statement = evidence.statement
    told = statement.reasons[0] if statement.reasons else Reason("")
    because = f": {told.text}" if told.text else ""
    text = f"{statement.stage} of {case.subject.short} ended {statement.result}{because}"
    # The same digest seldom ends otherwise: what was said then comes first.
    mend = told.remedy or "mend what it found and build anew"
    yield Reason(text, f"{mend}; to have the same digest judged again: {_again(statement.stage, case)}")


def is_young_enough(requirement: Requirement, case: Case) -> Iterator[Reason]:
    """What passed long ago passed in another world."""
    evidence = case.passed(requirement.stage)
    if evidence is None or requirement.max_age is None:
        return
    age = (case.now - evidence.statement.finished).total_seconds()
    if age > requirement.max_age:
        text = (
            f"{requirement.stage} evidence is {_ago(age)} old, at most {_ago(requirement.max_age)} is allowed"
        )
        yield Reason(text, _again(requirement.stage, case))


def is_of_todays_plan(requirement: Requirement, case: Case) -> Iterator[Reason]:
    """Other tests or another load prove something else."""
    evidence = case.passed(requirement.stage)
    if evidence and requirement.plan and requirement.plan != evidence.statement.plan:
        text = (
            f"{requirement.stage} was run by another plan than today's (tests, load shape or target changed)"
        )
        yield Reason(text, _again(requirement.stage, case))


def is_within_limits(requirement: Requirement, case: Case) -> Iterator[Reason]:
    """Facts are signed, limits are today's: a tightened limit needs no new run."""
    evidence = case.passed(requirement.stage)
    if evidence:
        yield from judge_metrics(evidence.statement.metrics, requirement.limits)


def has_its_predecessors(requirement: Requirement, case: Case) -> Iterator[Reason]:
    """An order over something that is not there is not kept."""
    for name in requirement.after:
        if case.passed(requirement.stage) and name not in case.accepted:
            text = f"{requirement.stage} asks for {name} before it, and none is accepted"
            yield Reason(text, _again(requirement.stage, case))


def was_admitted_on_them(requirement: Requirement, case: Case) -> Iterator[Reason]:
    """The record commits to the predecessor's, which therefore cannot be replaced afterwards."""
    for evidence, before in _pairs(requirement, case):
        name = before.statement.stage
        wrappings = {each.id for each in case.counting if _signed(each) == _signed(before)}
        if evidence.statement.inputs.get(name) not in wrappings:
            text = f"{requirement.stage} was not admitted on the {name} evidence that stands now"
            yield Reason(text, _again(requirement.stage, case))


def started_after_them(requirement: Requirement, case: Case) -> Iterator[Reason]:
    """What ran at the same time cannot have depended on it."""
    for evidence, before in _pairs(requirement, case):
        if before.statement.finished > evidence.statement.started:
            text = f"{requirement.stage} started before {before.statement.stage} had finished"
            yield Reason(text, _again(requirement.stage, case))


def has_no_newer_failure_here(requirement: Requirement, case: Case) -> Iterator[Reason]:
    """Who may delete in the registry can hide a failed run there, not the copy on the machine that saw it fail."""
    evidence = case.passed(requirement.stage)
    failed = latest(required(case.witnessed, requirement))
    if evidence and failed and failed.statement.finished > evidence.statement.finished:
        known = failed.statement
        text = (
            f"this machine knows of a run of {known.stage} that ended {known.result} at "
            f"{known.finished:%Y-%m-%d %H:%M:%S} UTC, after the record in the registry"
        )
        yield Reason(text, _again(requirement.stage, case))


# What a gate is kept closed by.


def asks_for_something(case: Case) -> Iterator[Reason]:
    """A gate without a question would open to anything."""
    if not case.policy.requirements:
        text = f"the gate of {case.policy.gate} asks for nothing"
        yield Reason(text, "name a stage in [gate] of pipeline.toml")


def is_approved(case: Case) -> Iterator[Reason]:
    """The latest word of those who are asked, about this digest and this environment, is yes."""
    if case.policy.approval is None or _approval(case):
        return
    by = f" by {' or '.join(case.policy.approval.by)}" if case.policy.approval.by else ""
    text = f"{case.subject.short} is not approved for {case.policy.environment}{by}"
    yield Reason(text, _approve(case))


def approval_is_young_enough(case: Case) -> Iterator[Reason]:
    """An approval is for now, not for ever."""
    asked, found = case.policy.approval, _approval(case)
    if asked is None or asked.max_age is None or found is None:
        return
    age = (case.now - found.statement.finished).total_seconds()
    if age > asked.max_age:
        at_most = f"at most {_ago(asked.max_age)} is allowed"
        text = f"the approval for {case.policy.environment} is {_ago(age)} old, {at_most}"
        yield Reason(text, _approve(case))


def is_not_frozen(case: Case) -> Iterator[Reason]:
    """There are times at which nobody is there to look after a rollout."""
    for window in case.policy.frozen:
        if window.holds(case.now):
            text = f"{case.policy.environment} is frozen: {window.text}"
            yield Reason(
                text, "wait for its end; in need: promote … --force --reason TEXT, which is recorded"
            )


def was_not_rolled_back(case: Case) -> Iterator[Reason]:
    """Somebody took it out of the environment on purpose; the next run of a pipeline must not put it back in.

    Only a good deployment since lifts that: a failed one shows the opposite.
    """
    known = deployments([*case.counting, *case.witnessed], case.policy.environment)
    word = latest([found for found in known if found.statement.result == "PASSED" or was_left(found)])
    if word and was_left(word):
        said, environment = word.statement.facts, case.policy.environment
        when = f"{word.statement.finished:%Y-%m-%d %H:%M:%S} UTC"
        why = str(said.get("reason", "")) or "no reason was given"
        text = f"{case.subject.short} was rolled back from {environment} at {when} by {said.get('by', '?')}: {why}"
        remedy = f"python -m pipeline promote {case.subject} {environment} --force --reason TEXT"
        yield Reason(text, f"promote another digest; if it is good after all: {remedy}")


# What an image is kept out for.


def image_is_not_revoked(case: Case) -> Iterator[Reason]:
    """By configuration, in git, with a review."""
    if str(case.subject) in case.policy.revoked:
        text = f"{case.image} is revoked in pipeline.toml"
        yield Reason(text, f"promote another digest, or take it out of gate.{case.policy.gate}.revoked")


def image_is_not_quarantined(case: Case) -> Iterator[Reason]:
    """For all environments or this one; of each, the latest word counts, and this machine's own no does as well."""
    found = [each for each in (*case.counting, *case.witnessed) if each.statement.stage == "quarantine"]
    for scope in sorted({"", case.policy.environment}):
        word = latest([each for each in found if each.statement.environment == scope])
        if word and word.statement.result != "PASSED":
            said = word.statement.facts
            why = str(said.get("reason", "")) or "no reason was given"
            by = f", says {said['by']}" if said.get("by") else ""
            at = f" for {scope}" if scope else ""
            remedy = (
                f"promote another digest; to lift it: python -m pipeline quarantine {case.subject} --lift"
            )
            yield Reason(f"{case.image} is quarantined{at}: {why}{by}", f"{remedy}{_option(scope)}")


RecordCheck = Callable[[Evidence, Case], str]
StageCheck = Callable[[Requirement, Case], Iterator[Reason]]
GateCheck = Callable[[Case], Iterator[Reason]]

OF_RECORD: tuple[RecordCheck, ...] = (
    is_of_this_image,
    is_of_this_app,
    is_by_a_key_for_its_stage,
    is_by_no_revoked_key,
    is_not_revoked,
    has_started_before_it_finished,
    is_not_of_the_future,
)
OF_STAGE: tuple[StageCheck, ...] = (
    is_on_record,
    has_passed,
    is_young_enough,
    is_of_todays_plan,
    is_within_limits,
    has_its_predecessors,
    was_admitted_on_them,
    started_after_them,
    has_no_newer_failure_here,
)
OF_GATE: tuple[GateCheck, ...] = (
    asks_for_something,
    is_approved,
    approval_is_young_enough,
    is_not_frozen,
    was_not_rolled_back,
)
OF_IMAGE: tuple[GateCheck, ...] = (image_is_not_revoked, image_is_not_quarantined)


def required(records: Sequence[Evidence], requirement: Requirement) -> list[Evidence]:
    """The records of the stage and environment that a requirement asks for."""
    return [
        found
        for found in records
        if found.statement.stage == requirement.stage
        and requirement.environment in ("", found.statement.environment)
    ]


def deployments(records: Sequence[Evidence], environment: str) -> list[Evidence]:
    """The records of rollouts and rollbacks in an environment, whatever their result."""
    return [
        found
        for found in records
        if found.statement.environment == environment and found.statement.stage in (environment, "rollback")
    ]


def was_left(evidence: Evidence) -> bool:
    """Whether it says that an environment went back from this image to another one, which its facts name."""
    statement = evidence.statement
    return statement.stage == "rollback" and statement.result != "PASSED" and bool(statement.facts.get("to"))


def latest(records: Sequence[Evidence]) -> Evidence | None:
    """The one that finished last, None of none."""
    return max(records, key=age_order, default=None)


def age_order(evidence: Evidence) -> tuple[datetime, bool, str]:
    """By the end of the run; of two that ended at the same time the one that did not pass counts."""
    statement = evidence.statement
    return (statement.finished, statement.result != "PASSED", evidence.id)


def _pairs(requirement: Requirement, case: Case) -> Iterator[tuple[Evidence, Evidence]]:
    evidence = case.passed(requirement.stage)
    for name in requirement.after:
        before = case.accepted.get(name)
        if evidence and before:
            yield evidence, before


def _signed(evidence: Evidence) -> str:
    return evidence.payload or evidence.id


def _approval(case: Case) -> Evidence | None:
    asked = case.policy.approval
    names = set(asked.by) if asked else set()
    keys = {trust.key_id for trust in case.policy.trust if not names or trust.name in names}
    found = latest(
        [
            each
            for each in case.counting
            if each.statement.stage == "approval"
            and each.statement.environment == case.policy.environment
            and each.signer in keys
        ]
    )
    return found if found and found.statement.result == "PASSED" else None


def _approve(case: Case) -> str:
    return f"python -m pipeline approve {case.subject} {case.policy.environment}"


def _option(scope: str) -> str:
    return f" --environment {scope}" if scope else ""


def _again(stage: str, case: Case) -> str:
    argument = "" if stage == "build" else f" {case.subject}"
    return f"python -m pipeline stage {stage}{argument}"


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{math.floor(seconds / size * 10) / 10:g} {unit}"
    return f"{seconds:.0f} s"
