"""Writes a layer and a configuration as an archive for `docker load`; the image ID depends on those two alone."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

EPOCH = 1700000000
"""Seconds since 1970: the one time stamp in everything we make, so that the same input gives the same bytes."""

CREATED = datetime.fromtimestamp(EPOCH, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """How containers of the image start, in the words of the OCI image configuration."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""

    def document(self, labels: Mapping[str, str]) -> dict[str, Any]:
        """The `config` object of the image; empty values are left out."""
        full = {
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.command),
            "Env": [f"{key}={value}" for key, value in self.environment.items()],
            "ExposedPorts": {port: {} for port in self.ports},
            "User": self.user,
            "WorkingDir": self.working_dir,
            "StopSignal": self.stop_signal,
            "Labels": dict(labels),
        }
        return {key: value for key, value in full.items() if value}


def write_archive(
    target: Path, layer: Path, config: ImageConfig, *, tag: str, architecture: str, labels: Mapping[str, str]
) -> str:
    """Write `layer` (a tar of the root file system) as an image named `tag` to `target`; return the image's ID.

    `architecture` is the OCI word (`amd64`, `arm64`, …).
    """
    with layer.open("rb") as content:
        layer_id = hashlib.file_digest(content, "sha256").hexdigest()
    document = _canonical(
        {
            "architecture": architecture,
            "os": "linux",
            "created": CREATED,
            "config": config.document(labels),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_id}"]},
            "history": [{"created": CREATED, "created_by": f"onedigest {tag}"}],
        }
    )
    image_id = hashlib.sha256(document).hexdigest()
    manifest = [{"Config": f"{image_id}.json", "RepoTags": [tag], "Layers": [f"{layer_id}/layer.tar"]}]
    with tarfile.open(target, "w") as archive, layer.open("rb") as content:
        _add(archive, f"{image_id}.json", io.BytesIO(document), len(document))
        _add(archive, f"{layer_id}/layer.tar", content, layer.stat().st_size)
        listing = _canonical(manifest)
        _add(archive, "manifest.json", io.BytesIO(listing), len(listing))
    return f"sha256:{image_id}"


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, EPOCH, 0o644
    archive.addfile(member, content)
