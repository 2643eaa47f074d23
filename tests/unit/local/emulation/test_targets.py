from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

from pipeline.local.balancer import Slot, Target
from pipeline.local.emulation.ground import Emulator
from pipeline.local.emulation.targets import (
    DRAINING,
    HEALTHY,
    INITIAL,
    HealthBoard,
    groups_by_place,
    judge_slot,
)
from pipeline.local.launch import APP_TAG, ENVIRONMENT_TAG

TARGET = Target("arn:group", "10.0.0.5", 8080, "task-1")


def slot(status: str, check: str = "", code: str = "", address: str = "10.0.0.5:8080") -> Slot:
    return Slot("s1", address, status, 0, check, code)


def test_a_target_that_was_never_checked_is_initial() -> None:
    assert judge_slot(TARGET, None, None, 0.1) == INITIAL
    assert judge_slot(TARGET, slot("DOWN"), None, 0.1) == INITIAL


def test_a_slot_that_still_shows_another_address_says_nothing_of_this_target() -> None:
    assert judge_slot(TARGET, slot("UP", address="10.0.0.9:8080"), None, 5.0) == INITIAL


def test_an_answered_check_is_healthy_at_once() -> None:
    assert judge_slot(TARGET, slot("UP", "L7OK", "200"), None, 0.1) == HEALTHY


def test_a_wrong_status_code_is_told_with_the_code() -> None:
    health = judge_slot(TARGET, slot("DOWN", "L7STS", "500"), None, 5.0)

    assert (health.state, health.reason) == ("unhealthy", "Target.ResponseCodeMismatch")
    assert health.description == "Health checks failed with these codes: [500]"


def test_a_check_without_answer_is_a_timeout_and_a_refused_one_a_failure() -> None:
    assert judge_slot(TARGET, slot("DOWN", "L7TOUT"), None, 5.0).reason == "Target.Timeout"
    assert judge_slot(TARGET, slot("DOWN", "L4CON"), None, 5.0).reason == "Target.FailedHealthChecks"


def test_a_target_that_was_healthy_turns_unhealthy_without_delay() -> None:
    assert judge_slot(TARGET, slot("DOWN", "L4CON"), HEALTHY, 0.1).state == "unhealthy"


def test_a_draining_target_is_draining_whatever_its_checks_say() -> None:
    draining = Target("arn:group", "10.0.0.5", 8080, "task-1", draining=True)

    assert judge_slot(draining, slot("UP"), HEALTHY, 9.0) == DRAINING
    assert HealthBoard().health(draining) == DRAINING


def test_the_board_keeps_what_the_balancer_said_until_the_target_is_gone() -> None:
    board = HealthBoard()
    board.publish({"s1": slot("UP")}, {"s1": TARGET}, [TARGET], 0.0)
    assert board.health(TARGET) == HEALTHY

    board.forget([])
    assert board.health(TARGET) == INITIAL


class Groups(dict[str, object]):
    """The emulator's store of target groups: the same names in several regions."""

    def all_items(self) -> list[tuple[tuple[str, str, str], object]]:
        return [(("0", region, f"arn:{region}:{name}"), {}) for region, name in REGIONAL]


REGIONAL = [("eu-central-1", "prod"), ("us-east-1", "prod"), ("eu-central-1", "staging")]


def test_the_groups_of_an_environment_are_told_apart_by_region() -> None:
    tags = {
        f"arn:{region}:{name}": [{"Key": ENVIRONMENT_TAG, "Value": name}, {"Key": APP_TAG, "Value": "shop"}]
        for region, name in REGIONAL
    }
    scopes = SimpleNamespace(request_scope=lambda *_: nullcontext())
    emulator = Emulator(None, SimpleNamespace(_tgs=Groups(), _tags=tags), None, None, scopes, None)
    assert groups_by_place(emulator) == {
        "shop/prod@eu-central-1": ("0", "eu-central-1", "arn:eu-central-1:prod"),
        "shop/prod@us-east-1": ("0", "us-east-1", "arn:us-east-1:prod"),
        "shop/staging@eu-central-1": ("0", "eu-central-1", "arn:eu-central-1:staging"),
    }
