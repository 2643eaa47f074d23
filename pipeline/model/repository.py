"""An image repository of ECR: whether its tags can be moved, and whether its lifecycle rules take what was promoted.

Rules as ECR applies them: by rising priority; the first that selects an image decides on it. A rule for tagged images
selects those that have a tag for each of its prefixes, or for each of its patterns.
(https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pipeline.model.check import Finding, ng, ok, skip

EVIDENCE_TAGS = "sha256-*"
ENOUGH_IMAGES, ENOUGH_DAYS = 20, 180
"""What a rule for promoted images must keep at least, or a rollback finds nothing to go back to."""

_PROTECTION = (
    '{"rulePriority": 1, "selection": {"tagStatus": "tagged", "tagPatternList": ["promoted-*"], "countType": '
    '"imageCountMoreThan", "countNumber": 1000}, "action": {"type": "expire"}}'
)


@dataclass(frozen=True, slots=True)
class Repository:
    """`mutability` as DescribeRepositories gives it, `excluded` the tag patterns it leaves out; lifecycle `rules`."""

    name: str
    mutability: str
    excluded: tuple[str, ...] = ()
    rules: tuple[Mapping[str, Any], ...] = ()


def tags(repository: Repository) -> Finding:
    """Whether somebody can move a tag. Rollouts do not mind, they name digests; people who read tags do."""
    if repository.mutability.startswith("IMMUTABLE"):
        left_out = f", but for {', '.join(repository.excluded)}" if repository.excluded else ""
        return ok(f"{repository.name}: tags cannot be moved{left_out}")
    return skip(
        f"{repository.name}: tags can be moved, so what a tag names may change; rollouts name digests. To change it: "
        f"aws ecr put-image-tag-mutability --repository-name {repository.name} --image-tag-mutability "
        f"IMMUTABLE_WITH_EXCLUSION --image-tag-mutability-exclusion-filters filterType=WILDCARD,filter={EVIDENCE_TAGS}"
    )


def expiry(repository: Repository, environments: Sequence[str]) -> list[Finding]:
    """Whether a lifecycle rule would delete an image that was promoted, or a record of its evidence."""
    findings = []
    for environment in environments:
        rule = _deciding(repository.rules, ("build-x", f"promoted-{environment}-20260101T000000Z"))
        if rule is not None and not _keeps_enough(rule):
            findings.append(_taken(repository, rule, f"images promoted to {environment}"))
    evidence = _deciding(repository.rules, (EVIDENCE_TAGS.replace("*", "0" * 64),))
    if evidence is not None:
        findings.append(_taken(repository, evidence, "records of evidence"))
    return findings or [ok(f"{repository.name}: no lifecycle rule takes what was promoted")]


def _taken(repository: Repository, rule: Mapping[str, Any], what: str) -> Finding:
    return ng(
        f"{repository.name}: lifecycle rule {rule.get('rulePriority')} ({rule.get('description') or 'no description'}) "
        f"deletes {what}: a rollback may find nothing to go back to",
        f"let a rule of higher priority keep them: {_PROTECTION}, or let the rule select untagged images alone",
    )


def _deciding(rules: Sequence[Mapping[str, Any]], having: Sequence[str]) -> Mapping[str, Any] | None:
    """The rule that decides on an image with these tags; None where none does."""
    ordered = sorted(rules, key=lambda rule: int(rule.get("rulePriority", 0)))
    return next((rule for rule in ordered if _selects(rule.get("selection") or {}, having)), None)


def _selects(selection: Mapping[str, Any], having: Sequence[str]) -> bool:
    status = selection.get("tagStatus")
    if status == "any":
        return True
    wanted = [*(f"{prefix}*" for prefix in selection.get("tagPrefixList") or ())]
    wanted += selection.get("tagPatternList") or ()
    return status == "tagged" and all(any(fnmatchcase(tag, one) for tag in having) for one in wanted)


def _keeps_enough(rule: Mapping[str, Any]) -> bool:
    """A rule for promoted images alone that keeps plenty is a protection."""
    selection = rule.get("selection") or {}
    named = [*(selection.get("tagPrefixList") or ()), *(selection.get("tagPatternList") or ())]
    if not named or not all(str(one).startswith("promoted-") for one in named):
        return False
    count = int(selection.get("countNumber", 0))
    return count >= (ENOUGH_IMAGES if selection.get("countType") == "imageCountMoreThan" else ENOUGH_DAYS)
