"""How `doctor` ends: how many of each there are, and what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import checks
from pipeline.cli import main
from pipeline.errors import ExitCode
from pipeline.model.check import Check, State

FINE = Check("python", State.OK, "3.11.7")
BROKEN = Check("docker", State.NG, "no engine answers", "start it")


@pytest.mark.parametrize(
    ("found", "code", "line"),
    [
        ((FINE, FINE), ExitCode.DONE, "2 OK, 2 SKIP, 0 NG\n"),
        ((FINE, BROKEN), ExitCode.UNAVAILABLE, "1 OK, 2 SKIP, 1 NG: docker\n"),
    ],
)
def test_it_ends_with_a_count_and_names_what_is_wrong(
    found: tuple[Check, ...],
    code: ExitCode,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The cloud was not reached: both environments are left out, which is said."""

    def look(_root: Path) -> Iterator[Check]:
        yield from found

    monkeypatch.setattr(checks, "look", look)
    assert main(["doctor"]) == code
    assert capsys.readouterr().out == line
    assert main(["--json", "doctor"]) == code
    assert len(json.loads(capsys.readouterr().out)["checks"]) == 4


def test_a_name_longer_than_its_column_is_still_apart_from_what_was_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As those of one service of several are."""
    found = Check("staging api circuit breaker", State.OK, "on")
    monkeypatch.setattr(checks, "look", lambda _root: iter((found, FINE)))
    main(["doctor"])
    told = capsys.readouterr().err
    assert "OK   staging api circuit breaker on\n" in told
    assert f"OK   python{' ' * 18}3.11.7\n" in told
