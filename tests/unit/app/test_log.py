from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from app.log import event, logger, set_up_logging
from app.settings import read_settings

URL = "postgresql://clinic:p%2Fss%20word@db:5432/clinic"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    # basicConfig(force=True) would close the handlers of the test runner.
    root.handlers = []
    stream = io.StringIO()
    set_up_logging("INFO", read_settings({"DATABASE_URL": URL}).secrets, stream)
    yield stream
    root.handlers = handlers
    root.setLevel(level)


def test_an_event_is_one_line_of_json_with_its_fields(lines: io.StringIO) -> None:
    event("pet\nadded", owner=7, name="Rex 🐕")
    (line,) = lines.getvalue().splitlines()
    assert json.loads(line) | {"ts": ""} == {
        "ts": "",
        "level": "info",
        "msg": "pet\nadded",
        "owner": 7,
        "name": "Rex 🐕",
    }


@pytest.mark.parametrize("secret", [URL, "p%2Fss%20word", "p/ss word"])
def test_no_spelling_of_the_password_reaches_the_log(lines: io.StringIO, secret: str) -> None:
    event(f"connecting to {secret}", url=secret, error=ValueError(secret))
    try:
        raise RuntimeError(f"cannot use {secret}")
    except RuntimeError:
        logger.exception("failed with %s", secret)
    logging.getLogger("psycopg.pool").warning("bad: %s", secret)
    written = lines.getvalue()
    assert len(written.splitlines()) == 3
    assert "ss word" not in written
    assert "ss%20word" not in written
    assert written.count("***") >= 6


def test_a_traceback_stays_in_its_line(lines: io.StringIO) -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logger.exception("failed")
    (line,) = lines.getvalue().splitlines()
    assert "RuntimeError: broken" in json.loads(line)["error"]


def test_text_that_is_not_unicode_does_not_stop_the_log(lines: io.StringIO) -> None:
    event("odd", path="/\udcff")
    assert json.loads(lines.getvalue())["path"] == "/\\udcff"


def test_below_the_level_nothing_is_written(lines: io.StringIO) -> None:
    event("detail", level=logging.DEBUG)
    assert lines.getvalue() == ""
