"""Several services as one release: an OCI image index that names the image of each, and is the one digest of all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.model.digest import Digest

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
SERVICE = "dev.onedigest.service"
"""The annotation of an index's manifest that names the service (ours; OCI leaves annotations to everybody)."""


@dataclass(frozen=True, slots=True)
class Share:
    """A service's image in a release: its manifest as the registry has it. `size` is the manifest's, in bytes."""

    digest: Digest
    media_type: str
    size: int
    platform: str


def index_of(shares: Mapping[str, Share]) -> bytes:
    """The index over the shares, by service: the same shares make the same bytes, and so the same digest."""
    manifests = [
        {
            "mediaType": share.media_type,
            "digest": str(share.digest),
            "size": share.size,
            "platform": _platform(share.platform),
            "annotations": {SERVICE: name},
        }
        for name, share in sorted(shares.items())
    ]
    document = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _platform(text: str) -> dict[str, str]:
    system, _, architecture = text.partition("/")
    return {"os": system, "architecture": architecture}


def services_in(document: Mapping[str, Any]) -> Mapping[str, Digest]:
    """The manifest of each service that an index names; empty for an image, or an index of something else."""
    found: dict[str, Digest] = {}
    for entry in document.get("manifests") or ():
        name = (entry.get("annotations") or {}).get(SERVICE)
        if isinstance(name, str):
            found[name] = Digest(str(entry["digest"]))
    return found
