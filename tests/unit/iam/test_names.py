"""With the longest name that an app may have, AWS takes every name that is made of it, and policies know it again."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pipeline.adapters.stack import template
from pipeline.adapters.template_file import parsed
from pipeline.config import parse
from pipeline.config_values import LONGEST_NAME
from pipeline.iam import policies
from pipeline.model.permissions import Grounds, Scope, promotion_policy
from pipeline.names import stack_name
from tests.iam.authorization import schema
from tests.iam.evaluator import Asked, allowed

APP = "a" * LONGEST_NAME
SETTINGS = parse(
    f'[app]\nname = "{APP}"\n[cloud]\nprovider = "aws"\nregion = "eu-central-1"\n'
    "[environments.staging]\n[environments.prod]\n"
)
ROLE_NAME, RANDOM = 64, 13
"""A role's name; what CloudFormation ends a name with: 12 characters or 13, by its age."""

LIMITS = {
    "LoadBalancer.Name": 32,
    "TargetGroup.Name": 32,
    "Alarm.AlarmName": 255,
    "LogGroup.LogGroupName": 512,
}
"""Where the schemas say nothing, or say it later than the API does."""


def named_by_cloudformation(stack: str, logical: str) -> str:
    """A role's name: of a stack's name that is too long, the end is cut off."""
    end = f"-{logical}-{'x' * RANDOM}"
    return stack[: ROLE_NAME - len(end)] + end


def texts() -> list[Any]:
    """Each name in a template that the app's is a part of: type, property, and what it says."""
    found = []
    for name in ("shared", "environment", "baseline", "promotion", "autoscaling"):
        for logical, resource in parsed(template(name))["Resources"].items():
            for key, value in resource.get("Properties", {}).items():
                if isinstance(value, dict) and "${App}" in str(value.get("Fn::Sub", "")):
                    found.append(pytest.param(resource["Type"], key, value["Fn::Sub"], id=f"{logical}.{key}"))
    return found


@pytest.mark.parametrize(("kind", "key", "form"), texts())
@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_aws_takes_it(kind: str, key: str, form: str, environment: str) -> None:
    text = form.replace("${App}", APP).replace("${Environment}", environment)
    told = schema(kind)["properties"][key]
    most = LIMITS.get(f"{kind.split('::')[-1]}.{key}", told.get("maxLength", 10_000))

    assert len(re.sub(r"\$\{\w+\}", "100", text)) <= most


def test_names_are_seen() -> None:
    assert len(texts()) > 10
    assert "Name" in json.dumps([one.id for one in texts()])


def test_every_policy_fits_into_a_role() -> None:
    """As an inline policy, of which a role may have 10,240 characters, those between words not counted."""
    printed = policies(SETTINGS, [("staging", "eu-central-1"), ("prod", "eu-central-1")])
    found = [printed["setup"], printed["ci"], *printed["promote"].values()]

    assert [size for one in found if (size := len(json.dumps(one, separators=(",", ":")))) > 10_240] == []


@pytest.mark.parametrize("environment", ["staging", "prod"])
@pytest.mark.parametrize(
    ("role", "kind", "action"),
    [
        ("ExecutionRole", "environment", "iam:PassRole"),
        ("TaskRole", "environment", "iam:PassRole"),
        ("PromotionRole", "promotion", "iam:GetRole"),
    ],
)
@pytest.mark.parametrize("service", ["", "x"])
def test_the_policy_knows_the_roles_of_its_environment(
    environment: str, role: str, kind: str, action: str, service: str
) -> None:
    assert role in parsed(template(kind))["Resources"]
    app, own = (APP[: -len(service) - 1], APP[: -len(service) - 1] + f"-{service}") if service else (APP, APP)
    scope = Scope(app, "eu-central-1", app, f"onedigest-{app}", f"onedigest-{app}")
    policy = promotion_policy(scope, [Grounds(own, environment, f"{own}-{environment}", own)])

    bearer = (
        f"onedigest-{app}-{environment}-promotion"
        if kind == "promotion"
        else f"onedigest-{own}-{environment}"
    )
    name = named_by_cloudformation(bearer, role)
    told = {"iam:PassedToService": ["ecs-tasks.amazonaws.com"]}

    assert stack_name(SETTINGS, environment) == f"onedigest-{APP}-{environment}"
    assert allowed([policy], Asked(action, f"arn:aws:iam::1:role/{name}", told))
    assert named_by_cloudformation(f"onedigest-{APP}x-staging", "ExecutionRole").count("-staging-") == 0
