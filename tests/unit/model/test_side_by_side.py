"""The verdict once the load is over: what the looks said, and everything that forbids to believe it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

import pytest

from pipeline.model.histogram import Histogram
from pipeline.model.load import EndpointSummary, GeneratorHealth, GeneratorLimits, LoadSummary
from pipeline.model.looks import Looks
from pipeline.model.relative_rules import RelativeRules
from pipeline.model.side_by_side import conclude
from pipeline.model.sides import Block, PairSummary, Side, Tally
from pipeline.model.verdict import Outcome, Verdict
from tests.simulated_load import Load, blocks

HEALTHY = GeneratorHealth(cpu_share=0.2, lag_share=0.02, delivered_share=1.0)
RULES = RelativeRules()


def summary(loaded: list[Block], side: Side, seconds: float, unfinished: int = 0) -> LoadSummary:
    tallies = [
        tally
        for block in loaded
        for tally in (block.candidate if side is Side.CANDIDATE else block.baseline).values()
    ]
    requests, failures = sum(t.requests for t in tallies), sum(t.failures for t in tallies)
    total = EndpointSummary.of("all", requests, failures, Histogram({700: max(1, requests)}))
    return LoadSummary(total, (), seconds, HEALTHY, unfinished=unfinished)


def pair(
    load: Load, seconds: float = 24, generator: GeneratorHealth = HEALTHY, unfinished: int = 0
) -> PairSummary:
    loaded = list(islice(blocks(load, random.Random(1)), int(2 * seconds)))
    mine, theirs = (summary(loaded, side, seconds, unfinished) for side in Side)
    return PairSummary(mine, theirs, loaded, generator)


def verdict(measured: PairSummary) -> Verdict:
    """What the gate says when looks were taken along the way."""
    looks = Looks(RULES)
    for at in range(1, int(measured.candidate.seconds) + 1):
        looks.look(measured.blocks[: 2 * at], at)
    return conclude(looks, measured, GeneratorLimits())


def texts(found: Verdict) -> str:
    return "\n".join(reason.text for reason in found.reasons)


def test_the_same_passes_and_names_what_it_cannot_speak_for() -> None:
    found = verdict(pair(Load()))
    assert (found.gate, found.outcome) == ("load", Outcome.PASSED)
    assert found.reasons[0].text.startswith("against production p50 ")
    assert found.reasons[1].text.startswith(
        "too few requests to judge by themselves: GET /api/owners/1 (91), "
    )


def test_where_every_endpoint_can_be_judged_nothing_more_is_said() -> None:
    found = verdict(pair(Load(mix={"GET /": (10.0, 1.0)})))
    assert found.passed
    assert len(found.reasons) == 1


def test_of_many_endpoints_that_cannot_be_judged_some_are_named_and_how_to_have_fewer() -> None:
    found = verdict(pair(Load(mix={f"GET /{number}": (10.0, 1 / 40) for number in range(40)})))
    assert found.passed
    reason = found.reasons[1]
    assert reason.text.count("GET /") == 10
    assert reason.text.endswith(" and 30 more")
    assert "name=" in reason.remedy


def without(measured: PairSummary, name: str, side: Side) -> PairSummary:
    """The same load, but for one endpoint that one side was never asked."""

    def but(tallies: Mapping[str, Tally]) -> Mapping[str, Tally]:
        return {of: tally for of, tally in tallies.items() if of != name}

    kept = [
        replace(block, candidate=but(block.candidate))
        if side is Side.CANDIDATE
        else replace(block, baseline=but(block.baseline))
        for block in measured.blocks
    ]
    return replace(measured, blocks=kept)


def test_an_endpoint_that_only_production_was_asked_decides_nothing() -> None:
    """Such as what is behind a list that the candidate leaves empty: its users are fast, and never get there."""
    found = verdict(without(pair(Load()), "GET /api/vets", Side.CANDIDATE))
    assert found.outcome is Outcome.UNDECIDED
    [reason] = found.reasons
    assert reason.text.startswith("GET /api/vets was asked 0 times of the candidate, of production 1")
    assert "locustfile" in reason.remedy


def test_an_endpoint_that_production_does_not_answer_holds_up_nothing() -> None:
    assert verdict(without(pair(Load()), "GET /api/vets", Side.BASELINE)).passed
    few = without(pair(Load()), "GET /report", Side.CANDIDATE)
    assert verdict(few).passed, "of production there are too few to tell"


def test_failures_that_only_production_has_hold_up_nothing() -> None:
    measured = pair(Load(rate=1000))
    blocks = [
        replace(block, baseline={**block.baseline, "task of User": Tally(4, 4, Histogram())})
        for block in measured.blocks
    ]
    assert verdict(replace(measured, blocks=blocks)).passed


def test_a_slower_candidate_is_refused_with_every_reason() -> None:
    found = verdict(pair(Load(slower=1.3)))
    assert found.outcome is Outcome.REFUSED
    assert "p50 of all requests is 1." in texts(found)
    assert all(reason.remedy for reason in found.reasons if "tolerated" in reason.text)


def test_a_load_that_ended_early_decides_nothing() -> None:
    found = verdict(pair(Load(), seconds=10))
    assert found.outcome is Outcome.UNDECIDED
    assert found.reasons[0].text == "10.0 s were measured, 16 s are needed"


@pytest.mark.parametrize(
    "generator",
    [
        GeneratorHealth(0.71, 0.02, 1.0),
        GeneratorHealth(0.2, 0.26, 1.0),
        GeneratorHealth(0.2, 0.02, 0.94),
        GeneratorHealth(float("nan"), 0.02, 1.0),
    ],
    ids=["cpu", "lag", "delivered", "nan"],
)
def test_a_starved_generator_turns_a_pass_into_undecided_and_leaves_a_refusal(
    generator: GeneratorHealth,
) -> None:
    found = verdict(pair(Load(), generator=generator))
    assert found.outcome is Outcome.UNDECIDED
    assert [("load generator" in reason.text) for reason in found.reasons] == [True]
    assert verdict(pair(Load(slower=1.3), generator=generator)).outcome is Outcome.REFUSED


def test_user_classes_without_a_user_are_named_where_it_passes() -> None:
    measured = pair(Load())
    idle = replace(measured, candidate=replace(measured.candidate, idle=("Buyer",)))
    found = verdict(idle)
    assert found.passed
    assert found.reasons[-1].text.endswith("there was none of Buyer")
    assert "load.users" in found.reasons[-1].remedy


def test_unfinished_users_turn_a_pass_into_undecided() -> None:
    found = verdict(pair(Load(), unfinished=3))
    assert found.outcome is Outcome.UNDECIDED
    assert "3 users were still waiting for an answer of the candidate" in texts(found)
    assert "3 users were still waiting for an answer of production" in texts(found)


@pytest.mark.parametrize(
    ("side", "text"),
    [
        ("candidate", "3 requests to the candidate were redirected, or sent, to production"),
        ("baseline", "3 requests to production were redirected, or sent, to the candidate"),
    ],
)
def test_a_side_that_sends_its_users_to_the_other_decides_nothing(side: str, text: str) -> None:
    measured = pair(Load())
    crossed = replace(measured, **{side: replace(getattr(measured, side), crossed=3)})
    found = verdict(crossed)
    assert found.outcome is Outcome.UNDECIDED
    assert text in texts(found)
    assert all("path" in reason.remedy for reason in found.reasons)


@pytest.mark.parametrize(("side", "name"), [(Side.CANDIDATE, "the candidate"), (Side.BASELINE, "production")])
def test_a_side_without_requests_decides_nothing(side: Side, name: str) -> None:
    measured = pair(Load())
    silent = [
        replace(block, candidate={}) if side is Side.CANDIDATE else replace(block, baseline={})
        for block in measured.blocks
    ]
    mine, theirs = (summary(silent, each, 24) for each in Side)
    found = verdict(PairSummary(mine, theirs, silent, HEALTHY))
    assert found.outcome is Outcome.UNDECIDED
    assert f"not one request to {name} was measured" in texts(found)


@pytest.mark.parametrize(("side", "name"), [(Side.CANDIDATE, "the candidate"), (Side.BASELINE, "production")])
def test_a_side_that_answers_less_than_half_keeps_its_users_waiting(side: Side, name: str) -> None:
    measured = pair(Load())
    whole = getattr(measured, side.value)
    few = replace(whole, total=replace(whole.total, requests=whole.total.requests // 2 - 60))
    found = verdict(replace(measured, **{side.value: few}))
    assert found.outcome is Outcome.UNDECIDED
    assert f"{name} answered {few.total.requests:,} requests, the other side" in texts(found)


def test_an_ill_production_is_no_measure_of_latency() -> None:
    found = verdict(pair(Load(slower=1.3, failing=(0.1, 0.1))))
    assert found.outcome is Outcome.UNDECIDED
    assert found.reasons[0].text.startswith("production itself is ill: ")
    measured = pair(Load(failing=(0.1, 0.1)))
    why = {"GET /: 500": 9, "GET /: 502": 1}
    told = verdict(replace(measured, baseline=replace(measured.baseline, errors=why)))
    assert told.reasons[0].text.endswith(", most often: GET /: 500")
    assert verdict(pair(Load(failing=(0.1, 0.1)))).outcome is Outcome.UNDECIDED


def test_more_errors_than_an_ill_production_are_refused_all_the_same() -> None:
    found = verdict(pair(Load(slower=1.3, failing=(0.6, 0.1))))
    assert found.outcome is Outcome.REFUSED
    assert all("error share" in reason.text for reason in found.reasons)


def test_a_few_failures_of_production_are_no_illness() -> None:
    assert verdict(pair(Load(failing=(0.01, 0.01)), seconds=40)).passed
