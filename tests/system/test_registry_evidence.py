"""Evidence in registries, and what somebody who may push to them can try."""

from __future__ import annotations

import base64
import json
import multiprocessing
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.registry import INDEX_TYPE, MANIFEST_TYPE, OciRegistry
from pipeline.adapters.registry_copy import ImageCopier
from pipeline.adapters.registry_evidence import DigestLocks, RegistryEvidenceStore
from pipeline.adapters.registry_referrers import EMPTY, EMPTY_TYPE, Artifact, Referrers
from pipeline.adapters.signer import KeySigner, TrustedKeys, file_signer
from pipeline.errors import StuckError
from pipeline.model.bundle import BUNDLE_TYPE, PAYLOAD_TYPE, pae, write_bundle
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import Ignored
from pipeline.model.statement import encode
from tests.fakes.evidence import statement_of
from tests.fakes.registry_container import registry_container
from tests.fakes.registry_images import push_image
from tests.fakes.registry_server import registry_server

KINDS = ["referrers API", "docker-registry"]


@dataclass(frozen=True)
class Bench:
    """An image in a registry, the store, and the hands of somebody who may push."""

    registry: OciRegistry
    image: ImageRef
    signer: KeySigner
    locks: DigestLocks

    def store(self, *trusted: KeySigner) -> RegistryEvidenceStore:
        keys = {str(number): key.public_key for number, key in enumerate(trusted or (self.signer,))}
        return RegistryEvidenceStore(
            self.registry, self.image.repository, lambda: self.signer, TrustedKeys(keys), self.locks
        )

    def smuggle(self, content: bytes, kind: str = BUNDLE_TYPE) -> None:
        """Attaches bytes of any kind as a bundle."""
        Referrers(self.registry, self.locks).attach(self.image, Artifact(kind, content))

    def smuggle_manifest(self, change: Callable[[dict[str, Any]], None], content: bytes = b"{}") -> None:
        """Attaches a manifest that is not as we write it."""
        repository = self.image.repository
        layer = {
            "mediaType": BUNDLE_TYPE,
            "digest": str(self.registry.put_blob(repository, content)),
            "size": len(content),
        }
        config = {
            "mediaType": EMPTY_TYPE,
            "digest": str(self.registry.put_blob(repository, EMPTY)),
            "size": len(EMPTY),
        }
        size = len(self.registry.manifest(self.image).content)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": BUNDLE_TYPE,
            "config": config,
            "layers": [layer],
            "subject": {"mediaType": MANIFEST_TYPE, "digest": str(self.image.digest), "size": size},
        }
        change(manifest)
        Referrers(self.registry, self.locks).put(self.image, json.dumps(manifest).encode())

    def bundle(self, signer: KeySigner | None = None, image: ImageRef | None = None) -> bytes:
        """A good bundle about `image`, by default this one."""
        signer = signer or self.signer
        payload = encode(image or self.image, statement_of("staging"))
        return write_bundle(payload, signer.sign(pae(PAYLOAD_TYPE, payload)).value, signer.key_id)

    def ignored(self) -> Ignored:
        """The one thing that is ignored, where nothing is accepted."""
        collected = self.store().collect(self.image)
        assert not collected.accepted
        (found,) = collected.ignored
        return found


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, str]]:
    with registry_server() as api, registry_container() as real:
        yield dict(zip(KINDS, (api.host, real), strict=True))


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, hosts: dict[str, str], tmp_path: Path) -> Bench:
    registry = OciRegistry(lambda: None)
    image = push_image(registry, f"{hosts[request.param]}/shop-{uuid.uuid4().hex[:12]}")
    return Bench(
        registry, image, file_signer(tmp_path / "signing.key", create=True), DigestLocks(tmp_path / "locks")
    )


@pytest.fixture
def stranger(tmp_path: Path) -> KeySigner:
    return file_signer(tmp_path / "stranger.key", create=True)


