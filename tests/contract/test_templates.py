"""Our templates against CloudFormation's own resource specification, as cfn-lint carries it."""

from __future__ import annotations

import json
from pathlib import Path

import cfnlint.api
import pytest

from pipeline.adapters.stack import TEMPLATES
from pipeline.config import parse
from pipeline.iam import promotion_template
from pipeline.locations import Location


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.yaml")), ids=lambda path: path.name)
def test_a_template_has_neither_errors_nor_warnings(template: Path) -> None:
    found = cfnlint.api.lint(template.read_text("utf-8"))

    assert [str(match) for match in found] == []


def test_the_role_for_promotion_of_many_services_has_neither() -> None:
    services = "".join(f"[services.part{number:02}]\n" for number in range(12))
    release = f"""
        [app]
        name = "shop"
        [cloud]
        provider = "aws"
        [load]
        baseline = "none"
        [environments.staging]
        [environments.prod]
        {services}
    """
    text = promotion_template(Location.whole(parse(release)), "prod")

    assert [str(match) for match in cfnlint.api.lint(text)] == []
    assert {one["Type"] for one in json.loads(text)["Resources"].values()} == {
        *("AWS::IAM::Role", "AWS::IAM::ManagedPolicy")
    }


def test_the_linter_notices_a_wrong_property() -> None:
    wrong = (TEMPLATES / "environment.yaml").read_text("utf-8").replace("TargetType: ip", "TargetTpye: ip")

    assert any("TargetTpye" in str(match) for match in cfnlint.api.lint(wrong))
