"""The task definition of tasks that load, made after the service's."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import ConfigurationError
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.load_definition import LoadSize, load_definition, runs_the_same

IMAGE = ImageRef("registry.test/shop", Digest("sha256:" + "a" * 64))
SIZE = LoadSize(1024, 2048, {"PLACE": "here"}, {"TOKEN": "arn:aws:secretsmanager:x"})
LOG = {
    "logDriver": "awslogs",
    "options": {
        "awslogs-group": "/ecs/shop/staging",
        "awslogs-region": "eu-west-1",
        "awslogs-stream-prefix": "staging",
        "awslogs-datetime-format": "%Y",
    },
}


def service(**container: Any) -> dict[str, Any]:
    return {
        "family": "shop-staging",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "executionRoleArn": "arn:aws:iam::123456789012:role/start",
        "taskRoleArn": "arn:aws:iam::123456789012:role/app",
        "cpu": "256",
        "containerDefinitions": [{"name": "app", "image": "x", "logConfiguration": LOG, **container}],
    }


def made(size: LoadSize = SIZE, grace: float = 5.0) -> dict[str, Any]:
    return load_definition("shop-staging-load", service(), "app", IMAGE, size, grace)


def test_network_execution_role_and_log_group_are_the_services_and_size_and_image_ours() -> None:
    assert made() == {
        "family": "shop-staging-load",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "executionRoleArn": "arn:aws:iam::123456789012:role/start",
        "cpu": "1024",
        "memory": "2048",
        "containerDefinitions": [
            {
                "name": "load",
                "image": str(IMAGE),
                "essential": True,
                "stopTimeout": 30,
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": "/ecs/shop/staging",
                        "awslogs-region": "eu-west-1",
                        "awslogs-stream-prefix": "load",
                    },
                },
                "environment": [{"name": "PLACE", "value": "here"}],
                "secrets": [{"name": "TOKEN", "valueFrom": "arn:aws:secretsmanager:x"}],
            }
        ],
    }


def test_it_has_the_services_tags_by_which_a_clean_up_knows_it() -> None:
    ours, aws = (
        {"key": "onedigest:app", "value": "shop"},
        {"key": "aws:cloudformation:stack-id", "value": "1"},
    )
    told = load_definition("shop-staging-load", {**service(), "tags": [ours, aws]}, "app", IMAGE, SIZE, 5.0)
    assert told["tags"] == [ours]
    assert runs_the_same(told, told)
    assert not runs_the_same({**told, "tags": []}, told)


def test_it_is_never_given_longer_to_end_than_ecs_gives() -> None:
    assert made(grace=300.0)["containerDefinitions"][0]["stopTimeout"] == 120


@pytest.mark.parametrize(
    "log",
    [None, {"logDriver": "awsfirelens"}, {"logDriver": "awslogs"}, {"logDriver": "awslogs", "options": {}}],
)
def test_without_cloudwatch_logs_nothing_would_come_back(log: Any) -> None:
    with pytest.raises(ConfigurationError, match="does not log to CloudWatch Logs") as caught:
        load_definition("f", service(logConfiguration=log), "app", IMAGE, SIZE, 5.0)
    assert "tasks = 0" in caught.value.hint


def test_a_container_that_is_not_there_does_not_log_either() -> None:
    with pytest.raises(ConfigurationError, match="'web' of shop-staging"):
        load_definition("f", service(), "web", IMAGE, SIZE, 5.0)


def described(definition: dict[str, Any]) -> dict[str, Any]:
    """The same as ECS tells it, with what it adds."""
    container = {"cpu": 0, "portMappings": [], "mountPoints": [], **definition["containerDefinitions"][0]}
    return {
        **definition,
        "taskDefinitionArn": "arn:aws:ecs:td/shop-staging-load:3",
        "revision": 3,
        "status": "ACTIVE",
        "volumes": [],
        "containerDefinitions": [container],
    }


def test_what_ecs_adds_makes_no_other_definition() -> None:
    assert runs_the_same(described(made()), made())
    bare = made(LoadSize(1024, 2048))
    assert runs_the_same(described(bare), bare)


def test_another_size_image_or_variable_makes_another_definition() -> None:
    assert not runs_the_same({}, made())
    assert not runs_the_same(described(made()), made(LoadSize(2048, 4096, SIZE.environment, SIZE.secrets)))
    assert not runs_the_same(described(made()), made(LoadSize(1024, 2048)))
    assert not runs_the_same(described(made(LoadSize(1024, 2048))), made())
    more = described(made())
    more["containerDefinitions"] = [*more["containerDefinitions"], {"name": "other"}]
    assert not runs_the_same(more, made())
    other = load_definition(
        "shop-staging-load", service(), "app", ImageRef("r.test/s", Digest("sha256:" + "b" * 64)), SIZE, 5.0
    )
    assert not runs_the_same(described(made()), other)
