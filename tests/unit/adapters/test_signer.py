from __future__ import annotations

import base64
import hashlib
import multiprocessing
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from pipeline.adapters.signer import (
    KeySigner,
    KmsSigner,
    SignerChoice,
    TrustedKeys,
    choose_signer,
    default_key_file,
    file_signer,
    fingerprint,
    kms_public_key,
    open_signer,
)
from pipeline.errors import ConfigurationError, UnavailableError
from pipeline.model.bundle import PAYLOAD_TYPE, pae, read_bundle, write_bundle
from pipeline.model.statement import NotEvidence, decode, encode
from tests.fakes.evidence import IMAGE, statement_of

FILE = Path("/home/me/.config/onedigest/signing.key")


def private_pem(key: Any) -> str:
    form = serialization.PrivateFormat.PKCS8
    pem: bytes = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return pem.decode()


def new_signer() -> KeySigner:
    return KeySigner.from_pem(private_pem(ec.generate_private_key(ec.SECP256R1())), "a test")


SIGNER = new_signer()


def test_what_one_key_signs_it_alone_verifies() -> None:
    other = new_signer()
    signature = SIGNER.sign(b"message")
    assert TrustedKeys({"me": SIGNER.public_key}).signer_of(b"message", signature.value) == signature.key_id
    assert TrustedKeys({"other": other.public_key}).signer_of(b"message", signature.value) is None
    assert TrustedKeys({}).signer_of(b"message", signature.value) is None


def test_among_several_trusted_keys_the_one_that_signed_is_named() -> None:
    others = {str(number): new_signer().public_key for number in range(3)}
    trusted = TrustedKeys({**others, "me": SIGNER.public_key})
    assert trusted.signer_of(b"message", SIGNER.sign(b"message").value) == SIGNER.key_id


@pytest.mark.parametrize(
    "signature", [b"", b"\x00", b"\x30\x00", b"\xff" * 72, SIGNER.sign(b"message").value[:-1]]
)
def test_what_is_no_signature_verifies_nothing(signature: bytes) -> None:
    assert TrustedKeys({"me": SIGNER.public_key}).signer_of(b"message", signature) is None


def test_the_same_message_gets_the_same_signature() -> None:
    assert SIGNER.sign(b"message") == SIGNER.sign(b"message")


def test_the_key_id_is_what_ssh_keygen_calls_the_key(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    point = key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    parts = (b"ecdsa-sha2-nistp256", b"nistp256", point)
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    expected = "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    assert KeySigner.from_pem(private_pem(key), "a test").key_id == expected
    if keygen := shutil.which("ssh-keygen"):
        form = serialization.PublicFormat.OpenSSH
        (tmp_path / "key.pub").write_bytes(
            key.public_key().public_bytes(serialization.Encoding.OpenSSH, form)
        )
        said = subprocess.run(
            [keygen, "-lf", tmp_path / "key.pub"], capture_output=True, text=True, check=True
        ).stdout
        assert expected in said.split()


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (ec.generate_private_key(ec.SECP384R1()), "ECDSA secp384r1"),
        (ec.generate_private_key(ec.SECP256K1()), "ECDSA secp256k1"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (rsa.generate_private_key(65537, 2048), "RSA"),
    ],
)
def test_other_kinds_of_keys_are_refused_by_name(key: Any, kind: str) -> None:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    with pytest.raises(ConfigurationError, match=f"{kind}, not ECDSA P-256") as refused:
        KeySigner.from_pem(private_pem(key), "KEY")
    assert "openssl ecparam -name prime256v1" in refused.value.hint
    with pytest.raises(ConfigurationError, match=f"keys/ci.pub is .*{kind}"):
        TrustedKeys({"keys/ci.pub": public})


def test_a_key_text_that_is_none_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError, match="ONEDIGEST_SIGNING_KEY holds no private key") as refused:
        KeySigner.from_pem("not-a-key-but-secret", "ONEDIGEST_SIGNING_KEY")
    assert "secret" not in refused.value.message + refused.value.hint


