"""Metrics against limits: met, just met, just exceeded, missing, senseless."""

from __future__ import annotations

import math

import pytest

from pipeline.model.limits import Limit, judge_metrics, metric_name, show, split_metric


@pytest.mark.parametrize(
    ("value", "limit"),
    [(250.0, Limit(max=250)), (1000, Limit(min=1000)), (5, Limit(min=5, max=5)), (0.0, Limit(max=0.0))],
)
def test_a_limit_that_is_just_met_gives_no_reason(value: float, limit: Limit) -> None:
    assert judge_metrics({"p95_ms": value}, {"p95_ms": limit}) == []


@pytest.mark.parametrize(
    ("name", "value", "limit", "text", "remedy"),
    [
        (
            "p95_ms",
            1043.2,
            Limit(max=250),
            "p95 of all requests was 1,043 ms, limit 250 ms",
            "raise the limit p95_ms",
        ),
        ("p95_ms", math.nextafter(250, 251), Limit(max=250), "p95 of all requests was 250, limit 250", "log"),
        (
            "p99_ms[GET /api/owners]",
            12.34,
            Limit(max=10),
            "p99 of GET /api/owners was 12.3 ms, limit 10 ms",
            'raise the limit p99_ms of "GET /api/owners"',
        ),
        (
            "error_rate",
            0.051,
            Limit(max=0.01),
            "error share of all requests was 5.1 %, limit 1 %",
            "mend the cause",
        ),
        ("requests", 12, Limit(min=1000), "number of requests was 12, at least 1,000", "raise load.duration"),
        (
            "requests[GET /]",
            1,
            Limit(min=2),
            "number of requests to GET / was 1, at least 2",
            "raise load.duration",
        ),
        (
            "requests_per_s",
            1.5,
            Limit(min=2),
            "requests_per_s was 1.5, at least 2",
            "lower the limit requests_per_s",
        ),
        ("tests", 1, Limit(max=0), "tests was 1, limit 0", "raise the limit tests"),
    ],
)
def test_a_broken_limit_is_told_with_value_bound_and_remedy(
    name: str, value: float, limit: Limit, text: str, remedy: str
) -> None:
    (reason,) = judge_metrics({name: value}, {name: limit})
    assert reason.text.startswith(text)
    assert remedy in reason.remedy


def test_values_that_look_alike_are_told_apart() -> None:
    (reason,) = judge_metrics({"p95_ms": 1000.2}, {"p95_ms": Limit(max=1000)})
    assert reason.text == "p95 of all requests was 1000.2, limit 1000"


@pytest.mark.parametrize("value", [True, False, "12", math.nan, math.inf, -math.inf, [1]])
def test_what_is_no_finite_number_meets_no_limit(value: object) -> None:
    (reason,) = judge_metrics({"p95_ms": value}, {"p95_ms": Limit(max=1e9, min=-1e9)})
    assert "no finite number" in reason.text
    assert reason.remedy


@pytest.mark.parametrize("metrics", [{}, {"p95_ms": None}])
def test_a_missing_metric_meets_no_limit(metrics: dict[str, object]) -> None:
    (reason,) = judge_metrics(metrics, {"p95_ms": Limit(max=250)})
    assert reason.text == "p95_ms was not measured"


def test_a_missing_endpoint_is_named_with_where_to_look() -> None:
    (reason,) = judge_metrics({}, {"p95_ms[GET /vets]": Limit(max=250)})
    assert reason.text == "p95_ms of GET /vets was not measured"
    assert "locustfile" in reason.remedy


@pytest.mark.parametrize(
    "limit", [Limit(), Limit(max=math.nan), Limit(min=math.inf), Limit(max=1, min=math.nan)]
)
def test_a_limit_that_bounds_nothing_is_met_by_nothing(limit: Limit) -> None:
    (reason,) = judge_metrics({"p95_ms": 0.5}, {"p95_ms": limit})
    assert reason.text.startswith("the limit of p95_ms is no bound")


def test_every_broken_limit_is_told() -> None:
    limits = {"p95_ms": Limit(max=1), "error_rate": Limit(max=0), "requests": Limit(min=1)}
    assert len(judge_metrics({"p95_ms": 2, "error_rate": 1, "requests": 1}, limits)) == 2


@pytest.mark.parametrize("endpoint", ["", "GET /api/owners", "GET /a[0]", "GET /a[0]/b"])
def test_a_flat_name_can_be_taken_apart_again(endpoint: str) -> None:
    assert split_metric(metric_name("p95_ms", endpoint)) == ("p95_ms", endpoint)


def test_small_and_large_values_keep_the_digits_that_matter() -> None:
    assert [show("p50_ms", value) for value in (0.1234, 3.0, 41.26, 104300.4)] == [
        "0.123 ms",
        "3 ms",
        "41.3 ms",
        "104,300 ms",
    ]
    assert show("error_rate", 0.0001) == "0.01 %"
