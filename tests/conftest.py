"""For every test: where real dependencies must be there (CI), a skip is a failure."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest

REQUIRE_REAL = os.environ.get("ONEDIGEST_REQUIRE_REAL") == "1"


def pytest_configure() -> None:
    # A shell's background job is started with SIGINT ignored, and Ctrl-C is what some tests are about.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if REQUIRE_REAL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and nothing may be skipped here: {reason}"
    return report
