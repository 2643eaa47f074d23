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


def read_release(registry: OciRegistry, release: ImageRef) -> Mapping[str, Digest]:
    """The image of each service; empty where the registry has no such digest, or it is no release of several."""
    found = registry.find_manifest(release.repository, str(release.digest))
    return services_in(found.document()) if found else {}
