"""The report as HTML: what it says, what it does not let through, and that nothing recorded can stop it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.model.suite import SuiteCase
from pipeline.report.html import page
from pipeline.report.junit import junit
from pipeline.report.summary import markdown
from tests.run_documents import (
    HOSTILE,
    PRODUCTION,
    comparison,
    first_run,
    hostile_cases,
    hostile_run,
    passed_run,
    refused_run,
    suite_cases,
)

VOID = {"meta", "link", "br"}


class Parts(HTMLParser):
    """Elements with their attributes, the texts, and whether every element that is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


def read(document: Mapping[str, Any], cases: Sequence[SuiteCase] = ()) -> Parts:
    parts = Parts(page(document, cases))
    assert parts.open == []
    return parts


def section(document: Mapping[str, Any], name: str, cases: Sequence[SuiteCase] = ()) -> str:
    """The text of one section."""
    found = re.search(rf'<section id="{name}".*?</section>', page(document, cases), re.DOTALL)
    assert found, name
    return Parts(found[0]).text


def changed(document: dict[str, Any], stage: int, **facts: Any) -> dict[str, Any]:
    document["stages"][stage]["facts"] |= facts
    return document


# -- what is let through ----------------------------------------------------------------------------------------------


def test_what_an_application_says_is_never_html() -> None:
    text = page(hostile_run(), hostile_cases())
    parts = Parts(text)
    assert "<script" not in text
    assert not {"script", "img", "iframe", "object", "form"} & {tag for tag, _ in parts.elements}
    assert [name for _, attributes in parts.elements for name in attributes if name.startswith("on")] == []
    assert parts.text.count("<script>alert('x')</script>") >= 6


def test_nothing_of_a_page_is_fetched_from_elsewhere() -> None:
    text = page(hostile_run(), hostile_cases())
    links = [attributes.get("href") or attributes.get("src") for _, attributes in Parts(text).elements]
    assert {link for link in links if link and not link.startswith(("#", "data:"))} == set()
    assert "@import" not in text
    assert "url(" not in text
    policies = [a.get("content") or "" for _, a in Parts(text).elements if a.get("http-equiv")]
    assert [policy.partition(";")[0] for policy in policies] == ["default-src 'none'"]


def test_what_is_no_text_is_replaced_and_a_terminals_colours_are_left_out() -> None:
    text = page(hostile_run(), [SuiteCase("m", "\x00\ud800", "failed", 0.1, "\x1b[31mred\x1b[0m", "")])
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", text)
    assert "red" in text
    assert "[31m" not in text


@settings(max_examples=25, deadline=None)
@given(st.text(alphabet=st.characters(codec=None)), st.data())
def test_any_text_anywhere_leaves_a_page_whole(text: str, data: st.DataObject) -> None:
    document = hostile_run()
    place = data.draw(st.sampled_from(list(_places(document))))
    _put(document, place, text)
    written = page(document, [SuiteCase(text, text, "failed", 1.0, text, text)])
    assert Parts(written).open == []
    written.encode()
    junit(document)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_nothing_that_is_missing_or_of_another_type_stops_a_report(data: st.DataObject) -> None:
    document = refused_run() if data.draw(st.booleans()) else passed_run()
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.sampled_from(list(_places(document))))
        wrong = data.draw(
            st.sampled_from([None, "", "x", -1, 0, 1e308, float("nan"), True, [], {}, [None], {"a": 1}])
        )
        _put(document, place, wrong)
    assert Parts(page(document, suite_cases())).open == []
    junit(document, suite_cases())


def _places(value: Any, path: tuple[Any, ...] = ()) -> Any:
    """Every place in a document, but single bins and points of a series, of which there are too many alike."""
    if path:
        yield path
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for number, (key, child) in enumerate(entries):
        if number < 12:
            yield from _places(child, (*path, key))


def _put(document: dict[str, Any], place: tuple[Any, ...], value: Any) -> None:
    *way, last = place
    at: Any = document
    for key in way:
        at = at[key]
    at[last] = copy.deepcopy(value)


def test_a_document_that_says_nothing_gives_a_page_that_says_so() -> None:
    text = read({}).text
    assert "No stage was run." in text
    assert "not recorded" in text


