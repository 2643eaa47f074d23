"""A finished run as JSON, as Markdown, and as outputs of a CI step."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.commands.reporting import describe
from pipeline.errors import ExitCode
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.run import RunReport, StageReport
from pipeline.model.verdict import Outcome, Reason
from pipeline.report.summary import github_outputs, markdown

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
IMAGE = ImageRef("localhost:5000/shop", Digest("sha256:" + "a" * 64))
BUILD = StageReport(
    "build",
    "",
    Outcome.PASSED,
    NOON,
    NOON + timedelta(seconds=3),
    reused=True,
    reasons=(Reason("same <image>, a|b"),),
    evidence="sha256:1",
)
STAGING = StageReport(
    "staging",
    "staging",
    Outcome.REFUSED,
    NOON,
    NOON + timedelta(seconds=21.5),
    reasons=(Reason("p95 is 900 ms\nof GET /a|b <p>\n\nend", "make it `a*b`"), Reason("rolled back")),
    facts={"requests": 100},
    metrics={"p95_ms": 900.0},
    error_code=ExitCode.ROLLED_BACK,
)


def document(*stages: StageReport, image: ImageRef | None = IMAGE) -> dict[str, Any]:
    return describe(RunReport("run-1", stages, image), "run")


def test_the_json_of_a_run_has_every_documented_field() -> None:
    found = document(BUILD, STAGING)
    assert {key: found[key] for key in found if key != "stages"} == {
        "command": "run",
        "outcome": "refused",
        "exit_code": 5,
        "run_id": "run-1",
        "digest": str(IMAGE.digest),
        "image": str(IMAGE),
        "commit": "",
        "environment": "",
    }
    assert found["stages"][1] == {
        "name": "staging",
        "environment": "staging",
        "outcome": "refused",
        "reused": False,
        "started": "2026-01-01T12:00:00+00:00",
        "finished": "2026-01-01T12:00:21.500000+00:00",
        "seconds": 21.5,
        "reasons": [
            {"text": "p95 is 900 ms\nof GET /a|b <p>\n\nend", "remedy": "make it `a*b`"},
            {"text": "rolled back", "remedy": ""},
        ],
        "facts": {"requests": 100},
        "metrics": {"p95_ms": 900.0},
        "evidence": "",
        "inputs": {},
    }


def test_a_run_without_an_image_is_described_too() -> None:
    found = document(image=None)
    assert (found["digest"], found["image"], found["outcome"], found["exit_code"]) == ("", "", "undecided", 4)
    assert "\nno image\n" in markdown(found)


def test_the_summary_is_a_table_that_what_a_stage_said_cannot_break() -> None:
    lines = markdown(document(BUILD, STAGING)).splitlines()
    assert lines[0] == "### ✕ onedigest run: refused"
    assert r"| build | ↺ reused | 3 s | same \<image>, a\|b |" in lines
    assert "| staging | ✕ refused | 21.5 s |  |" in lines


def test_the_summary_says_why_and_what_to_do_before_all_else() -> None:
    text = markdown(document(BUILD, STAGING))
    assert text.index("**staging** did not pass:") < text.index("| stage |")
    assert (
        "- p95 is 900 ms\n  <pre>\n  of GET /a|b &lt;p&gt;\n  \n  end\n  </pre>\n  <br>next: make it `a*b`"
        in text
    )
    assert "- rolled back" in text
    assert "did not pass" not in markdown(document(BUILD))


def test_a_ci_step_gets_its_outputs_one_a_line() -> None:
    assert github_outputs(document(BUILD)).splitlines() == [
        "outcome=passed",
        f"digest={IMAGE.digest}",
        f"image={IMAGE}",
        "run_id=run-1",
        "report=",
    ]


def test_a_promotion_tells_what_ran_before_the_deployment_and_the_probe() -> None:
    facts = {
        "deployment": "ecs-svc/2",
        "outcome": "succeeded",
        "previous_digests": ["sha256:" + "b" * 64],
        "healthy_at": "2026-01-01T12:00:20+00:00",
        "drained_at": None,
        "probe": {"sent": 74, "failed": 0, "longest_gap_s": 0.2},
    }
    found = promoted(replace(STAGING, facts={"deployment": facts}))
    assert found["previous"] == "sha256:" + "b" * 64
    assert found["deployment"] == {
        "id": "ecs-svc/2",
        "outcome": "succeeded",
        "healthy_at": "2026-01-01T12:00:20+00:00",
        "drained_at": None,
    }
    assert found["probe"] == {"sent": 74, "failed": 0, "longest_gap_s": 0.2}


@pytest.mark.parametrize(
    ("code", "text", "outcome"),
    [
        (ExitCode.STUCK, "going back failed", "stuck"),
        (ExitCode.UNAVAILABLE, "Rate exceeded – detached, still running: ECS goes on", "detached"),
        (ExitCode.BUSY, "the lease is lost – detached, still running: ECS goes on", "detached"),
        (ExitCode.INTERRUPTED, "interrupted – detached, still running: ECS goes on", "detached"),
    ],
)
def test_a_promotion_that_was_broken_off_says_how(code: ExitCode, text: str, outcome: str) -> None:
    found = promoted(replace(STAGING, facts={}, error_code=code, reasons=(Reason(text),)))
    assert found["deployment"] == {"id": "", "outcome": outcome, "healthy_at": None, "drained_at": None}
    assert (found["previous"], found["probe"]) == ("", None)


def test_a_rollback_tells_what_a_promotion_does() -> None:
    facts = {"deployment": "ecs-svc/3", "outcome": "succeeded", "previous_digests": ["sha256:" + "c" * 64]}
    stage = replace(STAGING, name="rollback", facts={"deployment": facts})
    found = describe(RunReport("run-1", (stage,), IMAGE), "rollback", "prod")
    assert (found["previous"], found["deployment"]["id"]) == ("sha256:" + "c" * 64, "ecs-svc/3")


@pytest.mark.parametrize("code", [ExitCode.UNAVAILABLE, ExitCode.REFUSED, ExitCode.INTERRUPTED])
def test_a_promotion_that_began_nothing_has_no_deployment(code: ExitCode) -> None:
    assert promoted(replace(STAGING, facts={}, error_code=code))["deployment"] is None
    assert describe(RunReport("run-1", (), None), "promote")["deployment"] is None


def promoted(stage: StageReport) -> dict[str, Any]:
    return describe(RunReport("run-1", (stage,), IMAGE), "promote", "prod")
