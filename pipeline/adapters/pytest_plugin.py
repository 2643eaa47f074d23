"""Hands a candidate to a pytest suite and tells the integration stage how its tests go.

Loaded into the suite's own pytest by `-p pipeline.adapters.pytest_plugin`; gives the fixtures `base_url` and
`image_ref`. To run a suite by hand set ONEDIGEST_BASE_URL and ONEDIGEST_IMAGE.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Generator, Mapping
from typing import Any

import pytest

BASE_URL = "ONEDIGEST_BASE_URL"
IMAGE = "ONEDIGEST_IMAGE"
CONTAINERS = "ONEDIGEST_CONTAINERS"
EVENTS = "ONEDIGEST_EVENTS"

_LAST_LINES = 20
_BEGAN = pytest.StashKey[float]()


@pytest.fixture(scope="session")
def base_url() -> str:
    """Where the candidate answers, as `http://host:port` without a slash at the end."""
    return os.environ[BASE_URL]


@pytest.fixture(scope="session")
def image_ref() -> str:
    """The candidate: `repository@sha256:…`."""
    return os.environ[IMAGE]


class EventStream:
    """Writes one JSON line for each thing that happens to the descriptor the stage reads.

    When nobody reads any more the stage is dead, and the run ends at once.
    """

    def __init__(self, descriptor: int) -> None:
        fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        self._stream = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)
        self._worst: dict[str, pytest.TestReport] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """How many tests there will be."""
        self._write({"event": "collected", "tests": len(session.items)})

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        self._write({"event": "began", "test": nodeid})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Set-up, the test itself and tear-down report one after the other; the worst of them is the outcome."""
        before = self._worst.get(report.nodeid)
        if before is None or report.when == "setup" or _rank(report) > _rank(before):
            self._worst[report.nodeid] = report
        if report.when == "teardown":
            worst = self._worst.pop(report.nodeid)
            self._write(
                {
                    "event": "ended",
                    "test": report.nodeid,
                    "outcome": worst.outcome,
                    "message": _message(worst),
                }
            )

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """The last line: without it the run was cut off."""
        self._write({"event": "finished", "exit_code": int(exitstatus)})

    def _write(self, event: Mapping[str, object]) -> None:
        try:
            self._stream.write(json.dumps(event) + "\n")
        except BrokenPipeError:
            os._exit(3)


def pytest_configure(config: pytest.Config) -> None:
    """Refuses to run without a candidate."""
    missing = [name for name in (BASE_URL, IMAGE) if not os.environ.get(name)]
    if missing:
        raise pytest.UsageError(
            f"this suite tests a running candidate, and {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not set: run `python -m pipeline stage integration DIGEST`, "
            f"or set {BASE_URL} (http://127.0.0.1:PORT) and {IMAGE} (repository@sha256:…) for one you started"
        )
    descriptor = os.environ.get(EVENTS)
    if descriptor and not hasattr(config, "workerinput"):
        config.pluginmanager.register(EventStream(int(descriptor)), "onedigest-events")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remembers when the test began, by the clock the containers' log lines are stamped with."""
    item.stash[_BEGAN] = time.time()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Adds to a failed test what each container wrote since the test began."""
    report = yield
    if report.failed:
        began = item.stash.get(_BEGAN, time.time())
        for name, identifier in json.loads(os.environ.get(CONTAINERS) or "{}").items():
            text = _written_since(identifier, began)
            if hasattr(report.longrepr, "addsection"):
                report.longrepr.addsection(f"last lines of {name}", text)
            else:
                report.sections.append((f"last lines of {name}", text))
    return report


def _written_since(container: str, began: float) -> str:
    """The log lines; a container that cannot be asked must not hide the test's own failure."""
    import docker  # noqa: PLC0415 - a third of a second that only a failed test pays

    with contextlib.suppress(Exception):
        engine = docker.from_env()
        raw = engine.containers.get(container).logs(since=began, tail=_LAST_LINES)
        engine.close()
        return str(raw.decode("utf-8", "replace")).rstrip() or "(nothing during this test)"
    return "(its log could not be read)"


def _rank(report: pytest.TestReport) -> int:
    return {"passed": 0, "skipped": 1, "failed": 2}.get(report.outcome, 2)


def _message(report: pytest.TestReport) -> str:
    if not report.failed:
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else report.longreprtext
    where = "" if report.when == "call" else f"in {report.when}: "
    sections = getattr(report.longrepr, "sections", [])
    return "\n".join([where + text, *(f"{title}:\n{content}" for title, content, _ in sections)])
