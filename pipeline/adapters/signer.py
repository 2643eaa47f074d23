"""Keys: a file of this machine, a secret of the CI system, or AWS KMS; and whom we trust.

One algorithm: ECDSA on P-256 with SHA-256, signatures in DER. It is what KMS signs by digest and every verifier knows.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipeline.errors import ConfigurationError, PipelineError, UnavailableError
from pipeline.ports import Signature

KEY_VARIABLE = "ONEDIGEST_SIGNING_KEY"
KMS_SCHEME = "awskms://"

_NEW_KEY = "openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt"
_KMS_HINT = (
    "create a KMS key of spec ECC_NIST_P256 and usage SIGN_VERIFY, and name it as awskms:///alias/NAME"
)
_KMS_REFUSALS = (
    "NotFoundException",
    "DisabledException",
    "UnsupportedOperationException",
    "InvalidKeyUsageException",
)


@dataclass(frozen=True, slots=True)
class SignerChoice:
    """Which key signs. `kind` is `kms`, `environment` or `file`, `name` the address, the variable or the path.

    `create`: a missing key file may be made. `say` is a line for people, empty when there is nothing to say.
    """

    kind: str
    name: str
    create: bool = False
    say: str = ""


def choose_signer(
    *, configured: str, provider: str, environ: Mapping[str, str], key_file: Path
) -> SignerChoice:
    """Which key signs: `configured` (the setting evidence.signer, may be empty), else the environment's, else a file's.

    In CI (`CI` set) a key is never made up for `aws`: it would be gone with the machine, and nobody would trust it.
    Raises ConfigurationError for an address that is none.
    """
    if configured:
        _kms_key_id(configured)
        return SignerChoice("kms", configured)
    if environ.get(KEY_VARIABLE):
        return SignerChoice("environment", KEY_VARIABLE)
    if environ.get("CI", "").lower() in ("", "0", "false"):
        return SignerChoice("file", str(key_file), create=True)
    if provider != "local":
        return SignerChoice("file", str(key_file))
    say = f"CI is set and {KEY_VARIABLE} is not: signing with this machine's own key {key_file}, which only it trusts"
    return SignerChoice("file", str(key_file), create=True, say=say)


def open_signer(
    choice: SignerChoice, environ: Mapping[str, str], kms: Callable[[], Any]
) -> KeySigner | KmsSigner:
    """The signer, ready: its public key is known, so a key that cannot be used is found before any work is done.

    `kms` gives boto3's client and is called only when needed. Raises ConfigurationError, UnavailableError.
    """
    if choice.kind == "kms":
        return KmsSigner(kms(), choice.name)
    if choice.kind == "environment":
        return KeySigner.from_pem(environ[choice.name], choice.name)
    return file_signer(Path(choice.name), create=choice.create)


def default_key_file(environ: Mapping[str, str], home: Path) -> Path:
    """Where this machine's own key lies: `~/.config/onedigest/signing.key`, below XDG_CONFIG_HOME where that is set."""
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else home / ".config") / "onedigest" / "signing.key"


class KeySigner:
    """See `pipeline.ports.Signer`; the private key is in memory.

    The same message gets the same signature (RFC 6979), so attaching twice attaches once.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self._public = _pem(key.public_key())

    @classmethod
    def from_pem(cls, pem: str, source: str) -> KeySigner:
        """From an unencrypted PEM. `source` names it in errors. Raises ConfigurationError; never shows the text."""
        hint = f"make one: {_NEW_KEY}"
        try:
            key = serialization.load_pem_private_key(pem.strip().encode(), password=None)
        except TypeError as error:
            raise ConfigurationError(
                f"the key in {source} is encrypted", hint="give it without a passphrase"
            ) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ConfigurationError(f"{source} holds no private key in PEM", hint=hint) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ConfigurationError(f"the key in {source} is {_kind(key)}, not ECDSA P-256", hint=hint)
        return cls(key)

    @property
    def key_id(self) -> str:
        """See `pipeline.ports.Signer.key_id`."""
        return fingerprint(self._public)

    @property
    def public_key(self) -> str:
        """See `pipeline.ports.Signer.public_key`."""
        return self._public

    def sign(self, message: bytes) -> Signature:
        """See `pipeline.ports.Signer.sign`."""
        algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        return Signature(self._key.sign(message, algorithm), self.key_id)


def file_signer(path: Path, *, create: bool) -> KeySigner:
    """The key at `path`; a missing one is made when `create` says so: P-256, PKCS#8, readable by its owner alone.

    Several processes at once end with one key. Raises ConfigurationError when there is none, when it is no P-256 key,
    or when others may read it; UnavailableError when it cannot be written.
    """
    if create and not path.exists():
        _make_key(path)
    try:
        with path.open(encoding="ascii") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            text = stream.read()
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"no key to sign with: {KEY_VARIABLE} is not set, and there is no {path}",
            hint=f"put a P-256 key in PEM into the secret {KEY_VARIABLE}, or name a KMS key as evidence.signer; "
            f"to make a key: {_NEW_KEY}",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the key file {path} cannot be read: {error}", hint=f"look at {path}"
        ) from error
    if mode & 0o077:
        raise ConfigurationError(
            f"the key file {path} has mode {mode:04o}: others may read it", hint=f"chmod 600 {path}"
        )
    return KeySigner.from_pem(text, str(path))


class KmsSigner:
    """See `pipeline.ports.Signer`; the key never leaves AWS KMS. One Sign call a signature, over the digest."""

    def __init__(self, client: Any, address: str) -> None:
        """`client` is boto3's of `kms`, `address` is awskms:///alias/NAME, or …/KEY-ID, or …/ARN.

        Raises ConfigurationError for a key that is not there or not of our kind, UnavailableError when KMS fails.
        """
        self._client = client
        self._address = address
        self._key = _kms_key_id(address)
        self._public = kms_public_key(client, address)

    @property
    def key_id(self) -> str:
        """See `pipeline.ports.Signer.key_id`."""
        return fingerprint(self._public)

    @property
    def public_key(self) -> str:
        """See `pipeline.ports.Signer.public_key`."""
        return self._public

    def sign(self, message: bytes) -> Signature:
        """See `pipeline.ports.Signer.sign`."""
        try:
            answer = self._client.sign(
                KeyId=self._key,
                Message=hashlib.sha256(message).digest(),
                MessageType="DIGEST",
                SigningAlgorithm="ECDSA_SHA_256",
            )
        except (BotoCoreError, ClientError) as error:
            raise _kms_failed(self._address, "kms:Sign", error) from error
        return Signature(bytes(answer["Signature"]), self.key_id)


def kms_public_key(client: Any, address: str) -> str:
    """The PEM of a KMS key, to be committed so that verifying needs no AWS. The errors are KmsSigner's."""
    try:
        answer = client.get_public_key(KeyId=_kms_key_id(address))
    except (BotoCoreError, ClientError) as error:
        raise _kms_failed(address, "kms:GetPublicKey", error) from error
    try:
        key = serialization.load_der_public_key(bytes(answer["PublicKey"]))
        return _pem(_p256(key, address, _KMS_HINT))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{address} is no key to sign with", hint=_KMS_HINT) from error


