"""What a preview makes of its checks: an error with everything in it, a summary, facts for the record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.errors import ExitCode, ShortCredentialError, UnfitError
from pipeline.model.check import Check, State
from pipeline.model.prediction import Prediction
from pipeline.model.preflight import CREDENTIAL
from pipeline.model.service import ServiceState
from pipeline.preflight import Preview

OK = Check("image", State.OK, "in r")
SKIP = Check("pass role", State.SKIP, "nobody tells")
LOGS = Check("log group", State.NG, "there is no log group /x", "create it")
ROLES = Check("roles", State.NG, "there is no role y", "mend it")
EXPIRED = Check(CREDENTIAL, State.NG, "env: has expired", "log in")
SERVICE = ServiceState("arn", "ACTIVE", "td/shop:1", 2, 2, (), "")
LIVE: dict[str, Any] = {"family": "shop", "cpu": "256"}
PREVIEW = Preview(
    SERVICE,
    LIVE,
    {**LIVE, "cpu": "512"},
    (OK, SKIP),
    Prediction(1, 2, 3, ()),
    ("d",),
    "",
    False,
    lambda _: (),
)


def test_without_a_refusal_there_is_no_error() -> None:
    assert PREVIEW.error is None
    assert PREVIEW.summary == "preflight: 1 OK, not known: pass role"
    assert replace(PREVIEW, checks=(OK,)).summary == "preflight: 1 OK"


def test_everything_that_is_wrong_is_in_one_error() -> None:
    error = replace(PREVIEW, checks=(OK, LOGS, ROLES, EXPIRED)).error
    assert isinstance(error, UnfitError)
    assert error.exit_code is ExitCode.CONFIGURATION
    assert error.message.splitlines() == [
        "3 of 4 checks before the rollout failed, nothing was changed:",
        "  log group: there is no log group /x – create it",
        "  roles: there is no role y – mend it",
        "  credential: env: has expired – log in",
    ]


def test_a_credential_alone_is_not_a_matter_of_configuration() -> None:
    error = replace(PREVIEW, checks=(OK, EXPIRED)).error
    assert isinstance(error, ShortCredentialError)
    assert error.exit_code is ExitCode.UNAVAILABLE


def test_what_goes_into_the_record() -> None:
    assert PREVIEW.facts["preflight"] == {"ok": ["image"], "skipped": {"pass role": "nobody tells"}}
    assert PREVIEW.facts["predicted"]["healthy_s"] == 1


def test_changes_are_those_of_the_definition() -> None:
    assert [change.path for change in PREVIEW.changes] == ["cpu"]
    assert replace(PREVIEW, wanted=None).changes == ()


@pytest.mark.parametrize(
    ("pinned", "running", "desired", "replaced"),
    [("p", ("d",), 2, "p"), ("", ("d",), 2, "d"), ("", ("d", "e"), 2, ""), ("p", (), 0, ""), ("", (), 1, "")],
)
def test_what_is_replaced_is_what_is_pinned_else_what_runs(
    pinned: str, running: tuple[str, ...], desired: int, replaced: str
) -> None:
    seen = replace(PREVIEW, pinned=pinned, running=running, service=replace(SERVICE, desired=desired))
    assert seen.replaced == replaced


def test_what_is_admitted_is_said_and_goes_into_the_record() -> None:
    said: list[str] = []
    assert PREVIEW.admitted(0.0, said.append) == PREVIEW.facts
    assert said[0] == PREVIEW.summary
    assert said[1].startswith("expected: ")
    assert PREVIEW.at_most == 3


def test_a_rollout_that_begins_later_is_held_to_the_checks_of_then() -> None:
    asked: list[float] = []

    def later(seconds: float) -> tuple[Check, ...]:
        asked.append(seconds)
        return (OK, EXPIRED)

    preview = replace(PREVIEW, later=later)
    assert preview.admitted(0.0, lambda _: None)
    with pytest.raises(ShortCredentialError):
        preview.admitted(90.0, lambda _: None)
    assert asked == [90.0]


def test_where_nothing_would_be_begun_nothing_is_asked_for() -> None:
    preview = replace(PREVIEW, checks=(EXPIRED,), underway=True)
    assert (preview.admitted(0.0, lambda _: None), preview.at_most) == ({}, 0.0)
