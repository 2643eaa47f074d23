"""What is attached to an image: the referrers API, or where a registry has none, the index that clients keep.

distribution-spec v1.1, "Listing Referrers" and "Referrers Tag Schema".
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from pipeline.adapters.registry import INDEX_TYPE, MANIFEST_TYPE, OciRegistry, digest_of, next_page
from pipeline.adapters.registry_http import Answer, unexpected
from pipeline.errors import StuckError, UnavailableError, UndecidedError, UsageError
from pipeline.model.digest import Digest, ImageRef

MOST_REFERRERS = 200
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"

Lock = Callable[[str], AbstractContextManager[None]]
"""Gives what holds the list of one image, named by its digest, while it is read, changed and written."""

_NO_API = (400, 404, 405)
_LOOKS = (0.0, 0.2, 0.6, 1.8)
_REMEDY = "remove what nobody needs from the list of this image's referrers (`oras discover`), then run again"


@dataclass(frozen=True, slots=True)
class Artifact:
    """Something to attach: one layer of `media_type`, which is the artifact's type as well."""

    media_type: str
    content: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)

    def manifest(self, subject: Mapping[str, Any], layer: Digest, empty: Digest) -> bytes:
        """The bytes of its manifest; the same artifact on the same subject gives the same."""
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": self.media_type,
            "config": {"mediaType": EMPTY_TYPE, "digest": str(empty), "size": len(EMPTY)},
            "layers": [{"mediaType": self.media_type, "digest": str(layer), "size": len(self.content)}],
            "subject": dict(subject),
            "annotations": dict(self.annotations),
        }
        return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


