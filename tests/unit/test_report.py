"""A finished run as JSON, as Markdown, and as outputs of a CI step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

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
    reasons=(Reason("same image"),),
    evidence="sha256:1",
)
STAGING = StageReport(
    "staging",
    "staging",
    Outcome.REFUSED,
    NOON,
    NOON + timedelta(seconds=21.5),
    reasons=(Reason("p95 is 900 ms\nof GET /a|b", "make it faster"), Reason("rolled back")),
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
            {"text": "p95 is 900 ms\nof GET /a|b", "remedy": "make it faster"},
            {"text": "rolled back", "remedy": ""},
        ],
        "facts": {"requests": 100},
        "metrics": {"p95_ms": 900.0},
        "evidence": "",
    }


def test_a_run_without_an_image_is_described_too() -> None:
    found = document(image=None)
    assert (found["digest"], found["image"], found["outcome"], found["exit_code"]) == ("", "", "undecided", 4)
    assert "`no image`" in markdown(found)


def test_the_summary_is_a_table_that_what_a_stage_said_cannot_break() -> None:
    lines = markdown(document(BUILD, STAGING)).splitlines()
    assert lines[0] == "### onedigest run: refused"
    assert "| build | reused | 3.0 s | same image |" in lines
    assert r"| staging | refused | 21.5 s | p95 is 900 ms of GET /a\|b<br>rolled back |" in lines


def test_a_ci_step_gets_its_outputs_one_a_line() -> None:
    assert github_outputs(document(BUILD)).splitlines() == [
        "outcome=passed",
        f"digest={IMAGE.digest}",
        f"image={IMAGE}",
        "run_id=run-1",
    ]