def test_an_encrypted_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"pass"))
    with pytest.raises(ConfigurationError, match="encrypted"):
        KeySigner.from_pem(pem.decode(), "KEY")


def test_a_private_key_among_the_trusted_ones_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no public key"):
        TrustedKeys({"ci": private_pem(ec.generate_private_key(ec.SECP256R1()))})


def test_the_first_use_makes_a_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "config" / "onedigest" / "signing.key"
    made = file_signer(path, create=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    assert path.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert file_signer(path, create=True).key_id == made.key_id
    assert list(path.parent.iterdir()) == [path]


def _key_id(path: Path) -> str:
    return file_signer(path, create=True).key_id


def test_processes_that_come_first_together_end_with_one_key(tmp_path: Path) -> None:
    paths = [tmp_path / f"round-{number}" / "signing.key" for number in range(5) for _ in range(4)]
    with multiprocessing.get_context("fork").Pool(4) as pool:
        ids = pool.map(_key_id, paths, chunksize=1)
    assert [len(set(ids[first : first + 4])) for first in range(0, 20, 4)] == [1] * 5
    assert len(set(ids)) == 5


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_file_that_others_may_read_is_refused_with_the_command(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "signing.key"
    file_signer(path, create=True)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"{mode:04o}") as refused:
        file_signer(path, create=True)
    assert refused.value.hint == f"chmod 600 {path}"


def test_a_missing_key_file_is_not_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no key to sign with") as refused:
        file_signer(tmp_path / "signing.key", create=False)
    assert "ONEDIGEST_SIGNING_KEY" in refused.value.hint
    assert not list(tmp_path.iterdir())


def test_a_place_where_no_key_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot be made"):
        file_signer(tmp_path / "file" / "signing.key", create=True)


@pytest.mark.parametrize(
    "broken", ["", "nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "ä"]
)
def test_a_broken_key_file_is_neither_used_nor_replaced(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "signing.key"
    path.touch(mode=0o600)
    path.write_text(broken, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"signing\.key"):
        file_signer(path, create=True)
    assert path.read_text(encoding="utf-8") == broken


def choice(configured: str = "", provider: str = "local", **environ: str) -> SignerChoice:
    return choose_signer(configured=configured, provider=provider, environ=environ, key_file=FILE)


@pytest.mark.parametrize("provider", ["local", "aws"])
def test_a_laptop_signs_with_its_own_key_and_makes_it(provider: str) -> None:
    assert choice(provider=provider) == SignerChoice("file", str(FILE), create=True)
    assert choice(provider=provider, CI="false") == SignerChoice("file", str(FILE), create=True)


def test_ci_on_aws_never_makes_a_key_up() -> None:
    assert choice(provider="aws", CI="true") == SignerChoice("file", str(FILE), create=False)


def test_ci_on_the_local_cloud_makes_one_and_says_so() -> None:
    found = choice(provider="local", CI="true")
    assert (found.kind, found.create) == ("file", True)
    assert "this machine's own key" in found.say


def test_a_key_in_the_environment_comes_before_a_file_and_kms_before_both() -> None:
    assert choice(provider="aws", CI="1", ONEDIGEST_SIGNING_KEY="pem").kind == "environment"
    named = choice("awskms:///alias/promote", provider="aws", ONEDIGEST_SIGNING_KEY="pem")
    assert named == SignerChoice("kms", "awskms:///alias/promote")


@pytest.mark.parametrize("address", ["awskms://alias/promote", "awskms:///", "alias/promote", "gcpkms:///x"])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"evidence\.signer"):
        choice(address)


def test_the_key_file_lies_below_the_users_configuration() -> None:
    assert default_key_file({}, Path("/home/me")) == FILE
    assert default_key_file({"XDG_CONFIG_HOME": "/cfg"}, Path("/home/me")) == Path(
        "/cfg/onedigest/signing.key"
    )


def no_kms() -> Any:
    raise AssertionError("KMS is not asked for")


def test_a_choice_opens_as_the_signer_it_names(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    made = open_signer(SignerChoice("file", str(path), create=True), {}, no_kms)
    environ = {"KEY": path.read_text()}
    assert open_signer(SignerChoice("environment", "KEY"), environ, no_kms).key_id == made.key_id
    kms = Kms()
    assert open_signer(SignerChoice("kms", "awskms:///alias/p"), {}, lambda: kms).key_id == kms.key_id


class Kms:
    """boto3's `kms` client, as far as it is used: a key in memory behind the answers' real shapes."""

    def __init__(self, key: Any = None, error: Exception | None = None) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.error = error
        self.asked: list[dict[str, Any]] = []

    @property
    def key_id(self) -> str:
        return fingerprint(self._public(serialization.Encoding.PEM).decode())

    def _public(self, encoding: serialization.Encoding) -> bytes:
        public: bytes = self.key.public_key().public_bytes(
            encoding, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return public

    def get_public_key(self, **asked: Any) -> dict[str, Any]:
        if self.error:
            raise self.error
        return {"PublicKey": self._public(serialization.Encoding.DER)}

    def sign(self, **asked: Any) -> dict[str, Any]:
        if self.error:
            raise self.error
        self.asked.append(asked)
        return {"Signature": self.key.sign(asked["Message"], ec.ECDSA(Prehashed(hashes.SHA256())))}


def test_kms_signs_the_digest_in_one_call_whatever_the_size() -> None:
    kms = Kms()
    signer = KmsSigner(kms, "awskms:///alias/promote")
    message = b"x" * 100_000
    signature = signer.sign(message)
    assert TrustedKeys({"kms": signer.public_key}).signer_of(message, signature.value) == signer.key_id
    (asked,) = kms.asked
    assert asked["KeyId"] == "alias/promote"
    assert asked["MessageType"] == "DIGEST"
    assert len(asked["Message"]) == 32


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Sign")


@pytest.mark.parametrize(
    ("error", "kind", "hint"),
    [
        (client_error("NotFoundException"), ConfigurationError, "ECC_NIST_P256"),
        (client_error("AccessDeniedException"), UnavailableError, "allow kms:"),
        (client_error("ThrottlingException"), UnavailableError, "try again"),
        (EndpointConnectionError(endpoint_url="x"), UnavailableError, "try again"),
    ],
)
def test_what_kms_refuses_is_said_with_the_next_step(
    error: Exception, kind: type[Exception], hint: str
) -> None:
    kms = Kms()
    signer = KmsSigner(kms, "awskms:///alias/promote")
    kms.error = error
    with pytest.raises(kind) as signing:
        signer.sign(b"message")
    with pytest.raises(kind) as reading:
        kms_public_key(kms, "awskms:///alias/promote")
    assert hint in signing.value.hint  # type: ignore[attr-defined]
    assert hint in reading.value.hint  # type: ignore[attr-defined]


def test_a_kms_key_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="RSA, not ECDSA P-256"):
        KmsSigner(Kms(rsa.generate_private_key(65537, 2048)), "awskms:///alias/promote")


def test_no_byte_of_a_bundle_can_be_changed_into_another_statement() -> None:
    """Every byte, in three ways: case and letters of base64, JSON's marks, and what is no UTF-8."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    statement = replace(statement_of("prod", metrics={"p95_ms": 12.5}), started=now, finished=now)
    payload = encode(IMAGE, statement)
    bundle = write_bundle(payload, SIGNER.sign(pae(PAYLOAD_TYPE, payload)).value, SIGNER.key_id)
    trusted = TrustedKeys({"me": SIGNER.public_key})

    def accepted(data: bytes) -> object:
        try:
            envelope = read_bundle(data)
            if trusted.signer_of(envelope.message, envelope.signature) is None:
                return None
            return decode(envelope.payload)
        except NotEvidence:
            return None

    assert accepted(bundle) == (IMAGE.digest, statement)
    refused = 0
    for place in range(len(bundle)):
        for flip in (0x01, 0x20, 0x80):
            changed = bundle[:place] + bytes([bundle[place] ^ flip]) + bundle[place + 1 :]
            found = accepted(changed)
            assert found in (None, (IMAGE.digest, statement)), place
            refused += found is None
    assert refused > len(bundle) * 2.9
