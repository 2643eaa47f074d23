"""docs/reference/policy.md names every key that pipeline.toml takes about keys and gates, and every rule's subject."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import ApprovalSettings, EvidenceSettings, GateSettings, TrustSettings
from pipeline.model.policy import SIGNED

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference" / "policy.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", [ApprovalSettings, EvidenceSettings, GateSettings, TrustSettings])
def test_every_key_is_named(table: type[TrustSettings]) -> None:
    for name in table.model_fields:
        assert f"`{name}`" in REFERENCE, name


def test_everything_that_may_be_signed_is_named() -> None:
    for stage in SIGNED:
        assert f"`{stage}`" in REFERENCE
