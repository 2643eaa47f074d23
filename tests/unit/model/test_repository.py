from __future__ import annotations

from typing import Any

import pytest

from pipeline.model.check import State
from pipeline.model.repository import Repository, expiry, tags


def rule(priority: int, **selection: Any) -> dict[str, Any]:
    return {"rulePriority": priority, "selection": selection, "action": {"type": "expire"}}


UNTAGGED = rule(1, tagStatus="untagged", countType="sinceImagePushed", countNumber=14)
ANY = rule(9, tagStatus="any", countType="imageCountMoreThan", countNumber=30)
BUILDS = rule(5, tagStatus="tagged", tagPrefixList=["build-"], countType="sinceImagePushed", countNumber=30)
PROMOTED = rule(
    2, tagStatus="tagged", tagPatternList=["promoted-*"], countType="imageCountMoreThan", countNumber=1000
)
EVIDENCE = rule(
    3, tagStatus="tagged", tagPatternList=["sha256-*"], countType="imageCountMoreThan", countNumber=9999
)


def states(*rules: dict[str, Any]) -> list[State]:
    return [found.state for found in expiry(Repository("shop", "IMMUTABLE", (), rules), ["staging", "prod"])]


@pytest.mark.parametrize("rules", [(), (UNTAGGED,), (PROMOTED, UNTAGGED)])
def test_rules_that_leave_tagged_images_alone_take_nothing(rules: tuple[dict[str, Any], ...]) -> None:
    assert states(*rules) == [State.OK]


def test_a_rule_for_every_image_takes_what_was_promoted_and_its_evidence() -> None:
    assert states(UNTAGGED, ANY) == [State.NG] * 3


def test_a_rule_for_builds_takes_what_was_promoted_since_that_was_built() -> None:
    found = expiry(Repository("shop", "IMMUTABLE", (), (BUILDS,)), ["prod"])

    assert [one.state for one in found] == [State.NG]
    assert "lifecycle rule 5 (no description) deletes images promoted to prod" in found[0].text
    assert "promoted-*" in found[0].fix


def test_a_rule_of_higher_priority_that_keeps_them_protects_them() -> None:
    assert states(PROMOTED, BUILDS) == [State.OK]
    assert states(PROMOTED, ANY) == [State.NG], "the records of evidence are still taken"


def test_a_protection_that_keeps_few_is_none() -> None:
    few = {**PROMOTED, "selection": {**PROMOTED["selection"], "countNumber": 3}}
    young = {
        **PROMOTED,
        "selection": {**PROMOTED["selection"], "countType": "sinceImagePushed", "countNumber": 90},
    }

    assert State.NG in states(few)
    assert State.NG in states(young)


def test_every_prefix_of_a_rule_must_be_there() -> None:
    both = rule(1, tagStatus="tagged", tagPrefixList=["build-", "release-"], countNumber=1)

    assert states(both) == [State.OK]


def test_a_rule_for_evidence_is_told_too() -> None:
    assert states(EVIDENCE) == [State.NG]


def test_tags_that_can_be_moved_are_told_with_the_command_that_ends_it() -> None:
    found = tags(Repository("shop", "MUTABLE"))

    assert found.state is State.SKIP
    assert "put-image-tag-mutability --repository-name shop" in found.text


@pytest.mark.parametrize(
    ("mutability", "excluded", "text"),
    [
        ("IMMUTABLE", (), "shop: tags cannot be moved"),
        ("IMMUTABLE_WITH_EXCLUSION", ("sha256-*",), "shop: tags cannot be moved, but for sha256-*"),
    ],
)
def test_tags_that_cannot_be_moved_are_fine(mutability: str, excluded: tuple[str, ...], text: str) -> None:
    found = tags(Repository("shop", mutability, excluded))

    assert (found.state, found.text) == (State.OK, text)
