"""Evidence as signed statements beside the image in its registry."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.adapters.registry import OciRegistry, digest_of
from pipeline.adapters.registry_referrers import Artifact, Lock, Referrers
from pipeline.errors import BusyError, StuckError, UsageError
from pipeline.model.bundle import (
    BUNDLE_FAMILY,
    BUNDLE_TYPE,
    MAX_BUNDLE,
    PAYLOAD_TYPE,
    pae,
    read_bundle,
    write_bundle,
)
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import PREDICATE_TYPES, Collected, Evidence, Ignored, Statement
from pipeline.model.predicate import time_text
from pipeline.model.statement import NotEvidence, decode, encode, read_json
from pipeline.ports import Signer, Verifier

_AT_ONCE = 8
_NEWEST_BUILDS = 50
_LIST_TAG = "sha256-"
_BUILD_TAG = "build-"
_CREATED = "org.opencontainers.image.created"
_LONGEST_WAIT = 60.0


class RegistryEvidenceStore:
    """See `pipeline.ports.EvidenceStore`. A statement is signed, put into a bundle and attached to its image.

    What counts is what a trusted key signed: the registry is asked for bytes, never for truth. `repository` is where
    `subjects` looks; `signer` opens the key, which only `attach` needs: reading asks for no key. `lock` is the one of
    `Referrers`. Every method raises UnavailableError when no registry answers.
    """

    def __init__(
        self,
        registry: OciRegistry,
        repository: str,
        signer: Callable[[], Signer],
        verifier: Verifier,
        lock: Lock,
    ) -> None:
        self._registry = registry
        self._repository = repository
        self._signer = signer
        self._verifier = verifier
        self._referrers = Referrers(registry, lock)

    def attach(self, subject: ImageRef, statement: Statement) -> str:
        """See `pipeline.ports.EvidenceStore.attach`: the hash of the bundle.

        The errors are the signer's and `Referrers.attach`'s, and StuckError for a statement that nobody would read.
        """
        payload = encode(subject, statement)
        signature = self._signer().sign(pae(PAYLOAD_TYPE, payload))
        bundle = write_bundle(payload, signature.value, signature.key_id)
        if len(bundle) > MAX_BUNDLE:
            raise StuckError(
                f"the {statement.stage} statement about {subject.digest.short} has {len(bundle)} bytes, "
                f"at most {MAX_BUNDLE} are read",
                hint="record less in it: shorter logs and failure messages",
            )
        annotations = {
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": PREDICATE_TYPES[statement.stage],
            _CREATED: time_text(statement.finished),
        }
        self._referrers.attach(subject, Artifact(BUNDLE_TYPE, bundle, annotations))
        return str(digest_of(bundle))

    def attach_artifact(self, subject: ImageRef, media_type: str, content: bytes) -> Digest:
        """Attaches something unsigned, such as a bill of materials; returns its manifest's digest."""
        annotations = {_CREATED: time_text(datetime.now(UTC))}
        return self._referrers.attach(subject, Artifact(media_type, content, annotations))

    def collect(self, subject: ImageRef) -> Collected:
        """See `pipeline.ports.EvidenceStore.collect`. What is attached and claims to be no bundle is passed over.

        Raises UndecidedError when more than 200 things are attached.
        """
        listed = self._referrers.listed(subject)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(lambda digest: self._read(subject, digest), listed))
        accepted = {each.id: each for each in found if isinstance(each, Evidence)}
        ignored = tuple(each for each in found if isinstance(each, Ignored))
        return Collected(tuple(accepted.values()), ignored)

    def subjects(self) -> Sequence[Digest]:
        """The images of the newest builds by their tags, then every image with a list of evidence kept under a tag."""
        tags = self._registry.tags(self._repository)
        builds = sorted((tag for tag in tags if tag.startswith(_BUILD_TAG)), reverse=True)[:_NEWEST_BUILDS]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            resolved = list(pool.map(lambda tag: self._registry.resolve(self._repository, tag), builds))
        kept = [_digest("sha256:" + tag.removeprefix(_LIST_TAG)) for tag in tags if tag.startswith(_LIST_TAG)]
        return tuple(dict.fromkeys(digest for digest in (*resolved, *kept) if digest))

    def _read(self, subject: ImageRef, digest: Digest) -> Evidence | Ignored | None:
        """What the manifest `digest` says of `subject`; None when it claims to be no bundle."""
        found = self._registry.find_manifest(subject.repository, str(digest))
        if found is None:
            return Ignored(str(digest), "is listed, but is not there")
        try:
            layer = _bundle_layer(read_json(found.content), subject)
            if layer is None:
                return None
            data = self._registry.blob(ImageRef(subject.repository, layer), limit=MAX_BUNDLE)
        except NotEvidence as error:
            return Ignored(str(digest), str(error))
        try:
            return self._judged(subject, data)
        except NotEvidence as error:
            return Ignored(str(digest_of(data)), str(error))

    def _judged(self, subject: ImageRef, data: bytes) -> Evidence:
        """The evidence in a bundle: the very bytes that were verified are the ones that are parsed."""
        envelope = read_bundle(data)
        signer = self._verifier.signer_of(envelope.message, envelope.signature)
        if signer is None:
            raise NotEvidence(f"is signed by no key we trust (it names {envelope.keyid or 'none'})")
        about, statement = decode(envelope.payload)
        if about != subject.digest:
            raise NotEvidence(f"is about another image, {about}")
        return Evidence(about, str(digest_of(data)), statement, signer, str(digest_of(envelope.payload)))


class DigestLocks:
    """A `Lock` between the processes of one machine, by files in `root`; the system frees one when its holder dies."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def __call__(self, digest: str) -> Iterator[None]:
        """Waits for its turn, a minute at most; then raises BusyError."""
        self._root.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._root / f"{digest.replace(':', '-')}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _wait_for(handle, digest)
            yield
        finally:
            os.close(handle)


def _wait_for(handle: int, digest: str) -> None:
    deadline = time.monotonic() + _LONGEST_WAIT
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise BusyError(
                    f"another process has been changing the evidence of {digest} for a minute",
                    hint="wait for it to end, then run the same command again",
                ) from error
            time.sleep(0.01)
        else:
            return


def _bundle_layer(manifest: dict[str, Any], subject: ImageRef) -> Digest | None:
    """The bundle of a referrer; None when neither its type nor a layer claims to be one.

    The layer's media type counts: other clients write the artifact type wrongly. Raises NotEvidence for a broken claim.
    """
    layers = manifest.get("layers")
    layers = [layer for layer in layers if isinstance(layer, dict)] if isinstance(layers, list) else []
    claims = [manifest.get("artifactType"), *(layer.get("mediaType") for layer in layers)]
    if not any(isinstance(claim, str) and claim.startswith(BUNDLE_FAMILY) for claim in claims):
        return None
    if len(layers) != 1 or layers[0].get("mediaType") != BUNDLE_TYPE:
        raise NotEvidence(f"claims to be a bundle, and is not one layer of {BUNDLE_TYPE}")
    about = manifest.get("subject")
    if not isinstance(about, dict) or about.get("digest") != str(subject.digest):
        raise NotEvidence("is attached to another image by its own manifest")
    size, digest = layers[0].get("size"), _digest(layers[0].get("digest"))
    if not isinstance(size, int) or size > MAX_BUNDLE or digest is None:
        raise NotEvidence(f"holds a bundle of {size!r} bytes, at most {MAX_BUNDLE} are read")
    return digest


def _digest(text: Any) -> Digest | None:
    try:
        return Digest(text)
    except UsageError:
        return None
