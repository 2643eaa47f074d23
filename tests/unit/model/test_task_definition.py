"""The definition a rollout registers is the live one with another image and the declared keys."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest

from pipeline.errors import ConfigurationError
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.task_definition import READ_ONLY, definition_for, differs, digest_in

IMAGE = ImageRef("registry.test/demo", Digest("sha256:" + "a" * 64))
LIVE: dict[str, Any] = {
    "taskDefinitionArn": "arn:aws:ecs:r:a:task-definition/demo:7",
    "family": "demo",
    "revision": 7,
    "status": "ACTIVE",
    "registeredBy": "arn:aws:iam::a:root",
    "compatibilities": ["EC2", "FARGATE"],
    "cpu": "256",
    "volumes": [],
    "containerDefinitions": [
        {
            "name": "app",
            "image": "registry.test/demo:latest",
            "portMappings": [{"containerPort": 8000, "protocol": "tcp"}],
            "environment": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}],
            "secrets": [{"name": "TOKEN", "valueFrom": "arn:token"}],
        },
        {"name": "sidecar", "image": "registry.test/sidecar:1", "environment": []},
    ],
    "tags": [{"key": "aws:cloudformation:stack-name", "value": "s"}, {"key": "team", "value": "x"}],
}


def made(environment: dict[str, str] | None = None, secrets: dict[str, str] | None = None) -> dict[str, Any]:
    return dict(definition_for(LIVE, IMAGE, "app", environment or {}, secrets or {}))


def test_only_the_image_changes_where_nothing_is_declared() -> None:
    container, sidecar = made()["containerDefinitions"]
    assert container == {**LIVE["containerDefinitions"][0], "image": str(IMAGE)}
    assert sidecar == LIVE["containerDefinitions"][1]


def test_declared_keys_are_set_and_others_stay() -> None:
    container = made({"A": "9", "C": "3"})["containerDefinitions"][0]
    assert container["environment"] == [
        {"name": "B", "value": "2"},
        {"name": "A", "value": "9"},
        {"name": "C", "value": "3"},
    ]
    assert container["secrets"] == LIVE["containerDefinitions"][0]["secrets"]


def test_a_key_that_becomes_a_secret_leaves_the_environment() -> None:
    container = made(secrets={"A": "arn:a"})["containerDefinitions"][0]
    assert [entry["name"] for entry in container["environment"]] == ["B"]
    assert container["secrets"][-1] == {"name": "A", "valueFrom": "arn:a"}


def test_a_secret_that_becomes_plain_leaves_the_secrets() -> None:
    assert made({"TOKEN": "x"})["containerDefinitions"][0]["secrets"] == []


def test_the_live_definition_is_not_touched() -> None:
    made({"A": "9"})
    assert LIVE["containerDefinitions"][0]["environment"][1] == {"name": "A", "value": "1"}


def test_what_only_describe_says_is_dropped_and_reserved_tags_too() -> None:
    wanted = made()
    assert not READ_ONLY & set(wanted)
    assert wanted["tags"] == [{"key": "team", "value": "x"}]


def test_tags_that_are_all_reserved_leave_none() -> None:
    live = {**LIVE, "tags": [LIVE["tags"][0]]}
    assert "tags" not in definition_for(live, IMAGE, "app", {}, {})


def test_the_dropped_keys_are_exactly_those_that_register_does_not_take() -> None:
    model = botocore.session.get_session().get_service_model("ecs")
    described = set(model.shape_for("TaskDefinition").members)
    registered = set(model.operation_model("RegisterTaskDefinition").input_shape.members)
    assert described - registered == READ_ONLY


def test_an_unknown_container_names_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="no container 'web'") as caught:
        definition_for(LIVE, IMAGE, "web", {}, {})
    assert "app, sidecar" in caught.value.hint


def test_a_definition_without_containers_says_so() -> None:
    with pytest.raises(ConfigurationError) as caught:
        definition_for({"family": "demo"}, IMAGE, "web", {}, {})
    assert "it has none" in caught.value.hint


def test_another_image_makes_a_difference() -> None:
    assert differs(LIVE, made())


def test_the_same_settings_again_make_none() -> None:
    live = {**made({"A": "1"}), "revision": 8, "taskDefinitionArn": "x", "placementConstraints": []}
    again = definition_for(live, IMAGE, "app", {"A": "1", "B": "2"}, {"TOKEN": "arn:token"})
    assert not differs(live, again)


def test_the_order_of_the_environment_makes_none() -> None:
    live = made()
    container = live["containerDefinitions"][0]
    turned = {**container, "environment": container["environment"][::-1]}
    assert not differs(live, {**live, "containerDefinitions": [turned, live["containerDefinitions"][1]]})


def test_another_value_makes_a_difference() -> None:
    live = made()
    assert differs(live, definition_for(live, IMAGE, "app", {"A": "2"}, {}))


def test_environment_is_added_where_there_was_none() -> None:
    live = {"family": "demo", "containerDefinitions": [{"name": "app", "image": "x"}]}
    container = definition_for(live, IMAGE, "app", {"A": "1"}, {})["containerDefinitions"][0]
    assert container == {"name": "app", "image": str(IMAGE), "environment": [{"name": "A", "value": "1"}]}


def test_the_pinned_digest_is_read_and_a_tag_has_none() -> None:
    assert digest_in(made(), "app") == IMAGE.digest
    assert digest_in(LIVE, "app") is None
    assert digest_in(made(), "sidecar") is None
    assert digest_in(made(), "nobody") is None
