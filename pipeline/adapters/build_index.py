"""Which image a build plan last gave, as files. A memory for reuse; the gate never reads it."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.adapters.atomic_file import write_whole
from pipeline.errors import UsageError
from pipeline.model.digest import Digest, ImageRef


class FileBuildIndex:
    """One file a plan under `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, plan_hash: str) -> ImageRef | None:
        """See `pipeline.ports.BuildIndex.find`. A file that does not parse is no answer."""
        try:
            document = json.loads(self._path(plan_hash).read_text(encoding="utf-8"))
            return ImageRef(document["repository"], Digest(document["digest"]))
        except (OSError, ValueError, KeyError, TypeError, UsageError):
            return None

    def remember(self, plan_hash: str, image: ImageRef) -> None:
        """See `pipeline.ports.BuildIndex.remember`."""
        document = {"repository": image.repository, "digest": str(image.digest)}
        write_whole(self._path(plan_hash), json.dumps(document).encode())

    def _path(self, plan_hash: str) -> Path:
        return self._root / f"{plan_hash.removeprefix('sha256:')}.json"
