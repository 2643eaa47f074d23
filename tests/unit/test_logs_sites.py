"""`logs`: which of several regions and services is meant."""

from __future__ import annotations

import pytest

from pipeline.commands.logs import Options, _one
from pipeline.errors import UsageError
from pipeline.reach import Site

ONE = {"eu": Site("eu", "eu")}
REGIONS = {name: Site(name, name) for name in ("eu", "us")}
SERVICES = {name: Site(name, "eu", name) for name in ("web", "api")}
BOTH = {f"{r}/{s}": Site(f"{r}/{s}", r, s) for r in ("eu", "us") for s in ("web", "api")}


def asked(region: str = "", service: str = "") -> Options:
    return Options(follow=False, task="", region=region, service=service, limit=1)


@pytest.mark.parametrize(
    ("sites", "options", "key"),
    [
        (ONE, asked(), "eu"),
        (ONE, asked("eu"), "eu"),
        (REGIONS, asked("us"), "us"),
        (SERVICES, asked(service="api"), "api"),
        (BOTH, asked("us", "web"), "us/web"),
    ],
)
def test_one_is_meant(sites: dict[str, Site], options: Options, key: str) -> None:
    assert _one(sites, options, "prod") == key


@pytest.mark.parametrize(
    ("sites", "options", "said", "hint"),
    [
        (REGIONS, asked(), "prod has 2 regions", "say which: --region eu | us"),
        (SERVICES, asked(), "prod has 2 services", "say which: --service api | web"),
        (BOTH, asked("us"), "prod has 2 services", "say which: --service api | web"),
        (BOTH, asked(service="web"), "prod has 2 regions", "say which: --region eu | us"),
        (REGIONS, asked("ap"), "prod has no region ap", "one of: eu, us"),
        (ONE, asked(service="web"), "prod has no service web", "one of: none has a service of its own"),
    ],
)
def test_else_it_says_what_to_choose_from(
    sites: dict[str, Site], options: Options, said: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        _one(sites, options, "prod")
    assert said in caught.value.message
    assert caught.value.hint == hint
