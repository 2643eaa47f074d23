"""One suite for the fake lease and for the one in DynamoDB, which here is the emulator's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from pipeline.adapters.lease import DynamoLease
from pipeline.errors import BusyError
from pipeline.model.lease import Claim, Terms
from pipeline.ports import Lease
from tests.bare_emulator import bare_emulator, client
from tests.fakes.clock import FakeClock
from tests.fakes.lease import FakeLease
from tests.tables import make_table

ANNE = Claim("anne", "run-1", "rollout of aaa", "sha256:" + "a" * 64)
BERT = Claim("bert", "run-2", "rollout of bbb", "sha256:" + "b" * 64)
CLEARER = Claim("carl", "run-3", "her laptop was stolen")
TERMS = Terms()


@dataclass
class Case:
    """Leases and the clock they go by."""

    lease: Lease
    clock: FakeClock

    def refused(self, environment: str = "prod") -> bool:
        try:
            with self.lease.hold(environment, BERT):
                return False
        except BusyError:
            return True


@pytest.fixture(scope="module")
def dynamodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with bare_emulator(tmp_path_factory.mktemp("emulator")) as port:
        yield client("dynamodb", port)


@pytest.fixture(params=["memory", "dynamodb"])
def case(request: pytest.FixtureRequest) -> Case:
    clock = FakeClock()
    if request.param == "memory":
        return Case(FakeLease(clock), clock)
    table = make_table(request.getfixturevalue("dynamodb"))
    return Case(DynamoLease(table, clock), clock)


def test_nobody_holds_what_was_never_held(case: Case) -> None:
    assert case.lease.tenure("prod") is None
    assert case.lease.clear("prod", CLEARER) is None


def test_who_holds_it_since_when_and_why_is_told(case: Case) -> None:
    with case.lease.hold("prod", ANNE) as held:
        tenure = case.lease.tenure("prod")
        assert tenure is not None
        assert (tenure.environment, tenure.claim, tenure.fence) == ("prod", ANNE, held.fence)
        assert tenure.since == case.clock.now()
        assert (tenure.expires - tenure.since).total_seconds() == TERMS.length
    assert case.lease.tenure("prod") is None


def test_a_second_one_is_refused_at_once_and_told_who_has_it(case: Case) -> None:
    with (
        case.lease.hold("prod", ANNE),
        pytest.raises(BusyError, match=r"prod is held by anne, run run-1, since .* \(rollout of aaa\)"),
        case.lease.hold("prod", BERT),
    ):
        pass
    assert case.clock.slept == []


def test_other_environments_are_free(case: Case) -> None:
    with case.lease.hold("prod", ANNE):
        assert case.refused("prod")
        assert not case.refused("staging")


@pytest.mark.parametrize("end", [ZeroDivisionError, KeyboardInterrupt])
def test_it_is_free_again_however_the_block_ends(case: Case, end: type[BaseException]) -> None:
    with pytest.raises(end), case.lease.hold("prod", ANNE):
        raise end
    assert not case.refused()


def test_the_fence_grows_with_every_holder(case: Case) -> None:
    fences = []
    for _ in range(3):
        with case.lease.hold("prod", ANNE) as held:
            fences.append(held.fence)
    with case.lease.hold("prod", ANNE):
        case.lease.clear("prod", CLEARER)
    with case.lease.hold("prod", BERT) as held:
        fences.append(held.fence)
    assert fences == sorted(set(fences))


def test_whoever_waits_gets_it_when_it_is_free(case: Case) -> None:
    first = ExitStack()
    first.enter_context(case.lease.hold("prod", ANNE))
    case.clock.at(10.0, first.close)
    with case.lease.hold("prod", BERT, wait=30.0) as held:
        assert 10.0 <= case.clock.monotonic() <= 10.0 + TERMS.poll
        held.check()


def test_waiting_ends_with_who_still_has_it(case: Case) -> None:
    with (
        case.lease.hold("prod", ANNE),
        pytest.raises(BusyError, match="anne"),
        case.lease.hold("prod", BERT, wait=30.0),
    ):
        pass
    assert sum(case.clock.slept) == 30.0


def test_a_check_renews(case: Case) -> None:
    with case.lease.hold("prod", ANNE) as held:
        for _ in range(5):
            case.clock.advance(TERMS.length - 1)
            held.check()
        case.clock.advance(TERMS.length - 1)
        assert case.refused()


def test_a_silent_holder_is_given_up_after_length_and_margin_not_before(case: Case) -> None:
    with case.lease.hold("prod", ANNE):
        case.clock.advance(TERMS.length + TERMS.margin)
        assert case.refused()
        assert case.lease.tenure("prod") is not None
        case.clock.advance(1)
        assert case.lease.tenure("prod") is None
        assert not case.refused()


def test_a_holder_that_was_replaced_is_told_by_whom_and_takes_nothing_from_the_other(case: Case) -> None:
    with ExitStack() as second:
        with case.lease.hold("prod", ANNE) as former:
            case.clock.advance(TERMS.length + TERMS.margin + 1)
            held = second.enter_context(case.lease.hold("prod", BERT))
            assert held.fence > former.fence
            with pytest.raises(BusyError, match="bert"):
                former.check()
        held.check()
        tenure = case.lease.tenure("prod")
        assert tenure is not None
        assert tenure.claim == BERT


def test_a_holder_that_stood_still_has_lost_it_also_when_nobody_took_it(case: Case) -> None:
    with case.lease.hold("prod", ANNE) as held:
        case.clock.advance(TERMS.length + 1)
        for _ in range(2):
            with pytest.raises(BusyError, match="stood still for 46 s"):
                held.check()


def test_clearing_tells_who_had_it_and_the_holder_who_did_it_and_why(case: Case) -> None:
    with case.lease.hold("prod", ANNE) as held:
        taken = case.lease.clear("prod", CLEARER)
        assert taken is not None
        assert taken.claim == ANNE
        assert case.lease.tenure("prod") is None
        assert case.lease.clear("prod", CLEARER) is None
        with pytest.raises(BusyError, match="carl cleared it: her laptop was stolen"):
            held.check()
        assert not case.refused()
        with pytest.raises(BusyError):
            held.check()


def test_clearing_what_nobody_stands_for_any_more_still_stops_the_former_holder(case: Case) -> None:
    with case.lease.hold("prod", ANNE) as held:
        case.clock.advance(TERMS.length + TERMS.margin + 1)
        assert case.lease.clear("prod", CLEARER) is None
        with pytest.raises(BusyError, match="carl"):
            held.check()