def test_a_normal_runs_report_is_small() -> None:
    document = changed(passed_run(), 2, comparison=comparison(1.0, 64))
    assert len(page(document, suite_cases()).encode()) < 120_000


# -- head and stages --------------------------------------------------------------------------------------------------


def test_the_head_says_what_how_when_and_why() -> None:
    document = refused_run()
    text = read(document).text
    assert "petclinic f5f94fab5b00" in text
    assert document["image"] in text
    assert document["commit"] in text
    assert document["run_id"] in text
    assert "2026-11-28 17:30:22 UTC" in text
    assert "staging did not pass: refused, exit code 1. build and integration passed." in text
    assert text.index(document["stages"][2]["reasons"][0]["text"]) < text.index("Stages")
    assert "next: look for what takes the time" in text


def test_a_run_that_passed_says_which_stages_an_earlier_record_stood_for() -> None:
    assert (
        "build, integration, staging and prod passed, 2 of 4 by an earlier record." in read(passed_run()).text
    )


def test_an_outcome_that_is_not_known_is_not_shown_as_passed() -> None:
    document = passed_run() | {"outcome": "brilliant", "exit_code": 99}
    document["stages"][3]["outcome"] = "brilliant"
    text = read(document).text
    assert "? brilliant" in text
    assert "prod did not pass. build, integration and staging passed." in text


def test_a_rollback_names_the_environment_and_the_digest() -> None:
    document = passed_run() | {"command": "rollback", "environment": "prod", "image": "", "digest": ""}
    document["stages"] = document["stages"][3:]
    text = read(document).text
    assert "onedigest rollback to prod" in text
    assert "prod passed." in text


def test_bars_lie_where_the_stages_were() -> None:
    found = re.findall(r'class="bar (\w+)" style="left:([\d.]+)%;width:([\d.]+)%"', page(passed_run()))
    assert [kind for kind, _, _ in found] == ["reused", "reused", "passed", "passed"]
    ends = [float(left) + float(width) for _, left, width in found]
    assert float(found[0][1]) == 0.0
    assert ends[-1] == pytest.approx(100, abs=0.1)
    assert ends[2] <= float(found[3][1]) + 0.1


# -- tests ------------------------------------------------------------------------------------------------------------


def test_a_failed_test_is_shown_with_its_message_and_what_was_written_meanwhile() -> None:
    case = SuiteCase(
        "tests.test_api", "test_vets", "failed", 0.3, "AssertionError: 5 == 4", "trace\nlast lines of app"
    )
    text = section(hostile_run(), "tests", [case])
    for part in (
        "tests.test_api::test_vets",
        "AssertionError: 5 == 4",
        "trace last lines of app",
        "last lines of app",
    ):
        assert part in text


def test_without_a_junit_file_the_record_tells_which_failed() -> None:
    text = section(hostile_run(), "tests")
    assert "57 passed, 1 failed, 0 skipped" in text
    assert f"test_x[{HOSTILE}]" in text


def test_the_slowest_tests_come_first() -> None:
    cases = [SuiteCase("m", f"test_{n}", "passed", float(n)) for n in range(1, 15)]
    text = section(passed_run(), "tests", cases)
    assert text.index("test_14") < text.index("test_13") < text.index("test_5")
    assert "test_4 " not in text


def test_of_very_many_failures_the_first_are_shown_and_the_rest_counted() -> None:
    cases = [SuiteCase("m", f"test_{n}", "failed", 0.1, "no") for n in range(100)]
    assert "… and 60 more, see junit.xml." in section(hostile_run(), "tests", cases)


def test_a_suite_that_could_not_be_run_says_why() -> None:
    document = passed_run()
    document["stages"][1] |= {
        "outcome": "undecided",
        "facts": {},
        "reasons": [{"text": "no test ran", "remedy": "look"}],
    }
    text = section(document, "tests")
    assert "No test is on record." in text
    assert "no test ran next: look" in text


# -- load -------------------------------------------------------------------------------------------------------------


