"""The bundles themselves, for verifiers that do not know us: one Sigstore bundle a line."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.adapters.registry import OciRegistry, digest_of
from pipeline.adapters.registry_referrers import Referrers
from pipeline.errors import UnavailableError
from pipeline.model.bundle import BUNDLE_TYPE, MAX_BUNDLE
from pipeline.model.digest import Digest, ImageRef


def fetch_bundles(
    registry: OciRegistry, referrers: Referrers, image: ImageRef, names: Sequence[str]
) -> list[bytes]:
    """The bundles attached to `image` whose `sha256:…` are `names`, in that order.

    Raises UnavailableError when one of them has gone since it was listed.
    """
    found: dict[str, bytes] = {}
    for listed in referrers.listed(image):
        manifest = registry.find_manifest(image.repository, str(listed))
        layers = manifest.document().get("layers", []) if manifest else []
        for layer in layers:
            if layer.get("mediaType") == BUNDLE_TYPE and layer.get("digest") in names:
                content = registry.blob(ImageRef(image.repository, Digest(layer["digest"])), limit=MAX_BUNDLE)
                found[str(digest_of(content))] = content
    missing = [name for name in names if name not in found]
    if missing:
        raise UnavailableError(
            f"{', '.join(missing)} of {image} has gone since it was listed", hint="run the same command again"
        )
    return [found[name] for name in names]
