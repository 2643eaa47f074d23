from __future__ import annotations

from collections.abc import Mapping

import pytest

from pipeline.commands.consent import agree
from pipeline.config import Settings, parse
from pipeline.errors import ConfigurationError, UsageError
from pipeline.iam import policies
from pipeline.locations import Location
from pipeline.names import is_adopted, signing_alias
from pipeline.stacks import families, has_database, not_here, possible_stacks, shared_stack, stacks_of


def settings(provider: str = "aws", prod: str = "", staging: str = "", rest: str = "") -> Settings:
    return parse(
        f'[app]\nname = "shop"\n[cloud]\nprovider = "{provider}"\n{rest}\n'
        f"[environments.staging]\n{staging}\n[environments.prod]\n{prod}\n"
    )


def _shared(told: Settings) -> Mapping[str, str]:
    stack = shared_stack(Location.whole(told))
    assert stack is not None
    return stack.request.parameters


SCALING = "scaling = { min = 2, max = 4, requests = 600 }"


def test_an_environment_has_the_stacks_it_asks_for_in_the_order_in_which_they_stand_on_each_other() -> None:
    told = settings(prod=SCALING)

    assert [spec.name for spec in stacks_of(Location.whole(told), "prod")] == [
        "onedigest-shop-prod",
        "onedigest-shop-prod-promotion",
        "onedigest-shop-prod-autoscaling",
    ]
    assert [spec.name for spec in stacks_of(Location.whole(told), "staging")] == [
        "onedigest-shop-staging",
        "onedigest-shop-staging-baseline",
        "onedigest-shop-staging-promotion",
    ]
    assert set(possible_stacks(Location.whole(told), "prod")) > {
        spec.name for spec in stacks_of(Location.whole(told), "prod")
    }


def test_the_service_beside_staging_is_allowed_by_the_name_that_it_has_and_none_is_beside_production() -> (
    None
):
    told = settings(staging='baseline = { service = "old", url = "https://old.example" }')
    printed = policies(told, [("staging", "eu-central-1"), ("prod", "eu-central-1")])["promote"]
    made = {name: stacks_of(Location.whole(told), name)[-1].request.template for name in ("staging", "prod")}

    assert "service/shop-staging/old" in str(printed["staging"])
    assert "service/shop-staging/old" in made["staging"]
    assert "baseline" not in str(printed)
    assert "baseline" not in "".join(made.values())


def test_what_a_killed_run_left_beside_staging_may_be_looked_at_where_nothing_is_compared() -> None:
    told = settings(rest='[load]\nbaseline = "none"')
    printed = policies(told, [("staging", "eu-central-1"), ("prod", "eu-central-1")])["promote"]

    assert "service/shop-staging/shop-baseline" in str(printed["staging"])
    assert "AskProduction" not in str(printed["staging"])
    assert "baseline" not in str(printed["prod"])


def test_the_local_cloud_has_no_autoscaling_and_says_so() -> None:
    told = settings("local", prod=SCALING)

    assert [spec.name for spec in stacks_of(Location.whole(told), "prod")] == [
        "onedigest-shop-prod",
        "onedigest-shop-prod-promotion",
    ]
    found = [
        not_here(Location.whole(one), "prod") for one in (told, settings(prod=SCALING), settings("local"))
    ]
    assert found == [("autoscaling: the local cloud's emulator knows none of its types",), (), ()]


def test_an_environment_whose_cluster_or_service_is_named_is_adopted_on_aws_alone() -> None:
    assert is_adopted(settings(prod='service = "web"'), "prod")
    assert is_adopted(settings(prod='cluster = "main"'), "prod")
    assert not is_adopted(settings(prod='url = "https://shop.example"'), "prod")
    assert not is_adopted(settings("local", prod='service = "web"'), "prod")


def test_a_secret_is_kept_by_the_stack_where_it_is_declared_under_its_name() -> None:
    assert has_database(settings(prod='secrets = { DATABASE_URL = "shop/prod/database-url" }'), "prod")
    assert not has_database(settings(prod='secrets = { DATABASE_URL = "elsewhere" }'), "prod")
    assert has_database(settings("local"), "prod")


def test_a_key_is_made_where_it_is_the_one_that_signs() -> None:
    own = settings(rest='[evidence]\nsigner = "awskms:///alias/onedigest-shop"')
    other = settings(rest='[evidence]\nsigner = "awskms:///alias/theirs"')

    assert _shared(own)["SigningKey"] == "yes"
    assert _shared(other)["SigningKey"] == "no"
    assert (signing_alias(own), signing_alias(other)) == ("onedigest-shop", "theirs")
    assert signing_alias(settings()) == "onedigest-shop"


def test_who_verifies_by_keys_in_kms_may_read_those_and_sign_by_none_of_them() -> None:
    keys = ("awskms:///alias/release", "awskms:///alias/onedigest-shop", "keys/ci.pem")
    trust = "".join(
        f'[[trust]]\nname = "{number}"\nkey = "{key}"\nstages = ["approval"]\n'
        for number, key in enumerate(keys)
    )
    told = settings(rest=trust)
    printed = policies(told, [("prod", "eu-central-1")])

    for policy in (printed["ci"], printed["promote"]["prod"]):
        (by_others,) = [one for one in policy["Statement"] if one["Sid"] == "VerifyByOthers"]
        assert by_others["Action"] == "kms:GetPublicKey"
        assert by_others["Condition"] == {
            "ForAnyValue:StringEquals": {"kms:ResourceAliases": ["alias/release"]}
        }
    assert _shared(told)["TrustedAliases"] == "alias/release"
    assert _shared(settings())["TrustedAliases"] == ""


def test_task_definitions_of_the_service_of_the_one_beside_it_and_of_the_load_are_ours() -> None:
    whole = Location.whole(settings())
    assert families(whole, "staging") == ("shop-staging", "shop-staging-baseline", "shop-staging-load")


def test_policies_are_told_for_the_environments_asked_about() -> None:
    assert set(policies(settings(), [("prod", "eu-central-1")])["promote"]) == {"prod"}


@pytest.mark.parametrize(
    ("prod", "wrong"),
    [
        ("setup = { log_days = 8 }", "log_days must be one of 1, 3, 5, 7, 14, 30"),
        ("scaling = { min = 3, max = 2 }", "max (2) must not be below min (3)"),
        ('setup = { certificate = "cert" }', "environments.prod.setup.certificate"),
    ],
)
def test_what_aws_would_not_take_is_a_mistake(prod: str, wrong: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(prod=prod)

    assert wrong in caught.value.message


def test_nobody_at_a_terminal_agrees_to_nothing() -> None:
    with pytest.raises(UsageError, match="set up staging, prod: nobody is here to agree to it"):
        agree(["staging", "prod"], "set up", typed=frozenset(), yes=False)

    agree(["staging"], "set up", typed=frozenset(), yes=True)
