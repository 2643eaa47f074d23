"""Where set-up and clean-up go, and what stacks and policies say at each site."""

from __future__ import annotations

import pytest

from pipeline.config import Settings, parse
from pipeline.errors import UsageError
from pipeline.locations import Chosen, Location, Share, chosen, places_of
from pipeline.stacks import policies, shared_stack, stacks_of

HOME, EAST, WEST = "eu-central-1", "us-east-1", "us-west-2"
EAST_ECR = f"222222222222.dkr.ecr.{EAST}.amazonaws.com"
HEAD = f"""
[app]
name = "shop"
[cloud]
provider = "aws"
region = "{HOME}"
[environments.staging]
[environments.prod]
"""
WAVES = f'regions = [["{HOME}"], ["{EAST}", "{WEST}"]]\n'
REGISTRIES = f'registries = {{ "{EAST}" = "{EAST_ECR}" }}\n'


def many(more: str = "") -> Settings:
    return parse(HEAD + WAVES + REGISTRIES + more)


def test_without_a_region_it_is_all_of_each_environment_in_the_order_of_the_waves() -> None:
    told = many()
    everywhere = (("staging", HOME), ("prod", HOME), ("prod", EAST), ("prod", WEST))
    assert chosen(told, ("staging", "prod"), "") == Chosen(told, everywhere)
    assert places_of(told, ("prod",)) == everywhere[1:]


@pytest.mark.parametrize(("region", "home"), [(HOME, True), (EAST, False)])
def test_a_region_of_the_environment_is_that_one_alone(region: str, *, home: bool) -> None:
    told = many()
    assert chosen(told, ("prod",), region) == Chosen(told, (("prod", region),), home)


def test_another_region_stands_for_the_clouds_where_environments_name_none() -> None:
    about = chosen(parse(HEAD), ("staging", "prod"), "ap-south-1")
    assert about.settings.cloud.region == "ap-south-1"
    assert about.places == (("staging", "ap-south-1"), ("prod", "ap-south-1"))
    assert about.home


@pytest.mark.parametrize(
    ("environments", "region", "says"),
    [
        (("prod",), "ap-south-1", f"prod is in {HOME}, {EAST}, {WEST}; it has no region ap-south-1"),
        (("staging", "prod"), EAST, f"staging is in {HOME}; it has no region {EAST}"),
    ],
)
def test_a_region_that_an_environment_does_not_have_is_refused(
    environments: tuple[str, ...], region: str, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        chosen(many(), environments, region)


def test_the_local_cloud_has_no_other_region() -> None:
    told = parse(HEAD.replace('"aws"', '"local"'))
    with pytest.raises(UsageError, match="the local cloud has no region ap-south-1 of its own"):
        chosen(told, ("prod",), "ap-south-1")


def test_only_home_has_a_table_a_role_for_ci_and_a_key() -> None:
    told = many('[evidence]\nsigner = "awskms:///alias/onedigest-shop"\n')
    shares = {}
    for share in Share:
        stack = shared_stack(Location.at(told, HOME if share is Share.ALL else EAST, share))
        shares[share] = stack and {
            name: stack.request.parameters[name] for name in ("Repository", "Table", "Ci", "SigningKey")
        }

    assert shares == {
        Share.ALL: {"Repository": "yes", "Table": "yes", "Ci": "yes", "SigningKey": "yes"},
        Share.REPOSITORY: {"Repository": "yes", "Table": "no", "Ci": "no", "SigningKey": "no"},
        Share.NOTHING: None,
        Share.BESIDE: None,
    }


def test_a_repository_that_is_somebody_elses_is_made_nowhere() -> None:
    told = parse(
        (HEAD + WAVES + REGISTRIES).replace('name = "shop"', 'name = "shop"\nrepository = "their/shop"')
    )
    assert shared_stack(Location.at(told, EAST, Share.REPOSITORY)) is None


@pytest.mark.parametrize(("region", "images"), [(HOME, HOME), (EAST, EAST), (WEST, HOME)])
def test_roles_reach_the_repository_that_is_pulled_from_and_the_table_at_home(
    region: str, images: str
) -> None:
    location = Location.at(many(), region, Share.NOTHING)
    told = stacks_of(location, "prod")[0].request.parameters
    assert (told["HomeRegion"], told["RepositoryRegion"]) == (HOME, images)


def test_a_load_balancer_has_the_certificate_of_its_region() -> None:
    told = many(
        f'setup = {{ certificate = "arn:aws:acm:{HOME}:1:certificate/a" }}\n'
        f'certificates = {{ "{EAST}" = "arn:aws:acm:{EAST}:1:certificate/b" }}\n'
    )
    found = {
        region: stacks_of(Location.at(told, region, Share.NOTHING), "prod")[0].request.parameters[
            "CertificateArn"
        ]
        for region in (HOME, EAST, WEST)
    }
    assert [arn[-1] for arn in found.values()] == ["a", "b", "a"], "set-up refuses the last"
    assert stacks_of(Location.whole(told), "staging")[0].request.parameters["CertificateArn"] == ""


def test_policies_are_told_for_every_region_and_identity() -> None:
    told = many('role_arn = "arn:aws:iam::222222222222:role/deploy"\n')
    found = policies(told, places_of(told, ("staging", "prod")))

    assert list(found["promote"]) == ["staging"]
    assert [one["region"] for one in found["regions"]] == [HOME, EAST, WEST]
    assert {one["role_arn"] for one in found["regions"]} == {"arn:aws:iam::222222222222:role/deploy"}
    west = str(found["regions"][2]["promote"]["prod"])
    assert f"arn:aws:ecs:{WEST}:*:service/shop-prod/shop" in west
    assert f"arn:aws:dynamodb:{HOME}:*:table/onedigest-shop" in west
    assert f"arn:aws:ecr:{HOME}:*:repository/shop" in west
    assert f"arn:aws:ecr:{EAST}:*:repository/shop" in str(found["regions"][1]["promote"])
    assert f"'aws:RequestedRegion': '{WEST}'" in str(found["regions"][2]["setup"])


def test_without_regions_the_policies_are_those_of_one() -> None:
    told = parse(HEAD)
    assert list(policies(told, places_of(told, ("prod",)))) == ["setup", "ci", "promote"]
