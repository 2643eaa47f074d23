"""An OCI registry (distribution-spec v1.1): manifests and blobs, each fetched byte hashed again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from pipeline.adapters.registry_http import (
    MAX_DOCUMENT,
    Answer,
    Call,
    Credentials,
    Pieces,
    RegistryHttp,
    allowed,
    unexpected,
)
from pipeline.errors import ConfigurationError, UnavailableError
from pipeline.model.digest import Digest, ImageRef
from pipeline.ports import ImageFacts

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"

_MANIFESTS = ", ".join(
    (
        INDEX_TYPE,
        MANIFEST_TYPE,
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_OK = requests.codes.ok
_NOT_FOUND = requests.codes.not_found
_CREATED = (201, 204)
_MAX_TAGS = 10_000


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as the registry keeps it: these bytes are what the digest is over."""

    digest: Digest
    media_type: str
    content: bytes

    def document(self) -> dict[str, Any]:
        """The content as a JSON object. Raises UnavailableError when it is none."""
        try:
            document = json.loads(self.content)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise UnavailableError(
                f"the manifest {self.digest} is no JSON object", hint="push the image again"
            )
        return document


class OciRegistry:
    """See `pipeline.ports.Registry`. A host on loopback is spoken to in plain HTTP, any other in HTTPS.

    `credentials` gives a user and password for the registry (ECR: `AWS` and its token), or None; `host`, when given, is
    the only host that they are sent to. Every method raises UnavailableError when the registry does not answer in form.
    """

    def __init__(
        self, credentials: Credentials, *, host: str = "", pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._http = RegistryHttp(credentials, host=host, pause=pause)

    def resolve(self, repository: str, reference: str) -> Digest | None:
        """See `pipeline.ports.Registry.resolve`: the hash of the manifest's own bytes, not a header's word."""
        found = self.find_manifest(repository, reference)
        return found.digest if found else None

    def image_facts(self, image: ImageRef) -> ImageFacts:
        """See `pipeline.ports.Registry.image_facts`. Of an index, the first platform image is looked at."""
        manifest = index = self.manifest(image).document()
        platforms = platform_digests(manifest)
        if platforms:
            manifest = self.manifest(ImageRef(image.repository, platforms[0])).document()
        config_digest = Digest(manifest["config"]["digest"])
        config = json.loads(self.blob(ImageRef(image.repository, config_digest)))
        first = f"{config.get('os', '?')}/{config.get('architecture', '?')}"
        return ImageFacts(
            size=sum(int(layer["size"]) for layer in manifest["layers"]),
            platform=first,
            labels=dict(config.get("config", {}).get("Labels") or {}),
            platform_digests=platforms,
            platforms=_platforms(index) or (first,),
        )

    def manifest(self, image: ImageRef) -> Manifest:
        """The manifest of a digest."""
        found = self.find_manifest(image.repository, str(image.digest))
        if found is None:
            host = image.repository.partition("/")[0]
            raise unexpected(Answer(_NOT_FOUND, {}, b""), host, str(image))
        return found

    def find_manifest(self, repository: str, reference: str, limit: int = MAX_DOCUMENT) -> Manifest | None:
        """The manifest of a tag or digest, None when the registry has none. `limit` is in bytes."""
        call = Call("GET", repository, f"manifests/{reference}", {"Accept": _MANIFESTS}, limit=limit)
        answer = self._http.send(call)
        if answer.status == _NOT_FOUND:
            return None
        if answer.status != _OK:
            raise unexpected(answer, call.host, f"{repository}:{reference}")
        digest = digest_of(answer.body)
        if reference.startswith("sha256:") and str(digest) != reference:
            raise _other_bytes(f"{repository}@{reference}", digest)
        return Manifest(digest, answer.headers.get("content-type", ""), answer.body)

    def has(self, image: ImageRef, kind: str) -> bool:
        """Whether the registry says that it has a digest. `kind` is `manifests` or `blobs`."""
        call = Call("HEAD", image.repository, f"{kind}/{image.digest}", {"Accept": _MANIFESTS})
        answer = self._http.send(call)
        if answer.status not in (_OK, _NOT_FOUND):
            raise unexpected(answer, call.host, str(image))
        return bool(answer.status == _OK)

    def blob(self, blob: ImageRef, limit: int = MAX_DOCUMENT) -> bytes:
        """A blob that fits into memory, up to `limit` bytes."""
        call = Call("GET", blob.repository, f"blobs/{blob.digest}", limit=limit)
        answer = self._http.send(call)
        if answer.status != _OK:
            raise unexpected(answer, call.host, str(blob))
        digest = digest_of(answer.body)
        if digest != blob.digest:
            raise _other_bytes(str(blob), digest)
        return answer.body

    def stream_blob(self, blob: ImageRef) -> Iterator[bytes]:
        """A blob in pieces. The last piece is held back until the hash of all of them is right."""
        hashed = hashlib.sha256()
        held = b""
        with self._http.stream(Call("GET", blob.repository, f"blobs/{blob.digest}")) as pieces:
            for piece in pieces:
                if held:
                    yield held
                hashed.update(piece)
                held = piece
        if hashed.hexdigest() != blob.digest.hex:
            raise _other_bytes(str(blob), Digest("sha256:" + hashed.hexdigest()))
        yield held

    def put_blob(self, repository: str, content: bytes) -> Digest:
        """Uploads what fits into memory; returns its digest. A blob that is there already is left alone."""
        blob = ImageRef(repository, digest_of(content))
        if not self.has(blob, "blobs"):
            self._finish_upload(blob, self._begin_upload(repository), content)
        return blob.digest

    def put_blob_stream(self, blob: ImageRef, pieces: Iterator[bytes], size: int) -> None:
        """Uploads a blob in pieces; `size` is their sum in bytes."""
        self._finish_upload(blob, self._begin_upload(blob.repository), Pieces(pieces, size))

    def mount_blob(self, blob: ImageRef, source: str) -> bool:
        """Takes a blob over from the repository named `source` of the same registry; False when it did not."""
        call = Call("POST", blob.repository, f"blobs/uploads/?mount={blob.digest}&from={source}", {}, b"")
        answer = self._http.send(call)
        if answer.status not in (201, 202):
            raise unexpected(answer, call.host, f"mounting {blob.digest}")
        if answer.status == 202 and answer.headers.get("location"):
            self._http.send(Call("DELETE", blob.repository, _upload(call, answer)))
        return answer.status == 201

    def put_manifest(self, repository: str, reference: str, media_type: str, content: bytes) -> Digest:
        """Puts a manifest under a tag or its digest; returns the digest.

        Raises ConfigurationError when the tag is there and the repository's tags may not be moved.
        """
        call = Call("PUT", repository, f"manifests/{reference}", {"Content-Type": media_type}, content)
        answer = self._http.send(call)
        if answer.status not in _CREATED:
            raise _refused(answer, call, reference)
        return digest_of(content)

    def referrers_page(self, repository: str, path: str) -> Answer:
        """One page of the referrers API, whatever its status: what it means is the caller's to say."""
        return self._http.send(Call("GET", repository, path, {"Accept": INDEX_TYPE}))

    def tags(self, repository: str) -> Sequence[str]:
        """All tags of a repository, in the registry's order; none for a repository that does not exist yet."""
        found: list[str] = []
        path = "tags/list?n=1000"
        while path and len(found) < _MAX_TAGS:
            answer = self._http.send(Call("GET", repository, path))
            if answer.status == _NOT_FOUND:
                break
            document = answer.json()
            if answer.status != _OK or not isinstance(document, dict):
                raise unexpected(answer, repository.partition("/")[0], f"the tags of {repository}")
            found += [str(tag) for tag in document.get("tags") or ()]
            path = next_page(answer)
        return found

    def _begin_upload(self, repository: str) -> str:
        call = Call("POST", repository, "blobs/uploads/", {}, b"")
        answer = self._http.send(call)
        if answer.status != 202 or not answer.headers.get("location"):
            raise unexpected(answer, call.host, f"an upload to {repository}")
        return _upload(call, answer)

    def _finish_upload(self, blob: ImageRef, location: str, body: bytes | Pieces) -> None:
        path = f"{location}{'&' if '?' in location else '?'}digest={blob.digest}"
        headers = {"Content-Type": "application/octet-stream"}
        call = Call("PUT", blob.repository, path, headers, body)
        answer = self._http.send(call)
        if answer.status not in _CREATED:
            raise unexpected(answer, call.host, f"the upload of {blob.digest} to {blob.repository}")


def digest_of(content: bytes) -> Digest:
    """The digest of these bytes."""
    return Digest("sha256:" + hashlib.sha256(content).hexdigest())


def platform_digests(manifest: Mapping[str, Any]) -> tuple[Digest, ...]:
    """The platform images of an index, without attestations in it; empty for an image."""
    return tuple(
        Digest(entry["digest"])
        for entry in manifest.get("manifests", ())
        if entry.get("platform", {}).get("os") != "unknown"
    )


def _platforms(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """`os/arch` of each platform image that an index tells one of."""
    told = (entry.get("platform") or {} for entry in manifest.get("manifests", ()))
    found = (
        f"{one.get('os')}/{one.get('architecture')}" for one in told if one.get("os", "unknown") != "unknown"
    )
    return tuple(dict.fromkeys(found))


def next_page(answer: Answer) -> str:
    """The path of the next page that a Link header names, empty on the last one; a host in it is not followed."""
    target, _, relation = answer.headers.get("link", "").partition(";")
    if 'rel="next"' not in relation and "rel=next" not in relation:
        return ""
    parts = urlsplit(target.strip().removeprefix("<").removesuffix(">"))
    return f"{parts.path}?{parts.query}"


def _upload(call: Call, answer: Answer) -> str:
    return allowed(urljoin(call.url, answer.headers["location"]), call.host)


def _refused(answer: Answer, call: Call, reference: str) -> UnavailableError | ConfigurationError:
    if "TAG_INVALID" in answer.codes or "immutable" in answer.words.lower():
        return ConfigurationError(
            f"the registry {call.host} does not let the tag {reference} of {call.repository} be moved: {answer.words}",
            hint="exclude `sha256-*` from tag immutability: under such a tag the list of an image's evidence is kept"
            if reference.startswith("sha256-")
            else "choose a tag that is not in use; this repository's tags are immutable",
        )
    return unexpected(answer, call.host, f"{call.repository}:{reference}")


def _other_bytes(what: str, digest: Digest) -> UnavailableError:
    return UnavailableError(
        f"the registry gave other bytes for {what} ({digest.short})",
        hint="do not trust this registry; look at what stands between you and it",
    )
