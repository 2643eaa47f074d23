"""A run as JUnit XML: a suite a stage, with the stage itself, its integration tests and its endpoints under load.

The form is JUnit 10 of Jenkins' xUnit plug-in, which is what pytest writes and others read; a test case of it has no
properties, therefore they are the suite's.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from pipeline.model.limits import Limit, breaches, split_metric
from pipeline.model.suite import SuiteCase
from pipeline.report.reading import Recorded

_NOT_XML = re.compile("[^\\t\\n\\r\\u0020-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
_TAGS = {"failed": "failure", "error": "error", "skipped": "skipped"}
_OF_STAGE = {"passed": "passed", "refused": "failed"}


def junit(document: Mapping[str, Any], cases: Sequence[SuiteCase] = ()) -> bytes:
    """The run that `document` describes; `cases` are the results of its own integration tests."""
    run = Recorded(document)
    root = ET.Element("testsuites", name=_xml(f"onedigest {run['command'].text} {run['run_id'].text}"))
    known = {name: run[name].text for name in ("run_id", "digest", "image", "commit", "command")}
    for stage in run["stages"]:
        tests = [_test_case(case) for case in cases] if stage["name"].text == "integration" else []
        _suite(root, stage, known, [_stage_case(stage), *tests, *_endpoints(stage, run["settings"])])
    for word in ("tests", "failures", "errors"):
        root.set(word, str(sum(int(suite.get(word) or 0) for suite in root)))
    root.set("time", f"{sum(float(suite.get('time') or 0) for suite in root):.3f}")
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _suite(root: ET.Element, stage: Recorded, known: Mapping[str, str], cases: Sequence[ET.Element]) -> None:
    """The time of a suite is that of its stage: its tests took place within it."""
    suite = ET.SubElement(
        root, "testsuite", name=_xml(stage["name"].text or "unnamed"), tests=str(len(cases))
    )
    for word, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(word, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("time", f"{stage['seconds'].number or 0.0:.3f}")
    began = stage["started"].moment
    if began:
        suite.set("timestamp", began.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds"))
    own = {name: stage[name].text for name in ("environment", "outcome", "evidence")}
    reused = {"reused": "true" if stage["reused"].flag else "false"}
    _properties(suite, {name: value for name, value in {**known, **own, **reused}.items() if value})
    suite.extend(cases)


def _properties(suite: ET.Element, known: Mapping[str, str]) -> None:
    holder = ET.SubElement(suite, "properties")
    for name, value in known.items():
        ET.SubElement(holder, "property", name=name, value=_xml(value))


def _stage_case(stage: Recorded) -> ET.Element:
    outcome = _OF_STAGE.get(stage["outcome"].text, "error")
    case = _case("onedigest", stage["name"].text, stage["seconds"].number)
    lines = [_line(reason) for reason in stage["reasons"]]
    first = (
        lines[0].partition("\n")[0]
        if lines
        else f"{stage['outcome'].text or 'no outcome'}, no reason recorded"
    )
    _ended(case, outcome, first, "\n".join(lines))
    if outcome == "passed" and lines:
        ET.SubElement(case, "system-out").text = _xml("\n".join(lines))
    return case


def _line(reason: Recorded) -> str:
    remedy = reason["remedy"].text
    return reason["text"].text + (f"\nnext: {remedy}" if remedy else "")


def _test_case(one: SuiteCase) -> ET.Element:
    case = _case(one.suite, one.name, one.seconds)
    _ended(case, one.outcome, one.message, one.text)
    return case


def _endpoints(stage: Recorded, settings: Recorded) -> list[ET.Element]:
    """Compared endpoints by what the comparison says of each, others by the limits that are set on them."""
    compared = list(stage["facts"]["comparison"]["endpoints"])
    if compared:
        return [_endpoint(row, row["outcome"].text, row["reason"].text) for row in compared]
    broken = _broken(stage, settings)
    return [
        _endpoint(row, *broken.get(row["name"].text, ("passed", "")))
        for row in stage["facts"]["load"]["endpoints"]
    ]


def _broken(stage: Recorded, settings: Recorded) -> dict[str, tuple[str, str]]:
    """Endpoints whose limits are not met, with the outcome and why; a stage that passed has none."""
    if stage["outcome"].text == "passed":
        return {}
    limits = {name: Limit(one["max"].number, one["min"].number) for name, one in settings["limits"].items()}
    metrics = {name: value.value for name, value in stage["metrics"].items()}
    found: dict[str, tuple[str, str]] = {}
    for breach in breaches(metrics, limits):
        endpoint = split_metric(breach.metric)[1]
        outcome = "refused" if breach.measured and stage["outcome"].text == "refused" else "undecided"
        if found.get(endpoint, ("", ""))[0] != "refused":
            found[endpoint] = (outcome, breach.reason.text)
    return found


def _endpoint(row: Recorded, outcome: str, why: str) -> ET.Element:
    """What is undecided of one endpoint is skipped: whether it matters, its stage says."""
    case = _case("load", row["name"].text, None)
    words = {"passed": "passed", "refused": "failed"}
    _ended(case, words.get(outcome, "skipped"), why, why)
    figures = [f"{name}: {value.text}" for name, value in (row["candidate"] or row).items() if value.text]
    ET.SubElement(case, "system-out").text = _xml("\n".join(figures))
    return case


def _case(classname: str, name: str, seconds: float | None) -> ET.Element:
    return ET.Element(
        "testcase", classname=_xml(classname), name=_xml(name or "unnamed"), time=f"{seconds or 0.0:.3f}"
    )


def _ended(case: ET.Element, outcome: str, message: str, text: str) -> None:
    if outcome in _TAGS:
        ET.SubElement(case, _TAGS[outcome], message=_xml(message)).text = _xml(text)


def _xml(text: str) -> str:
    """XML 1.0 has no place for control characters and the like, which names and logs may hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