def test_ratios_are_shown_with_interval_outcome_and_why() -> None:
    document = refused_run()
    vets = document["stages"][2]["facts"]["comparison"]["endpoints"][3]
    ratio = vets["ratios"]["p50"]
    text = section(document, "load-staging")
    assert f"{ratio['point']:.2f} {ratio['low']:.2f} to {ratio['high']:.2f}" in text
    assert ratio["reason"] in text
    assert "tolerated 1.10" in text
    assert "excluded 1.25" in text
    assert "Latency ratios: candidate ÷ production (99.5 % intervals, an endpoint's wider)" in text
    assert "tolerated 0.5 %" in text


def test_intervals_are_drawn_to_scale() -> None:
    strips = re.findall(
        r'aria-label="([^"]+)".*?class="same" d="M([\d.]+) .*?whisker" d="M([\d.]+) 10H([\d.]+)".*?dot" d="M([\d.]+) ',
        page(refused_run()),
    )
    assert len(strips) >= 14
    for label, same, low, high, point in strips:
        assert float(low) <= float(point) <= float(high), label
        if label.startswith("p50 of GET /api/vets"):
            assert float(low) > float(same)


def test_both_sides_are_named_with_production_s_digest() -> None:
    text = section(passed_run(), "load-staging")
    assert PRODUCTION[7:19] in text
    assert "candidate and production under the same load for 16 s" in text


def test_curves_break_where_nothing_was_measured_or_a_second_is_missing() -> None:
    found = comparison(1.0, 24)
    del found["series"]["candidate"][10]
    for side in ("candidate", "baseline"):
        found["series"][side][5]["p95_ms"] = None
    text = page(changed(passed_run(), 2, comparison=found))
    p95 = re.findall(r'<path class="curve (\w+)" d="([^"]+)"', text)[4:6]
    assert [(kind, path.count("M")) for kind, path in p95] == [("candidate", 3), ("baseline", 2)]


def test_without_a_baseline_it_says_why_and_shows_the_candidate_alone() -> None:
    document = first_run()
    text = section(document, "load-staging")
    assert "Not compared with production: nothing runs in production yet." in text
    assert "the candidate alone for 20 s, held against absolute limits" in text
    assert text.count("3,287 requests in 20 s, 0 failed") == 1
    assert "POST /api/owners/{id}/pets 179 0" in text
    assert len(re.findall('class="curve candidate"', page(document))) == 4
    assert re.findall('class="area (.+?)"', page(document)) == ["candidate"]


def test_a_stages_name_leads_to_what_is_told_of_it() -> None:
    made = page(passed_run())
    assert re.findall('<span class="stage"><a href="(.+?)">(.+?)</a>', made) == [
        ("#image", "build"),
        ("#tests", "integration"),
        ("#load-staging", "staging"),
        ("#rollout-prod", "prod"),
    ]
    document = changed(passed_run(), 3, deployment=None)
    assert '<span class="stage">prod</span>' in page(document)


def test_a_ratio_however_large_is_within_its_drawing() -> None:
    document = refused_run()
    ratios = document["stages"][2]["facts"]["comparison"]["endpoints"][3]["ratios"]["p50"]
    ratios |= {"point": 9.0, "low": 7.0, "high": 60.0}
    label = "p50 of GET /api/vets: 9.00, interval 7.00 to 60.00"
    (drawn,) = re.findall(f'<svg[^>]*aria-label="{label}".*?</svg>', page(document))
    (dot,) = re.findall(r'class="dot" d="M([\d.]+) ', drawn)
    (end,) = re.findall(r'class="whisker" d="M[\d.]+ 10H([\d.]+)"', drawn)
    assert 50 < float(dot) < 90
    assert float(end) == 100, "what is wide goes up to the edge"


def test_what_is_undecided_says_how_many_requests_would_have_told() -> None:
    document = refused_run()
    ratios = document["stages"][2]["facts"]["comparison"]["endpoints"][0]["ratios"]
    ratios["p95"] |= {"outcome": "undecided", "samples": 1234, "missing": 766, "reason": "so it is"}
    assert "1,234 of about 2,000 requests a side" in section(document, "load-staging")
    ratios["p95"]["missing"] = 0
    assert "so it is" in section(document, "load-staging"), "nobody can tell how many"


