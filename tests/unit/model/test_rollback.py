"""What an environment goes back to, of all that was ever deployed there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.model.digest import Digest
from pipeline.model.evidence import Collected, Evidence, ServiceImage, Statement
from pipeline.model.policy import GatePolicy, Trust
from pipeline.model.rollback import Choice, choose, last_good, leaving, leaving_all, named

NOW = datetime(2026, 3, 6, 12, tzinfo=UTC)
KEY = "SHA256:" + "C" * 43
TRUST = (Trust("ci", KEY, frozenset({"staging", "prod", "rollback", "quarantine"})),)
POLICY = GatePolicy("prod", "shop", (), environment="prod", trust=TRUST)


def digest(letter: str) -> Digest:
    return Digest("sha256:" + letter * 64)


def said(
    letter: str, hours: float, result: str = "PASSED", stage: str = "prod", **changes: object
) -> Evidence:
    end = NOW - timedelta(hours=hours)
    plain = Statement("shop", stage, "prod", result, "", "run", end - timedelta(minutes=1), end)
    name = f"sha256:{letter}{stage}{hours}"
    return Evidence(digest(letter), name, replace(plain, **changes), KEY, name)  # type: ignore[arg-type]


def chosen(*records: Evidence, running: str = "", policy: GatePolicy = POLICY) -> Choice:
    found: Mapping[Digest, list[Evidence]] = {each.subject: [] for each in records}
    for each in records:
        found[each.subject].append(each)
    kept = [(subject, Collected(tuple(of_it))) for subject, of_it in found.items()]
    return choose(kept, policy, NOW, frozenset(map(digest, running)))


def target(choice: Choice) -> str:
    return choice.target.subject.hex[0] if choice.target else ""


def test_the_newest_good_deployment_that_does_not_run_now_is_chosen() -> None:
    history = (said("a", 30), said("b", 20), said("c", 10))
    assert target(chosen(*history, running="c")) == "b"
    assert target(chosen(*history)) == "c"
    assert target(chosen(*history, running="cb")) == "a"


def test_a_rollout_that_came_to_a_halt_is_left_for_what_ran_before_it() -> None:
    both = frozenset({digest("b"), digest("c")})
    assert leaving(digest("c"), both) == {digest("c")}
    assert leaving(None, both) == both, "a definition with a tag tells nothing"
    history = (said("a", 30), said("b", 20))
    assert (
        target(chosen(*history, running="".join(left.hex[0] for left in leaving(digest("c"), both)))) == "b"
    )


def marked(letter: str, hours: float, to: str) -> Evidence:
    return said(letter, hours, "FAILED", "rollback", facts={"to": str(digest(to)), "reason": "charges twice"})


def test_a_rollback_that_was_killed_is_taken_up_and_brings_back_nothing_it_left() -> None:
    killed = (said("a", 40), said("b", 30), said("c", 20), marked("c", 2, to="b"))
    assert (target(chosen(*killed, running="b")), chosen(*killed, running="b").resumed) == ("b", True)
    detached = (*killed, said("b", 1, "UNDECIDED", "rollback"))
    assert (target(chosen(*detached, running="b")), chosen(*detached, running="b").resumed) == ("b", True)


def test_a_rollback_that_ended_well_is_not_taken_up_but_followed_by_another() -> None:
    done = (
        said("a", 40),
        said("b", 30),
        said("c", 20),
        marked("c", 2, to="b"),
        said("b", 1, stage="rollback"),
    )
    assert (target(chosen(*done, running="b")), chosen(*done, running="b").resumed) == ("a", False)


def test_a_rollback_that_was_killed_before_it_changed_anything_leads_to_the_same_digest() -> None:
    marked_only = (said("a", 40), said("b", 30), said("c", 20), marked("c", 2, to="b"))
    assert target(chosen(*marked_only, running="c")) == "b"


def test_what_is_quarantined_meanwhile_is_not_taken_up() -> None:
    kept_out = said("b", 1, "FAILED", "quarantine", environment="", facts={"reason": "leaks"})
    history = (said("a", 40), said("b", 30), said("c", 20), marked("c", 2, to="b"), kept_out)
    assert target(chosen(*history, running="b")) == "a"


def good_last(tagged: str, told: str, *records: Evidence) -> str:
    def kept(subject: Digest) -> Collected:
        return Collected(tuple(each for each in records if each.subject == subject))

    found = [(digest(letter), kept(digest(letter))) for letter in tagged]
    good = last_good(found, digest(told) if told else None, kept, POLICY, NOW)
    return good.subject.hex[0] if good else ""


def test_the_last_good_one_is_the_first_by_its_tags_that_is_on_record_as_good() -> None:
    history = (said("a", 30), said("b", 20), said("c", 10, "FAILED"))
    assert good_last("cba", "", *history) == "b"
    assert good_last("c", "", *history) == ""


def test_a_release_that_got_no_tag_is_the_last_good_one_all_the_same() -> None:
    history = (said("a", 30), said("b", 20))
    assert good_last("a", "b", *history) == "b"
    assert good_last("a", "c", *history) == "a", "what is told to run is on no record"


def test_what_never_worked_there_is_not_chosen_whatever_ran_last() -> None:
    choice = chosen(
        said("a", 30), said("b", 20, "FAILED"), said("c", 10, "UNDECIDED"), said("d", 5), running="d"
    )
    assert target(choice) == "a"
    assert [reason.text for reason in choice.passed_over] == [
        f"{digest(letter).short} has no good deployment to prod on record" for letter in "cb"
    ]


def test_what_was_good_and_failed_since_is_passed_over_and_can_be_named() -> None:
    choice = chosen(said("a", 30), said("b", 20), said("b", 10, "FAILED"))
    assert target(choice) == "a"
    assert "its last deployment there ended FAILED at 2026-03-06 02:00:00 UTC" in choice.passed_over[0].text
    assert choice.passed_over[0].remedy.endswith(f"--to {digest('b')}")


def test_a_quarantined_or_revoked_digest_is_passed_over_with_the_reason() -> None:
    kept_out = said("b", 1, "FAILED", "quarantine", environment="", facts={"reason": "leaks"})
    choice = chosen(said("a", 30), said("b", 20), kept_out)
    assert target(choice) == "a"
    assert "is quarantined: leaks" in choice.passed_over[0].text
    revoked = replace(POLICY, revoked=frozenset({str(digest("b"))}))
    assert target(chosen(said("a", 30), said("b", 20), policy=revoked)) == "a"


def test_a_release_with_a_quarantined_image_of_one_service_is_passed_over_with_the_reason() -> None:
    kept_out = said("f", 1, "FAILED", "quarantine", environment="", facts={"reason": "leaks", "by": "ann"})
    api = ServiceImage(digest("f"), Collected((kept_out,)))
    web = ServiceImage(digest("e"), Collected())
    known = [
        (digest("a"), Collected((said("a", 30),), services={"web": web})),
        (digest("b"), Collected((said("b", 20),), services={"web": web, "api": api})),
    ]
    choice = choose(known, POLICY, NOW)
    assert target(choice) == "a"
    assert [each.text for each in choice.passed_over] == [
        f"{'f' * 12}, the image of api, is quarantined: leaks, says ann"
    ]
    refused = named(digest("b"), known[1][1], POLICY, NOW)
    assert (refused.target, refused.passed_over) == (None, choice.passed_over)


def test_a_release_whose_images_are_not_known_is_passed_over() -> None:
    known = [
        (digest("a"), Collected((said("a", 30),))),
        (digest("b"), Collected((said("b", 20),), services=None)),
    ]
    choice = choose(known, POLICY, NOW)
    assert target(choice) == "a"
    assert "whether it holds an image that is kept out is not known" in choice.passed_over[0].text


def witnessed(letter: str, hours: float, result: str, stage: str = "prod", **facts: object) -> Evidence:
    """What this machine wrote and the registry never got, or has lost."""
    return replace(said(letter, hours, result, stage, facts=facts), signer="")


def test_what_this_machine_saw_fail_since_is_passed_over_though_the_registry_does_not_know() -> None:
    killed = Collected((said("b", 20),), witnessed=(witnessed("b", 5, "UNDECIDED"),))
    known = [(digest("a"), Collected((said("a", 30),))), (digest("b"), killed)]
    choice = choose(known, POLICY, NOW)
    assert target(choice) == "a"
    assert "its last deployment there ended UNDECIDED" in choice.passed_over[0].text
    assert target(named(digest("b"), killed, POLICY, NOW)) == "b", "a person may name it"


def test_what_this_machine_saw_before_the_last_good_deployment_says_nothing_against_it() -> None:
    healed = Collected((said("b", 20),), witnessed=(witnessed("b", 25, "FAILED"),))
    assert target(choose([(digest("b"), healed)], POLICY, NOW)) == "b"


def test_a_good_deployment_that_only_this_machine_tells_of_is_none() -> None:
    alone = Collected(witnessed=(witnessed("b", 5, "PASSED"),))
    assert target(choose([(digest("b"), alone)], POLICY, NOW)) == ""


def test_a_rollback_whose_mark_only_this_machine_kept_is_taken_up() -> None:
    left = witnessed("c", 2, "FAILED", "rollback", to=str(digest("b")), reason="charges twice")
    known = [
        (digest("a"), Collected((said("a", 40),))),
        (digest("b"), Collected((said("b", 30),))),
        (digest("c"), Collected((said("c", 20),), witnessed=(left,))),
    ]
    choice = choose(known, POLICY, NOW, frozenset({digest("b")}))
    assert (target(choice), choice.resumed) == ("b", True)


def test_a_rollback_that_led_to_a_digest_is_a_good_deployment_of_it() -> None:
    assert target(chosen(said("a", 30), said("b", 20), said("a", 10, stage="rollback"))) == "a"


def test_what_was_left_by_a_rollback_is_not_gone_back_to() -> None:
    left = said("b", 10, "FAILED", "rollback", facts={"to": str(digest("a"))})
    assert (
        target(chosen(said("a", 30), said("b", 20), left, said("a", 9, stage="rollback"), running="a")) == ""
    )


def test_other_environments_and_keys_that_may_not_deploy_do_not_count() -> None:
    elsewhere = said("b", 5, stage="staging", environment="staging")
    stranger = replace(said("c", 4), signer="SHA256:" + "S" * 43)
    assert target(chosen(said("a", 30), elsewhere, stranger)) == "a"


def test_nothing_on_record_is_nothing_to_go_back_to() -> None:
    assert chosen() == Choice(None)


@pytest.mark.parametrize(
    ("regions", "recorded", "left"),
    [
        (("b", "b"), "b", "b"),
        (("b", "b"), "a", "b"),
        (("b", "a"), "a", "b"),
        (("a", "b"), "b", "a"),
        (("b", "a"), "c", "ab"),
        (("b", "a"), "", "ab"),
        (("b",), "b", "b"),
    ],
)
def test_where_regions_differ_they_go_back_to_what_is_on_record(
    regions: tuple[str, ...], recorded: str, left: str
) -> None:
    each = [frozenset({digest(letter)}) for letter in regions]
    found = leaving_all(each, digest(recorded) if recorded else None)
    assert found == {digest(letter) for letter in left}
