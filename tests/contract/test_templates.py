"""Our templates against CloudFormation's own resource specification, as cfn-lint carries it."""

from __future__ import annotations

from pathlib import Path

import cfnlint.api
import pytest

from pipeline.adapters.stack import TEMPLATES


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.yaml")), ids=lambda path: path.name)
def test_a_template_has_neither_errors_nor_warnings(template: Path) -> None:
    found = cfnlint.api.lint(template.read_text("utf-8"))

    assert [str(match) for match in found] == []


def test_the_linter_notices_a_wrong_property() -> None:
    wrong = (TEMPLATES / "environment.yaml").read_text("utf-8").replace("TargetType: ip", "TargetTpye: ip")

    assert any("TargetTpye" in str(match) for match in cfnlint.api.lint(wrong))
