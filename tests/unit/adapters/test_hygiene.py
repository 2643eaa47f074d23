from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pipeline.adapters.hygiene import Hadolint, Syft, tool
from pipeline.adapters.process import Processes
from pipeline.errors import UndecidedError
from pipeline.ports import Command, Finished
from tests.fakes.evidence import IMAGE


class Answers:
    """A runner that gives one answer to whatever it is asked, and keeps what that was."""

    def __init__(self, output: str, *, exit_code: int = 0, errors: str = "") -> None:
        self._finished = Finished(exit_code, output, errors)
        self.asked: list[Command] = []

    def run(self, command: Command) -> Finished:
        self.asked.append(command)
        return self._finished


def dockerfile(folder: Path, text: str) -> Path:
    path = folder / "Dockerfile"
    path.write_text(text)
    return path


def test_a_clean_dockerfile_has_no_findings(tmp_path: Path) -> None:
    path = dockerfile(tmp_path, 'FROM python:3.11-slim-bookworm\nUSER 1000\nCMD ["true"]\n')
    assert Hadolint(Processes()).findings(path) == []


def test_a_finding_names_file_line_and_rule(tmp_path: Path) -> None:
    path = dockerfile(tmp_path, "FROM python:latest\nRUN cd /tmp\n")
    found = Hadolint(Processes()).findings(path)
    assert any(line.startswith("Dockerfile:1: DL3007 ") for line in found)
    assert any(line.startswith("Dockerfile:2: DL3003 ") for line in found)


def test_a_rule_that_the_project_allows_is_no_finding(tmp_path: Path) -> None:
    path = dockerfile(tmp_path, "FROM python:latest\n")
    (tmp_path / ".hadolint.yaml").write_text("ignored: [DL3007]\n")
    assert Hadolint(Processes()).findings(path) == []


def test_matters_of_style_do_not_count() -> None:
    found = [
        {"line": number, "code": f"X{number}", "message": "m", "level": level}
        for number, level in enumerate(("error", "warning", "info", "style"))
    ]
    assert Hadolint(Answers(json.dumps(found))).findings(Path("Dockerfile")) == [
        "Dockerfile:0: X0 m",
        "Dockerfile:1: X1 m",
    ]


def test_a_linter_without_an_answer_is_not_a_clean_dockerfile() -> None:
    with pytest.raises(UndecidedError, match=r"gave no answer.*broken pipe"):
        Hadolint(Answers("", exit_code=1, errors="broken pipe")).findings(Path("Dockerfile"))


def test_the_bill_of_materials_is_kept_as_it_came_and_counted(tmp_path: Path) -> None:
    runner = Answers('{"components": [{}, {}]}')
    assert Syft(runner).write(IMAGE, tmp_path / "sbom.json") == 2
    assert (tmp_path / "sbom.json").read_text() == '{"components": [{}, {}]}'
    assert str(IMAGE) in runner.asked[0].argv


@pytest.mark.parametrize("output", ["", "{}", "[]", '{"components": null}'])
def test_an_answer_that_is_no_bill_of_materials_is_undecided_and_leaves_no_file(
    output: str, tmp_path: Path
) -> None:
    with pytest.raises(UndecidedError, match="no bill of materials") as caught:
        Syft(Answers(output, errors="no such image")).write(IMAGE, tmp_path / "sbom.json")
    assert "build.sbom" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_program_beside_our_python_goes_first_and_an_unknown_one_keeps_its_name() -> None:
    assert tool("hadolint") == str(Path(sys.executable).with_name("hadolint"))
    assert tool("sh").endswith("/sh")
    assert tool("no-such-program") == "no-such-program"
