"""Where set-up and clean-up go, and what stacks and policies say at each site."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.config import Settings, parse
from pipeline.errors import UsageError
from pipeline.iam import policies, too_large
from pipeline.locations import Chosen, Location, Share, chosen, places_of
from pipeline.stacks import not_ours, possible_stacks, shared_stack, stacks_of

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
def test_tasks_are_pulled_from_the_repository_of_their_region_or_home(region: str, images: str) -> None:
    location = Location.at(many(), region, Share.NOTHING)
    assert stacks_of(location, "prod")[0].request.parameters["RepositoryRegion"] == images


def test_the_role_for_promotion_is_kept_in_the_first_region_and_reaches_all_of_them() -> None:
    kept = {
        region: [spec.name for spec in stacks_of(Location.at(many(), region, Share.NOTHING), "prod")]
        for region in (HOME, EAST, WEST)
    }
    assert kept == {
        HOME: ["onedigest-shop-prod", "onedigest-shop-prod-promotion"],
        EAST: ["onedigest-shop-prod"],
        WEST: ["onedigest-shop-prod"],
    }
    there = str(stacks_of(Location.whole(many()), "prod")[1].request.template)
    told = json.loads(there)["Resources"]["PromotionRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    listed = {one["Sid"]: one for one in told["Statement"]}
    known = {"a": {"Ref": "AWS::AccountId"}, "p": {"Ref": "AWS::Partition"}}
    assert listed["RollOut"]["Condition"] == {"StringEquals": {"aws:RequestedRegion": [HOME, EAST, WEST]}}
    arns = {sid: sub(listed[sid]["Resource"], known) for sid in ("RollOut", "Images", "Records")}
    assert arns == {
        "RollOut": ["arn:${p}:ecs:*:${a}:service/shop-prod/shop"],
        "Images": [f"arn:${{p}}:ecr:{region}:${{a}}:repository/shop" for region in (HOME, EAST)],
        "Records": [f"arn:${{p}}:dynamodb:{HOME}:${{a}}:table/onedigest-shop"],
    }


def sub(node: Any, known: Any) -> list[str]:
    """The texts that CloudFormation puts account and partition into."""
    text, told = node["Fn::Split"][1]["Fn::Sub"] if "Fn::Split" in node else node["Fn::Sub"]
    assert told == known
    return str(text).split(",")


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
    role = "arn:aws:iam::222222222222:role/deploy"
    told = many(f'role_arn = "{role}"\n')
    found = policies(told, places_of(told, ("staging", "prod")))

    assert [one["region"] for one in found["regions"]] == [HOME, EAST, WEST]
    assert {one["role_arn"] for one in found["regions"]} == {role}
    assert [list(one["promote"]) for one in found["regions"]] == [["prod"], [], []]
    there = str(found["regions"][0]["promote"]["prod"])
    assert "arn:aws:ecs:*:*:service/shop-prod/shop" in there
    assert f"'aws:RequestedRegion': ['{HOME}', '{EAST}', '{WEST}']" in there
    assert f"arn:aws:dynamodb:{HOME}:*:table/onedigest-shop" in there
    assert f"'aws:RequestedRegion': '{WEST}'" in str(found["regions"][2]["setup"])


@pytest.mark.parametrize("baseline", ["prod", "none"])
def test_who_promotes_by_assuming_a_role_may_assume_it_and_so_may_who_compares_with_production(
    baseline: str,
) -> None:
    role = "arn:aws:iam::222222222222:role/deploy"
    told = many(f'role_arn = "{role}"\n[load]\nbaseline = "{baseline}"\n')

    found = policies(told, places_of(told, ("staging", "prod")))

    assumes = {
        name: [one["Resource"] for one in policy["Statement"] if one["Sid"] == "Assume"]
        for name, policy in {**found["promote"], "setup": found["setup"], "ci": found["ci"]}.items()
    }
    asked = [[role]] if baseline == "prod" else []
    assert assumes == {"staging": asked, "prod": [[role]], "setup": [[role]], "ci": []}


SERVICES = """
[load]
baseline = "none"
[services.web]
[services.api]
port = 9000
secrets = { DATABASE_URL = "shop-api/{environment}/database-url" }
"""


def test_each_service_has_stacks_of_its_own_and_all_together_one_role_for_promotion() -> None:
    whole = Location.whole(parse(HEAD + SERVICES))

    assert [spec.name for spec in stacks_of(whole, "prod")] == ["onedigest-shop-prod-promotion"]
    (web,), (api,) = (stacks_of(part, "prod") for part in whole.parts)
    assert (web.name, api.name) == ("onedigest-shop-web-prod", "onedigest-shop-api-prod")
    assert api.request.tags == {
        "onedigest:app": "shop-api",
        "onedigest:environment": "prod",
        "onedigest:release": "shop",
    }
    told = api.request.parameters
    assert (told["ContainerPort"], told["RepositoryName"], told["DatabaseSecret"]) == ("9000", "shop", "yes")
    assert [shared_stack(part) for part in whole.parts] == [None, None]
    shared = shared_stack(whole)
    assert shared is not None
    assert shared.request.parameters["RepositoryName"] == "shop"


def test_a_service_that_was_one_of_the_release_is_known_by_its_name() -> None:
    whole = Location.whole(parse(HEAD + SERVICES))

    assert possible_stacks(whole.former("mail"), "prod")[0] == "onedigest-shop-mail-prod"
    assert possible_stacks(whole.former(""), "prod")[0] == "onedigest-shop-prod"
    assert [part.service for part in whole.parts] == ["web", "api"]
    assert (whole.parts[0].release, whole.release) == ("shop", "shop")


def test_an_app_that_is_called_as_a_service_is_not_that_service_nor_the_service_the_app() -> None:
    (web, _), alone = (
        Location.whole(parse(HEAD + SERVICES)).parts,
        Location.whole(parse(HEAD.replace("shop", "shop-web"))),
    )
    (of_service, *_), (of_app, *_) = stacks_of(web, "prod"), stacks_of(alone, "prod")

    assert of_service.name == of_app.name == "onedigest-shop-web-prod"
    assert (not_ours(web, of_service.request.tags), not_ours(alone, of_app.request.tags)) == ("", "")
    assert "is of an app that is called shop-web" in not_ours(web, of_app.request.tags)
    assert "onedigest:release = shop: it is of a service" in not_ours(alone, of_service.request.tags)
    assert "was not made by onedigest" in not_ours(web, {})


def test_the_template_of_the_role_has_a_size_that_cloudformation_takes() -> None:
    def release(count: int) -> Location:
        services = "".join(f"[services.part{number:02}]\n" for number in range(count))
        return Location.whole(parse(f'{HEAD}{WAVES}[load]\nbaseline = "none"\n{services}'))

    assert too_large(release(20), "prod") == []
    (reason,) = too_large(release(40), "prod")
    assert "40 services" in reason.text
    assert "CloudFormation takes 51,200" in reason.text


def test_without_regions_the_policies_are_those_of_one() -> None:
    told = parse(HEAD)
    assert list(policies(told, places_of(told, ("prod",)))) == ["setup", "ci", "promote"]
