"""Tasks that load: their image, and what the doctor asks IAM of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.adapters.load_image import LoadImage
from pipeline.model.permissions import Grounds, promotion_policy
from pipeline.workers import Workers, calls_made
from tests.unit.model.test_permissions import SCOPE, allows
from tests.unit.test_places import IMAGE, place


def test_what_the_doctor_asks_of_tasks_that_load_is_what_the_role_of_staging_may() -> None:
    policy = promotion_policy(SCOPE, [Grounds("shop", "staging", "shop-staging", "shop", loaded=True)])
    service = "arn:aws:ecs:eu-west-1:1:service/shop-staging/shop"

    asked = calls_made(service, "shop-staging", "shop-staging-load", "/ecs/shop/staging")

    assert len(asked) == 4
    for action, resource, context in asked:
        assert allows(policy, action, resource, context.get("ecs:cluster", "")), action


def test_of_several_services_the_tasks_stand_beside_one_and_their_image_is_of_no_release(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LoadImage, "ensure", lambda _self, _say: IMAGE)
    asked = []

    def delivered(*told: object) -> object:
        asked.append(told[:3])
        return IMAGE

    records = SimpleNamespace(delivered=delivered, repository=IMAGE.repository, registry=None)
    workers = Workers(Path("/"), place("staging", records))
    assert workers.image(print) == IMAGE
    assert asked == [("staging", "eu-central-1", IMAGE)]
    assert workers.family == "shop-web-staging-load"
