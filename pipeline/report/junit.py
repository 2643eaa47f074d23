"""A run as JUnit XML: its stages, the integration tests as they ended, and the endpoints under load.

The form is the one that pytest writes and Jenkins, GitLab and others read (JUnit 10 of Jenkins' xUnit plug-in).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
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
    stages = list(run["stages"])
    root = ET.Element("testsuites", name=_xml(f"onedigest {run['command'].text} {run['run_id'].text}"))
    began = stages[0]["started"].moment if stages else None
    stamp = began.replace(tzinfo=None).isoformat(timespec="seconds") if began else ""
    known = {name: run[name].text for name in ("run_id", "digest", "image", "commit", "command", "outcome")}
    _suite(root, "stages", [_stage_case(stage) for stage in stages], stamp, known)
    if cases:
        _suite(root, "integration", [_test_case(case) for case in cases], stamp)
    for stage in stages:
        if loaded := _endpoints(stage, run["settings"]):
            _suite(root, f"load on {stage['environment'].text or stage['name'].text}", loaded, stamp)
    _total(root, list(root))
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _suite(
    root: ET.Element,
    name: str,
    cases: Sequence[ET.Element],
    stamp: str,
    known: Mapping[str, str] | None = None,
) -> None:
    suite = ET.SubElement(root, "testsuite", name=name)
    if stamp:
        suite.set("timestamp", stamp)
    counts = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    suite.set("tests", str(len(cases)))
    for word, tag in counts.items():
        suite.set(word, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("time", f"{sum(float(case.get('time') or 0) for case in cases):.3f}")
    _properties(suite, {name: value for name, value in (known or {}).items() if value})
    suite.extend(cases)


def _total(root: ET.Element, suites: Sequence[ET.Element]) -> None:
    for word in ("tests", "failures", "errors", "skipped"):
        root.set(word, str(sum(int(suite.get(word) or 0) for suite in suites)))
    root.set("time", f"{sum(float(suite.get('time') or 0) for suite in suites):.3f}")


def _stage_case(stage: Recorded) -> ET.Element:
    outcome = _OF_STAGE.get(stage["outcome"].text, "error")
    case = _case("onedigest", stage["name"].text, stage["seconds"].number)
    known = {name: stage[name].text for name in ("environment", "evidence") if stage[name].text}
    _properties(case, known | ({"reused": "true"} if stage["reused"].flag else {}))
    lines = [_line(reason) for reason in stage["reasons"]]
    first = lines[0].partition("\n")[0] if lines else f"{stage['outcome'].text or 'nothing'} without a reason"
    _ended(case, outcome, first, "\n".join(lines))
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


def _properties(parent: ET.Element, known: Mapping[str, str]) -> None:
    if known:
        holder = ET.SubElement(parent, "properties")
        for name, value in known.items():
            ET.SubElement(holder, "property", name=name, value=_xml(value))


def _xml(text: str) -> str:
    """XML 1.0 has no place for control characters and the like, which names and logs may hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
