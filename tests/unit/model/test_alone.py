from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from pipeline.model.alone import candidate_metrics, judge_alone, judge_relative_limits, strictest
from pipeline.model.histogram import Histogram
from pipeline.model.limits import Limit
from pipeline.model.load import EndpointSummary, GeneratorHealth, GeneratorLimits, LoadLimits, LoadSummary
from pipeline.model.verdict import Outcome, Reason, Verdict

HEALTHY = GeneratorHealth(0.2, 0.02, 1.0)
BOUNDS = GeneratorLimits()


def measured(requests: int, failures: int = 0, latency: float = 20.0) -> LoadSummary:
    parts = [
        EndpointSummary.of(name, requests, failures, Histogram.of([latency] * requests))
        for name in ("all", "GET /")
    ]
    return LoadSummary(parts[0], parts[1:], 10.0, HEALTHY)


def limits(endpoints: Mapping[str, Mapping[str, Limit]] | None = None, **more: Limit) -> LoadLimits:
    return LoadLimits({"requests": Limit(min=500), "error_rate": Limit(max=0.01), **more}, endpoints or {})


@pytest.mark.parametrize(
    ("alone", "beside", "outcome"),
    [(400, 200, Outcome.PASSED), (400, 50, Outcome.UNDECIDED), (0, 600, Outcome.UNDECIDED)],
    ids=["both together", "too few together", "none alone"],
)
def test_requests_of_both_phases_are_counted(alone: int, beside: int, outcome: Outcome) -> None:
    assert judge_alone(measured(alone), measured(beside), limits(), BOUNDS).outcome is outcome


def test_an_endpoints_requests_are_counted_the_same_way() -> None:
    told = limits({"GET /": {"requests": Limit(min=500), "p95_ms": Limit(max=10)}})
    enough = judge_alone(measured(400), measured(200), told, BOUNDS)
    assert [reason.text for reason in enough.reasons] == ["p95 of GET / was 20 ms, limit 10 ms"]
    few = judge_alone(measured(400), measured(50), told, BOUNDS)
    assert few.outcome is Outcome.REFUSED
    assert any("requests to GET / was 450" in reason.text for reason in few.reasons)


def test_errors_are_those_of_the_candidate_alone() -> None:
    assert judge_alone(measured(600), measured(600, failures=300), limits(), BOUNDS).passed
    refused = judge_alone(measured(600, failures=300), measured(600), limits(), BOUNDS)
    assert refused.outcome is Outcome.REFUSED


def test_without_a_least_number_of_requests_nothing_passes_beside_a_baseline_either() -> None:
    told = LoadLimits({"error_rate": Limit(max=0.01)})
    assert judge_alone(measured(600), measured(600), told, BOUNDS).outcome is Outcome.UNDECIDED


def test_without_a_baseline_it_is_judged_as_ever() -> None:
    assert judge_alone(measured(600), None, limits(), BOUNDS).passed
    assert judge_alone(measured(400), None, limits(), BOUNDS).outcome is Outcome.UNDECIDED


def test_ratios_are_no_absolute_limits() -> None:
    told = limits({"GET /": {"p95_ratio": Limit(max=1.1)}}, p95_ratio=Limit(max=1.1))
    assert judge_alone(measured(600), None, told, BOUNDS).passed


def test_metrics_are_the_candidates_alone_but_for_the_number_of_requests() -> None:
    found = candidate_metrics(measured(400, failures=4), measured(200, failures=2))
    assert (found["requests"], found["requests[GET /]"]) == (600, 600)
    assert (found["failures"], found["error_rate"]) == (4, 0.01)
    assert candidate_metrics(measured(400), None)["requests"] == 400


@pytest.mark.parametrize(
    ("metrics", "why", "outcome", "words"),
    [
        ({"p95_ratio": 1.05, "p95_ratio[GET /]": 1.0}, "", Outcome.PASSED, ""),
        ({"p95_ratio": 1.2, "p95_ratio[GET /]": 1.0}, "", Outcome.REFUSED, "1.2"),
        ({"p95_ratio": 1.05}, "", Outcome.UNDECIDED, "p95_ratio of GET / was not measured"),
        ({}, "nothing runs there", Outcome.UNDECIDED, "p95_ratio was not measured: nothing runs there"),
    ],
)
def test_limits_on_ratios_are_held_against_what_was_compared(
    metrics: Mapping[str, float], why: str, outcome: Outcome, words: str
) -> None:
    told = limits({"GET /": {"p95_ratio": Limit(max=1.1)}}, p95_ratio=Limit(max=1.1))
    found = judge_relative_limits(metrics, told, why)
    assert found is not None
    assert found.outcome is outcome
    assert not words or words in found.reasons[0].text


def test_without_such_limits_there_is_nothing_to_hold() -> None:
    assert judge_relative_limits({}, limits(), "") is None


def test_the_strictest_outcome_stands_with_the_reasons_of_all_that_did_not_pass() -> None:
    passed = Verdict("a", Outcome.PASSED, (Reason("fine"),))
    open_ = Verdict("b", Outcome.UNDECIDED, (Reason("few"),))
    refused = Verdict("c", Outcome.REFUSED, (Reason("slow"),))
    found = strictest([passed, open_, refused])
    assert (found.outcome, [reason.text for reason in found.reasons]) == (Outcome.REFUSED, ["slow", "few"])
    assert strictest([passed, passed]).reasons == (Reason("fine"), Reason("fine"))
    assert strictest([]).outcome is Outcome.UNDECIDED


def test_user_classes_without_a_user_are_named_where_it_was_loaded_by_itself() -> None:
    idle = replace(measured(600), idle=("Buyer", "Clerk"))
    found = judge_alone(idle, None, limits(), BOUNDS)
    assert found.passed
    assert found.reasons[-1].text.endswith("there was none of Buyer, Clerk")
    refused = judge_alone(replace(measured(600, failures=300), idle=("Buyer",)), None, limits(), BOUNDS)
    assert len(refused.reasons) == 1
