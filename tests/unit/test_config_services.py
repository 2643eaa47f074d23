"""[services.NAME]: what each service shares with the app and its environment, and what cannot be one release."""

from __future__ import annotations

import pytest

from pipeline import config
from pipeline.config_values import BaselineSettings
from pipeline.errors import ConfigurationError
from pipeline.names import baseline_service_name
from pipeline.reach import Site, kind_of, load_path, local_name, sites_of

HEAD = """
[app]
name = "shop"
port = 8000
environment = { COMMON = "1", SHARED = "app" }
[cloud]
provider = "aws"
region = "eu-central-1"
[load]
baseline = "none"
[environments.staging]
memory = 256
[environments.prod]
desired = 3
secrets = { DATABASE_URL = "shop/prod/db" }
smoke = [{ path = "/" }]
"""
TWO = """
[services.web]
port = 8080
cpu = 512
environment = { SHARED = "web" }
secrets = { TOKEN = "shop-web/{environment}/token" }
[services.api]
dockerfile = "api.dockerfile"
desired = 5
before = { command = ["migrate"] }
smoke = [{ path = "/api", status = 204 }]
"""


def test_a_service_is_the_app_with_what_it_says_itself() -> None:
    told = config.parse(HEAD + TWO)
    web, api = told.of("web"), told.of("api")
    assert (web.app.name, web.app.port, web.app.dockerfile) == ("shop-web", 8080, "Dockerfile")
    assert (api.app.name, api.app.port, api.app.dockerfile) == ("shop-api", 8000, "api.dockerfile")
    assert web.app.environment == {"COMMON": "1", "SHARED": "web"}
    assert web.repository == api.repository == told.repository == "shop"
    assert told.of("") is told


def test_an_environment_is_its_own_with_what_the_service_says() -> None:
    told = config.parse(HEAD + TWO)
    web, api = (told.of(name).environments for name in ("web", "api"))
    assert (web["prod"].cpu, web["staging"].memory, web["prod"].desired) == (512, 256, 3)
    assert web["prod"].secrets == {"DATABASE_URL": "shop/prod/db", "TOKEN": "shop-web/prod/token"}
    assert web["staging"].secrets == {"TOKEN": "shop-web/staging/token"}
    assert [(one.path, one.status) for one in web["prod"].smoke] == [("/", 200)]
    assert [(one.path, one.status) for one in api["prod"].smoke] == [("/api", 204)]
    assert api["staging"].before is not None
    assert (api["prod"].desired, web["prod"].before) == (5, None)


def test_what_is_there_already_is_named_by_service_and_environment() -> None:
    urls = '[services.web.urls]\nstaging = "http://s"\nprod = "http://p"\n'
    named = (
        HEAD.replace("desired = 3", 'cluster = "live"') + TWO.replace("cpu = 512", 'service = "web-1"') + urls
    )
    web, api = (config.parse(named).of(name).environments for name in ("web", "api"))
    assert (web["prod"].cluster, web["prod"].service, api["prod"].service) == ("live", "web-1", "")
    assert (web["staging"].url_in("x"), web["prod"].url_in("x"), api["prod"].url_in("x")) == (
        "http://s",
        "http://p",
        "",
    )
    several = HEAD.replace("desired = 3", 'regions = ["eu-central-1", "us-east-1"]') + TWO
    told = config.parse(several + '[services.web.urls]\n"prod/us-east-1" = "http://east"\n').of("web")
    assert told.environments["prod"].url_in("us-east-1") == "http://east"
    assert told.environments["prod"].url_in("eu-central-1") == ""


def test_the_table_is_the_apps() -> None:
    assert config.parse(HEAD + TWO).of("web").cloud.table == "onedigest-shop"
    own = HEAD.replace('region = "eu-central-1"', 'region = "eu-central-1"\ntable = "mine"')
    assert config.parse(own + TWO).of("web").cloud.table == "mine"


def test_each_service_of_staging_has_its_own_service_beside_it_and_production_none() -> None:
    told = HEAD.replace('baseline = "none"', "") + TWO
    told += '[services.web.baseline]\nservice = "web-old"\nurl = "http://old"\n'
    web, api = (config.parse(told).of(name) for name in ("web", "api"))
    assert web.environments.staging.baseline == BaselineSettings(service="web-old", url="http://old")
    assert api.environments.staging.baseline == BaselineSettings()
    assert [baseline_service_name(one) for one in (web, api)] == ["web-old", "shop-api-baseline"]
    assert "baseline" not in web.environments.prod.model_dump()


