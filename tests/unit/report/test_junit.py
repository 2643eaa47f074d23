"""The JUnit file of a run, read back, and held against the form that Jenkins' xUnit plug-in asks for (JUnit 10)."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pipeline.model.suite import SuiteCase
from pipeline.report.junit import junit
from tests.run_documents import HOSTILE, hostile_cases, hostile_run, passed_run, refused_run, suite_cases

CASE = {"skipped", "error", "failure", "system-out", "system-err"}
ENDING = {"message", "type"}
COUNTS = {"tests", "failures", "errors"}
SUITE = {"skipped", "time", "timestamp", "hostname", "id", "package"}
FORM: Mapping[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", *COUNTS}, {"testsuite"}),
    "testsuite": (
        {"name", *COUNTS},
        SUITE,
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": ({"name"}, {"time", "classname", "group"}, CASE),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "skipped": (set(), ENDING, set()),
    "error": (set(), ENDING, set()),
    "failure": (set(), ENDING, set()),
    "system-out": (set(), set(), set()),
}
"""Of each element: attributes that must be there, that may be there, and what may lie in it."""


def read(document: Mapping[str, Any], cases: Sequence[SuiteCase] = ()) -> ET.Element:
    return ET.fromstring(junit(document, cases))


def suites(root: ET.Element) -> dict[str, ET.Element]:
    return {suite.get("name", ""): suite for suite in root}


def case(root: ET.Element, suite: str, name: str) -> ET.Element:
    return next(one for one in suites(root)[suite].iter("testcase") if one.get("name") == name)


def properties(suite: ET.Element) -> dict[str, str]:
    return {one.get("name", ""): one.get("value", "") for one in suite.iter("property")}


@pytest.mark.parametrize(
    ("document", "cases"),
    [
        (passed_run(), suite_cases()),
        (refused_run(), ()),
        (hostile_run(), hostile_cases()),
        ({}, ()),
        ({"stages": [{}, {"name": 7, "seconds": "x", "started": "?", "reasons": [None], "facts": 1}]}, ()),
    ],
    ids=["passed", "refused", "hostile", "empty", "malformed"],
)
def test_the_file_has_the_form(document: Mapping[str, Any], cases: Sequence[SuiteCase]) -> None:
    root = read(document, cases)
    assert root.tag == "testsuites"
    for element in root.iter():
        required, optional, children = FORM[element.tag]
        assert required <= set(element.keys()) <= required | optional, element.tag
        assert {child.tag for child in element} <= children, element.tag
    assert all(re.fullmatch(r"\d+\.\d{3}", element.get("time", "0.000")) for element in root.iter())


@pytest.mark.parametrize(
    ("document", "cases"), [(passed_run(), suite_cases()), (hostile_run(), hostile_cases())]
)
def test_the_counts_are_those_of_the_test_cases(
    document: Mapping[str, Any], cases: Sequence[SuiteCase]
) -> None:
    root = read(document, cases)
    for suite in root:
        found = list(suite.iter("testcase"))
        assert suite.get("tests") == str(len(found))
        for word, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert suite.get(word) == str(sum(one.find(tag) is not None for one in found))
    for word in COUNTS:
        assert root.get(word) == str(sum(int(suite.get(word, "")) for suite in root))


def test_every_stage_is_a_suite_that_says_which_record_and_whether_it_was_reused() -> None:
    root = read(passed_run(), suite_cases())
    assert list(suites(root)) == ["build", "integration", "staging", "prod"]
    build, staging = (properties(suites(root)[name]) for name in ("build", "staging"))
    assert (build["reused"], staging["reused"], staging["environment"]) == ("true", "false", "staging")
    assert staging["evidence"] == passed_run()["stages"][2]["evidence"]
    assert staging["digest"] == passed_run()["digest"]
    assert root.get("failures") == root.get("errors") == "0"
    assert suites(root)["staging"].get("timestamp") == "2026-11-28T17:30:23"


def test_the_integration_tests_are_there_as_pytest_reported_them() -> None:
    root = read(passed_run(), suite_cases())
    found = [
        one for one in suites(root)["integration"].iter("testcase") if one.get("classname") != "onedigest"
    ]
    assert [(one.get("classname"), one.get("name")) for one in found] == [
        (one.suite, one.name) for one in suite_cases()
    ]
    assert [float(one.get("time", "")) for one in found] == [one.seconds for one in suite_cases()]


def test_a_test_that_did_not_pass_keeps_its_message_and_text() -> None:
    endings = [
        SuiteCase("m", outcome, outcome, None, "why", "text") for outcome in ("failed", "error", "skipped")
    ]
    root = read(passed_run(), endings)
    for name, tag in (("failed", "failure"), ("error", "error"), ("skipped", "skipped")):
        ending = case(root, "integration", name).find(tag)
        assert ending is not None
        assert (ending.get("message"), ending.text) == ("why", "text")


def test_a_refused_stage_is_a_failure_with_every_reason_and_what_to_do() -> None:
    document = refused_run()
    ending = case(read(document), "staging", "staging").find("failure")
    assert ending is not None
    reason = document["stages"][2]["reasons"][0]
    assert ending.get("message") == reason["text"]
    assert ending.text == f"{reason['text']}\nnext: {reason['remedy']}"


@pytest.mark.parametrize("outcome", ["undecided", "", "something new"])
def test_a_stage_without_a_verdict_is_an_error_and_never_a_success(outcome: str) -> None:
    document = refused_run()
    document["stages"][2] |= {"outcome": outcome, "reasons": []}
    ending = case(read(document), "staging", "staging").find("error")
    assert ending is not None
    assert ending.get("message")


def test_a_stage_that_passed_says_what_it_found() -> None:
    found = case(read(passed_run()), "prod", "prod")
    assert [child.tag for child in found] == ["system-out"]
    assert found.findtext("system-out") == "runs f5f94fab5b00 as petclinic-prod:2, healthy and verified"


def test_an_endpoint_that_was_compared_ends_as_the_comparison_says() -> None:
    root = read(refused_run())
    ending = case(root, "staging", "GET /api/vets").find("failure")
    assert ending is not None
    assert "production's" in (ending.get("message") or "")
    assert case(root, "staging", "GET /api/owners").find("failure") is None
    assert case(root, "staging", "GET /").find("skipped") is not None, "undecided: not a success"
    out = case(root, "staging", "GET /api/owners").find("system-out")
    assert out is not None
    assert "p95_ms" in (out.text or "")


@pytest.mark.parametrize(
    ("outcome", "limit", "ending"),
    [
        ("refused", {"p95_ms[GET /api/owners]": {"max": 1.0}}, "failure"),
        ("refused", {"p99_ms[POST /api/owners]": {"max": 1.0}}, None),
        ("undecided", {"p95_ms[GET /api/owners]": {"max": 1.0}}, "skipped"),
        (
            "refused",
            {"p99_ms[GET /api/owners]": {"max": 1.0}, "p95_ms[GET /api/owners]": {"max": 1}},
            "failure",
        ),
        ("passed", {"p95_ms[GET /api/owners]": {"max": 1.0}}, None),
    ],
)
def test_an_endpoint_that_was_not_compared_is_held_against_its_limits(
    outcome: str, limit: Mapping[str, Any], ending: str | None
) -> None:
    document = passed_run()
    del document["stages"][2]["facts"]["comparison"]
    document["stages"][2]["outcome"] = outcome
    document["settings"]["limits"] = limit
    found = case(read(document), "staging", "GET /api/owners")
    assert [child.tag for child in found if child.tag != "system-out"] == ([ending] if ending else [])


def test_what_xml_has_no_place_for_is_replaced() -> None:
    root = read(hostile_run(), [SuiteCase("m", "a\x00b\ud800", "failed", 0.1, "\x1b[31m", "\x07")])
    assert case(root, "integration", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}") is not None
    assert any(one.get("name") == HOSTILE for one in root.iter("testcase"))
