from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.errors import BusyError, CredentialError, UnavailableError, UnfencedError
from pipeline.fencing import FencedService, RunLease
from pipeline.model.lease import Claim
from pipeline.ports import Service
from tests.fakes.clock import FakeClock
from tests.fakes.lease import FakeHeld, FakeLease

CHANGES: dict[str, Callable[[Service], object]] = {
    "register": lambda service: service.register({"family": "shop"}),
    "update": lambda service: service.update("td:2", desired=3, configuration={"strategy": "CANARY"}),
    "roll_back": lambda service: service.roll_back("arn:sd:1"),
    "run_once": lambda service: service.run_once("td:2", ["migrate"], "name", print),
}
LOOKS: dict[str, Callable[[Service], object]] = {
    "describe": lambda service: service.describe(),
    "task_definition": lambda service: service.task_definition("td:1"),
    "service_deployments": lambda service: service.service_deployments(datetime(2026, 1, 1, tzinfo=UTC)),
    "tasks": lambda service: service.tasks(),
    "log_lines": lambda service: service.log_lines("t1", 5),
}
CLAIM = Claim("anne", "run-1", "rollout of aaa")


class Recorder:
    """A service that answers every call with what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[object, ...], dict[str, object]]] = []

    def __getattr__(self, name: str) -> Callable[..., object]:
        def call(*words: object, **named: object) -> object:
            self.asked.append((name, words, named))
            return self.asked[-1]

        return call


def test_every_call_of_a_service_either_looks_or_changes() -> None:
    public = {name for name, _ in inspect.getmembers(Service, callable) if not name.startswith("_")}
    assert public == {*CHANGES, *LOOKS}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_goes_through_while_the_lease_is_ours(name: str) -> None:
    service, direct = Recorder(), Recorder()
    with FakeLease(FakeClock()).hold("prod", CLAIM) as held:
        CHANGES[name](FencedService(service, held))  # type: ignore[arg-type]
    CHANGES[name](direct)  # type: ignore[arg-type]
    assert service.asked == direct.asked
    assert held.checks == 1


@pytest.mark.parametrize("name", CHANGES)
def test_nothing_is_changed_once_the_lease_is_lost(name: str) -> None:
    service, lease = Recorder(), FakeLease(FakeClock())
    with lease.hold("prod", CLAIM) as held:
        lease.clear("prod", Claim("carl", "run-2", "wrong button"))
        with pytest.raises(BusyError, match="carl cleared it: wrong button"):
            CHANGES[name](FencedService(service, held))  # type: ignore[arg-type]
    assert service.asked == []


@pytest.mark.parametrize("name", CHANGES)
def test_nothing_is_sent_while_the_lease_cannot_be_asked_for_and_that_is_told(name: str) -> None:
    service: Any = Recorder()
    silent = Silent(UnavailableError("PutItem on table demo: no answer", hint=""))
    with pytest.raises(UnfencedError, match="nothing was sent: PutItem on table demo: no answer"):
        CHANGES[name](FencedService(service, silent))
    assert service.asked == []


def test_a_credential_that_the_lease_is_refused_with_is_told_as_that() -> None:
    service: Any = Recorder()
    with pytest.raises(CredentialError):
        FencedService(service, Silent(CredentialError("expired", hint=""))).update("td:2")


@dataclass
class Silent:
    """A lease whose table does not answer."""

    error: UnavailableError
    fence: int = 1

    def check(self) -> None:
        raise self.error


@pytest.mark.parametrize("name", LOOKS)
def test_looking_asks_nobody(name: str) -> None:
    service, direct = Recorder(), Recorder()
    clock = FakeClock()
    with FakeLease(clock).hold("prod", CLAIM) as held:
        clock.advance(3600)
        answer = LOOKS[name](FencedService(service, held))  # type: ignore[arg-type]
    assert answer == LOOKS[name](direct)  # type: ignore[arg-type]
    assert isinstance(held, FakeHeld)
    assert held.checks == 0


def test_one_run_has_one_lease_however_often_it_asks() -> None:
    lease = FakeLease(FakeClock())
    ours = RunLease(lease)
    with ours.hold("prod", CLAIM) as outer:
        with ours.hold("prod", Claim("anne", "run-1", "within it")) as inner:
            assert inner is outer
        assert ours.tenure("prod") == lease.tenure("prod")
        assert lease.seats["prod"].held, "the inner block's end frees nothing"
        with pytest.raises(BusyError), RunLease(lease).hold("prod", CLAIM):
            pass
    assert ours.tenure("prod") is None
    with ours.hold("prod", CLAIM) as again:
        assert again.fence == outer.fence + 1
    assert ours.clear("prod", CLAIM) is None