def edited(bundle: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    document = json.loads(bundle)
    change(document["dsseEnvelope"])
    return json.dumps(document).encode()


def test_what_is_attached_looks_as_other_clients_expect(bench: Bench) -> None:
    name = bench.store().attach(bench.image, statement_of("staging"))
    (referrer,) = Referrers(bench.registry, bench.locks).listed(bench.image)
    manifest = bench.registry.manifest(ImageRef(bench.image.repository, referrer)).document()
    assert manifest["artifactType"] == BUNDLE_TYPE
    (layer,) = manifest["layers"]
    assert (layer["mediaType"], layer["digest"]) == (BUNDLE_TYPE, name)
    assert manifest["config"] == {
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "size": 2,
    }
    assert manifest["subject"]["digest"] == str(bench.image.digest)
    assert manifest["annotations"] == {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "org.opencontainers.image.created": "2026-01-01T00:00:00.000000Z",
    }


def test_a_statement_too_large_to_be_read_is_not_written(bench: Bench) -> None:
    with pytest.raises(StuckError, match="at most 4194304 are read"):
        bench.store().attach(bench.image, statement_of("staging", facts={"logs": "x" * 4_000_000}))
    assert not Referrers(bench.registry, bench.locks).listed(bench.image)


def test_reading_needs_no_key(bench: Bench) -> None:
    name = bench.store().attach(bench.image, statement_of("staging"))
    trusted = TrustedKeys({"own": bench.signer.public_key})

    def no_key() -> KeySigner:
        raise AssertionError("nobody signs here")

    reader = RegistryEvidenceStore(bench.registry, bench.image.repository, no_key, trusted, bench.locks)
    assert [found.id for found in reader.collect(bench.image).accepted] == [name]


def test_evidence_by_a_key_that_nobody_trusts_is_ignored_with_the_key(
    bench: Bench, stranger: KeySigner
) -> None:
    bench.smuggle(bench.bundle(stranger))
    assert bench.ignored().reason == f"is signed by no key we trust (it names {stranger.key_id})"


def test_a_false_key_name_on_a_strangers_signature_does_not_help(bench: Bench, stranger: KeySigner) -> None:
    payload = encode(bench.image, statement_of("staging"))
    bench.smuggle(write_bundle(payload, stranger.sign(pae(PAYLOAD_TYPE, payload)).value, bench.signer.key_id))
    assert "signed by no key we trust" in bench.ignored().reason


def test_the_signer_is_the_key_that_verified_not_the_one_that_is_named(
    bench: Bench, stranger: KeySigner
) -> None:
    payload = encode(bench.image, statement_of("staging"))
    bench.smuggle(write_bundle(payload, stranger.sign(pae(PAYLOAD_TYPE, payload)).value, bench.signer.key_id))
    (found,) = bench.store(bench.signer, stranger).collect(bench.image).accepted
    assert found.signer == stranger.key_id


def test_a_signature_over_the_payload_alone_is_none(bench: Bench) -> None:
    payload = encode(bench.image, statement_of("staging"))
    bench.smuggle(write_bundle(payload, bench.signer.sign(payload).value, bench.signer.key_id))
    assert "signed by no key we trust" in bench.ignored().reason


def test_evidence_copied_from_another_image_is_ignored(bench: Bench) -> None:
    other = ImageRef(bench.image.repository, Digest("sha256:" + "d" * 64))
    bench.smuggle(bench.bundle(image=other))
    assert bench.ignored().reason == f"is about another image, {other.digest}"


def test_a_second_signature_makes_it_no_evidence(bench: Bench) -> None:
    bench.smuggle(
        edited(bench.bundle(), lambda envelope: envelope["signatures"].append(envelope["signatures"][0]))
    )
    assert bench.ignored().reason == "has 2 signatures, not exactly one"


def test_another_payload_type_makes_it_no_evidence(bench: Bench) -> None:
    bench.smuggle(edited(bench.bundle(), lambda envelope: envelope.update(payloadType="application/json")))
    assert "payload type 'application/json'" in bench.ignored().reason


def test_a_changed_result_is_not_what_was_signed(bench: Bench) -> None:
    def pass_it(envelope: dict[str, Any]) -> None:
        payload = base64.b64decode(envelope["payload"]).replace(b'"PASSED"', b'"FAILED"')
        envelope["payload"] = base64.b64encode(payload).decode()

    bench.smuggle(edited(bench.bundle(), pass_it))
    assert "signed by no key we trust" in bench.ignored().reason


def test_provenance_posing_as_a_test_result_is_ignored_though_we_signed_it(bench: Bench) -> None:
    document = json.loads(encode(bench.image, statement_of("build")))
    document["predicateType"] = "https://in-toto.io/attestation/test-result/v0.1"
    payload = json.dumps(document).encode()
    bench.smuggle(
        write_bundle(payload, bench.signer.sign(pae(PAYLOAD_TYPE, payload)).value, bench.signer.key_id)
    )
    assert "is of stage 'build' under predicate type" in bench.ignored().reason


def test_a_statement_of_another_tool_is_ignored_though_we_signed_it(bench: Bench) -> None:
    document = json.loads(encode(bench.image, statement_of("staging")))
    document |= {"predicateType": "https://cyclonedx.org/bom", "predicate": {"components": []}}
    payload = json.dumps(document).encode()
    bench.smuggle(
        write_bundle(payload, bench.signer.sign(pae(PAYLOAD_TYPE, payload)).value, bench.signer.key_id)
    )
    assert "without onedigest_stage" in bench.ignored().reason


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_bytes_that_are_no_bundle_are_ignored(bench: Bench, content: bytes) -> None:
    bench.smuggle(content or b" ")
    assert "JSON" in bench.ignored().reason


@pytest.mark.parametrize(
    "kind", ["application/vnd.dev.sigstore.bundle+json", BUNDLE_TYPE.replace("v0.3", "v0.9")]
)
def test_a_bundle_of_another_version_is_named_not_passed_over(bench: Bench, kind: str) -> None:
    bench.smuggle(bench.bundle(), kind)
    assert "claims to be a bundle" in bench.ignored().reason


@pytest.mark.parametrize(
    "kind",
    ["application/vnd.cyclonedx+json", "application/spdx+json", "application/vnd.cncf.notary.signature"],
)
def test_what_claims_nothing_is_passed_over(bench: Bench, kind: str) -> None:
    bench.smuggle(b'{"bomFormat":"CycloneDX"}', kind)
    bench.store().attach_artifact(bench.image, kind, b"{}")
    collected = bench.store().collect(bench.image)
    assert (collected.accepted, collected.ignored) == ((), ())


def test_the_layers_type_counts_not_the_artifacts(bench: Bench) -> None:
    bench.smuggle_manifest(
        lambda manifest: manifest.update(artifactType="application/vnd.other"), bench.bundle()
    )
    assert len(bench.store().collect(bench.image).accepted) == 1


def test_a_bundle_beside_other_layers_is_ignored(bench: Bench) -> None:
    bench.smuggle_manifest(lambda manifest: manifest["layers"].append(manifest["config"]), bench.bundle())
    assert "is not one layer" in bench.ignored().reason


def test_a_bundle_that_is_said_to_be_huge_is_not_fetched(bench: Bench) -> None:
    content = b" " * (4 * 1024 * 1024 + 1)
    bench.smuggle_manifest(lambda _: None, content)
    assert "4194305 bytes" in bench.ignored().reason


def listed_by_hand(bench: Bench, digest: str) -> None:
    """Writes the list that clients keep, as whoever may push can."""
    entry = {"mediaType": MANIFEST_TYPE, "digest": digest, "size": 2}
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}
    tag = f"sha256-{bench.image.digest.hex}"
    bench.registry.put_manifest(bench.image.repository, tag, INDEX_TYPE, json.dumps(index).encode())


