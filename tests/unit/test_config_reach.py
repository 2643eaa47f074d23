"""Where environments are, as pipeline.toml says it: regions in waves, accounts; mistakes with their path."""

from __future__ import annotations

import pytest

from pipeline import config
from pipeline.errors import ConfigurationError
from pipeline.places import _shape

HEAD = """
[app]
name = "shop"
[cloud]
provider = "aws"
region = "eu-central-1"
[environments.staging]
[environments.prod]
"""


def prod(more: str) -> config.ProductionSettings:
    return config.parse(HEAD + more).environments.prod


def test_regions_are_in_waves() -> None:
    told = prod(
        'regions = [["eu-west-1"], ["us-east-1", "us-west-2"]]\nwave_bake = "5m"\non_failure = "stop"'
    )
    assert told.waves("eu-central-1") == (("eu-west-1",), ("us-east-1", "us-west-2"))
    assert (told.wave_bake, told.on_failure) == (300.0, "stop")


def test_a_flat_list_is_one_wave_and_none_is_the_clouds_region() -> None:
    assert prod('regions = ["us-east-1", "us-west-2"]').waves("x") == (("us-east-1", "us-west-2"),)
    assert prod("").waves("eu-central-1") == (("eu-central-1",),)
    assert prod("regions = []").waves("eu-central-1") == (("eu-central-1",),)


def test_registries_and_addresses_are_by_region_with_the_environments_own_for_the_rest() -> None:
    told = prod(
        'regions = ["us-east-1", "us-west-2"]\nregistry = "own.test"\n'
        'registries = { us-east-1 = "east.test" }\nurls = { us-east-1 = "https://east.test" }'
    )
    assert (told.registry_in("us-east-1"), told.registry_in("us-west-2")) == ("east.test", "own.test")
    assert (told.url_in("us-east-1"), told.url_in("us-west-2")) == ("https://east.test", "")
    assert prod('url = "https://shop.test"').url_in("eu-central-1") == "https://shop.test"


def test_staging_is_in_one_region_and_may_be_in_another_account() -> None:
    text = HEAD.replace(
        "[environments.staging]",
        '[environments.staging]\nprofile = "try"\nrole_arn = "arn:aws:iam::111122223333:role/x"\nurl = "https://s.test"',
    )
    told = config.parse(text).environments.staging
    assert (told.profile, told.role_arn) == ("try", "arn:aws:iam::111122223333:role/x")
    assert (told.waves("eu-central-1"), told.url_in("eu-central-1")) == (
        (("eu-central-1",),),
        "https://s.test",
    )
    assert told.registry_in("eu-central-1") == ""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('regions = [["us-east-1"], ["us-east-1"]]', "regions: named twice: us-east-1"),
        ('regions = [["us-east-1"], []]', "regions: a wave without a region"),
        ('regions = ["east"]', "environments.prod.regions"),
        ('regions = "us-east-1"', "environments.prod.regions"),
        (
            'regions = ["us-east-1"]\nurls = { us-west-2 = "u" }',
            "urls: us-west-2: not in regions (us-east-1)",
        ),
        ('registries = { us-west-2 = "u" }', "registries: us-west-2: not in regions (none)"),
        ('regions = ["us-east-1", "us-west-2"]\nurl = "u"', "with several regions, name each in urls"),
        ('certificates = { us-west-2 = "arn:aws:acm:x" }', "certificates: us-west-2: not in regions (none)"),
        ('on_failure = "rollback"', "did you mean 'roll_back'?"),
        ('region = "us-east-1"', "no such key (did you mean 'regions'?)"),
        ('external_id = "x"', "external_id goes with role_arn"),
        ('role_arn = "deploy"', "environments.prod.role_arn"),
        ('wave_bake = "5"', "environments.prod.wave_bake"),
    ],
)
def test_mistakes_are_named(more: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        prod(more)
    assert said in caught.value.message


def test_a_staging_in_several_regions_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match=r"environments\.staging\.regions: no such key"):
        config.parse(
            HEAD.replace("[environments.staging]", '[environments.staging]\nregions = ["us-east-1"]')
        )


def test_in_whose_name_it_is_reached_makes_no_other_plan_and_regions_do() -> None:
    """What was on record before there were regions still stands."""
    plain = _shape(prod(""))
    assert not {"regions", "profile", "role_arn", "wave_bake", "urls"} & set(plain)
    assert _shape(prod('profile = "release"\nrole_arn = "arn:aws:iam::111122223333:role/x"')) == plain
    told = _shape(prod('regions = ["us-east-1"]\ncertificates = { us-east-1 = "arn:aws:acm:us-east-1:1:c" }'))
    assert (told["regions"], told.get("certificates")) == ([["us-east-1"]], None)
