from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.model.digest import Digest
from pipeline.model.evidence import Collected, Evidence, Ignored, ServiceImage, Statement
from pipeline.model.gate import judge
from pipeline.model.limits import Limit
from pipeline.model.policy import GatePolicy, Requirement
from pipeline.model.verdict import Outcome, Reason
from tests.fakes.evidence import KEY, TRUST

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
IMAGE = Digest("sha256:" + "a" * 64)
OTHER = Digest("sha256:" + "b" * 64)
BUILD = Requirement("build")


def gate(ask: tuple[Requirement, ...]) -> GatePolicy:
    return GatePolicy("prod", "shop", ask, "prod", TRUST)


def statement(stage: str = "build", **changes: object) -> Statement:
    plain = Statement(
        app="shop",
        stage=stage,
        environment="",
        result="PASSED",
        plan="sha256:plan",
        run="r1",
        started=NOW - timedelta(minutes=10),
        finished=NOW - timedelta(minutes=9),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def evidence(found: Statement, name: str = "e1", subject: Digest = IMAGE) -> Evidence:
    return Evidence(subject, name, found, KEY, f"payload of {name}")


def verdict_of(
    *found: Evidence, ask: tuple[Requirement, ...] = (BUILD,), now: datetime = NOW
) -> tuple[Outcome, str]:
    judgement = judge(IMAGE, Collected(found), gate(ask), now)
    assert judgement.verdict.gate == "prod"
    return judgement.verdict.outcome, " / ".join(reason.text for reason in judgement.verdict.reasons)


def test_a_passed_record_opens_the_gate() -> None:
    assert verdict_of(evidence(statement())) == (Outcome.PASSED, "")


def test_nothing_recorded_is_refused_with_the_command_that_helps() -> None:
    judgement = judge(IMAGE, Collected(), gate((Requirement("staging"),)), NOW)
    assert judgement.verdict.outcome is Outcome.REFUSED
    assert judgement.verdict.reasons == (
        Reason("no staging evidence for " + "a" * 12, f"python -m pipeline stage staging {IMAGE}"),
    )


def test_the_command_that_builds_takes_no_digest() -> None:
    judgement = judge(IMAGE, Collected(), gate((BUILD,)), NOW)
    assert judgement.verdict.reasons[0].remedy == "python -m pipeline stage build"


def test_a_gate_that_asks_for_nothing_opens_nothing() -> None:
    assert verdict_of(evidence(statement()), ask=())[0] is Outcome.REFUSED


@pytest.mark.parametrize("result", ["FAILED", "UNDECIDED"])
def test_a_record_that_is_not_passed_refuses_and_says_what_was_wrong(result: str) -> None:
    found = statement(result=result, reasons=(Reason("test_login: boom"),))
    outcome, text = verdict_of(evidence(found))
    assert outcome is Outcome.REFUSED
    assert result in text
    assert "test_login: boom" in text


@pytest.mark.parametrize(
    ("reasons", "first"),
    [
        ((Reason("p95 is 2 s", "look at the log"),), "look at the log; "),
        ((Reason("p95 is 2 s"),), "mend what it found and build anew; "),
        ((), "mend what it found and build anew; "),
    ],
)
def test_a_failure_is_to_be_mended_before_the_same_digest_is_judged_again(
    reasons: tuple[Reason, ...], first: str
) -> None:
    found = evidence(statement("staging", result="FAILED", reasons=reasons))
    judgement = judge(IMAGE, Collected((found,)), gate((Requirement("staging"),)), NOW)
    remedy = judgement.verdict.reasons[0].remedy
    assert remedy.startswith(first)
    assert remedy.endswith(f"judged again: python -m pipeline stage staging {IMAGE}")


def test_a_failure_without_reasons_refuses_too() -> None:
    assert verdict_of(evidence(statement(result="FAILED")))[0] is Outcome.REFUSED


def test_the_latest_finished_run_decides() -> None:
    older = evidence(
        statement(result="FAILED", finished=NOW - timedelta(hours=1), started=NOW - timedelta(hours=2)), "old"
    )
    newer = evidence(statement(), "new")
    assert verdict_of(older, newer)[0] is Outcome.PASSED
    failed_since = evidence(statement(result="FAILED", finished=NOW - timedelta(minutes=1)), "later")
    assert verdict_of(newer, failed_since)[0] is Outcome.REFUSED


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (evidence(statement(), subject=OTHER), "another image"),
        (evidence(statement(app="blog")), "another app"),
        (evidence(statement(started=NOW, finished=NOW - timedelta(seconds=1))), "before it started"),
        (evidence(statement(started=NOW, finished=NOW + timedelta(minutes=6))), "future"),
    ],
)
def test_a_record_that_does_not_belong_is_ignored_and_named(found: Evidence, why: str) -> None:
    judgement = judge(IMAGE, Collected((found,)), gate((BUILD,)), NOW)
    assert judgement.verdict.outcome is Outcome.REFUSED
    assert [why in ignored.reason for ignored in judgement.ignored] == [True]
    assert not judgement.accepted


