from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from pipeline.model.bundle import BUNDLE_TYPE, MAX_BUNDLE, PAYLOAD_TYPE, pae, read_bundle, write_bundle
from pipeline.model.statement import NotEvidence

KEY = "SHA256:" + "k" * 43
BUNDLE = write_bundle(b'{"a":1}', b"signature", KEY)
ABSENT = object()


def test_the_encoding_that_is_signed_is_the_specifications_own_example() -> None:
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("http://example.com/HelloWorld", b"hello world") == expected


def test_lengths_in_the_encoding_count_bytes_not_characters() -> None:
    assert pae("tüp", "größe".encode()) == b"DSSEv1 4 t\xc3\xbcp 7 gr\xc3\xb6\xc3\x9fe"
    assert pae("", b"") == b"DSSEv1 0  0 "


def test_the_bundle_has_the_form_that_others_read() -> None:
    assert json.loads(BUNDLE) == {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": KEY}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(b'{"a":1}').decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(b"signature").decode(), "keyid": KEY}],
        },
    }


def test_what_was_written_is_read() -> None:
    envelope = read_bundle(BUNDLE)
    assert (envelope.payload, envelope.payload_type, envelope.signature, envelope.keyid) == (
        b'{"a":1}',
        PAYLOAD_TYPE,
        b"signature",
        KEY,
    )
    assert envelope.message == pae(PAYLOAD_TYPE, b'{"a":1}')


def changed(*path: Any, to: Any) -> bytes:
    document = json.loads(BUNDLE)
    inner = document
    for part in path[:-1]:
        inner = inner[part]
    if to is ABSENT:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return json.dumps(document).encode()


SIGNATURE = ("dsseEnvelope", "signatures", 0)


@pytest.mark.parametrize(
    "data",
    [
        changed("verificationMaterial", "publicKey", to={}),
        changed("verificationMaterial", "publicKey", "hint", to=""),
        changed(*SIGNATURE, "keyid", to=ABSENT),
        changed("verificationMaterial", "tlogEntries", to=ABSENT),
        changed("verificationMaterial", "timestampVerificationData", to={"rfc3161Timestamps": []}),
    ],
)
def test_what_other_writers_leave_out_or_add_without_weight_is_tolerated(data: bytes) -> None:
    assert read_bundle(data).signature == b"signature"


def test_the_key_is_named_by_either_of_the_two_hints() -> None:
    assert read_bundle(changed("verificationMaterial", "publicKey", "hint", to="")).keyid == KEY
    assert read_bundle(changed(*SIGNATURE, "keyid", to="")).keyid == KEY


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no JSON object"),
        (b'{"a":1,"a":2}', "a key twice"),
        (BUNDLE[:-1] + b',"mediaType":"x"}', "a key twice"),
        (b'{"a":NaN}', "NaN"),
        (BUNDLE + b" " * MAX_BUNDLE, "more than"),
        (changed("mediaType", to="application/vnd.dev.sigstore.bundle+json;version=0.2"), "bundle type"),
        (changed("extra", to=1), "'extra' in the bundle"),
        (changed("dsseEnvelope", to=ABSENT), "lacks dsseEnvelope"),
        (changed("verificationMaterial", "certificate", to={"rawBytes": ""}), "'certificate'"),
        (changed("verificationMaterial", to=[]), "no object as verificationMaterial"),
        (changed("verificationMaterial", "publicKey", "hint", to=5), "hint = 5"),
        (changed("dsseEnvelope", "payloadType", to="application/json"), "payload type"),
        (changed("dsseEnvelope", "payloadType", to=PAYLOAD_TYPE.upper()), "payload type"),
        (changed("dsseEnvelope", "payload", to="eyJhIjoxfR=="), "payload that is empty or not written"),
        (changed("dsseEnvelope", "payload", to="eyJhIjoxfQ"), "not base64"),
        (changed("dsseEnvelope", "payload", to="eyJh\nIjoxfQ=="), "not base64"),
        (changed("dsseEnvelope", "payload", to=""), "payload that is empty"),
        (changed("dsseEnvelope", "payload", to=None), "not base64"),
        (changed("dsseEnvelope", "signatures", to=[]), "0 signatures"),
        (changed("dsseEnvelope", "signatures", to=[{"sig": "AA=="}, {"sig": "AA=="}]), "2 signatures"),
        (changed("dsseEnvelope", "signatures", to={}), "no list of signatures"),
        (changed(*SIGNATURE, "sig", to=ABSENT), "lacks sig"),
        (changed(*SIGNATURE, "sig", to="ä"), "not base64"),
        (changed(*SIGNATURE, "cert", to="x"), "'cert'"),
        (changed(*SIGNATURE, "keyid", to="SHA256:other"), "names two keys"),
    ],
)
def test_anything_else_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(NotEvidence, match=reason):
        read_bundle(data)
