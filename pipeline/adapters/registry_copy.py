"""Taking an image and all that is attached to it from one registry to another, digest for digest."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.adapters.registry import Manifest, OciRegistry
from pipeline.adapters.registry_referrers import Lock, Referrers
from pipeline.model.digest import Digest, ImageRef


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy came to: blobs and manifests sent, `sent` bytes in all, what was `mounted` or `present` already."""

    blobs: int = 0
    mounted: int = 0
    manifests: int = 0
    sent: int = 0
    present: int = 0

    def __add__(self, other: Copied) -> Copied:
        return Copied(
            self.blobs + other.blobs,
            self.mounted + other.mounted,
            self.manifests + other.manifests,
            self.sent + other.sent,
            self.present + other.present,
        )


@dataclass(frozen=True, slots=True)
class ImageCopier:
    """Copies from `source` to `target`; they may be one registry. `lock` is `Referrers`' lock, for the target."""

    source: OciRegistry
    target: OciRegistry
    lock: Lock

    def copy(self, image: ImageRef, repository: str, *, tag: str = "") -> Copied:
        """Copies `image` and what is attached to it to `repository` (`host/name`), and says what was sent.

        What is there already is not sent again: a second copy sends nothing. `tag`, when given, is made to point to the
        image; registries remove images without one. Raises UnavailableError when a registry does not answer or gives
        other bytes than the digest says, ConfigurationError when a tag may not be moved.
        """
        done = self._manifest(self.source.manifest(image), image.repository, repository)
        if tag and self.target.resolve(repository, tag) != image.digest:
            manifest = self.source.manifest(image)
            self.target.put_manifest(repository, tag, manifest.media_type, manifest.content)
        there = Referrers(self.target, self.lock)
        known = set(there.listed(ImageRef(repository, image.digest)))
        for digest in Referrers(self.source, self.lock).listed(image):
            if digest in known:
                done += Copied(present=1)
                continue
            manifest = self.source.manifest(ImageRef(image.repository, digest))
            done += self._blobs(manifest, image.repository, repository)
            there.put(ImageRef(repository, image.digest), manifest.content)
            done += Copied(manifests=1, sent=len(manifest.content))
        return done

    def _manifest(self, manifest: Manifest, origin: str, repository: str) -> Copied:
        """A manifest after everything it names, so that a copy which breaks off leaves nothing that looks whole."""
        if self.target.has(ImageRef(repository, manifest.digest), "manifests"):
            return Copied(present=1)
        done = Copied()
        for child in manifest.document().get("manifests", ()):
            part = self.source.manifest(ImageRef(origin, Digest(child["digest"])))
            done += self._manifest(part, origin, repository)
        done += self._blobs(manifest, origin, repository)
        self.target.put_manifest(repository, str(manifest.digest), manifest.media_type, manifest.content)
        return done + Copied(manifests=1, sent=len(manifest.content))

    def _blobs(self, manifest: Manifest, origin: str, repository: str) -> Copied:
        document = manifest.document()
        named = [document["config"], *document["layers"]] if "config" in document else []
        done = Copied()
        for blob in {entry["digest"]: entry for entry in named}.values():
            done += self._blob(Digest(blob["digest"]), int(blob["size"]), origin, repository)
        return done

    def _blob(self, digest: Digest, size: int, origin: str, repository: str) -> Copied:
        wanted = ImageRef(repository, digest)
        if self.target.has(wanted, "blobs"):
            return Copied(present=1)
        host, _, name = origin.partition("/")
        if repository.startswith(f"{host}/") and self.target.mount_blob(wanted, name):
            return Copied(mounted=1)
        self.target.put_blob_stream(wanted, self.source.stream_blob(ImageRef(origin, digest)), size)
        return Copied(blobs=1, sent=size)
