"""A release of several services in a registry: the index over their images, pushed and read."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.adapters.registry import OciRegistry
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.release import INDEX_TYPE, Share, index_of, services_in


def push_release(registry: OciRegistry, images: Mapping[str, ImageRef], tag: str) -> ImageRef:
    """Puts the index over the images of the services under `tag`, where they all are, and gives it by its digest.

    Raises UnavailableError when the registry does not have one of them, or does not answer in form.
    """
    (repository,) = {image.repository for image in images.values()}
    shares = {name: _share(registry, image) for name, image in images.items()}
    return ImageRef(repository, registry.put_manifest(repository, tag, INDEX_TYPE, index_of(shares)))


def _share(registry: OciRegistry, image: ImageRef) -> Share:
    manifest = registry.manifest(image)
    kind = manifest.document().get("mediaType") or manifest.media_type
    return Share(image.digest, str(kind), len(manifest.content), registry.image_facts(image).platform)


class Releases:
    """The image of each service in a release of a repository, by the release's digest. Each is read once."""

    def __init__(self, registry: OciRegistry, repository: str) -> None:
        self._registry = registry
        self._repository = repository
        self._known: dict[Digest, Mapping[str, Digest]] = {}

    def __call__(self, release: Digest) -> Mapping[str, Digest]:
        """Empty where it is no release of several services, and where the registry does not have it."""
        return self.find(release) or {}

    def find(self, release: Digest) -> Mapping[str, Digest] | None:
        """Empty where it is no release of several services; None where the registry does not have it now."""
        if release not in self._known:
            found = self._registry.find_manifest(self._repository, str(release))
            if found is None:
                return None
            self._known[release] = services_in(found.document())
        return self._known[release]
