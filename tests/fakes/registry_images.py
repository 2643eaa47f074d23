"""Small images in a registry, pushed through its API."""

from __future__ import annotations

import json

from pipeline.adapters.registry import MANIFEST_TYPE, OciRegistry
from pipeline.model.digest import ImageRef


def push_image(registry: OciRegistry, repository: str, text: str = "hello", tag: str = "") -> ImageRef:
    """An image of one layer that holds `text`."""
    labels = {"text": text}
    config = json.dumps({"os": "linux", "architecture": "amd64", "config": {"Labels": labels}}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _blob(registry, repository, config, "application/vnd.oci.image.config.v1+json"),
        "layers": [_blob(registry, repository, text.encode(), "application/vnd.oci.image.layer.v1.tar")],
    }
    content = json.dumps(manifest).encode()
    digest = registry.put_manifest(repository, tag or "latest", MANIFEST_TYPE, content)
    return ImageRef(repository, digest)


def _blob(registry: OciRegistry, repository: str, content: bytes, kind: str) -> dict[str, object]:
    return {"mediaType": kind, "digest": str(registry.put_blob(repository, content)), "size": len(content)}
