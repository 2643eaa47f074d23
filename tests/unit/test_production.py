"""What a candidate is compared with: one release in all regions and services of production, or nothing is decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import ConfigurationError, UndecidedError
from pipeline.model.baseline import LoadPath
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.service import DeploymentState, Previous, ServiceState
from pipeline.ports import Candidate, Source
from pipeline.production import Production
from pipeline.reach import Site

REPOSITORY = "registry.test/shop"
OLD, NEW, STRANGE = (Digest("sha256:" + letter * 64) for letter in "abc")
WEB, API, WEB_2, MAIL = (Digest("sha256:" + number * 64) for number in "1234")
RELEASES = {OLD: {"web": WEB, "api": API}, NEW: {"web": WEB_2, "api": API, "mail": MAIL}}
PATH = LoadPath("web", {"web": frozenset({"mail"}), "api": frozenset(), "mail": frozenset()})


@dataclass
class Where:
    """One site of production: what its service is told to run, by the release that is of."""

    key: str
    named: str
    runs: Digest | None
    recorded_there: Digest | None = OLD
    last_good_there: str = ""
    trouble: Exception | None = None

    @property
    def site(self) -> Site:
        return Site(self.key, "eu-central-1", self.named)

    @property
    def service(self) -> Any:
        return SimpleNamespace(describe=self.describe)

    def describe(self) -> ServiceState:
        if self.trouble:
            raise self.trouble
        count = 2 if self.runs else 0
        deployment = DeploymentState("ecs-svc/1", "PRIMARY", "shop:1", "COMPLETED", "", count, count, 0)
        return ServiceState("arn", "ACTIVE", "shop:1", count, count, (deployment,), "group")

    def pinned(self) -> Digest | None:
        return self.runs

    def running(self) -> frozenset[Digest]:
        return frozenset({self.runs} if self.runs else ())

    def last_good(self) -> Previous | None:
        return Previous(self.last_good_there) if self.last_good_there else None

    def recorded(self) -> Digest | None:
        return self.recorded_there


@dataclass
class Registry:
    """Which digests the registry has, and what is asked to stand beside the candidate."""

    gone: tuple[Digest, ...] = ()
    required: list[str] = field(default_factory=list)

    def shares(self, release: Digest) -> dict[str, Digest]:
        return RELEASES.get(release, {})

    def resolve(self, _repository: str, digest: str) -> Digest | None:
        return None if Digest(digest) in self.gone else Digest(digest)

    def production(self, places: Sequence[Where], path: LoadPath = PATH) -> Production:
        records: Any = SimpleNamespace(repository=REPOSITORY, registry=self, shares=self.shares)
        found: Any = places
        return Production(records, found, path, self.required.append)


def services(web: Digest | None = OLD, api: Digest | None = OLD, mail: Digest | None = None) -> list[Where]:
    return [Where(name, name, runs) for name, runs in (("web", web), ("api", api), ("mail", mail))]


def candidate(digest: Digest = NEW) -> Candidate:
    return Candidate(Source(""), ImageRef(REPOSITORY, digest))


ONE_IMAGE = LoadPath("", {})


def test_an_image_is_compared_as_a_whole_with_the_one_that_all_regions_run() -> None:
    registry = Registry()
    regions = [Where("eu-central-1", "", OLD), Where("us-east-1", "", OLD)]
    found, said = registry.production(regions, ONE_IMAGE).choose(candidate())
    assert (found.image, found.beside, found.recorded) == (ImageRef(REPOSITORY, OLD), ("",), str(OLD))
    assert (registry.required, list(said)) == ([""], [])


@pytest.mark.parametrize("other", [NEW, None], ids=["another", "nothing"])
def test_regions_that_differ_decide_nothing(other: Digest | None) -> None:
    regions = [Where("eu-central-1", "", OLD), Where("us-east-1", "", other)]
    with pytest.raises(
        UndecidedError, match=r"production's regions differ: .* in eu-central-1, .* in us-east-1"
    ):
        Registry().production(regions, ONE_IMAGE).choose(candidate())


def test_of_several_services_what_changed_is_compared_and_what_did_not_is_said() -> None:
    registry = Registry()
    found, said = registry.production(services()).choose(candidate())
    assert (found.image, dict(found.services)) == (ImageRef(REPOSITORY, OLD), {"web": WEB})
    assert dict(found.left_out) == {
        "api": "the same image in production",
        "mail": "production's release has none",
    }
    assert registry.required == ["web"], "nothing need stand beside a service that is not compared"
    assert list(said) == [f"not compared: {found.not_compared}"]


def test_a_release_of_the_same_images_on_the_way_of_the_load_is_not_compared() -> None:
    registry = Registry()
    found, said = registry.production(services(NEW, NEW, NEW)).choose(candidate(OLD))
    assert found.image is not None, "web changed"
    path = LoadPath("api", dict.fromkeys(PATH.calls, frozenset[str]()))
    found, said = registry.production(services(NEW, NEW, NEW), path).choose(candidate(OLD))
    assert (found.image, found.why) == (None, "production runs the same images of all that the load reaches")
    assert said


@pytest.mark.parametrize(
    ("runs", "of", "why"),
    [
        (services(None, None), NEW, "nothing runs in production yet"),
        (services(), OLD, "production runs this very digest"),
    ],
    ids=["nothing", "the same"],
)
def test_where_there_is_nothing_to_compare_with_nothing_is_required(
    runs: list[Where], of: Digest, why: str
) -> None:
    registry = Registry()
    found, _ = registry.production(runs).choose(candidate(of))
    assert (found.image, found.why, registry.required) == (None, why, [])


def test_production_that_only_stands_at_zero_is_no_production_that_runs_nothing_yet() -> None:
    stopped = services(None, None)
    stopped[1].last_good_there = "arn:aws:ecs:eu-central-1:1:task-definition/shop-api:7"
    with pytest.raises(
        UndecidedError, match=r"production is scaled to zero, .* shop-api:7 .* running in api"
    ) as e:
        Registry().production(stopped).choose(candidate())
    assert "scale it up" in e.value.hint


@pytest.mark.parametrize(
    "runs",
    [
        services(OLD, NEW),
        services(OLD, None),
        services(None, OLD),
        services(OLD, OLD, OLD),
    ],
    ids=[
        "two releases",
        "a service at zero",
        "the front at zero",
        "a service that the release does not have",
    ],
)
def test_services_that_do_not_all_run_one_release_decide_nothing(runs: list[Where]) -> None:
    with pytest.raises(UndecidedError, match=r"production's services differ: .* in web, .* in api"):
        Registry().production(runs).choose(candidate())


@pytest.mark.parametrize(
    "api", [STRANGE, OLD, None], ids=["everywhere", "in one service", "where nothing else runs"]
)
def test_an_image_of_no_release_decides_nothing_and_is_named(api: Digest | None) -> None:
    with pytest.raises(
        UndecidedError, match=f"runs images of no release that is known: {STRANGE} in web"
    ) as caught:
        Registry().production(services(STRANGE, api)).choose(candidate())
    assert f"{OLD}" not in caught.value.message
    assert "promote a release that was built by this pipeline" in caught.value.hint


def test_a_release_that_the_registry_does_not_have_decides_nothing() -> None:
    with pytest.raises(UndecidedError, match="has no such image to compare the candidate with"):
        Registry(gone=(OLD,)).production(services()).choose(candidate())


def test_production_that_cannot_be_asked_is_told_as_that() -> None:
    broken = services()
    broken[1].trouble = ConfigurationError("no service api", hint="name it")
    with pytest.raises(ConfigurationError, match="production cannot be asked what it runs: no service api"):
        Registry().production(broken).choose(candidate())


def test_another_release_on_record_than_the_one_that_runs_is_said() -> None:
    places = services()
    for place in places:
        place.recorded_there = NEW
    _, said = Registry().production(places).choose(candidate())
    assert said[0] == (
        f"production runs {OLD.short}, although {NEW.short} is the newest good rollout on record"
    )
