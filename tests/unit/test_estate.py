"""Set-up and clean-up of several sites: what is shared where, in which order, and what refuses all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from pipeline.clouds import Ground
from pipeline.config import Settings, parse
from pipeline.dismantling import CleanupPlan
from pipeline.errors import StuckError
from pipeline.estate import Estate
from pipeline.foundation import Foundation
from pipeline.locations import Share, chosen
from pipeline.model.verdict import Reason
from pipeline.provisioning import SetupPlan

HOME, EAST, WEST = "eu-central-1", "us-east-1", "us-west-2"
A, B = "111111111111", "222222222222"
HEAD = f"""
[app]
name = "shop"
[cloud]
provider = "aws"
region = "{HOME}"
[environments.staging]
"""
MANY = f"""
[environments.prod]
regions = [["{HOME}"], ["{EAST}", "{WEST}"]]
registries = {{ "{EAST}" = "{B}.dkr.ecr.{EAST}.amazonaws.com", "{WEST}" = "own.test" }}
"""


def nothing(_name: str, *_more: str) -> Any:
    return {}


@dataclass
class Accounts:
    """Which account an environment is reached in; one ground for each of its regions."""

    of: dict[str, str] = field(default_factory=dict)
    known: dict[tuple[str, str], Ground] = field(default_factory=dict)

    def survey(self, environment: str, region: str) -> Ground:
        account = self.of.get(environment, A)
        made = Ground(cast("Any", account), region, account, region, nothing, nothing, nothing)
        return self.known.setdefault((account, region), made)


def estate(told: Settings, *environments: str, region: str = "", accounts: Accounts | None = None) -> Estate:
    about = chosen(told, environments, region)
    return Estate.of(about, (accounts or Accounts()).survey, lambda _line: None, "a test")


def sites(found: Estate) -> list[tuple[str, str, tuple[str, ...], Share]]:
    return [
        (one.ground.account, one.ground.region, one.environments, one.location.share)
        for one in found.foundations
    ]


def test_home_is_first_with_all_that_is_shared_and_a_region_has_its_repository_where_one_is_named() -> None:
    found = estate(parse(HEAD + MANY), "staging", "prod", accounts=Accounts({"prod": B}))

    assert sites(found) == [
        (A, HOME, ("staging",), Share.ALL),
        (B, HOME, ("prod",), Share.NOTHING),
        (B, EAST, ("prod",), Share.REPOSITORY),
        (B, WEST, ("prod",), Share.NOTHING),
    ]
    assert {one.home.place for one in found.foundations} == {(A, HOME)}


def test_another_accounts_registry_is_not_ours_to_make() -> None:
    assert sites(estate(parse(HEAD + MANY), "prod"))[1] == (A, EAST, ("prod",), Share.NOTHING)


def test_home_belongs_to_it_although_the_environment_is_elsewhere() -> None:
    told = parse(HEAD + f'[environments.prod]\nregions = ["{EAST}"]\n')
    assert sites(estate(told, "prod")) == [(A, HOME, (), Share.ALL), (A, EAST, ("prod",), Share.NOTHING)]


def test_one_region_alone_leaves_home_out_but_not_its_leases() -> None:
    found = estate(parse(HEAD + MANY), "prod", region=WEST)
    assert sites(found) == [(A, WEST, ("prod",), Share.NOTHING)]
    assert found.foundations[0].home.place == (A, HOME)


def test_another_identity_in_the_same_account_and_region_shares_nothing_twice() -> None:
    told = parse(HEAD + "[environments.prod]\n")
    own = Ground(cast("Any", "role"), HOME, A, HOME, nothing, nothing, nothing)
    plain = Accounts()

    def survey(environment: str, region: str) -> Ground:
        return own if environment == "prod" else plain.survey(environment, region)

    found = Estate.of(chosen(told, ("staging", "prod"), ""), survey, lambda _line: None, "a test")

    assert [share for *_, share in sites(found)] == [Share.ALL, Share.BESIDE]


@dataclass
class Work:
    """A site's set-up and clean-up, which write down what is asked of them."""

    region: str
    log: list[str]
    reasons: tuple[Reason, ...] = ()
    fails: bool = False
    told: dict[str, Any] = field(default_factory=dict)

    def plan(self, environments: Sequence[str], **told: Any) -> Any:
        self.told = told
        self.log.append(f"plan {self.region}")
        if "keep_images" in told:
            return CleanupPlan(tuple(environments), (), (), last=True, reasons=self.reasons)
        return SetupPlan((), reasons=self.reasons)

    def apply(self, _plan: object, **_told: Any) -> tuple[()]:
        self.log.append(f"apply {self.region}")
        if self.fails:
            raise StuckError("stuck", hint="a person")
        return ()


@dataclass
class Place:
    """What `Estate` asks of a foundation."""

    whole: Foundation
    work: Work

    @property
    def provisioning(self) -> Work:
        return self.work

    @property
    def dismantling(self) -> Work:
        return self.work

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)


def working(**of: Any) -> tuple[Estate, list[str], list[Work]]:
    """Production in three regions, whose set-up and clean-up are written down. `of` is told to the second."""
    found = estate(parse(HEAD + MANY), "prod", region="")
    log: list[str] = []
    works = [Work(one.ground.region, log) for one in found.foundations]
    for name, value in of.items():
        setattr(works[1], name, value)
    places = [Place(one, work) for one, work in zip(found.foundations, works, strict=True)]
    return Estate(found.about, found.survey, cast("Any", tuple(places))), log, works


def test_every_site_is_looked_at_before_any_is_set_up_and_home_is_first() -> None:
    whole, log, _ = working()

    list(whole.set_up(whole.plan_setup(accept_loss=False)))

    assert log == [f"{what} {region}" for what in ("plan", "apply") for region in (HOME, EAST, WEST)]


def test_what_is_refused_in_one_region_is_told_with_it() -> None:
    whole, _, _ = working(reasons=(Reason("there is one", "rename it"),))

    found = whole.refusals(whole.plan_setup(accept_loss=False))

    assert found == (Reason(f"{EAST}: there is one", "rename it"),)


def test_nothing_is_done_after_a_region_that_failed() -> None:
    whole, log, _ = working(fails=True)
    with pytest.raises(StuckError):
        list(whole.set_up(whole.plan_setup(accept_loss=False)))
    assert log[3:] == [f"apply {HOME}", f"apply {EAST}"]


def test_regions_are_cleaned_up_before_home() -> None:
    whole, log, works = working()

    list(whole.clean_up(whole.plan_cleanup(keep_images=False), keep_images=False))

    assert log == [f"{what} {region}" for what in ("plan", "apply") for region in (WEST, EAST, HOME)]
    assert works[0].told == {"keep_images": False, "going": [], "elsewhere": []}
