"""Set-up and clean-up of three regions on the emulator alone: production in another account than staging."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipeline.adapters.aws import Access, Aws
from pipeline.clouds import Ground
from pipeline.config import parse
from pipeline.estate import Estate
from pipeline.locations import chosen
from pipeline.model.inventory import Found, left
from tests.foundations import counted

HOME, EAST, WEST = "eu-central-1", "us-east-1", "us-west-2"
A, B = "111111111111", "222222222222"
TOML = f"""
[app]
name = "shop"

[cloud]
provider = "local"
region = "{HOME}"

[load]
baseline = "none"

[environments.staging]

[environments.prod]
regions = [["{HOME}"], ["{EAST}", "{WEST}"]]
registries = {{ "{EAST}" = "{B}.dkr.ecr.{EAST}.amazonaws.com" }}
"""


@dataclass
class Accounts:
    """Two accounts on the emulator: production's own, and that of all else."""

    port: int
    production: str = B
    known: dict[tuple[str, str], Ground] = field(default_factory=dict)

    def survey(self, environment: str, region: str) -> Ground:
        account = self.production if environment == "prod" else A
        if (account, region) not in self.known:
            access = Access(region, endpoint=f"http://127.0.0.1:{self.port}", key=account, secret="test")
            self.known[account, region] = Ground(
                Aws(access),
                region,
                account,
                f"{account} in {region}",
                lambda name, _service: {"DatabaseUrl": f"postgresql://{name}"},
                lambda _environment, _service, own: own,
                lambda _environment, _service: None,
            )
        return self.known[account, region]

    def client(self, account: str, region: str, service: str) -> Any:
        return self.survey("prod" if account == self.production else "staging", region).aws.client(service)

    def estate(self, environments: Sequence[str], region: str = "") -> Estate:
        return Estate.of(chosen(parse(TOML), environments, region), self.survey, print, "a test")

    def set_up(self, *environments: str, region: str = "") -> list[tuple[str, str, str]]:
        """What was done: account, region and stack, in order."""
        whole = self.estate(environments, region)
        plans = whole.plan_setup(accept_loss=False)
        assert whole.refusals(plans) == ()
        return [
            (one.ground.account, one.ground.region, f"{made.did} {made.name.removeprefix('onedigest-shop-')}")
            for one, all_made in whole.set_up(plans)
            for made in all_made
        ]

    def clean_up(self, *environments: str, region: str = "") -> Mapping[tuple[str, str], tuple[Found, ...]]:
        """What is left then at each site, in the order in which they were cleaned up."""
        whole = self.estate(environments, region)
        plans = whole.plan_cleanup(keep_images=False)
        assert whole.refusals(plans) == ()
        return {one.ground.place: left(found) for one, found in whole.clean_up(plans, keep_images=False)}

    def tables(self, account: str, region: str) -> list[str]:
        return list(self.client(account, region, "dynamodb").list_tables()["TableNames"])

    def repositories(self, account: str, region: str) -> list[str]:
        found = self.client(account, region, "ecr").describe_repositories()["repositories"]
        return [one["repositoryName"] for one in found]


@pytest.fixture
def accounts(port: int) -> Iterator[Accounts]:
    """Empty accounts, and empty again afterwards."""
    found = Accounts(port)
    yield found
    assert set(found.clean_up("staging", "prod").values()) == {()}


PLACES = [(A, HOME), (B, HOME), (B, EAST), (B, WEST)]
"""In the order of set-up."""


def test_each_region_gets_what_it_needs_and_gives_it_back_before_home_does(accounts: Accounts) -> None:
    did = accounts.set_up("staging", "prod")

    assert did == [
        (A, HOME, "created shared"),
        (A, HOME, "created staging"),
        (A, HOME, "created staging-promotion"),
        (B, HOME, "created prod"),
        (B, HOME, "created prod-promotion"),
        (B, EAST, "created shared"),
        (B, EAST, "created prod"),
        (B, WEST, "created prod"),
    ]
    assert [accounts.tables(*place) for place in PLACES] == [["onedigest-shop"], [], [], []]
    assert [accounts.repositories(*place) for place in PLACES] == [["shop"], [], ["shop"], []]
    assert {what for *_, what in accounts.set_up("staging", "prod")} == {
        *("unchanged shared", "unchanged staging", "unchanged staging-promotion"),
        *("unchanged prod", "unchanged prod-promotion"),
    }

    after = accounts.clean_up("staging", "prod")

    assert list(after) == PLACES[::-1]
    assert set(after.values()) == {()}
    assert [accounts.tables(*place) + accounts.repositories(*place) for place in PLACES] == [[]] * 4


def test_one_region_goes_alone_and_the_others_keep_what_all_share(accounts: Accounts) -> None:
    accounts.set_up("staging", "prod")

    assert accounts.clean_up("prod", region=EAST) == {(B, EAST): ()}
    after = accounts.clean_up("staging", region=HOME)

    assert after == {(A, HOME): ()}
    assert accounts.tables(A, HOME) == ["onedigest-shop"], "production still needs it"
    assert accounts.repositories(B, EAST) == []
    assert accounts.set_up("prod", region=EAST) == [(B, EAST, "created shared"), (B, EAST, "created prod")]


@contextmanager
def foreign(accounts: Accounts, region: str) -> Iterator[None]:
    """A stack of our name there that somebody else made."""
    client = accounts.client(B, region, "cloudformation")
    topic = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'
    client.create_stack(StackName="onedigest-shop-prod", TemplateBody=topic)
    try:
        yield
    finally:
        client.delete_stack(StackName="onedigest-shop-prod")


def test_what_is_refused_in_the_last_region_keeps_the_first_from_being_touched(accounts: Accounts) -> None:
    with foreign(accounts, WEST):
        whole = accounts.estate(["prod"])
        with counted() as calls:
            reasons = whole.refusals(whole.plan_setup(accept_loss=False))

        assert [reason.text for reason in reasons] == [
            f"{WEST}: stack onedigest-shop-prod has no tag onedigest:app = shop: it was not made by onedigest"
        ]
        assert "ExecuteChangeSet" not in calls
        assert accounts.tables(A, HOME) == []
        cleaning = whole.refusals(whole.plan_cleanup(keep_images=False))
        assert [reason.text.split(" has")[0] for reason in cleaning] == [f"{WEST}: stack onedigest-shop-prod"]