def test_the_load_meets_the_front_and_what_its_variables_name_from_service_to_service() -> None:
    calls = (
        TWO.replace('SHARED = "web"', 'SHARED = "{url.api}/v1"')
        + '[services.stock]\n[services.mail]\nenvironment = { WEB = "{url.web}" }\n'
    )
    path = load_path(config.parse(HEAD + calls))
    assert (path.front, set(path.reached)) == ("web", {"web", "api"})
    everywhere = HEAD.replace("memory = 256", 'environment = { STOCK = "{url.stock}" }')
    assert load_path(config.parse(everywhere + calls)).reached == {"web", "api", "stock"}
    assert load_path(config.parse(HEAD)).reached == frozenset()


def test_suite_and_load_go_to_the_front_by_default_the_first() -> None:
    assert config.parse(HEAD + TWO).front == "web"
    assert config.parse(HEAD + '[integration]\nfront = "api"\n' + TWO).front == "api"
    assert config.parse(HEAD).front == ""


def test_each_service_is_a_site_in_each_region() -> None:
    told = config.parse(HEAD + TWO)
    assert sites_of(told, "prod") == (
        (Site("web", "eu-central-1", "web"), Site("api", "eu-central-1", "api")),
    )
    both = config.parse(HEAD.replace("desired = 3", 'regions = [["eu-central-1"], ["us-east-1"]]') + TWO)
    assert [[site.key for site in wave] for wave in sites_of(both, "prod")] == [
        ["eu-central-1/web", "eu-central-1/api"],
        ["us-east-1/web", "us-east-1/api"],
    ]
    assert [kind_of(both, name) for name in ("staging", "prod")] == ["service", "part"]
    assert kind_of(config.parse(HEAD), "prod") == "region"
    assert local_name(both, "prod", "us-east-1", "web") == "prod-web-us-east-1"
    assert local_name(both, "prod", "eu-central-1", "web") == "prod-web"


ONE = "[services.web]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + ONE, "services.web: a single service is said in [app]"),
        (HEAD + ONE + "[services.app]\n", "services.app: this name is taken"),
        (HEAD + ONE + "[services.before]\n", "services.before: this name is taken"),
        (
            HEAD + ONE + "[services.web-baseline]\n",
            "services.web-baseline: what stands beside web on staging",
        ),
        (
            HEAD + ONE + "[services.baseline-web]\n",
            "services.baseline-web: what stands beside web on staging",
        ),
        (
            HEAD + TWO + '[integration]\nfront = "gate"\n',
            "integration.front: no service is called 'gate' (web, api)",
        ),
        (HEAD + '[integration]\nfront = "web"\n', "integration.front: there is no [services.web]"),
        (
            HEAD + TWO + '[integration.services.api]\nimage = "redis"\nport = 6379\n',
            "services.api: a dependency in integration.services has this name",
        ),
        (
            HEAD + ONE + "[services.a-very-long-name]\n",
            "services.a-very-long-name: shop-a-very-long-name is longer",
        ),
        (
            HEAD.replace("memory = 256", 'baseline = { url = "http://x" }') + TWO,
            "environments.staging.baseline: with [services] each has its own: services.NAME.baseline",
        ),
        (HEAD.replace("desired = 3", 'service = "x"') + TWO, "environments.prod.service: with [services]"),
        (HEAD.replace("memory = 256", 'url = "http://x"') + TWO, "environments.staging.url: with [services]"),
        (
            HEAD + TWO.replace('"web" }', '"web", API = "{url.apy}/v1" }'),
            "services.web.environment.API: {url.apy}: no service is called so (web, api)",
        ),
        (
            HEAD.replace('"app" }', '"{url.web}" }'),
            "app.environment.SHARED: {url.web}: no service is called so (none)",
        ),
        (HEAD + TWO + '[services.web.urls]\nprods = "x"\n', "services.web.urls: prods: one of staging, prod"),
        (HEAD + TWO + "[services.web.build]\n", "services.web.build: no such key"),
        (
            HEAD + TWO.replace("cpu = 512", "cpus = 512"),
            "services.web.cpus: no such key (did you mean 'cpu'?)",
        ),
    ],
)
def test_mistakes_are_named(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config.parse(text)
    assert said in caught.value.message