def test_a_run_of_minutes_is_told_in_minutes() -> None:
    def ticks(document: dict[str, Any]) -> list[str]:
        (scale,) = re.findall('<p class="scale".*?</p>', page(document))
        return re.findall(">([^<>]+)</span>", scale)

    document = passed_run()
    assert ticks(document) == ["0 s", "20 s", "40 s"]
    document["stages"][3]["finished"] = "2026-11-28T17:33:30+00:00"
    assert ticks(document) == ["0 min", "1 min", "2 min", "3 min"]


def test_of_errors_that_are_undecided_the_drawing_says_why() -> None:
    document = refused_run()
    errors = document["stages"][2]["facts"]["comparison"]["endpoints"][0]["errors"]
    assert errors["outcome"] == "undecided"
    assert errors["reason"] not in section(document, "load-staging")
    errors["outcome"] = "refused"
    assert errors["reason"] in section(document, "load-staging")


def test_a_record_from_before_there_were_distributions_says_that_it_has_none() -> None:
    document = first_run()
    del document["stages"][2]["facts"]["load"]["distribution"]
    assert "Latencies, share of requests not recorded" in section(document, "load-staging")


def test_a_record_without_any_word_of_a_comparison_says_so() -> None:
    document = passed_run()
    del document["stages"][2]["facts"]["comparison"]
    assert "A comparison with production: not recorded" in section(document, "load-staging")


def test_the_generators_health_stands_above_its_bounds() -> None:
    document = passed_run()
    health = document["stages"][2]["facts"]["comparison"]["generator"]
    assert "side by side 20 % 3 % 100 % ✓ passed" in section(document, "load-staging")
    health["cpu_share"] = 0.9
    text = section(document, "load-staging")
    assert "side by side 90 % 3 % 100 % ? undecided" in text
    assert "production alone 20 % 3 % 100 % ✓ passed" in text
    assert "bounds at most 70 % at most 25 % at least 95 %" in text
    health["cpu_share"] = 0.7
    assert "side by side 70 % 3 % 100 % ✓ passed" in section(document, "load-staging"), "the bound is within"
    health["lag_share"] = None
    assert "side by side 70 % not recorded 100 % not recorded" in section(document, "load-staging")
    document["settings"]["generator"] = {}
    assert "bounds not recorded not recorded not recorded" in section(document, "load-staging")


def test_the_generator_of_a_load_without_a_comparison_is_told_too() -> None:
    document = changed(passed_run(), 2, comparison=None)
    assert "candidate alone 8.6 % 2.8 % 100 % ✓ passed" in section(document, "load-staging")
    document["stages"][2]["facts"]["load"]["generator"] = {}
    assert "The load generator's health: not recorded" in section(document, "load-staging")


def test_a_baseline_that_did_not_come_up_is_told_with_its_diagnosis() -> None:
    failed = {"outcome": "failed_first", "diagnosis": "task 9 failed: exit 1"}
    document = changed(
        passed_run(), 2, comparison={"baseline": {"digest": PRODUCTION, "deployment": failed}}, load={}
    )
    text = section(document, "load-staging")
    assert "No load was measured." in text
    assert "task 9 failed: exit 1" in text
    assert "<details open><summary>How production" in page(document)


def test_of_several_services_each_that_was_compared_is_told_and_each_that_was_not() -> None:
    document = passed_run()
    baseline = document["stages"][2]["facts"]["comparison"]["baseline"]
    baseline |= {
        "services": {"web": PRODUCTION, "api": PRODUCTION},
        "left_out": {"mail": "production's release has none"},
        "deployments": {"web": {"outcome": "succeeded"}, "api": {"outcome": "failed_first"}},
    }
    text = section(document, "load-staging")
    assert "production's web " in text
    assert "mail, not compared production's release has none" in text
    whole = page(document)
    assert "<details><summary>How production&#39;s web was started" in whole
    assert "<details open><summary>How production&#39;s api was started" in whole
    del baseline["digest"]
    baseline["skipped"] = "production's release has no service web"
    assert "no service web. mail, not compared" in section(document, "load-staging")