@pytest.mark.parametrize("bench", ["docker-registry"], indirect=True)
def test_evidence_of_another_image_in_this_ones_list_is_ignored(bench: Bench) -> None:
    other = push_image(bench.registry, bench.image.repository, "other")
    bench.store().attach(other, statement_of("staging"))
    (referrer,) = Referrers(bench.registry, bench.locks).listed(other)
    listed_by_hand(bench, str(referrer))
    assert bench.ignored() == Ignored(str(referrer), "is attached to another image by its own manifest")


def test_among_good_and_bad_evidence_the_good_counts_and_the_bad_is_named(
    bench: Bench, stranger: KeySigner
) -> None:
    store = bench.store()
    good = {
        store.attach(bench.image, statement_of(stage))
        for stage in ("build", "integration", "staging", "prod")
    }
    bench.smuggle(bench.bundle(stranger))
    bench.smuggle(b"junk")
    store.attach_artifact(bench.image, "application/vnd.cyclonedx+json", b"{}")
    collected = store.collect(bench.image)
    assert {found.id for found in collected.accepted} == good
    assert {found.signer for found in collected.accepted} == {bench.signer.key_id}
    assert len(collected.ignored) == 2


def test_the_same_statement_in_other_bytes_is_known_by_its_payload(bench: Bench) -> None:
    bench.smuggle(bench.bundle())
    bench.smuggle(bench.bundle() + b"\n")
    first, second = bench.store().collect(bench.image).accepted
    assert first.id != second.id
    assert first.payload == second.payload


def test_evidence_goes_with_its_image_to_another_registry(bench: Bench, hosts: dict[str, str]) -> None:
    store = bench.store()
    ids = {store.attach(bench.image, statement_of(stage)) for stage in ("build", "integration")}
    store.attach_artifact(bench.image, "application/vnd.cyclonedx+json", b"{}")
    for host in hosts.values():
        there = ImageRef(f"{host}/copy-{uuid.uuid4().hex[:12]}", bench.image.digest)
        ImageCopier(bench.registry, OciRegistry(lambda: None), bench.locks).copy(
            bench.image, there.repository
        )
        assert {found.id for found in store.collect(there).accepted} == ids
        assert len(Referrers(bench.registry, bench.locks).listed(there)) == 3


def _write_five(settings: tuple[str, str, Path, int]) -> list[str]:
    repository, digest, folder, writer = settings
    signer = file_signer(folder / "signing.key", create=True)
    trusted = TrustedKeys({"own": signer.public_key})
    store = RegistryEvidenceStore(
        OciRegistry(lambda: None), repository, lambda: signer, trusted, DigestLocks(folder / "locks")
    )
    image = ImageRef(repository, Digest(digest))
    return [store.attach(image, statement_of("staging", run=f"{writer}-{number}")) for number in range(5)]


@pytest.mark.parametrize("bench", ["docker-registry"], indirect=True)
def test_processes_that_write_at_once_lose_nothing(bench: Bench, tmp_path: Path) -> None:
    work = [(bench.image.repository, str(bench.image.digest), tmp_path, writer) for writer in range(8)]
    with multiprocessing.get_context("fork").Pool(8) as pool:
        written = {name for names in pool.map(_write_five, work, chunksize=1) for name in names}
    assert len(written) == 40
    assert {found.id for found in bench.store().collect(bench.image).accepted} == written