def test_a_clock_five_minutes_ahead_is_forgiven() -> None:
    assert verdict_of(evidence(statement(finished=NOW + timedelta(minutes=5))))[0] is Outcome.PASSED


def test_what_the_store_ignored_is_passed_on() -> None:
    unreadable = Ignored("x", "does not parse")
    judgement = judge(IMAGE, Collected((), (unreadable,)), gate((BUILD,)), NOW)
    assert judgement.ignored == (unreadable,)


def test_another_environment_does_not_count() -> None:
    ask = (Requirement("staging", environment="staging"),)
    assert verdict_of(evidence(statement("staging", environment="playground")), ask=ask)[0] is Outcome.REFUSED
    assert verdict_of(evidence(statement("staging", environment="staging")), ask=ask)[0] is Outcome.PASSED


def test_age_is_allowed_up_to_the_limit_and_not_beyond() -> None:
    ask = (Requirement("build", max_age=540.0),)
    assert verdict_of(evidence(statement()), ask=ask)[0] is Outcome.PASSED
    outcome, text = verdict_of(evidence(statement()), ask=ask, now=NOW + timedelta(seconds=1))
    assert outcome is Outcome.REFUSED
    assert "9 min old" in text


@pytest.mark.parametrize(("age", "said"), [(30, "30 s"), (60, "1 min"), (7200, "2 h"), (200000, "2.3 d")])
def test_ages_are_said_as_people_say_them(age: int, said: str) -> None:
    found = statement(started=NOW - timedelta(seconds=age), finished=NOW - timedelta(seconds=age))
    assert f"{said} old" in verdict_of(evidence(found), ask=(Requirement("build", max_age=1.0),))[1]


def test_another_plan_than_todays_refuses() -> None:
    assert (
        verdict_of(evidence(statement()), ask=(Requirement("build", plan="sha256:plan"),))[0]
        is Outcome.PASSED
    )
    assert (
        verdict_of(evidence(statement()), ask=(Requirement("build", plan="sha256:new"),))[0]
        is Outcome.REFUSED
    )


@pytest.mark.parametrize("value", [None, True, "240", float("nan"), float("inf"), 250.1])
def test_a_metric_that_is_missing_or_no_number_or_over_the_limit_refuses(value: object) -> None:
    metrics = {} if value is None else {"p95_ms": value}
    found = statement("staging", metrics=metrics)
    assert (
        verdict_of(evidence(found), ask=(Requirement("staging", limits={"p95_ms": Limit(max=250)}),))[0]
        is Outcome.REFUSED
    )


def test_a_metric_at_its_limit_passes() -> None:
    found = statement("staging", metrics={"p95_ms": 250.0})
    assert (
        verdict_of(evidence(found), ask=(Requirement("staging", limits={"p95_ms": Limit(max=250)}),))[0]
        is Outcome.PASSED
    )


def chain(**changes: object) -> tuple[Evidence, Evidence]:
    first = evidence(statement(), "first")
    later = statement(
        "integration", started=NOW - timedelta(minutes=8), finished=NOW, inputs={"build": "first"}
    )
    return first, evidence(replace(later, **changes), "second")  # type: ignore[arg-type]


AFTER = (BUILD, Requirement("integration", after=("build",)))


def test_a_run_admitted_on_the_record_that_stands_passes() -> None:
    assert verdict_of(*chain(), ask=AFTER)[0] is Outcome.PASSED


