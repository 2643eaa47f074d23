"""JUnit files: what a suite's says, and one for a candidate that no test could be run against."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UndecidedError
from pipeline.model.suite import SuiteCase
from pipeline.ports import TestFailure

_NOT_XML = re.compile("[^\\t\\n\\r\\u0020-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")

_OUTCOMES = {"failure": "failed", "error": "error", "skipped": "skipped"}


@dataclass(frozen=True, slots=True)
class Tally:
    """How many different tests the file names, and how many of them failed or had an error."""

    tests: int
    failed: int


def read_tally(path: Path) -> Tally:
    """Counts by name, for pytest writes a test twice that fails and then fails to tear down.

    Raises UndecidedError when the file is missing or is not JUnit.
    """
    cases = _elements(path)
    named = {(case.get("classname"), case.get("name")) for case in cases}
    bad = {
        (case.get("classname"), case.get("name"))
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }
    return Tally(len(named), len(bad))


def read_cases(path: Path) -> tuple[SuiteCase, ...]:
    """Every test as the file has it. Raises UndecidedError when the file is missing or is not JUnit."""
    return tuple(_case(element) for element in _elements(path))


def _elements(path: Path) -> list[ET.Element]:
    try:
        return list(ET.parse(path).getroot().iter("testcase"))  # noqa: S314 - written by the pytest we started
    except (OSError, ET.ParseError) as error:
        raise UndecidedError(
            f"pytest left no JUnit file that can be read at {path}: {error}",
            hint="see pytest.txt beside it; the suite's pytest_args must not turn JUnit off",
        ) from error


def _case(element: ET.Element) -> SuiteCase:
    found = {tag: element.find(tag) for tag in ("failure", "error", "skipped")}
    outcome, ending = next(
        ((_OUTCOMES[tag], child) for tag, child in found.items() if child is not None), ("passed", None)
    )
    try:
        seconds = float(element.get("time") or "")
    except ValueError:
        seconds = None
    said = ("", "") if ending is None else (ending.get("message") or "", ending.text or "")
    return SuiteCase(element.get("classname") or "", element.get("name") or "", outcome, seconds, *said)


def write_failure(path: Path, failure: TestFailure) -> None:
    """Writes a file with this one failure."""
    suites = ET.Element("testsuites")
    totals = {"name": "candidate", "tests": "1", "failures": "1", "errors": "0", "skipped": "0"}
    suite = ET.SubElement(suites, "testsuite", totals)
    case = ET.SubElement(suite, "testcase", classname="candidate", name=_printable(failure.name))
    first_line = failure.message.partition("\n")[0]
    ET.SubElement(case, "failure", message=_printable(first_line)).text = _printable(failure.message)
    ET.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)


def _printable(text: str) -> str:
    """XML 1.0 has no place for control characters and the like, which log lines may hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
