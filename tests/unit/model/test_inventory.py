from __future__ import annotations

from pipeline.model.inventory import Found, Presence, counted, left

ROLE = Found("role", "a", "prod")
KEY = Found("key", "k", presence=Presence.GOING, why="KMS deletes it on 2026-12-06")
KEPT = Found("repository", "shop", presence=Presence.KEPT)
UNKNOWN = Found("secret", "?", presence=Presence.UNKNOWN, why="denied")


def test_what_is_there_or_cannot_be_seen_is_left() -> None:
    assert left([ROLE, KEY, KEPT, UNKNOWN]) == (ROLE, UNKNOWN)


def test_things_are_counted_by_their_kind() -> None:
    assert counted([ROLE, KEY, ROLE]) == "2 roles, 1 key"
    assert counted([]) == "nothing"


def test_a_line_says_how_it_is_there_and_why() -> None:
    assert ROLE.text == "role a"
    assert KEY.text == "key k, going: KMS deletes it on 2026-12-06"
