"""The service beside one of staging's: where it is asked, and what is said when it is not there to be asked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline import config
from pipeline.baseline import BaselineService
from pipeline.errors import ConfigurationError, DeniedError
from pipeline.model.check import State
from pipeline.places import Place
from pipeline.reach import Site

ONE = """
[app]
name = "shop"
[cloud]
provider = "aws"
region = "eu-central-1"
[environments.staging]
[environments.prod]
"""
SEVERAL = ONE + "[services.web]\n[services.api]\n"


class Ecs:
    """A client of ECS with one service, of which no task runs, or which answers with an error alone."""

    def __init__(self, code: str = "", desired: int = 0) -> None:
        self.code, self.desired = code, desired

    def describe_services(self, *, cluster: str, services: list[str]) -> dict[str, Any]:
        if self.code:
            raise ClientError({"Error": {"Code": self.code, "Message": "because"}}, "DescribeServices")
        arn = f"arn:aws:ecs:eu-central-1:123456789012:service/{cluster}/{services[0]}"
        count = {"desiredCount": self.desired, "runningCount": 0}
        found = {
            "serviceArn": arn,
            "status": "ACTIVE",
            "taskDefinition": "shop:1",
            "deployments": [],
            **count,
        }
        return {"services": [found]}

    def list_tasks(self, **_which: Any) -> dict[str, Any]:
        return {"taskArns": []}


def beside(
    told: str = ONE, service: str = "", ecs: Any = None, url: str = "https://shop.test:8081", unused: str = ""
) -> BaselineService:
    def front(environment: str, _region: str, _service: str) -> str:
        return "https://shop.test/" if environment == "staging" else url

    api: Any = SimpleNamespace(client=lambda _name: ecs or Ecs())
    cloud: Any = SimpleNamespace(url=front, at=lambda _environment, _region: api)
    none: Any = None
    settings = config.parse(told).of(service)
    site = Site(service or "eu-central-1", "eu-central-1", service)
    return BaselineService(Place("staging", site, settings, cloud, none, none, none), unused)


def test_it_is_asked_at_a_front_of_its_own() -> None:
    assert beside().url() == "https://shop.test:8081"


@pytest.mark.parametrize(
    ("told", "service", "key"),
    [(ONE, "", "environments.staging.baseline.url"), (SEVERAL, "web", "services.web.baseline.url")],
    ids=["one service", "one of several"],
)
def test_a_front_that_leads_to_the_candidate_is_none(told: str, service: str, key: str) -> None:
    with pytest.raises(ConfigurationError, match="the candidate would be compared with itself") as caught:
        beside(told, service, url="https://shop.test").url()
    assert key in caught.value.hint


def test_a_service_that_is_not_there_is_told_with_the_way_to_have_one() -> None:
    class Nowhere(Ecs):
        def describe_services(self, *, cluster: str, services: list[str]) -> dict[str, Any]:
            return {"services": []}

    for told, service, key in ((ONE, "", "environments.staging"), (SEVERAL, "api", "services.api")):
        with pytest.raises(ConfigurationError, match="there is no baseline service") as caught:
            beside(told, service, Nowhere()).described()
        assert f"{key}.baseline.service" in caught.value.hint


def test_a_service_that_may_not_be_seen_is_not_said_to_be_missing() -> None:
    with pytest.raises(DeniedError, match="because") as caught:
        beside(ecs=Ecs("AccessDeniedException")).described()
    assert "allow this action" in caught.value.hint


def test_what_still_stands_beside_a_service_that_is_not_compared_is_told_with_its_end() -> None:
    (check,) = beside(SEVERAL, "api", Ecs(desired=1), unused="the load does not reach it").checks()
    assert (check.state, check.text) == (
        State.NG,
        "1 task of nothing yet beside staging, left by a killed run, and the load does not reach it",
    )
    assert "--desired-count 0" in check.fix


def test_one_that_is_stagings_own_service_is_found_before_a_run() -> None:
    told = ONE.replace(
        "[environments.prod]", '[environments.staging.baseline]\nservice = "shop"\n[environments.prod]'
    )

    class WithDefinitions(Ecs):
        def describe_task_definition(self, **_which: Any) -> dict[str, Any]:
            return {"taskDefinition": {"containerDefinitions": []}}

    (check,) = beside(told, ecs=WithDefinitions()).checks()
    assert check.state is State.NG
    assert "is staging's own service" in check.text