def test_a_predecessor_replaced_afterwards_refuses() -> None:
    outcome, text = verdict_of(*chain(inputs={"build": "somebody"}), ask=AFTER)
    assert outcome is Outcome.REFUSED
    assert "not admitted on the build evidence" in text


def test_a_run_that_started_before_its_predecessor_had_finished_refuses() -> None:
    outcome, text = verdict_of(*chain(started=NOW - timedelta(minutes=9, seconds=1)), ask=AFTER)
    assert outcome is Outcome.REFUSED
    assert "before build had finished" in text


def test_a_predecessor_that_nobody_asked_for_is_not_taken_for_granted() -> None:
    outcome, text = verdict_of(*chain(), ask=AFTER[1:])
    assert outcome is Outcome.REFUSED
    assert "asks for build before it" in text


def test_every_reason_is_collected() -> None:
    ask = (BUILD, Requirement("integration"), Requirement("staging"))
    assert verdict_of(ask=ask)[1].count("no ") == 3


def test_what_was_accepted_is_told_by_stage() -> None:
    first, second = chain()
    judgement = judge(IMAGE, Collected((first, second)), gate(AFTER), NOW)
    assert judgement.accepted == {"build": first, "integration": second}


WEB, API = Digest("sha256:" + "e" * 64), Digest("sha256:" + "f" * 64)
LEAKS = {"reason": "leaks", "by": "ann"}


def release(*of_api: Evidence) -> Collected:
    """All that is on record of a release of two services, and of the image of one of them."""
    images = {"web": ServiceImage(WEB, Collected()), "api": ServiceImage(API, Collected(of_api))}
    return Collected((evidence(statement()),), services=images)


def test_a_release_whose_images_nobody_keeps_out_may_go() -> None:
    assert judge(IMAGE, release(), gate((BUILD,)), NOW).verdict.passed


def test_a_quarantined_image_of_one_service_keeps_the_release_out_and_no_override_lifts_it() -> None:
    kept_out = evidence(statement("quarantine", result="FAILED", facts=LEAKS), "q", API)
    judgement = judge(IMAGE, release(kept_out), gate((BUILD,)), NOW)
    assert judgement.verdict.outcome is Outcome.REFUSED
    (reason,) = judgement.firm
    assert reason.text == f"{API.short}, the image of api, is quarantined: leaks, says ann"
    assert f"quarantine {API} --lift" in reason.remedy
    assert judgement.barred == judgement.verdict.reasons == (reason,)


def test_a_quarantine_of_one_service_that_was_lifted_or_is_not_about_its_image_keeps_nothing_out() -> None:
    kept_out = evidence(statement("quarantine", result="FAILED", facts=LEAKS), "q", API)
    lifted = evidence(statement("quarantine", finished=NOW), "lift", API)
    assert judge(IMAGE, release(kept_out, lifted), gate((BUILD,)), NOW).verdict.passed
    elsewhere = replace(kept_out, subject=OTHER)
    assert judge(IMAGE, release(elsewhere), gate((BUILD,)), NOW).verdict.passed


def test_what_this_machine_kept_of_one_services_quarantine_counts() -> None:
    kept_out = evidence(statement("quarantine", result="FAILED", facts=LEAKS), "q", API)
    held = ServiceImage(API, Collected(witnessed=(kept_out,)))
    collected = Collected((evidence(statement()),), services={"api": held})
    assert judge(IMAGE, collected, gate((BUILD,)), NOW).verdict.outcome is Outcome.REFUSED


def test_a_revoked_image_of_one_service_keeps_the_release_out() -> None:
    policy = replace(gate((BUILD,)), revoked=frozenset({str(WEB)}))
    judgement = judge(IMAGE, release(), policy, NOW)
    assert [each.text for each in judgement.barred] == [
        f"{WEB.short}, the image of web, is revoked in pipeline.toml"
    ]


def test_a_digest_whose_images_nobody_knows_may_not_go() -> None:
    collected = replace(release(), services=None)
    judgement = judge(IMAGE, collected, gate((BUILD,)), NOW)
    assert judgement.verdict.outcome is Outcome.REFUSED
    assert "is not known" in judgement.firm[0].text
