"""Choosing what an environment goes back to: the newest good deployment on record, not the revision before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.model.digest import Digest
from pipeline.model.evidence import Collected, Evidence
from pipeline.model.gate import Judgement, judge_rollback
from pipeline.model.policy import GatePolicy
from pipeline.model.rules import age_order, was_left
from pipeline.model.verdict import Reason


@dataclass(frozen=True, slots=True)
class Choice:
    """The deployment to go back to, None where there is none, and what was passed over on the way, newest first.

    `resumed`: a rollback to it was begun, and never seen to end well.
    """

    target: Evidence | None
    passed_over: tuple[Reason, ...] = ()
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    subject: Digest
    judgement: Judgement
    last: Evidence

    @property
    def good(self) -> Evidence | None:
        return self.judgement.accepted.get("prod")


def leaving(pinned: Digest | None, running: frozenset[Digest]) -> frozenset[Digest]:
    """What a rollback goes away from: what the service is told to run, else (no digest is pinned) what it runs.

    While a rollout is under way or has come to a halt, the old tasks run as well, and they are what is gone back to.
    """
    return frozenset({pinned}) if pinned else running


def leaving_all(regions: Sequence[frozenset[Digest]], recorded: Digest | None) -> frozenset[Digest]:
    """What a rollback of all regions goes away from, by what each would leave.

    Where they differ, as after a promotion or a rollback that ended half-way, the digest that is on record as the last
    good one (`recorded`) is what the others go back to: it is not left.
    """
    left = frozenset[Digest]().union(*regions)
    alike = all(region == left for region in regions)
    return left if alike or recorded is None else left - {recorded}


def choose(
    found: Iterable[tuple[Digest, Collected]],
    policy: GatePolicy,
    now: datetime,
    left: frozenset[Digest] = frozenset(),
) -> Choice:
    """The newest digest whose last deployment to `policy.environment` was good and that nothing bars.

    What is `left` is not gone back to. A digest that was rolled out well and failed
    there later, was rolled back from there, is revoked or quarantined is passed over, with the reason. Where what is
    `left` is itself what a rollback was begun to, that one is taken up: asked for twice it is still one rollback.
    """
    known = [each for subject, collected in found for each in _known(subject, collected, policy, now)]
    passed_over: list[Reason] = []
    if begun := next((each.good for each in known if each.subject in left and _begun(each, known)), None):
        return Choice(begun, resumed=True)
    for each in sorted(known, key=lambda each: age_order(each.last), reverse=True):
        if each.subject in left:
            continue
        reasons = tuple(_against(each))
        if each.good and not reasons:
            return Choice(each.good, tuple(passed_over))
        passed_over.extend(reasons)
    return Choice(None, tuple(passed_over))


def last_good(
    found: Iterable[tuple[Digest, Collected]],
    told: Digest | None,
    collected: Callable[[Digest], Collected],
    policy: GatePolicy,
    now: datetime,
) -> Evidence | None:
    """The last good deployment: the first good one of `found`, or that of `told` where it came later.

    `found` is read no further than it has to be. Its order is by tags, and a tag may be lacking: only records count.
    """
    singly = (choose([each], policy, now).target for each in found)
    first = next(filter(None, singly), None)
    ours = choose([(told, collected(told))], policy, now).target if told else None
    return max(filter(None, (first, ours)), key=age_order, default=None)


def named(subject: Digest, collected: Collected, policy: GatePolicy, now: datetime) -> Choice:
    """The last good deployment of one digest that a person names; what bars it is in `passed_over`, target None."""
    judgement = judge_rollback(subject, collected, policy, now)
    good = judgement.accepted.get("prod") if judgement.verdict.passed else None
    return Choice(good, judgement.verdict.reasons)


def nothing_good(environment: str) -> Reason:
    """That nothing on record can be gone back to, and what to do then."""
    text = f"no other digest has a good deployment to {environment} on record"
    return Reason(text, f"promote one: python -m pipeline promote DIGEST {environment}")


def _known(subject: Digest, collected: Collected, policy: GatePolicy, now: datetime) -> Iterator[_Known]:
    """The digest as it stands, where it was ever deployed to the environment by a record that counts."""
    judgement = judge_rollback(subject, collected, policy, now)
    if judgement.last:
        yield _Known(subject, judgement, judgement.last)


def _begun(each: _Known, known: Sequence[_Known]) -> bool:
    """Whether something was left for it after it last ran well: what is left is marked before the rollout begins."""
    good = each.good if each.judgement.verdict.passed else None
    marks = [one.last.statement for one in known if was_left(one.last)]
    named = [mark for mark in marks if mark.facts.get("to") == str(each.subject)]
    return good is not None and any(mark.finished > good.statement.finished for mark in named)


def _against(known: _Known) -> Iterator[Reason]:
    yield from known.judgement.verdict.reasons
    statement = known.last.statement
    if known.good and statement.result != "PASSED":
        text = (
            f"{known.subject.short} was good in {statement.environment} once, but its last deployment there ended "
            f"{statement.result} at {statement.finished:%Y-%m-%d %H:%M:%S} UTC"
        )
        yield Reason(text, f"to take it all the same: --to {known.subject}")
