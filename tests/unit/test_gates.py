"""What pipeline.toml makes of the gates: nothing it leaves out opens one."""

from __future__ import annotations

from pipeline import config
from pipeline.gates import make_rules
from pipeline.model.limits import Limit
from pipeline.model.policy import Approval, Requirement
from pipeline.runner import Rules
from tests.fakes.evidence import TRUST

SMALL = '[app]\nname = "shop"\n[cloud]\nprovider = "local"\n[environments.staging]\n[environments.prod]\n'


def rules(more: str = "") -> Rules:
    return make_rules(config.parse(SMALL + more), TRUST)


def asked(found: Rules, gate: str) -> dict[str, Requirement]:
    return {requirement.stage: requirement for requirement in found.gates[gate].requirements}


def test_a_gate_that_is_not_configured_asks_for_every_earlier_stage() -> None:
    found = rules()
    assert {gate: list(asked(found, gate)) for gate in found.gates} == {
        "integration": ["build"],
        "staging": ["build", "integration"],
        "prod": ["build", "integration", "staging"],
    }


def test_the_build_has_no_gate() -> None:
    assert "build" not in rules().gates


def test_stages_must_have_run_in_their_order_unless_told_otherwise() -> None:
    found = asked(rules('[gate.prod.staging]\nafter = ["build"]\n'), "prod")
    assert (found["integration"].after, found["staging"].after) == (("build",), ("build",))
    assert asked(rules(), "prod")["staging"].after == ("integration",)


def test_staging_evidence_counts_for_staging_alone() -> None:
    assert asked(rules(), "prod")["staging"].environment == "staging"
    assert asked(rules(), "prod")["integration"].environment == ""


def test_a_configured_age_is_in_seconds_and_holds_for_its_gate() -> None:
    found = rules('[gate.prod.integration]\nmax_age = "7d"\n')
    assert asked(found, "prod")["integration"].max_age == 7 * 86400
    assert asked(found, "staging")["integration"].max_age is None


def test_limits_in_all_and_by_endpoint_are_asked_of_staging_and_decide_whether_it_stands() -> None:
    found = rules(
        "[gate.prod.staging.limits]\np95_ms = { max = 400 }\n"
        '[gate.prod.staging.endpoints]\n"GET /" = { p99_ms = { max = 800 } }\n'
    )
    limits = asked(found, "prod")["staging"].limits
    assert limits["p95_ms"] == Limit(max=400)
    assert Limit(max=800) in limits.values()
    assert len(limits) == 2
    assert found.standing["staging"].requirements[-1].limits == limits


def test_every_stage_has_a_rule_for_when_its_own_record_stands() -> None:
    found = rules().standing
    assert set(found) == {"build", "integration", "staging", "prod"}
    assert found["prod"].requirements[-1].environment == "prod"
    for name, policy in found.items():
        assert policy.requirements[-1].stage == name


def test_every_gate_trusts_the_same_keys_and_knows_where_it_leads() -> None:
    found = rules()
    assert {policy.trust for policy in (*found.gates.values(), *found.standing.values())} == {TRUST}
    assert [policy.environment for policy in found.gates.values()] == ["", "staging", "prod"]


def test_what_is_revoked_for_a_gate_is_not_reused_behind_it_either() -> None:
    digest = "sha256:" + "d" * 64
    found = rules(f'[gate.prod]\nrevoked = ["{digest}"]\n')
    assert found.gates["prod"].revoked == found.standing["prod"].revoked == {digest}
    assert found.gates["staging"].revoked == frozenset()


def test_approvals_and_freezes_are_about_rolling_out_and_not_about_what_runs_already() -> None:
    found = rules(
        '[gate.prod]\napproval = { max_age = "24h", by = ["this machine"] }\nfrozen = ["Fri 16:00–Mon 08:00 UTC"]\n'
    )
    assert found.gates["prod"].approval == Approval(86400.0, ("this machine",))
    assert [window.text for window in found.gates["prod"].frozen] == ["Fri 16:00–Mon 08:00 UTC"]
    assert found.standing["prod"].approval is None
    assert found.standing["prod"].frozen == ()