class TrustedKeys:
    """See `pipeline.ports.Verifier`: any of these keys may have signed; the key id in a bundle is not asked."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        """`keys` maps a name, for errors, to a public key in PEM. Raises ConfigurationError for other kinds of keys."""
        self._keys = {fingerprint(pem, name): public_key_of(pem, name) for name, pem in keys.items()}

    def signer_of(self, message: bytes, signature: bytes) -> str | None:
        """See `pipeline.ports.Verifier.signer_of`."""
        for key_id, key in self._keys.items():
            with contextlib.suppress(InvalidSignature, ValueError):
                key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
                return key_id
        return None


def public_key_of(pem: str, source: str = "the text") -> ec.EllipticCurvePublicKey:
    """The P-256 key of a PEM. `source` names it in errors. Raises ConfigurationError for anything else."""
    try:
        key = serialization.load_pem_public_key(pem.strip().encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"{source} holds no public key in PEM", hint="openssl pkey -in signing.key -pubout writes one"
        ) from error
    return _p256(key, source)


def fingerprint(public_key: str, source: str = "the text") -> str:
    """`SHA256:` and the unpadded base64 of the hash of the key's SSH form, as `ssh-keygen -l` prints it."""
    key = public_key_of(public_key, source)
    line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _kms_key_id(address: str) -> str:
    key = address.removeprefix(f"{KMS_SCHEME}/")
    if not address.startswith(f"{KMS_SCHEME}/") or not key:
        raise ConfigurationError(
            f"evidence.signer is {address!r}", hint="write awskms:///alias/NAME (three slashes)"
        )
    return key


def _kms_failed(address: str, action: str, error: Exception) -> PipelineError:
    code = error.response["Error"].get("Code", "") if isinstance(error, ClientError) else ""
    if code in _KMS_REFUSALS:
        return ConfigurationError(f"{address} cannot sign: {error}", hint=_KMS_HINT)
    if code.startswith("AccessDenied"):
        return UnavailableError(f"{address}: {error}", hint=f"allow {action} on this key to this identity")
    return UnavailableError(
        f"KMS does not answer for {address}: {error}", hint="try again; check the AWS credential"
    )


def _make_key(path: Path) -> None:
    """Writes beside the place and links into it: whoever comes first wins, and nobody ever sees half a key."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", dir=path.parent)  # O_EXCL, mode 0600
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(pem)
                stream.flush()
                os.fsync(stream.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            temporary.unlink()
    except OSError as error:
        raise UnavailableError(
            f"the key file {path} cannot be made: {error.strerror or error}",
            hint=f"make {path.parent} writable, or give a key in {KEY_VARIABLE}",
        ) from error


def _p256(key: Any, source: str, hint: str = f"make one: {_NEW_KEY}") -> ec.EllipticCurvePublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigurationError(f"the key in {source} is {_kind(key)}, not ECDSA P-256", hint=hint)
    return key


def _pem(key: ec.EllipticCurvePublicKey) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(encoding, form).decode()


def _kind(key: Any) -> str:
    """What a key is, in words: `ECDSA secp384r1`, `RSA`, `Ed25519`."""
    curve = getattr(getattr(key, "curve", None), "name", "")
    name = type(key).__name__.removesuffix("Key").removesuffix("Public").removesuffix("Private")
    return f"ECDSA {curve}" if curve else name