class Referrers:
    """What is attached to images in a registry. `pause` waits that many seconds where a list lags behind.

    `lock` is held while a list that clients keep is changed: two who change it at once would lose each other's entry.
    """

    def __init__(
        self, registry: OciRegistry, lock: Lock, *, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._registry = registry
        self._lock = lock
        self._pause = pause

    def listed(self, subject: ImageRef, kind: str = "") -> Sequence[Digest]:
        """The manifests attached to `subject`, by digest; of all artifact types, or of one `kind`.

        Raises UndecidedError when there are more than 200: one of those not looked at may be the one that counts.
        """
        entries = self._from_api(subject)
        if entries is None:
            entries = _bounded(self._kept_index(subject), subject)
        wanted = (entry for entry in entries if not kind or entry.get("artifactType") == kind)
        return tuple(dict.fromkeys(_digest_of(entry, subject) for entry in wanted))

    def attach(self, subject: ImageRef, artifact: Artifact) -> Digest:
        """Attaches; returns the digest of the artifact's manifest once the registry lists it.

        Raises ConfigurationError when the registry's tags are immutable and it has no referrers API, StuckError when
        the list is full or is something else, UnavailableError when the registry takes it and does not list it.
        """
        image = self._registry.find_manifest(subject.repository, str(subject.digest))
        if image is None:
            host = subject.repository.partition("/")[0]
            raise unexpected(Answer(404, {}, b""), host, f"{subject}, to which evidence was to be attached")
        own = {"mediaType": image.media_type, "digest": str(subject.digest), "size": len(image.content)}
        layer = self._registry.put_blob(subject.repository, artifact.content)
        empty = self._registry.put_blob(subject.repository, EMPTY)
        return self.put(subject, artifact.manifest(own, layer, empty))

    def put(self, subject: ImageRef, manifest: bytes) -> Digest:
        """Puts a manifest whose blobs are there and which names `subject`; returns once it is listed. See `attach`."""
        digest = digest_of(manifest)
        kept_by_clients = _entries(self._page(subject, f"referrers/{subject.digest}")) is None
        self._registry.put_manifest(subject.repository, str(digest), MANIFEST_TYPE, manifest)
        if kept_by_clients:
            self._add_to_index(subject, _descriptor(manifest, digest))
            return digest
        for pause in _LOOKS:
            self._pause(pause)
            if digest in self.listed(subject):
                return digest
        raise UnavailableError(
            f"{subject.repository} took {digest} and does not list it as attached to {subject.digest.short}",
            hint="run the stage again; if it stays so, the registry's referrers API does not work",
        )

    def _from_api(self, subject: ImageRef) -> Sequence[Mapping[str, Any]] | None:
        """The API's entries, None where there is no API. At most one page beyond the bound is fetched."""
        answer = self._page(subject, f"referrers/{subject.digest}")
        entries = _entries(answer)
        if entries is None:
            return None
        found = list(_bounded(entries, subject))
        for _ in range(MOST_REFERRERS):
            path = next_page(answer)
            if not path:
                return found
            answer = self._page(subject, path)
            more = _entries(answer)
            if more is None:
                raise unexpected(
                    answer, subject.repository.partition("/")[0], f"what is attached to {subject}"
                )
            found = list(_bounded([*found, *more], subject))
        raise UndecidedError(f"the list of what is attached to {subject} has no end", hint=_REMEDY)

    def _page(self, subject: ImageRef, path: str) -> Answer:
        """A page of the list; an answer by which a registry says that it has no such API is handed on."""
        answer = self._registry.referrers_page(subject.repository, path)
        if answer.status not in (200, *_NO_API):
            raise unexpected(answer, subject.repository.partition("/")[0], f"what is attached to {subject}")
        return answer

    def _kept_index(self, subject: ImageRef) -> Sequence[Mapping[str, Any]]:
        tag = f"sha256-{subject.digest.hex}"
        found = self._registry.find_manifest(subject.repository, tag)
        if found is None:
            return ()
        entries = _entries(Answer(200, {}, found.content))
        if entries is None:
            raise StuckError(
                f"the tag {tag} of {subject.repository} is no index of attached evidence",
                hint="somebody pushed something else there: delete that tag, then run the stages again",
            )
        return entries

    def _add_to_index(self, subject: ImageRef, entry: Mapping[str, Any]) -> None:
        """Under the lock, and looked at afterwards all the same: not every client knows of our lock."""
        tag = f"sha256-{subject.digest.hex}"
        with self._lock(str(subject.digest)):
            for pause in (0.0, *_LOOKS):
                self._pause(pause)
                entries = self._kept_index(subject)
                if any(known.get("digest") == entry["digest"] for known in entries):
                    return
                if len(entries) >= MOST_REFERRERS:
                    raise StuckError(f"{len(entries)} referrers are attached to {subject}", hint=_REMEDY)
                index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*entries, entry]}
                content = json.dumps(index, separators=(",", ":")).encode()
                self._registry.put_manifest(subject.repository, tag, INDEX_TYPE, content)
        raise UnavailableError(
            f"the list of evidence of {subject} is overwritten by somebody else again and again",
            hint="let only one system write to this repository at a time, then run the stage again",
        )


def _entries(answer: Answer) -> list[Mapping[str, Any]] | None:
    """The entries of an image index; None for anything else."""
    document = answer.json() if answer.status == 200 else None
    manifests = document.get("manifests") if isinstance(document, dict) else None
    if not isinstance(manifests, list) or not all(isinstance(entry, dict) for entry in manifests):
        return None
    return manifests


def _bounded(entries: Sequence[Mapping[str, Any]], subject: ImageRef) -> Sequence[Mapping[str, Any]]:
    if len(entries) > MOST_REFERRERS:
        raise UndecidedError(
            f"more than {MOST_REFERRERS} referrers are attached to {subject}; "
            "none is looked at, as the one that counts may be among the others",
            hint=_REMEDY,
        )
    return entries


def _digest_of(entry: Mapping[str, Any], subject: ImageRef) -> Digest:
    try:
        return Digest(entry.get("digest", ""))
    except UsageError as error:
        raise UndecidedError(
            f"the registry lists {entry.get('digest')!r} as attached to {subject}", hint=_REMEDY
        ) from error


def _descriptor(manifest: bytes, digest: Digest) -> dict[str, Any]:
    document = json.loads(manifest)
    copied = {name: document[name] for name in ("artifactType", "annotations") if name in document}
    return {"mediaType": MANIFEST_TYPE, "digest": str(digest), "size": len(manifest), **copied}
