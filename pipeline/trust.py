"""Who signs here, and whose word counts: out of pipeline.toml, the environment, and this machine's key."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.adapters.signer import (
    KMS_SCHEME,
    TrustedKeys,
    choose_signer,
    default_key_file,
    fingerprint,
    kms_public_key,
    open_signer,
)
from pipeline.config import Settings, TrustSettings
from pipeline.errors import ConfigurationError, PipelineError
from pipeline.model.policy import OWN_KEY, SIGNED, Trust
from pipeline.ports import Say, Signature, Signer, Verifier

_PROBE = b"onedigest: is this key there?"


@dataclass(frozen=True, slots=True)
class NoSigner:
    """See `pipeline.ports.Signer`: there is no key here, and `error` says why. For commands that only look."""

    error: PipelineError
    key_id: str = ""
    public_key: str = ""

    def sign(self, message: bytes) -> Signature:  # noqa: ARG002 – the protocol's signature
        """Raises the error."""
        raise self.error


@dataclass(frozen=True, slots=True)
class Signing:
    """The key that signs here, and the keys whose word counts, by what they may sign."""

    signer: Signer
    verifier: Verifier
    trust: tuple[Trust, ...]

    @property
    def name(self) -> str:
        """What the key that signs here is called among those trusted; its id when it is none of them."""
        names = (trust.name for trust in self.trust if trust.key_id == self.signer.key_id)
        return next(names, self.signer.key_id)

    def require(self, stages: Sequence[str]) -> None:
        """Signs once, and raises ConfigurationError when what this key signs of `stages` would not count.

        To be asked before any work is done: a key that turns out unusable after a load test has cost the load test.
        """
        self.signer.sign(_PROBE)
        key = self.signer.key_id
        allowed = {stage for trust in self.trust if trust.key_id == key for stage in trust.stages}
        missing = [stage for stage in stages if stage not in allowed]
        if missing:
            raise ConfigurationError(
                f"the key that signs here, {self.name}, is not trusted to sign {', '.join(missing)}",
                hint=f"sign with a key that pipeline.toml trusts for it (ONEDIGEST_SIGNING_KEY, evidence.signer), "
                f"or add {key} to [[trust]] with stages = {list(stages)}",
            )


def open_signing(
    root: Path, settings: Settings, kms: Callable[[], Any], say: Say, *, records: bool
) -> Signing:
    """The key and the trust of the project at `root`.

    `records`: something will be signed, so there must be a key; a laptop's is made at its first use. Else nothing is
    made. `kms` gives boto3's client and is called only where pipeline.toml names a key of KMS. Raises
    ConfigurationError with every key that cannot be read, UnavailableError when KMS does not answer.
    """
    signer = _signer(settings, kms, say, records=records)
    if settings.trust:
        keys = _public_keys(root, settings.trust, kms)
        trust = tuple(
            Trust(told.name, fingerprint(keys[told.name], told.key), frozenset(told.stages))
            for told in settings.trust
        )
        return Signing(signer, TrustedKeys(keys), trust)
    if not signer.key_id:
        return Signing(signer, TrustedKeys({}), ())
    own = Trust(OWN_KEY, signer.key_id, frozenset(SIGNED))
    return Signing(signer, TrustedKeys({OWN_KEY: signer.public_key}), (own,))


def needs_cloud(settings: Settings) -> bool:
    """Whether a key lies in KMS, which answers only once the cloud is there."""
    named = [settings.evidence.signer, *(told.key for told in settings.trust)]
    return any(name.startswith(KMS_SCHEME) for name in named)


def _signer(settings: Settings, kms: Callable[[], Any], say: Say, *, records: bool) -> Signer:
    key_file = default_key_file(os.environ, Path.home())
    choice = choose_signer(
        configured=settings.evidence.signer,
        provider=settings.cloud.provider,
        environ=os.environ,
        key_file=key_file,
    )
    if records:
        if choice.say:
            say(choice.say)
        return open_signer(choice, os.environ, kms)
    if choice.kind == "file" and not key_file.exists():
        text = f"no key to sign with at {key_file}"
        return NoSigner(ConfigurationError(text, hint="a run makes one: python -m pipeline run"))
    return open_signer(choice, os.environ, kms)


def _public_keys(root: Path, trusted: Sequence[TrustSettings], kms: Callable[[], Any]) -> Mapping[str, str]:
    """The PEM of every trusted key, by name; all that cannot be read are named at once."""
    keys: dict[str, str] = {}
    mistakes: list[str] = []
    for told in trusted:
        try:
            keys[told.name] = _public_key(root, told, kms)
        except ConfigurationError as error:
            mistakes.append(f"  trust.{told.name}: {error.message} ({error.hint})")
    if mistakes:
        count = f"{len(mistakes)} of {len(trusted)}"
        raise ConfigurationError(
            "\n".join([f"{count} trusted keys cannot be used:", *mistakes]),
            hint="mend [[trust]] in pipeline.toml",
        )
    return keys


def _public_key(root: Path, told: TrustSettings, kms: Callable[[], Any]) -> str:
    if told.key.startswith(KMS_SCHEME):
        return kms_public_key(kms(), told.key)
    path = root / told.key
    try:
        pem = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}", hint="commit the public key in PEM"
        ) from error
    fingerprint(pem, str(path))
    return pem
