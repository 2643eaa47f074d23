"""The comparison of candidate and baseline as JSON values, for records and reports, and as flat metrics for limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipeline.model.comparison import Comparison, Row
from pipeline.model.error_increase import ErrorShare
from pipeline.model.findings import RatioFinding
from pipeline.model.histogram import Histogram
from pipeline.model.limits import metric_name, number
from pipeline.model.load import QUANTILES
from pipeline.model.looks import Looks
from pipeline.model.quantile_ratio import merged
from pipeline.model.side_quantiles import side_quantile
from pipeline.model.sides import BLOCK_SECONDS, Block, Side, Tally


def comparison_facts(looks: Looks, blocks: Sequence[Block]) -> dict[str, Any]:
    """What was seen, as the look that stands saw it, and time series and distributions of all blocks.

    Everything is finite; what was not measured is null. Without a look there are no rows: "all" is null.
    """
    rules = {**asdict(looks.rules), "percentiles": list(looks.rules.percentiles)}
    told = [
        {
            "at": look.at,
            "blocks": look.comparison.blocks,
            "outcome": look.outcome.value,
            "reason": look.reason.text,
        }
        for look in looks.taken
    ]
    last = looks.last
    rows = [] if last is None else [_row(last.comparison, row, blocks) for row in last.comparison.rows]
    return {
        "seconds": 0.0 if last is None else last.at,
        "blocks": 0 if last is None else last.comparison.blocks,
        "dropped": 0 if last is None else last.comparison.dropped,
        "rules": rules,
        "looks": told,
        "all": rows[0] if rows else None,
        "endpoints": rows[1:],
        "series": {side.value: list(_series(blocks, side)) for side in Side},
        "distribution": {side.value: _whole(blocks, side).facts for side in Side},
    }


def marks_of(facts: Mapping[str, Any]) -> Sequence[tuple[float, int]]:
    """When the looks in these facts were taken, for `Looks.replay`. Raises KeyError where they are not there."""
    return [(look["at"], look["blocks"]) for look in facts["looks"]]


def relative_metrics(comparison: Comparison) -> dict[str, float]:
    """The comparison as flat metrics for the record, which limits can bound; what is not finite is left out.

    In all: p50_ratio, p50_ratio_low, p50_ratio_high (and so on for every quantile judged), error_increase,
    error_increase_low, error_increase_high. By endpoint, as in `p95_ratio[GET /api/owners]`, where enough requests
    were measured.
    """
    found: dict[str, float] = {}
    for row in comparison.rows:
        name = "" if row is comparison.total else row.name
        found.update({metric_name(key, name): value for key, value in _metrics(row)})
    return {name: value for name, value in found.items() if number(value) is not None}


def _metrics(row: Row) -> Iterator[tuple[str, float]]:
    for found in row.ratios:
        subject = found.finding.subject
        if found.ratio is not None and found.samples >= subject.fewest:
            yield f"{subject.what}_ratio", found.ratio.point
            yield f"{subject.what}_ratio_low", found.ratio.low
            yield f"{subject.what}_ratio_high", found.ratio.high
    increase = row.errors.increase
    if increase.candidate.requests and increase.baseline.requests:
        yield "error_increase", increase.difference
        yield "error_increase_low", increase.low
        yield "error_increase_high", increase.high


def _row(comparison: Comparison, row: Row, blocks: Sequence[Block]) -> dict[str, Any]:
    counted = blocks[: comparison.blocks]
    name = None if row is comparison.total else row.name
    confidence = comparison.confidence if name is None else comparison.endpoint_confidence
    increase = row.errors.increase
    return {
        "name": row.name,
        "outcome": row.outcome.value,
        "reason": row.reason.text,
        "candidate": _side(increase.candidate, _histograms(counted, Side.CANDIDATE, name), confidence),
        "baseline": _side(increase.baseline, _histograms(counted, Side.BASELINE, name), confidence),
        "ratios": {found.finding.subject.what: _ratio(found) for found in row.ratios},
        "errors": {
            "difference": number(increase.difference),
            "low": number(increase.low),
            "high": number(increase.high),
            "outcome": row.errors.finding.outcome.value,
            "reason": row.errors.finding.reason.text,
        },
    }


def _side(share: ErrorShare, histograms: Sequence[Histogram], confidence: float) -> dict[str, Any]:
    told: dict[str, Any] = {
        "requests": share.requests,
        "failures": share.failures,
        "error_rate": share.share if share.requests else None,
        "error_rate_interval": [share.low, share.high] if share.requests else None,
    }
    for label, quantile in QUANTILES.items():
        found = side_quantile(histograms, quantile, confidence)
        told[f"{label}_ms"] = found and found.value
        told[f"{label}_ms_interval"] = found and [found.low, found.high]
    return told


def _ratio(found: RatioFinding) -> dict[str, Any]:
    ratio = found.ratio
    return {
        "point": ratio and ratio.point,
        "low": ratio and ratio.low,
        "high": ratio and ratio.high,
        "samples": found.samples,
        "missing": found.missing,
        "outcome": found.finding.outcome.value,
        "reason": found.finding.reason.text,
    }


def _tallies(block: Block, side: Side) -> Mapping[str, Tally]:
    return block.candidate if side is Side.CANDIDATE else block.baseline


def _histograms(blocks: Sequence[Block], side: Side, name: str | None) -> Sequence[Histogram]:
    """Latencies block by block: one endpoint's, or those of all."""
    sides = [_tallies(block, side) for block in blocks]
    if name is not None:
        return [tallies[name].histogram for tallies in sides if name in tallies]
    return [Histogram(merged(tally.histogram.bins for tally in tallies.values())) for tallies in sides]


def _series(blocks: Sequence[Block], side: Side) -> Iterator[dict[str, Any]]:
    """A second each, counted from the first block; seconds without a block are left out."""
    seconds: dict[int, list[Tally]] = {}
    for block in blocks:
        second = int((block.index - blocks[0].index) * BLOCK_SECONDS)
        seconds.setdefault(second, []).extend(_tallies(block, side).values())
    for at, tallies in seconds.items():
        whole = Histogram(merged(tally.histogram.bins for tally in tallies))
        yield {
            "at": at,
            "requests": sum(tally.requests for tally in tallies),
            "failures": sum(tally.failures for tally in tallies),
            "p50_ms": whole.quantile(QUANTILES["p50"]),
            "p95_ms": whole.quantile(QUANTILES["p95"]),
        }


def _whole(blocks: Sequence[Block], side: Side) -> Histogram:
    return Histogram(
        merged(tally.histogram.bins for block in blocks for tally in _tallies(block, side).values())
    )
