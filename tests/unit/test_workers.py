"""What the doctor asks IAM of tasks that load."""

from __future__ import annotations

from pipeline.model.permissions import Grounds, promotion_policy
from pipeline.workers import calls_made
from tests.unit.model.test_permissions import SCOPE, allows


def test_what_the_doctor_asks_of_tasks_that_load_is_what_the_role_of_staging_may() -> None:
    policy = promotion_policy(SCOPE, Grounds("staging", "shop-staging", "shop"))
    service = "arn:aws:ecs:eu-west-1:1:service/shop-staging/shop"

    asked = calls_made(service, "shop-staging", "shop-staging-load", "/ecs/shop/staging")

    assert len(asked) == 4
    for action, resource, context in asked:
        assert allows(policy, action, resource, context.get("ecs:cluster", "")), action
