"""Where environments are reached, in whose name, and how their registries are logged in to."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.stub import Stubber

from pipeline.adapters.aws import Access, Aws
from pipeline.config import Settings, parse
from pipeline.reach import Reach, local_name, mirrors_of, own_repositories, regions_of, waves_of

HEAD = """
[app]
name = "shop"
[cloud]
provider = "aws"
region = "eu-central-1"
[environments.staging]
"""
OWN = "222222222222.dkr.ecr.us-east-1.amazonaws.com"
MANY = f"""
[environments.prod]
regions = [["eu-central-1"], ["us-east-1", "us-west-2"]]
registries = {{ "us-east-1" = "{OWN}" }}
profile = "release"
role_arn = "arn:aws:iam::222222222222:role/deploy"
external_id = "shop"
"""


def settings(prod: str) -> Settings:
    return parse(HEAD + prod)


def test_without_regions_an_environment_is_in_the_clouds() -> None:
    told = settings("[environments.prod]")
    assert waves_of(told, "prod") == waves_of(told, "staging") == (("eu-central-1",),)
    assert local_name(told, "prod", "eu-central-1") == "prod"


def test_regions_are_in_the_order_of_their_waves() -> None:
    told = settings(MANY)
    assert regions_of(told, "prod") == ("eu-central-1", "us-east-1", "us-west-2")
    assert local_name(told, "prod", "us-west-2") == "prod-us-west-2"
    assert regions_of(settings('[environments.prod]\nregions = ["us-east-1"]'), "prod") == ("us-east-1",)


def test_repositories_are_by_region_and_mirrored_once() -> None:
    told = settings(MANY + 'registry = "own.test"\n')
    assert own_repositories(told) == {
        ("prod", "eu-central-1"): "own.test/shop",
        ("prod", "us-east-1"): f"{OWN}/shop",
        ("prod", "us-west-2"): "own.test/shop",
    }
    assert mirrors_of(told) == {"staging": (), "prod": ("own.test/shop", f"{OWN}/shop")}


def opened(told: Settings) -> tuple[Reach, Aws]:
    access = Access("eu-central-1", endpoint="http://127.0.0.1:9", key="k", secret="s")
    home = Aws(access)
    return Reach(told, home, access), home


def test_an_environment_that_says_nothing_is_reached_as_the_cloud_is() -> None:
    reach, home = opened(settings(MANY))
    assert reach.aws("staging", "eu-central-1") is home


def test_each_region_is_opened_once_in_the_environments_name() -> None:
    reach, home = opened(settings(MANY))
    east = reach.aws("prod", "us-east-1")
    assert east is reach.aws("prod", "us-east-1")
    assert east is not home
    access = east._access
    assert (access.region, access.profile) == ("us-east-1", "release")
    assert access.role is not None
    assert (access.role.arn, access.role.external_id) == ("arn:aws:iam::222222222222:role/deploy", "shop")


@pytest.mark.parametrize(
    ("host", "of"),
    [
        (OWN, ("prod", "us-east-1")),
        ("111111111111.dkr.ecr.eu-central-1.amazonaws.com", ("staging", "eu-central-1")),
        ("111111111111.dkr.ecr.us-west-2.amazonaws.com", ("staging", "us-west-2")),
        ("registry.test:5000", ("staging", "eu-central-1")),
    ],
)
def test_a_registry_is_logged_in_to_in_its_own_region_and_its_environments_name(
    host: str, of: tuple[str, str]
) -> None:
    reach, _ = opened(settings(MANY.partition("profile")[0]))
    token: dict[str, Any] = {"authorizationData": [{"authorizationToken": "QVdTOnB3"}]}
    with Stubber(reach.aws(*of).client("ecr")) as stubber:
        stubber.add_response("get_authorization_token", token)
        assert reach.login(host) == {"username": "AWS", "password": "pw"}
        stubber.assert_no_pending_responses()
