"""The verdict on a load test: passed, refused, undecided, and why."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.histogram import Histogram, bin_of
from pipeline.model.limits import Limit, judge_metrics
from pipeline.model.load import (
    EndpointSummary,
    GeneratorHealth,
    GeneratorLimits,
    LoadLimits,
    LoadShape,
    LoadSummary,
    Second,
    facts_of,
    fitting_users,
    headline,
    judge_load,
    metrics_of,
    needed,
    wilson,
)
from pipeline.model.verdict import Outcome, Verdict

HEALTHY = GeneratorHealth(cpu_share=0.2, lag_share=0.02, delivered_share=1.0)
ERRORS = {"error_rate": Limit(max=0.01), "requests": Limit(min=1)}


def endpoint(name: str, count: int, latency: float, failures: int = 0) -> EndpointSummary:
    return EndpointSummary.of(name, count, failures, Histogram.of([latency] * count))


def measured(*endpoints: EndpointSummary, generator: GeneratorHealth = HEALTHY) -> LoadSummary:
    whole = Histogram()
    for each in endpoints:
        whole = whole.merge(each.histogram)
    requests, failures = sum(e.requests for e in endpoints), sum(e.failures for e in endpoints)
    total = EndpointSummary.of("all", requests, failures, whole)
    return LoadSummary(total, endpoints, 20.0, generator)


def judged(
    summary: LoadSummary,
    total: Mapping[str, Limit] = ERRORS,
    endpoints: Mapping[str, Mapping[str, Limit]] | None = None,
) -> Verdict:
    return judge_load(summary, LoadLimits({**ERRORS, **total}, endpoints or {}), GeneratorLimits())


def texts(verdict: Verdict) -> str:
    return "\n".join(reason.text for reason in verdict.reasons)


GOOD = measured(endpoint("GET /api/owners", 2000, 40.0), endpoint("GET /api/vets", 400, 20.0))
LIMITS = {"requests": Limit(min=1000), "p95_ms": Limit(max=250), "p99_ms": Limit(max=500)}


def test_a_load_within_its_limits_passes_and_says_what_was_measured() -> None:
    verdict = judged(GOOD, LIMITS, {"GET /api/vets": {"p95_ms": Limit(max=30)}})
    assert verdict.outcome is Outcome.PASSED
    assert texts(verdict) == "2,400 requests in 20 s, 0 failed, p50 40 ms, p95 40 ms, p99 40 ms"


def test_a_slow_endpoint_refuses_by_name() -> None:
    summary = measured(endpoint("GET /api/owners", 2000, 1040.0), endpoint("GET /api/vets", 400, 20.0))
    verdict = judged(summary, {}, {"GET /api/owners": {"p95_ms": Limit(max=250)}})
    assert verdict.outcome is Outcome.REFUSED
    assert "p95 of GET /api/owners was 1,044 ms, limit 250 ms" in texts(verdict)
    assert all(reason.remedy for reason in verdict.reasons)


def test_a_quantile_that_is_its_limit_passes_and_one_just_above_refuses() -> None:
    value = GOOD.total.quantiles["p95"]
    assert judged(GOOD, {"p95_ms": Limit(max=value)}).outcome is Outcome.PASSED
    assert judged(GOOD, {"p95_ms": Limit(max=math.nextafter(value, 0))}).outcome is Outcome.REFUSED


def test_too_few_requests_are_undecided_with_what_to_raise() -> None:
    verdict = judged(measured(endpoint("GET /", 999, 10.0)), {"requests": Limit(min=1000)})
    assert verdict.outcome is Outcome.UNDECIDED
    assert "number of requests was 999, at least 1,000" in texts(verdict)
    assert "load.duration" in verdict.reasons[0].remedy


def test_a_slow_endpoint_refuses_even_when_too_few_requests_were_measured() -> None:
    summary = measured(endpoint("GET /", 300, 1000.0))
    verdict = judged(summary, {"requests": Limit(min=1000), "p95_ms": Limit(max=250)})
    assert verdict.outcome is Outcome.REFUSED
    assert "number of requests" in texts(verdict)


@pytest.mark.parametrize("total", [{}, {"p95_ms": Limit(max=250)}])
def test_nothing_measured_is_undecided(total: Mapping[str, Limit]) -> None:
    verdict = judged(measured(), total)
    assert verdict.outcome is Outcome.UNDECIDED
    assert "not one request was measured" in texts(verdict)


@pytest.mark.parametrize("limits", [{}, {"p95_ms": Limit(max=250)}, {"error_rate": Limit(min=0)}])
def test_without_a_limit_on_the_error_share_nothing_passes(limits: Mapping[str, Limit]) -> None:
    verdict = judge_load(GOOD, LoadLimits(limits), GeneratorLimits())
    assert verdict.outcome is Outcome.UNDECIDED
    assert "no limit for the error share" in texts(verdict)


@pytest.mark.parametrize("limits", [{}, {"requests": Limit(max=99_999)}])
def test_without_a_least_number_of_requests_nothing_passes(limits: Mapping[str, Limit]) -> None:
    verdict = judge_load(GOOD, LoadLimits({"error_rate": Limit(max=0.01), **limits}), GeneratorLimits())
    assert verdict.outcome is Outcome.UNDECIDED
    assert "how few requests are enough" in texts(verdict)


class TestFewSamples:
    def test_quantiles_need_ten_requests_in_their_tail(self) -> None:
        assert [needed(share) for share in (0.5, 0.95, 0.99)] == [20, 200, 1000]

    @pytest.mark.parametrize(("count", "outcome"), [(199, Outcome.UNDECIDED), (200, Outcome.PASSED)])
    def test_a_fast_endpoint_with_too_few_requests_is_undecided(self, count: int, outcome: Outcome) -> None:
        summary = measured(endpoint("GET /", 2000, 10.0), endpoint("GET /rare", count, 10.0))
        assert judged(summary, {}, {"GET /rare": {"p95_ms": Limit(max=250)}}).outcome is outcome

    def test_what_was_missing_is_said(self) -> None:
        summary = measured(endpoint("GET /", 2000, 10.0), endpoint("GET /rare", 60, 10.0))
        verdict = judged(summary, {}, {"GET /rare": {"p95_ms": Limit(max=250)}})
        assert "p95 of GET /rare was not measured: 60 requests, 200 are needed" in texts(verdict)

    def test_an_endpoint_that_is_surely_too_slow_refuses_with_few_requests(self) -> None:
        summary = measured(endpoint("GET /", 2000, 10.0), endpoint("GET /slow", 12, 1040.0))
        verdict = judged(summary, {}, {"GET /slow": {"p95_ms": Limit(max=250)}})
        assert verdict.outcome is Outcome.REFUSED
        assert "p95 of GET /slow was 1,044 ms, limit 250 ms (12 of 12 requests were above it)" in texts(
            verdict
        )

    def test_one_slow_request_of_few_is_no_verdict(self) -> None:
        rare = EndpointSummary.of("GET /rare", 12, 0, Histogram.of([10.0] * 11 + [1040.0]))
        verdict = judged(
            measured(endpoint("GET /", 2000, 10.0), rare), {}, {"GET /rare": {"p95_ms": Limit(max=250)}}
        )
        assert verdict.outcome is Outcome.UNDECIDED

    def test_all_requests_are_called_so(self) -> None:
        verdict = judged(measured(endpoint("GET /", 30, 10.0)), {"p95_ms": Limit(max=250)})
        assert "p95 of all requests was not measured: 30 requests" in texts(verdict)

    def test_few_requests_without_a_histogram_are_undecided(self) -> None:
        bare = EndpointSummary("GET /", 12, 0, {"p95": 9000.0})
        summary = replace(GOOD, endpoints=[bare])
        assert judged(summary, {}, {"GET /": {"p95_ms": Limit(max=250)}}).outcome is Outcome.UNDECIDED

    def test_a_least_latency_is_undecided_with_few_requests(self) -> None:
        summary = measured(endpoint("GET /", 30, 10.0))
        assert judged(summary, {"p95_ms": Limit(min=1)}).outcome is Outcome.UNDECIDED

    def test_few_requests_stay_out_of_the_record_so_that_no_later_gate_passes_on_them(self) -> None:
        summary = measured(endpoint("GET /", 2000, 10.0), endpoint("GET /rare", 60, 10.0))
        assert judge_metrics(metrics_of(summary), {"p95_ms[GET /rare]": Limit(max=250)})


@pytest.mark.parametrize("metric", ["p95_ms", "requests", "error_rate", "p97_ms"])
def test_a_limit_on_an_endpoint_that_was_never_asked_is_undecided(metric: str) -> None:
    verdict = judged(GOOD, {}, {"GET /nowhere": {metric: Limit(max=1)}})
    assert verdict.outcome is Outcome.UNDECIDED
    assert "GET /nowhere was not measured" in texts(verdict)


@pytest.mark.parametrize("limit", [Limit(), Limit(max=math.nan), Limit(max=math.inf)])
@pytest.mark.parametrize("metric", ["p95_ms", "p97_ms", "error_rate", "requests"])
def test_a_limit_that_bounds_nothing_is_undecided(metric: str, limit: Limit) -> None:
    assert judged(GOOD, {metric: limit}).outcome is Outcome.UNDECIDED


def test_other_metrics_can_be_limited_too() -> None:
    assert judged(GOOD, {"requests_per_s": Limit(min=100)}).outcome is Outcome.PASSED
    assert judged(GOOD, {"requests_per_s": Limit(min=200)}).outcome is Outcome.REFUSED
    assert judged(GOOD, {"requests": Limit(max=10)}).outcome is Outcome.REFUSED


class TestErrors:
    def with_failures(self, failures: int, requests: int) -> LoadSummary:
        return measured(endpoint("GET /", requests, 10.0, failures))

    def test_one_failure_in_ten_thousand_is_within_one_per_mille(self) -> None:
        assert (
            judged(self.with_failures(1, 10_000), {"error_rate": Limit(max=0.001)}).outcome is Outcome.PASSED
        )

    def test_a_share_that_is_its_limit_passes(self) -> None:
        assert judged(self.with_failures(10, 1000)).outcome is Outcome.PASSED

    def test_one_failure_in_few_requests_is_no_verdict(self) -> None:
        verdict = judged(self.with_failures(1, 60))
        assert verdict.outcome is Outcome.UNDECIDED
        assert "1 of 60 failed; 99 % interval" in texts(verdict)
        assert "too few requests to tell" in texts(verdict)

    def test_a_burst_refuses_with_its_interval(self) -> None:
        verdict = judged(self.with_failures(100, 2000))
        assert verdict.outcome is Outcome.REFUSED
        assert (
            "error share of all requests was 5 %, limit 1 % (100 of 2,000 failed; 99 % interval 3.9"
            in texts(verdict)
        )

    def test_a_service_that_is_down_refuses_however_fast_it_answers(self) -> None:
        assert judged(self.with_failures(500, 500), {"p95_ms": Limit(max=250)}).outcome is Outcome.REFUSED

    def test_an_endpoint_has_its_own_limit(self) -> None:
        summary = measured(endpoint("GET /", 5000, 10.0), endpoint("POST /", 100, 10.0, 20))
        verdict = judged(summary, {}, {"POST /": {"error_rate": Limit(max=0.01)}})
        assert verdict.outcome is Outcome.REFUSED
        assert "error share of POST / was 20 %" in texts(verdict)

    def test_too_small_a_share_refuses_nothing(self) -> None:
        limits = {"error_rate": Limit(min=0.5, max=0.9)}
        assert judged(self.with_failures(1, 1000), limits).outcome is Outcome.UNDECIDED

    @pytest.mark.parametrize(("failures", "requests"), [(5, 4), (-1, 4), (200, 100)])
    def test_counts_that_do_not_fit_never_pass(self, failures: int, requests: int) -> None:
        broken = replace(GOOD, total=replace(GOOD.total, requests=requests, failures=failures))
        assert not judged(broken).passed
        assert "do not fit" in texts(judged(broken))
        json.dumps(facts_of(broken), allow_nan=False)

    @given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
    def test_the_interval_holds_the_share(self, counts: tuple[int, int]) -> None:
        low, high = wilson(*counts)
        assert 0 <= low <= counts[0] / counts[1] + 1e-12
        assert counts[0] / counts[1] - 1e-12 <= high <= 1

    def test_the_interval_is_wilsons(self) -> None:
        assert wilson(10, 100) == pytest.approx((0.046023, 0.203759), abs=1e-5)

    @pytest.mark.parametrize("counts", [(0, 0), (-1, 5), (6, 5)])
    def test_no_share_has_no_interval(self, counts: tuple[int, int]) -> None:
        with pytest.raises(ValueError, match="no share"):
            wilson(*counts)


class TestGenerator:
    STARVED = (
        (replace(HEALTHY, cpu_share=0.71), "used 0.71 of a core"),
        (replace(HEALTHY, lag_share=0.26), "was late for 0.26 of the time"),
        (replace(HEALTHY, delivered_share=0.94), "delivered 0.94 of the planned load"),
        (replace(HEALTHY, cpu_share=math.nan), "used nan"),
        (replace(HEALTHY, lag_share=-math.inf), "was late for -inf"),
        (replace(HEALTHY, delivered_share=math.inf), "delivered inf"),
    )

    @pytest.mark.parametrize(("health", "text"), STARVED)
    def test_a_generator_out_of_bounds_turns_a_pass_into_undecided(
        self, health: GeneratorHealth, text: str
    ) -> None:
        verdict = judged(replace(GOOD, generator=health), LIMITS)
        assert verdict.outcome is Outcome.UNDECIDED
        assert text in texts(verdict)

    @pytest.mark.parametrize(("health", "text"), STARVED)
    def test_it_turns_no_refusal_into_anything_else(self, health: GeneratorHealth, text: str) -> None:
        verdict = judged(replace(GOOD, generator=health), {"p95_ms": Limit(max=1)})
        assert verdict.outcome is Outcome.REFUSED
        assert text in texts(verdict)

    def test_a_bound_itself_is_within(self) -> None:
        assert judged(replace(GOOD, generator=GeneratorHealth(0.70, 0.25, 0.95))).passed

    def test_a_bound_that_is_no_number_is_met_by_nothing(self) -> None:
        bounds = GeneratorLimits(max_cpu=math.nan, max_lag_share=math.nan, min_delivered=math.nan)
        verdict = judge_load(GOOD, LoadLimits(ERRORS), bounds)
        assert verdict.outcome is Outcome.UNDECIDED
        assert len(verdict.reasons) == 3


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_quantile_that_is_not_finite_is_undecided_even_without_a_limit(value: float) -> None:
    summary = replace(GOOD, total=replace(GOOD.total, quantiles={"p50": value}))
    assert judged(summary).outcome is Outcome.UNDECIDED
    assert judged(summary, {"p50_ms": Limit(max=1e12)}).outcome is not Outcome.PASSED


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_a_time_that_cannot_be_is_undecided(seconds: float) -> None:
    summary = replace(GOOD, seconds=seconds)
    assert judged(summary).outcome is Outcome.UNDECIDED
    assert all(math.isfinite(value) for value in metrics_of(summary).values())
    json.dumps(facts_of(summary), allow_nan=False)


def test_unfinished_requests_are_undecided() -> None:
    verdict = judged(replace(GOOD, unfinished=3))
    assert verdict.outcome is Outcome.UNDECIDED
    assert "3 users were still waiting" in texts(verdict)


def test_the_record_holds_flat_finite_metrics() -> None:
    metrics = metrics_of(GOOD)
    assert metrics["requests"] == 2400
    assert metrics["failures"] == 0
    assert metrics["requests_per_s"] == 120
    assert metrics["p95_ms[GET /api/owners]"] == pytest.approx(40.0, rel=0.005)
    assert (metrics["generator_cpu"], metrics["generator_lag"], metrics["generator_delivered"]) == (
        0.2,
        0.02,
        1.0,
    )
    assert "p99_ms[GET /api/vets]" not in metrics


def test_what_passed_here_passes_again_on_the_record() -> None:
    limits = LoadLimits({**ERRORS, **LIMITS}, {"GET /api/vets": {"p95_ms": Limit(max=30)}})
    assert judge_metrics(metrics_of(GOOD), limits.flat) == []


def test_the_facts_are_json_with_a_row_an_endpoint_and_the_series() -> None:
    series = [Second(0.0, 120, 0, 20, 12.0, 41.0), Second(1.0, 0, 0, 20, None, None)]
    summary = replace(GOOD, errors={"GET / 500": 2}, series=series)
    facts = json.loads(json.dumps(facts_of(summary), allow_nan=False))
    assert [row["name"] for row in facts["endpoints"]] == ["GET /api/owners", "GET /api/vets"]
    assert facts["all"]["error_rate_interval"][0] == 0
    assert facts["errors"] == {"GET / 500": 2}
    assert [(second["p50_ms"], second["p95_ms"]) for second in facts["series"]] == [
        (12.0, 41.0),
        (None, None),
    ]


def test_the_facts_hold_how_often_each_latency_came() -> None:
    quick, slow = endpoint("GET /", 3, 5.0), endpoint("GET /api/vets", 1, 200.0)
    bins = facts_of(measured(slow, quick))["distribution"]
    assert list(bins.items()) == [(str(bin_of(5.0)), 3), (str(bin_of(200.0)), 1)]
    assert facts_of(measured())["distribution"] == {}


def test_the_facts_of_nothing_are_json_too() -> None:
    facts = facts_of(measured())
    assert facts["all"]["error_rate"] is None
    assert facts["all"]["p95_ms"] is None
    json.dumps(facts, allow_nan=False)


def test_the_headline_leaves_out_what_could_not_be_computed() -> None:
    assert headline(measured()) == "0 requests in 20 s, 0 failed"


@pytest.mark.parametrize(("warmup", "rate", "lead"), [(5.0, 10.0, 5.0), (1.0, 2.0, 10.0)])
def test_measuring_begins_when_warm_and_complete(warmup: float, rate: float, lead: float) -> None:
    assert LoadShape(Path("locustfile.py"), 20, rate, warmup, 10.0).lead == lead


@pytest.mark.parametrize(
    ("users", "processes", "sides", "fits"),
    [
        (40, 1, 2, 40),
        (41, 1, 2, 42),
        (1, 1, 2, 2),
        (0, 3, 2, 6),
        (16, 3, 2, 18),
        (14, 3, 2, 12),
        (15, 3, 2, 18),
        (7, 2, 1, 8),
        (7, 1, 1, 7),
    ],
)
def test_users_that_do_not_share_evenly_have_a_nearest_number_that_does(
    users: int, processes: int, sides: int, fits: int
) -> None:
    assert fitting_users(users, processes, sides) == fits


def test_the_facts_hold_what_was_counted_from_sending_and_the_pressure_where_it_is_known() -> None:
    assert facts_of(GOOD)["generator"]["pressure_share"] is None
    pressed = replace(GOOD, generator=replace(GOOD.generator, pressure_share=0.3), as_sent={"p95": 19.0})
    facts = json.loads(json.dumps(facts_of(pressed), allow_nan=False))
    assert facts["generator"]["pressure_share"] == 0.3
    assert facts["as_sent"] == {"p95_ms": 19.0}
