"""What people do to get an image past a gate, each refused for its own reason; and which rule it is that notices.

RULES names every rule of the gate. Each is taken away in turn: then something must get past that did not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.model import gate
from pipeline.model.digest import Digest
from pipeline.model.evidence import Collected, Evidence, Statement
from pipeline.model.freeze import parse_window
from pipeline.model.gate import Judgement, judge, judge_rollback, weigh
from pipeline.model.limits import Limit
from pipeline.model.policy import Approval, GatePolicy, Requirement, Trust
from pipeline.model.verdict import Outcome

NOW = datetime(2026, 3, 6, 12, tzinfo=UTC)  # a Friday
IMAGE, OTHER = Digest("sha256:" + "a" * 64), Digest("sha256:" + "b" * 64)
CI, QA, STRANGER = ("SHA256:" + letter * 43 for letter in "CQS")
TRUST = (
    Trust("ci", CI, frozenset({"build", "integration", "staging", "prod", "rollback", "quarantine"})),
    Trust("qa", QA, frozenset({"approval", "quarantine"})),
    Trust("boss", CI, frozenset({"approval"})),
)
LEFT = {"to": str(OTHER), "by": "ann", "reason": "leaks memory"}
STRICT = GatePolicy(
    gate="prod",
    app="shop",
    environment="prod",
    trust=TRUST,
    requirements=(
        Requirement("build", max_age=30 * 86400.0),
        Requirement("integration", after=("build",), plan="sha256:tests"),
        Requirement(
            "staging", "staging", 86400.0, ("integration",), "sha256:load", {"p95_ms": Limit(max=250.0)}
        ),
    ),
    approval=Approval(86400.0, ("qa",)),
    frozen=(parse_window("Fri 16:00–Mon 08:00 UTC"),),
)


def record(stage: str, minutes: float, key: str = CI, name: str = "", **changes: object) -> Evidence:
    """Of a stage that ran for a minute, ended `minutes` ago."""
    end = NOW - timedelta(minutes=minutes)
    plain = Statement("shop", stage, "", "PASSED", "", "run", end - timedelta(minutes=1), end)
    name = name or f"sha256:{stage}"
    return Evidence(IMAGE, name, replace(plain, **changes), key, f"signed {name}")  # type: ignore[arg-type]


def chain() -> dict[str, Evidence]:
    """All that STRICT asks for."""
    staging: dict[str, Any] = {"environment": "staging", "plan": "sha256:load", "metrics": {"p95_ms": 250.0}}
    return {
        "build": record("build", 50),
        "integration": record("integration", 40, inputs={"build": "sha256:build"}, plan="sha256:tests"),
        "staging": record("staging", 30, CI, inputs={"integration": "sha256:integration"}, **staging),
        "approval": record("approval", 20, QA, environment="prod"),
    }


@dataclass
class World:
    """A good chain, and what an attacker makes of it."""

    records: dict[str, Evidence] = field(default_factory=chain)
    witnessed: list[Evidence] = field(default_factory=list)
    policy: GatePolicy = STRICT
    now: datetime = NOW
    subject: Digest = IMAGE

    def judgement(self) -> Judgement:
        found = Collected(tuple(self.records.values()), (), tuple(self.witnessed))
        return judge(self.subject, found, self.policy, self.now)

    def change(self, name: str, /, **changes: object) -> None:
        old = self.records[name]
        self.records[name] = replace(old, statement=replace(old.statement, **changes))  # type: ignore[arg-type]

    def add(self, found: Evidence) -> None:
        self.records[f"{found.id} {len(self.records)}"] = found

    def set(self, **changes: object) -> None:
        self.policy = replace(self.policy, **changes)  # type: ignore[arg-type]


@pytest.fixture
def world() -> World:
    return World()


def test_the_chain_that_is_attacked_is_good(world: World) -> None:
    judgement = world.judgement()
    assert judgement.verdict.reasons == ()
    assert judgement.verdict.outcome is Outcome.PASSED
    assert list(judgement.accepted) == ["build", "integration", "staging"]


Attack = Callable[[World], None]


def signed_by_another(w: World) -> None:
    w.records["staging"] = replace(w.records["staging"], signer=STRANGER)


def signed_by_nobody(w: World) -> None:
    w.records["staging"] = replace(w.records["staging"], signer="")


def signed_by_a_key_for_something_else(w: World) -> None:
    w.records["staging"] = replace(w.records["staging"], signer=QA)


def approved_by_the_builder(w: World) -> None:
    w.records["approval"] = replace(w.records["approval"], signer=CI)


def revoked_key(w: World) -> None:
    w.set(revoked=frozenset({CI}))


def revoked_bundle(w: World) -> None:
    w.set(revoked=frozenset({"sha256:staging"}))


def revoked_payload(w: World) -> None:
    w.set(revoked=frozenset({"signed sha256:staging"}))


def revoked_bundle_in_another_wrapping(w: World) -> None:
    revoked_bundle(w)
    w.add(replace(w.records["staging"], id="sha256:same-statement-other-bytes"))


def revoked_image(w: World) -> None:
    w.set(revoked=frozenset({str(IMAGE)}))


def copied_from_another_image(w: World) -> None:
    w.records["staging"] = replace(w.records["staging"], subject=OTHER)


def of_another_app(w: World) -> None:
    w.change("staging", app="blog")


def of_another_stage(w: World) -> None:
    w.change("staging", stage="integration", finished=NOW - timedelta(hours=9))


def of_another_environment(w: World) -> None:
    w.change("staging", environment="playground")


def from_the_future(w: World) -> None:
    w.change("staging", finished=NOW + timedelta(minutes=5, seconds=1))


def finished_before_it_started(w: World) -> None:
    w.change("staging", started=NOW, finished=NOW - timedelta(minutes=20))


def stale(w: World) -> None:
    end = NOW - timedelta(days=31)
    w.change("build", started=end, finished=end)


def other_plan(w: World) -> None:
    w.change("integration", plan="sha256:fewer-tests")


def limit_just_exceeded(w: World) -> None:
    w.change("staging", metrics={"p95_ms": 250.001})


def metric_missing(w: World) -> None:
    w.change("staging", metrics={})


def metric_text(w: World) -> None:
    w.change("staging", metrics={"p95_ms": "9"})


def metric_bool(w: World) -> None:
    w.change("staging", metrics={"p95_ms": True})


def metric_nan(w: World) -> None:
    w.change("staging", metrics={"p95_ms": float("nan")})


def started_before_its_predecessor_finished(w: World) -> None:
    w.change("staging", started=NOW - timedelta(minutes=40, seconds=1))


def predecessor_replaced(w: World) -> None:
    w.records["integration"] = replace(w.records["integration"], id="sha256:i2", payload="other")


def predecessor_unasked(w: World) -> None:
    w.set(requirements=STRICT.requirements[2:])


def failed(w: World) -> None:
    w.change("staging", result="FAILED")


def undecided(w: World) -> None:
    w.change("staging", result="UNDECIDED")


def failed_since(w: World) -> None:
    newer = replace(w.records["staging"].statement, result="FAILED", finished=NOW - timedelta(minutes=1))
    w.add(replace(w.records["staging"], id="sha256:newer", payload="newer", statement=newer))


def failed_at_the_same_time(w: World) -> None:
    same = replace(w.records["staging"].statement, result="FAILED")
    w.add(replace(w.records["staging"], id="sha256:0", payload="same time", statement=same))


def failed_in_the_future(w: World) -> None:
    newer = replace(w.records["staging"].statement, result="FAILED", finished=NOW + timedelta(hours=1))
    w.add(replace(w.records["staging"], id="sha256:newer", payload="newer", statement=newer))


def deleted(w: World) -> None:
    del w.records["staging"]


def all_deleted(w: World) -> None:
    w.records.clear()


def failure_deleted(w: World) -> None:
    newer = replace(w.records["staging"].statement, result="FAILED", finished=NOW - timedelta(minutes=1))
    w.witnessed.append(Evidence(IMAGE, "sha256:local", newer))


def never_approved(w: World) -> None:
    del w.records["approval"]


def approved_for_staging(w: World) -> None:
    w.change("approval", environment="staging")


def approved_by_one_who_was_not_asked(w: World) -> None:
    w.records["approval"] = replace(w.records["approval"], signer=CI)


def approval_taken_back(w: World) -> None:
    w.add(record("approval", 1, QA, "sha256:no", environment="prod", result="FAILED"))


def approved_long_ago(w: World) -> None:
    end = NOW - timedelta(days=1, seconds=1)
    w.change("approval", started=end, finished=end)


def in_a_freeze(w: World) -> None:
    w.set(frozen=(parse_window("Thu 12:00–Sat 12:00 UTC"),))


def quarantined(w: World) -> None:
    w.add(record("quarantine", 5, QA, result="FAILED", facts={"reason": "leaks memory"}))


def quarantined_here(w: World) -> None:
    w.add(record("quarantine", 5, QA, result="FAILED", environment="prod"))


def quarantined_by_a_clock_that_is_ahead(w: World) -> None:
    w.add(record("quarantine", -600, QA, result="FAILED"))


def quarantine_deleted(w: World) -> None:
    w.witnessed.append(record("quarantine", 5, "", result="FAILED", facts={"reason": "seen here"}))


def quarantine_lifted_by_one_who_may_not(w: World) -> None:
    quarantined(w)
    w.add(record("quarantine", 1, STRANGER, "sha256:lift"))


def quarantine_lifted_for_one_environment(w: World) -> None:
    quarantined(w)
    w.add(record("quarantine", 1, QA, "sha256:lift", environment="prod"))


def rolled_back(w: World) -> None:
    w.add(record("prod", 9, environment="prod"))
    w.add(record("rollback", 5, environment="prod", result="FAILED", facts=LEFT))


def rolled_back_and_failed_again(w: World) -> None:
    rolled_back(w)
    w.add(record("prod", 1, name="sha256:again", environment="prod", result="FAILED"))


def rollback_deleted(w: World) -> None:
    w.witnessed.append(record("rollback", 5, "", environment="prod", result="FAILED", facts=LEFT))


def nothing_asked(w: World) -> None:
    w.set(requirements=())


def nobody_trusted(w: World) -> None:
    w.set(trust=())


ATTACKS: Mapping[Attack, str] = {
    signed_by_another: "no staging evidence",
    signed_by_nobody: "no staging evidence",
    signed_by_a_key_for_something_else: "no staging evidence",
    approved_by_the_builder: "not approved for prod by qa",
    revoked_key: "no build evidence",
    revoked_bundle: "no staging evidence",
    revoked_payload: "no staging evidence",
    revoked_bundle_in_another_wrapping: "no staging evidence",
    revoked_image: "is revoked in pipeline.toml",
    copied_from_another_image: "no staging evidence",
    of_another_app: "no staging evidence",
    of_another_stage: "no staging evidence",
    of_another_environment: "no staging evidence",
    from_the_future: "no staging evidence",
    finished_before_it_started: "no staging evidence",
    stale: "build evidence is 31 d old",
    other_plan: "integration was run by another plan",
    limit_just_exceeded: "p95",
    metric_missing: "p95_ms was not measured",
    metric_text: "no finite number",
    metric_bool: "no finite number",
    metric_nan: "no finite number",
    started_before_its_predecessor_finished: "staging started before integration had finished",
    predecessor_replaced: "not admitted on the integration evidence",
    predecessor_unasked: "asks for integration before it",
    failed: "ended FAILED",
    undecided: "ended UNDECIDED",
    failed_since: "ended FAILED",
    failed_at_the_same_time: "ended FAILED",
    failed_in_the_future: "ended FAILED",
    deleted: "no staging evidence",
    all_deleted: "no build evidence",
    failure_deleted: "this machine knows of a run of staging that ended FAILED",
    never_approved: "is not approved for prod by qa",
    approved_for_staging: "is not approved for prod",
    approved_by_one_who_was_not_asked: "is not approved for prod by qa",
    approval_taken_back: "is not approved for prod",
    approved_long_ago: "the approval for prod is 1 d old",
    in_a_freeze: "prod is frozen: Thu 12:00–Sat 12:00 UTC",
    quarantined: "is quarantined: leaks memory",
    quarantined_here: "is quarantined for prod: no reason was given",
    quarantined_by_a_clock_that_is_ahead: "is quarantined",
    quarantine_deleted: "is quarantined: seen here",
    quarantine_lifted_by_one_who_may_not: "is quarantined: leaks memory",
    quarantine_lifted_for_one_environment: "is quarantined: leaks memory",
    rolled_back: "was rolled back from prod at 2026-03-06 11:55:00 UTC by ann: leaks memory",
    rolled_back_and_failed_again: "was rolled back from prod",
    rollback_deleted: "was rolled back from prod",
    nothing_asked: "asks for nothing",
    nobody_trusted: "no build evidence",
}
"""Each attack, and words of the reason for which it is refused."""

WHY_NOT_COUNTED: Mapping[Attack, str] = {
    signed_by_another: "is signed by a key that is not trusted here, SHA256:SSS",
    signed_by_nobody: "is signed by a key that is not trusted here, none",
    signed_by_a_key_for_something_else: "is signed by 'qa' (SHA256:QQQ",
    revoked_key: "is signed by a revoked key",
    revoked_bundle: "is revoked, as sha256:staging",
    revoked_payload: "is revoked, as signed sha256:staging",
    revoked_bundle_in_another_wrapping: "is revoked, as signed sha256:staging",
    copied_from_another_image: "is about another image, sha256:bbb",
    of_another_app: "is about another app, 'blog'",
    from_the_future: "lies in the future (2026-03-06T12:05:01+00:00)",
    finished_before_it_started: "finished before it started",
    nobody_trusted: "is signed by a key that is not trusted here",
}
"""Of those whose record does not count, the reason that `verify` and `evidence` give for that."""


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_it_is_refused_for_its_own_reason_with_what_mends_it(world: World, attack: Attack) -> None:
    attack(world)
    verdict = world.judgement().verdict
    assert verdict.outcome is Outcome.REFUSED
    assert any(ATTACKS[attack] in reason.text for reason in verdict.reasons), verdict.reasons
    assert all(reason.remedy for reason in verdict.reasons)


@pytest.mark.parametrize("attack", WHY_NOT_COUNTED, ids=lambda attack: attack.__name__)
def test_a_record_that_does_not_count_is_named_with_the_reason(world: World, attack: Attack) -> None:
    attack(world)
    assert any(WHY_NOT_COUNTED[attack] in each.reason for each in world.judgement().ignored)


RULES: Mapping[str, Mapping[str, Attack]] = {
    "OF_RECORD": {
        "is_of_this_image": copied_from_another_image,
        "is_of_this_app": of_another_app,
        "is_by_a_key_for_its_stage": signed_by_a_key_for_something_else,
        "is_by_no_revoked_key": revoked_key,
        "is_not_revoked": revoked_bundle,
        "has_started_before_it_finished": finished_before_it_started,
        "is_not_of_the_future": from_the_future,
    },
    "OF_STAGE": {
        "is_on_record": deleted,
        "has_passed": failed_since,
        "is_young_enough": stale,
        "is_of_todays_plan": other_plan,
        "is_within_limits": limit_just_exceeded,
        "has_its_predecessors": predecessor_unasked,
        "was_admitted_on_them": predecessor_replaced,
        "started_after_them": started_before_its_predecessor_finished,
        "has_no_newer_failure_here": failure_deleted,
    },
    "OF_GATE": {
        "asks_for_something": nothing_asked,
        "is_approved": never_approved,
        "approval_is_young_enough": approved_long_ago,
        "is_not_frozen": in_a_freeze,
        "was_not_rolled_back": rolled_back,
    },
    "OF_IMAGE": {
        "image_is_not_revoked": revoked_image,
        "image_is_not_quarantined": quarantined,
    },
}
"""Every rule of the gate, and an attack that it alone holds off."""


def test_no_rule_is_missing_in_the_table() -> None:
    for group, rules in RULES.items():
        assert [check.__name__ for check in getattr(gate, group)] == list(rules)


@pytest.mark.parametrize(
    ("group", "rule"), [(group, rule) for group, rules in RULES.items() for rule in rules]
)
def test_without_the_rule_its_attack_gets_past(
    world: World, monkeypatch: pytest.MonkeyPatch, group: str, rule: str
) -> None:
    attack = RULES[group][rule]
    attack(world)
    if rule == "has_started_before_it_finished":
        # started at NOW, and so after its predecessor; nothing else is wrong with it
        assert world.records["staging"].statement.started == NOW
    assert world.judgement().verdict.outcome is Outcome.REFUSED
    left = tuple(check for check in getattr(gate, group) if check.__name__ != rule)
    monkeypatch.setattr(gate, group, left)
    assert world.judgement().verdict.outcome is Outcome.PASSED, world.judgement().verdict.reasons


def test_the_edges_of_what_is_allowed_are_within(world: World) -> None:
    end = NOW - timedelta(days=30)
    world.change("build", started=end, finished=end)
    world.change("staging", started=NOW - timedelta(minutes=40), finished=NOW + timedelta(minutes=5))
    end = NOW - timedelta(days=1)
    world.change("approval", started=end, finished=end)
    assert world.judgement().verdict.reasons == ()


def test_the_same_statement_in_another_wrapping_is_still_the_predecessor(world: World) -> None:
    """Who may write to the registry can wrap what we signed anew; that must not close the gate."""
    world.add(replace(world.records["integration"], id="sha256:zzz"))
    assert world.judgement().verdict.outcome is Outcome.PASSED


def test_a_record_without_a_payload_id_is_told_by_its_own(world: World) -> None:
    world.records = {name: replace(found, payload="") for name, found in world.records.items()}
    assert world.judgement().verdict.outcome is Outcome.PASSED


def test_a_quarantine_that_was_lifted_holds_nothing_back(world: World) -> None:
    quarantined(world)
    quarantine_deleted(world)
    world.add(record("quarantine", 1, QA, "sha256:lift"))
    assert world.judgement().verdict.outcome is Outcome.PASSED


def test_what_was_rolled_back_and_runs_well_again_is_let_in(world: World) -> None:
    rolled_back(world)
    world.add(record("prod", 1, name="sha256:again", environment="prod"))
    assert world.judgement().verdict.outcome is Outcome.PASSED


def test_a_rollback_from_staging_or_one_that_led_here_and_failed_keeps_nothing_out(world: World) -> None:
    world.add(record("rollback", 5, environment="staging", result="FAILED", facts=LEFT))
    world.add(record("rollback", 5, name="sha256:there", environment="prod", result="FAILED"))
    assert world.judgement().verdict.outcome is Outcome.PASSED


def test_a_quarantine_for_staging_is_none_for_prod(world: World) -> None:
    world.add(record("quarantine", 1, QA, result="FAILED", environment="staging"))
    assert world.judgement().verdict.outcome is Outcome.PASSED
    world.set(environment="staging", approval=None)
    assert "quarantined for staging" in world.judgement().barred[0].text
    assert world.judgement().barred[0].remedy.endswith("--lift --environment staging")


def test_anybody_who_may_sign_approvals_may_approve_where_nobody_is_named(world: World) -> None:
    world.set(approval=Approval())
    world.records["approval"] = replace(world.records["approval"], signer=CI)
    assert world.judgement().verdict.outcome is Outcome.PASSED


@pytest.mark.parametrize(
    "changes",
    [
        {"result": "PASSED"},
        {"app": "blog"},
        {"stage": "integration", "finished": NOW - timedelta(minutes=41)},
        {"environment": "playground"},
        {"finished": NOW - timedelta(minutes=30)},
    ],
)
def test_what_this_machine_saw_speaks_only_against_newer_and_of_the_same(
    world: World, changes: dict[str, object]
) -> None:
    failure_deleted(world)
    (seen,) = world.witnessed
    world.witnessed = [replace(seen, statement=replace(seen.statement, **changes))]  # type: ignore[arg-type]
    assert world.judgement().verdict.outcome is Outcome.PASSED


def test_what_this_machine_saw_of_another_image_or_what_is_revoked_says_nothing(world: World) -> None:
    failure_deleted(world)
    (seen,) = world.witnessed
    world.witnessed = [replace(seen, subject=OTHER)]
    assert world.judgement().verdict.outcome is Outcome.PASSED
    world.witnessed = [seen]
    world.set(revoked=frozenset({seen.id}))
    assert world.judgement().verdict.outcome is Outcome.PASSED


def test_of_what_the_registry_still_shows_the_keys_decide_and_not_this_machine(world: World) -> None:
    failure_deleted(world)
    (seen,) = world.witnessed
    world.add(Evidence(IMAGE, "sha256:bundle", seen.statement, STRANGER, seen.id))
    assert world.judgement().verdict.outcome is Outcome.PASSED


def test_what_bars_an_image_is_told_apart_from_what_can_be_overridden(world: World) -> None:
    failed(world)
    assert (world.judgement().barred, world.judgement().firm) == ((), ())
    world.change("build", result="FAILED")
    assert "nobody who is trusted says to have built" in world.judgement().firm[0].text
    quarantined(world)
    revoked_image(world)
    assert len(world.judgement().barred) == 2
    assert world.judgement().firm[:2] == world.judgement().barred


def test_only_a_gate_that_asks_for_the_build_is_firm_about_it(world: World) -> None:
    all_deleted(world)
    world.set(requirements=STRICT.requirements[:1])
    assert len(world.judgement().firm) == 1
    world.set(requirements=STRICT.requirements[2:])
    assert world.judgement().firm == ()


def test_a_judgement_names_the_rules_it_was_made_by(world: World) -> None:
    assert world.judgement().policy == STRICT.hash
    revoked_key(world)
    assert world.judgement().policy != STRICT.hash
    in_a_freeze(world)
    assert world.judgement().policy == world.policy.hash


def test_two_hundred_records_are_judged_without_a_second_look(world: World) -> None:
    for number in range(200):
        world.add(record("staging", 100 + number, name=f"sha256:{number}", environment="staging"))
    assert world.judgement().verdict.outcome is Outcome.PASSED


def test_what_counts_is_told_apart_from_what_does_not(world: World) -> None:
    of_another_app(world)
    found = weigh(IMAGE, Collected(tuple(world.records.values())), STRICT, NOW)
    assert [each.statement.stage for each in found.accepted] == ["build", "integration", "approval"]
    assert [each.id for each in found.ignored] == ["sha256:staging"]


def back(*records: Evidence, **changes: object) -> Judgement:
    policy = replace(STRICT, **changes)  # type: ignore[arg-type]
    return judge_rollback(IMAGE, Collected(records), policy, NOW)


DEPLOYED = record("prod", 60 * 24 * 400, environment="prod")


def test_what_ran_well_once_may_come_back_however_long_ago() -> None:
    judgement = back(DEPLOYED)
    assert judgement.verdict.outcome is Outcome.PASSED
    assert judgement.accepted == {"prod": DEPLOYED}


def test_the_newest_good_deployment_is_what_a_rollback_stands_on() -> None:
    newer = record("prod", 60, name="sha256:newer", environment="prod")
    assert back(newer, DEPLOYED).accepted == {"prod": newer}


@pytest.mark.parametrize(
    "found",
    [
        record("prod", 60, environment="prod", result="FAILED"),
        record("prod", 60, environment="staging"),
        record("staging", 60, environment="prod"),
        record("prod", 60, QA, environment="prod"),
    ],
)
def test_what_never_ran_well_there_is_no_target_of_a_rollback(found: Evidence) -> None:
    judgement = back(found)
    assert judgement.verdict.outcome is Outcome.REFUSED
    assert "no good deployment to prod on record" in judgement.verdict.reasons[0].text
    assert judgement.verdict.reasons[0].remedy == f"python -m pipeline promote {IMAGE} prod"


def test_a_quarantined_or_revoked_image_is_no_target_of_a_rollback() -> None:
    assert "quarantined" in back(DEPLOYED, record("quarantine", 5, QA, result="FAILED")).barred[0].text
    assert "is revoked" in back(DEPLOYED, revoked=frozenset({str(IMAGE)})).barred[0].text
