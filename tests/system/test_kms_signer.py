"""Signing with a key in AWS KMS, on the emulator that the local cloud uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.registry import OciRegistry
from pipeline.adapters.registry_evidence import DigestLocks, RegistryEvidenceStore
from pipeline.adapters.signer import KmsSigner, SignerChoice, TrustedKeys, kms_public_key, open_signer
from pipeline.errors import ConfigurationError, UnavailableError
from tests.bare_emulator import bare_emulator, client, free_port
from tests.fakes.evidence import statement_of
from tests.fakes.registry_images import push_image
from tests.fakes.registry_server import registry_server

ALIAS = "awskms:///alias/promote"


@pytest.fixture(scope="module")
def kms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with bare_emulator(tmp_path_factory.mktemp("emulator")) as port:
        found = client("kms", port)
        key = found.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        found.create_alias(AliasName="alias/promote", TargetKeyId=key)
        yield found


@pytest.mark.parametrize("size", [0, 32, 4096, 4097, 100_000])
def test_a_key_in_kms_signs_messages_of_any_size(kms: Any, size: int) -> None:
    signer = KmsSigner(kms, ALIAS)
    message = b"x" * size
    signature = signer.sign(message)
    assert signature.key_id == signer.key_id
    trusted = TrustedKeys({"promote": signer.public_key})
    assert trusted.signer_of(message, signature.value) == signer.key_id
    assert trusted.signer_of(message + b"x", signature.value) is None


def test_evidence_signed_in_kms_is_verified_without_it(kms: Any, tmp_path: Path) -> None:
    pem = kms_public_key(kms, ALIAS)
    signer = open_signer(SignerChoice("kms", ALIAS), {}, lambda: kms)
    with registry_server() as server:
        registry, repository = OciRegistry(lambda: None), f"{server.host}/shop"
        image = push_image(registry, repository)
        trusted, locks = TrustedKeys({"committed": pem}), DigestLocks(tmp_path)
        store = RegistryEvidenceStore(registry, repository, lambda: signer, trusted, locks)
        name = store.attach(image, statement_of("staging"))
        (found,) = store.collect(image).accepted
    assert (found.id, found.signer, found.statement) == (name, signer.key_id, statement_of("staging"))


@pytest.mark.parametrize(
    ("spec", "usage"), [("RSA_2048", "SIGN_VERIFY"), ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")]
)
def test_a_key_that_cannot_sign_as_we_do_is_refused_with_what_to_create(
    kms: Any, spec: str, usage: str
) -> None:
    key = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
    with pytest.raises(ConfigurationError) as refused:
        KmsSigner(kms, f"awskms:///{key}")
    assert "ECC_NIST_P256" in refused.value.hint


def test_an_alias_that_is_not_there_is_named(kms: Any) -> None:
    with pytest.raises(ConfigurationError, match="awskms:///alias/none"):
        KmsSigner(kms, "awskms:///alias/none")


def test_kms_out_of_reach_is_no_refusal() -> None:
    with pytest.raises(UnavailableError, match="does not answer"):
        KmsSigner(client("kms", free_port()), ALIAS)
