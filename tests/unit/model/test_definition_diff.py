"""What differs between two task definitions."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.model.definition_diff import MASK, Change, changes

APP: dict[str, Any] = {
    "name": "app",
    "image": "r/shop@sha256:1",
    "environment": [{"name": "MODE", "value": "a"}, {"name": "GONE", "value": "x"}],
    "secrets": [{"name": "URL", "valueFrom": "arn:old"}],
}


def definition(container: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"family": "shop", "containerDefinitions": [container], **more}


def test_keys_that_change_come_and_go_are_told_by_their_path() -> None:
    after = APP | {
        "image": "r/shop@sha256:2",
        "environment": [{"name": "MODE", "value": "b"}, {"name": "NEW", "value": "y"}],
        "secrets": [{"name": "URL", "valueFrom": "arn:new"}],
    }
    at = "containerDefinitions.app."
    assert changes(definition(APP, cpu="256"), definition(after, cpu="512")) == (
        Change(at + "environment.GONE", "x", None),
        Change(at + "environment.MODE", "a", "b"),
        Change(at + "environment.NEW", None, "y"),
        Change(at + "image", "r/shop@sha256:1", "r/shop@sha256:2"),
        Change(at + "secrets.URL", "arn:old", "arn:new"),
        Change("cpu", "256", "512"),
    )


def test_lines_for_people() -> None:
    assert Change("cpu", "256", "512").line == "~ cpu: 256 → 512"
    assert Change("cpu", None, "512").line == "+ cpu = 512"
    assert Change("cpu", "256", None).line == "- cpu = 256"
    assert Change("e.TOKEN", MASK, MASK).line == f"~ e.TOKEN: {MASK} → {MASK} (another value)"


def test_what_only_describing_says_order_tags_and_emptiness_are_no_change() -> None:
    turned = APP | {"environment": list(reversed(APP["environment"]))}
    before = definition(APP, revision=1, status="ACTIVE", volumes=[], pidMode="", tags=[{"key": "a"}])
    assert changes(before, definition(turned)) == ()


def test_lists_without_names_go_by_place_and_truth_is_written_small() -> None:
    before = definition({"name": "app", "command": ["serve"], "essential": True})
    after = definition({"name": "app", "command": ["serve", "-v"], "essential": False})
    assert [change.line for change in changes(before, after)] == [
        "+ containerDefinitions.app.command.1 = -v",
        "~ containerDefinitions.app.essential: true → false",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "x"),
        ("API_TOKEN", "x"),
        ("STRIPE_KEY", "x"),
        ("APIKEY", "x"),
        ("SESSION_SECRET", "x"),
        ("SENTRY_DSN", "x"),
        ("DATABASE_URL", "x"),
        ("BROKER", "amqp://user:pass@host/"),
        ("BLOB", "-----BEGIN PRIVATE KEY-----"),
        ("ID", "AKIAABCDEFGHIJKLMNOP"),
    ],
)
def test_values_that_look_like_secrets_are_masked(name: str, value: str) -> None:
    after = APP | {"environment": [*APP["environment"], {"name": name, "value": value}]}
    (change,) = changes(definition(APP), definition(after))
    assert change.after == MASK
    assert value not in change.line or value == "x"


@pytest.mark.parametrize("name", ["MODE2", "PORT", "KEYBOARD", "MONKEY_COUNT", "APP_DIGEST"])
def test_plain_values_are_shown(name: str) -> None:
    after = APP | {"environment": [*APP["environment"], {"name": name, "value": "plain"}]}
    (change,) = changes(definition(APP), definition(after))
    assert change.after == "plain"
