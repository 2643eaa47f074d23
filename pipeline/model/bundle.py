"""Signed statements as they are stored: Sigstore bundle v0.3 around a DSSE envelope with one signature.

DSSE: https://github.com/secure-systems-lab/dsse (protocol.md, envelope.md). Bundle: sigstore/protobuf-specs,
sigstore_bundle.proto. The signature is checked elsewhere; here is the form alone.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.model.statement import NotEvidence, read_json

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
BUNDLE_FAMILY = "application/vnd.dev.sigstore.bundle"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_BUNDLE = 4 * 1024 * 1024

_UNUSED = frozenset({"tlogEntries", "timestampVerificationData"})
"""Parts of the form that say nothing to a verifier who goes by the key alone."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a bundle holds. `keyid` is a hint that nobody signed, empty when none was given."""

    payload: bytes
    payload_type: str
    signature: bytes
    keyid: str

    @property
    def message(self) -> bytes:
        """The bytes that the signature is over."""
        return pae(self.payload_type, self.payload)


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding, version 1; lengths count bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def write_bundle(payload: bytes, signature: bytes, keyid: str) -> bytes:
    """The bundle of an in-toto payload. `signature` is DER over `pae(PAYLOAD_TYPE, payload)`.

    `keyid` must be the key's OpenSSH fingerprint: by any other name other verifiers do not find the key.
    """
    document = {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": keyid}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": keyid}],
        },
    }
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def read_bundle(data: bytes) -> Envelope:
    """The one envelope in a bundle of exactly our form. Raises NotEvidence with what is wrong otherwise.

    The key hint and the signature's key id may each be missing; when both are there they must agree.
    """
    if len(data) > MAX_BUNDLE:
        raise NotEvidence(f"has {len(data)} bytes, more than {MAX_BUNDLE}")
    bundle = _fields(read_json(data), "the bundle", {"mediaType", "verificationMaterial", "dsseEnvelope"})
    if bundle["mediaType"] != BUNDLE_TYPE:
        raise NotEvidence(f"has the bundle type {bundle['mediaType']!r}, not {BUNDLE_TYPE}")
    material = _fields(bundle["verificationMaterial"], "verificationMaterial", {"publicKey"}, _UNUSED)
    hint = _string(_fields(material["publicKey"], "publicKey", set(), {"hint"}), "hint")
    envelope = _fields(bundle["dsseEnvelope"], "dsseEnvelope", {"payload", "payloadType", "signatures"})
    if envelope["payloadType"] != PAYLOAD_TYPE:
        raise NotEvidence(f"has the payload type {envelope['payloadType']!r}, not {PAYLOAD_TYPE}")
    signature = _fields(_only(envelope["signatures"]), "the signature", {"sig"}, {"keyid"})
    keyid = _string(signature, "keyid")
    if hint and keyid and hint != keyid:
        raise NotEvidence(f"names two keys, {hint} and {keyid}")
    return Envelope(
        payload=_bytes(envelope["payload"], "payload"),
        payload_type=PAYLOAD_TYPE,
        signature=_bytes(signature["sig"], "sig"),
        keyid=keyid or hint,
    )


def _fields(
    value: Any, name: str, needed: set[str], allowed: frozenset[str] | set[str] = frozenset()
) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise NotEvidence(f"has no object as {name}")
    missing, unknown = needed - set(value), set(value) - needed - allowed
    if missing:
        raise NotEvidence(f"lacks {', '.join(sorted(missing))} in {name}")
    if unknown:
        raise NotEvidence(f"has {', '.join(sorted(map(repr, unknown)))} in {name}, which is not of this form")
    return value


def _only(signatures: Any) -> Any:
    if not isinstance(signatures, list) or len(signatures) != 1:
        count = len(signatures) if isinstance(signatures, list) else "no list of"
        raise NotEvidence(f"has {count} signatures, not exactly one")
    return signatures[0]


def _string(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise NotEvidence(f"has {name} = {value!r}")
    return value


def _bytes(value: Any, name: str) -> bytes:
    """Standard base64 with its padding; one encoding of the bytes only, so that no bit is without meaning."""
    try:
        content = base64.b64decode(value.encode("ascii"), validate=True)
    except (AttributeError, UnicodeEncodeError, binascii.Error) as error:
        raise NotEvidence(f"has a {name} that is not base64") from error
    if not content or base64.b64encode(content).decode() != value:
        raise NotEvidence(f"has a {name} that is empty or not written as base64 writes it")
    return content