def test_limits_are_shown_with_what_was_measured_and_what_was_not() -> None:
    document = passed_run()
    document["settings"]["limits"] = {
        "p95_ms": {"max": 800},
        "p95_ms[GET /api/owners]": {"max": 2.0},
        "p99_ms[GET /api/vets]": {"max": 10},
        "requests": {"min": 1000},
    }
    text = section(document, "load-staging")
    assert "p95_ms 5.2 ms at most 800 ms ✓ passed" in text
    assert "GET /api/owners: p95_ms 5.4 ms at most 2 ms ✕ refused" in text
    assert "GET /api/vets: p99_ms not recorded at most 10 ms ? undecided" in text
    assert "requests 3,287 at least 1,000 ✓ passed" in text


def test_a_limit_that_is_near_is_drawn_and_a_far_one_named() -> None:
    document = passed_run()
    assert "(limit 800 ms)" in section(document, "load-staging")
    document["settings"]["limits"]["p95_ms"] = {"max": 8}
    assert '<path class="limit"' in page(document)


def test_looks_solo_figures_and_errors_are_told() -> None:
    document = refused_run()
    facts = document["stages"][2]["facts"]
    facts["load"]["errors"] = {"500 on GET /": 3}
    text = section(document, "load-staging")
    looks = facts["comparison"]["looks"]
    assert f"16 s ? undecided {looks[0]['reason']} 24 s ✕ refused {looks[1]['reason']}" in text
    assert "500 on GET / 3" in text
    alone = [facts["comparison"]["solo"][side]["all"]["p50_ms"] for side in ("candidate", "baseline")]
    assert f"ratio {alone[0] / alone[1]:.2f}" in text
    facts["comparison"] |= {"solo_before": facts["comparison"]["solo"], "solo": {"skipped": "refused before"}}
    text = section(document, "load-staging")
    assert "Each side alone, the first try" in text
    assert "Each side alone: not measured, refused before." in text


# -- rollouts ---------------------------------------------------------------------------------------------------------


def test_a_rollout_tells_events_digests_and_the_probe() -> None:
    text = section(passed_run(), "rollout-prod")
    assert "tasks run f5f94fab5b00" in text
    assert "begun 2026-11-28 17:31:02 UTC 0 s" in text
    assert "before it ran 7c7c7c7c7c7c" in text
    assert "17:31:15 UTC 13.1 s 20 s" in text
    assert "Longest time without a good answer: 0.21 s, begun at 17:31:05 UTC in the phase “bake”." in text
    assert "in all 51 0 0 3.9 ms 7.6 ms" in text
    assert "18 OK, not known: pass role: the account's root user acts" in text


def test_a_rollout_that_went_back_tells_why() -> None:
    text = section(hostile_run(), "rollout-prod")
    assert "✕ refused rolled back" in text
    assert "What went wrong task 1 failed:" in text
    assert "not recorded" in text


def test_where_requests_failed_is_told_by_phase() -> None:
    document = passed_run()
    probe = document["stages"][3]["facts"]["deployment"]["probe"]
    probe["phases"]["switch"] = {"sent": 10, "failed": 4, "client_errors": 1, "failures": {"502 on /": 4}}
    probe["late"] = 2
    text = section(document, "rollout-prod")
    assert "switch: old and new tasks answer 10 4 1" in text
    assert "502 on / (4)" in text
    assert "2 requests were sent late by the probe itself." in text


def test_a_rehearsed_rollback_is_a_rollout_too() -> None:
    document = passed_run()
    deployment = document["stages"][2]["facts"]["deployment"]
    text = section(
        changed(document, 2, rehearsal={"back": deployment, "again": deployment}), "rollout-staging"
    )
    assert text.count("Traffic probe") == 3
    assert "Rehearsed rollback" in text


@pytest.mark.parametrize("kind", ["regions", "services", "parts"])
def test_several_regions_or_services_are_told_together_and_one_by_one(kind: str) -> None:
    document = passed_run()
    one = document["stages"][3]["facts"]["deployment"]
    whole = {
        **{name: one[name] for name in ("image_digests", "previous_digests", "started_at")},
        "outcome": "rolled_back",
        "healthy_at": None,
        "probe": {"sent": 102, "failed": 0, "longest_gap_s": 0.2},
        "waves": [["eu-central-1"], ["us-east-1", "us-west-2"]],
        kind: {
            "eu-central-1": one,
            "us-east-1": one | {"outcome": "failed", "diagnosis": "task 3 failed"},
        },
    }
    document = changed(document, 3, deployment=whole)
    text = section(document, "rollout-prod")
    assert f"{kind} eu-central-1, then us-east-1 and us-west-2" in text
    assert "in all 102 0" in text
    assert "task 3 failed" in text
    assert text.count("18 OK") == 2
    assert re.findall("<details( open)?><summary>", page(document).partition('id="rollout-prod"')[2])[:2] == [
        "",
        " open",
    ]


