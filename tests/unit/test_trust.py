"""Who signs here, and whose word counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import config
from pipeline.adapters.signer import file_signer
from pipeline.errors import ConfigurationError
from pipeline.model.policy import OWN_KEY, SIGNED
from pipeline.trust import NoSigner, Signing, needs_cloud, open_signing

SMALL = '[app]\nname = "shop"\n[cloud]\nprovider = "local"\n[environments.staging]\n[environments.prod]\n'
Open = Callable[..., Signing]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> Open:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("CI", "ONEDIGEST_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)

    def no_kms() -> Any:
        raise AssertionError("KMS was asked")

    def signing(more: str = "", *, records: bool = True, provider: str = "local") -> Signing:
        settings = config.parse(SMALL.replace("local", provider) + more)
        return open_signing(tmp_path, settings, no_kms, said.append, records=records)

    return signing


def trusted(name: str, key: str, stages: str) -> str:
    return f'[[trust]]\nname = "{name}"\nkey = "{key}"\nstages = {stages}\n'


def test_without_trust_this_machines_own_key_is_trusted_with_everything(opened: Open) -> None:
    signing = opened()
    (own,) = signing.trust
    assert (own.name, own.key_id, own.stages) == (OWN_KEY, signing.signer.key_id, frozenset(SIGNED))
    assert signing.name == OWN_KEY
    signing.require(SIGNED)
    signature = signing.signer.sign(b"text")
    assert signing.verifier.signer_of(b"text", signature.value) == own.key_id


def test_a_command_that_only_looks_makes_no_key_and_trusts_nobody(opened: Open, tmp_path: Path) -> None:
    signing = opened(records=False)
    assert isinstance(signing.signer, NoSigner)
    assert signing.trust == ()
    assert signing.verifier.signer_of(b"text", b"signature") is None
    assert not (tmp_path / "config").exists()
    with pytest.raises(ConfigurationError, match="no key to sign with"):
        signing.signer.sign(b"text")


def test_a_command_that_only_looks_finds_the_key_that_a_run_has_made(opened: Open) -> None:
    made = opened()
    assert opened(records=False).trust == made.trust


def test_in_ci_on_aws_without_a_key_nothing_begins(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(ConfigurationError) as caught:
        opened(provider="aws")
    assert "ONEDIGEST_SIGNING_KEY" in caught.value.hint


def test_in_ci_on_the_local_cloud_a_key_is_made_and_said_so(
    opened: Open, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setenv("CI", "true")
    assert opened().trust
    assert "signing with this machine's own key" in said[0]


def test_a_trusted_key_out_of_the_repository_counts_for_its_stages_alone(
    opened: Open, tmp_path: Path
) -> None:
    ci = file_signer(tmp_path / "ci.key", create=True)
    (tmp_path / "ci.pub").write_text(ci.public_key)
    signing = opened(trusted("ci", "ci.pub", '["build"]'))
    (trust,) = signing.trust
    assert (trust.name, trust.key_id, trust.stages) == ("ci", ci.key_id, frozenset({"build"}))
    assert signing.verifier.signer_of(b"x", ci.sign(b"x").value) == ci.key_id
    own = signing.signer.sign(b"x")
    assert signing.verifier.signer_of(b"x", own.value) is None, "once others are named, this machine is not"


def test_a_key_whose_word_would_not_count_is_found_before_the_work(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ci = file_signer(tmp_path / "ci.key", create=True)
    (tmp_path / "ci.pub").write_text(ci.public_key)
    more = trusted("ci", "ci.pub", '["build", "integration"]')
    with pytest.raises(ConfigurationError, match=r"SHA256:\S+, is not trusted to sign build"):
        opened(more).require(("build",))
    monkeypatch.setenv("ONEDIGEST_SIGNING_KEY", (tmp_path / "ci.key").read_text())
    opened(more).require(("build", "integration"))
    with pytest.raises(
        ConfigurationError, match="the key that signs here, ci, is not trusted to sign staging, prod"
    ):
        opened(more).require(("build", "staging", "prod"))


def test_all_keys_that_cannot_be_read_are_named_at_once(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "text.pub").write_text("hello")
    with pytest.raises(ConfigurationError) as caught:
        opened(trusted("ci", "none.pub", '["build"]') + trusted("qa", "text.pub", '["approval"]'))
    first, *lines = caught.value.message.splitlines()
    assert first == "2 of 2 trusted keys cannot be used:"
    assert "trust.ci" in lines[0]
    assert "none.pub" in lines[0]
    assert "trust.qa" in lines[1]
    assert "no public key" in lines[1]


@pytest.mark.parametrize(
    ("more", "needed"),
    [
        ("", False),
        (trusted("ci", "keys/ci.pub", '["build"]'), False),
        (trusted("ci", "awskms:///alias/ci", '["build"]'), True),
        ('[evidence]\nsigner = "awskms:///alias/ci"\n', True),
    ],
)
def test_only_a_key_in_kms_waits_for_the_cloud(more: str, needed: bool) -> None:
    assert needs_cloud(config.parse(SMALL + more)) is needed
