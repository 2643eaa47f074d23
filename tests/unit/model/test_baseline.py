from __future__ import annotations

import pytest

from pipeline.errors import UndecidedError
from pipeline.model.baseline import Baseline, LoadPath, compared_with, production_runs, shown, sizes
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.service import DeploymentState, ServiceState

ONE, TWO, PLATFORM = (Digest("sha256:" + letter * 64) for letter in "abc")


def service(desired: int = 2, state: str = "COMPLETED") -> ServiceState:
    deployment = DeploymentState("ecs-svc/1", "PRIMARY", "shop:1", state, "", desired, desired, 0)
    return ServiceState("arn", "ACTIVE", "shop:1", desired, desired, (deployment,), "group")


@pytest.mark.parametrize(
    ("pinned", "running", "platforms", "found"),
    [
        (ONE, {ONE}, set(), ONE),
        (ONE, {PLATFORM}, {PLATFORM}, ONE),
        (ONE, {ONE, PLATFORM}, {PLATFORM}, ONE),
        (None, {TWO}, set(), TWO),
    ],
    ids=["pinned", "a platform of it", "both names of it", "told by a tag"],
)
def test_production_runs_the_digest_that_its_tasks_report(
    pinned: Digest | None, running: set[Digest], platforms: set[Digest], found: Digest
) -> None:
    assert production_runs(service(), pinned, frozenset(running), frozenset(platforms)) == found


def test_production_at_zero_runs_nothing() -> None:
    assert production_runs(service(0), ONE, frozenset(), frozenset()) is None


@pytest.mark.parametrize(
    ("live", "pinned", "running", "words"),
    [
        (service(state="IN_PROGRESS"), ONE, {ONE}, "deployment ecs-svc/1 of shop:1 is in progress"),
        (service(), ONE, set(), "should have 2 tasks, and none that runs tells its digest"),
        (service(), ONE, {TWO}, "several digests: " + ", ".join(map(str, (ONE, TWO)))),
        (service(), ONE, {ONE, TWO}, "several digests"),
        (service(), None, {ONE, TWO}, "several digests"),
        (service(0), ONE, {ONE, TWO}, "several digests"),
    ],
    ids=["rollout", "none runs", "another than pinned", "two", "two under a tag", "two at zero"],
)
def test_without_one_answer_nothing_is_decided(
    live: ServiceState, pinned: Digest | None, running: set[Digest], words: str
) -> None:
    with pytest.raises(UndecidedError) as caught:
        production_runs(live, pinned, frozenset(running), frozenset())
    assert words in caught.value.message
    assert caught.value.hint


def test_a_baseline_is_on_record_as_what_it_is_or_why_there_is_none() -> None:
    image = ImageRef("localhost:5000/shop", ONE)
    assert Baseline(image, recorded=str(TWO)).facts == {
        "digest": str(ONE),
        "image": str(image),
        "recorded": str(TWO),
    }
    assert Baseline(why="nothing runs").facts == {"skipped": "nothing runs"}
    assert Baseline(image).beside == ("",)


def test_of_several_services_those_that_stand_beside_the_candidate_are_on_record_and_those_that_do_not() -> (
    None
):
    found = Baseline(ImageRef("r/shop", ONE), services={"web": TWO}, left_out={"api": "new"})
    assert found.beside == ("web",)
    assert found.not_compared == "api (new)"
    assert (found.facts["services"], found.facts["left_out"]) == ({"web": str(TWO)}, {"api": "new"})
    assert Baseline(why="so", left_out={"api": "new"}).facts == {"skipped": "so", "left_out": {"api": "new"}}


WEB_TO_API = LoadPath(
    "web", {"web": frozenset({"api"}), "api": frozenset({"stock"}), "stock": frozenset(), "mail": frozenset()}
)
OLD = {name: Digest(f"sha256:{number}" + "0" * 63) for number, name in enumerate(WEB_TO_API.calls)}


def told(**changed: Digest) -> dict[str, Digest]:
    return {**OLD, **changed}


@pytest.mark.parametrize(
    ("candidate", "beside", "left_out"),
    [
        (
            told(web=ONE),
            {"web"},
            {"api": "the same image", "stock": "the same image", "mail": "the same image"},
        ),
        (told(api=ONE), {"web", "api"}, {"stock": "the same image", "mail": "the same image"}),
        (told(stock=ONE), {"web", "api", "stock"}, {"mail": "the same image"}),
        (
            told(web=ONE, mail=ONE),
            {"web"},
            {
                "api": "the same image",
                "stock": "the same image",
                "mail": "changed, but no variable on the way from web names {url.mail}",
            },
        ),
    ],
    ids=["the front alone", "behind it", "two behind it", "off the way"],
)
def test_what_changed_on_the_way_of_the_load_stands_beside_it_with_what_leads_there(
    candidate: dict[str, Digest], beside: set[str], left_out: dict[str, str]
) -> None:
    found, others, why = compared_with(OLD, candidate, WEB_TO_API)
    assert (set(found), why) == (beside, "")
    assert {name: text.removesuffix(" in production") for name, text in others.items()} == left_out


@pytest.mark.parametrize(
    ("candidate", "words"),
    [(OLD, "the same images of all that the load reaches"), (told(mail=ONE), "the same images of all")],
    ids=["nothing", "what the load does not reach"],
)
def test_where_nothing_on_the_way_of_the_load_changed_there_is_nothing_to_compare(
    candidate: dict[str, Digest], words: str
) -> None:
    found, others, why = compared_with(OLD, candidate, WEB_TO_API)
    assert found == frozenset()
    assert words in why
    assert set(others) == set(OLD)


def test_a_new_service_is_not_compared_nor_what_only_it_leads_to() -> None:
    production = {name: digest for name, digest in OLD.items() if name != "api"}
    found, others, _ = compared_with(production, told(web=ONE, stock=ONE), WEB_TO_API)
    assert found == {"web"}
    assert others["api"] == "production's release has none"
    assert others["stock"] == "changed, but only services that are new lead to it"


def test_a_front_that_production_does_not_have_leaves_nothing_to_compare() -> None:
    production = {name: digest for name, digest in OLD.items() if name != "web"}
    found, others, why = compared_with(production, told(api=ONE), WEB_TO_API)
    assert found == frozenset()
    assert why == "production's release has no service web, which is loaded"
    assert others["web"] == "production's release has none"


def test_services_that_call_each_other_stand_there_together() -> None:
    round_about = LoadPath("web", {"web": frozenset({"api"}), "api": frozenset({"web"})})
    production = {"web": ONE, "api": TWO}
    assert compared_with(production, {"web": PLATFORM, "api": TWO}, round_about)[0] == {"web", "api"}


def test_sizes_are_those_of_the_task_and_of_its_container() -> None:
    told = {"cpu": "256", "memory": "512", "containerDefinitions": [{"name": "app", "cpu": 0, "memory": 100}]}
    assert sizes(told, "app") == {"cpu": "256", "memory": "512", "container memory": "100"}
    assert shown(sizes(told, "app")) == "cpu 256, memory 512, container memory 100"
    assert shown(sizes({}, "app")) == "no size"