def test_what_ran_already_was_not_changed_and_nothing_was_probed() -> None:
    document = passed_run()
    document["stages"][3]["facts"]["deployment"] |= {"already": True, "reattached": True, "probe": None}
    text = section(document, "rollout-prod")
    assert "It ran already; nothing was changed." in text
    assert "A deployment that was under way was taken up." in text
    assert "Traffic probe: not recorded" in text


# -- evidence, image, machine -----------------------------------------------------------------------------------------


def test_the_chain_leads_from_record_to_record() -> None:
    document = passed_run()
    parts = read(document)
    text = section(document, "evidence")
    for stage in document["stages"]:
        assert stage["evidence"] in text
    links = [attributes["href"] for tag, attributes in parts.elements if tag == "a"]
    assert [link for link in links if link and link.startswith("#record-")] == [
        "#record-build",
        "#record-integration",
        "#record-staging",
    ]
    assert "commits to nothing before it" in text


def test_a_record_of_an_earlier_run_is_named_without_a_link_and_a_missing_one_is_missing() -> None:
    document = passed_run()
    document["stages"] = document["stages"][3:]
    document["stages"][0]["evidence"] = ""
    text = section(document, "evidence")
    assert "(of an earlier run)" in text
    assert "record none was written" in text
    assert "python -m pipeline evidence f5f94fab5b00" in text


def test_the_image_tells_of_uncommitted_changes() -> None:
    text = section(changed(passed_run(), 0, dirty=True, changed=["app/api.py"]), "image")
    assert "with uncommitted changes (app/api.py)" in text
    assert "57.9 MiB" in text
    assert "136" in text


def test_machine_and_settings_are_told() -> None:
    document = passed_run()
    text = section(document, "environment")
    for part in (
        "Linux 6.18",
        "2 Intel Xeon",
        "24.0 GiB",
        "local in eu-central-1",
        "sha256:5e5e5e",
        "locust 2.47.0",
    ):
        assert part in text
    del document["machine"]
    assert "processors not recorded" in section(document, "environment")


# -- in Markdown ------------------------------------------------------------------------------------------------------


def test_the_summary_has_the_loads_figures_the_probe_and_the_report() -> None:
    document = refused_run() | {"report": "/runs/1/report.html"}
    whole = document["stages"][2]["facts"]["comparison"]["all"]
    ratio = whole["ratios"]["p95"]
    lines = markdown(document).splitlines()
    measured = f"{whole['candidate']['p95_ms']:.2f} ms | {whole['baseline']['p95_ms']:.2f} ms"
    interval = f"{ratio['point']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})"
    assert f"| all requests p95 | {measured} | {interval} | ✓ {ratio['outcome']} |" in lines
    assert any(line.startswith("| GET /api/vets p50 |") for line in lines)
    assert not any(line.startswith("| GET /api/owners p50 |") for line in lines)
    assert "staging: 0 of 51 requests failed during the rollout, longest gap 0.2 s" in lines
    assert lines[-1].endswith("report `/runs/1/report.html`")
    assert len(lines) < 30
    prod = "prod: 0 of 51 requests failed during the rollout, longest gap 0.2 s (from 17:31:05 UTC on)"
    assert prod in markdown(passed_run()).splitlines()


def test_a_summary_of_a_load_that_was_not_compared_has_no_table_of_it() -> None:
    document = changed(passed_run(), 2, comparison=None)
    assert "under load" not in markdown(document)
    document["stages"][2]["facts"]["comparison"] = {
        "all": {"name": "all", "ratios": {"p50": {"point": None}}}
    }
    assert "under load" not in markdown(document)


def test_the_documents_of_these_tests_are_json() -> None:
    for document in (passed_run(), refused_run(), hostile_run()):
        assert json.loads(json.dumps(document)) == document
    assert replace(suite_cases()[0], outcome="failed").bad
