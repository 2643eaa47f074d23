"""Evidence as files: one folder a digest, one file a statement, written whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pipeline.adapters.atomic_file import write_whole
from pipeline.errors import UnavailableError, UsageError
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import Collected, Evidence, Ignored, Statement
from pipeline.model.statement import NotEvidence, decode, encode


class FileEvidenceStore:
    """Keeps statements under `root`/<hex of the digest>/<stage>-<hex of the statement>.json."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def attach(self, subject: ImageRef, statement: Statement) -> str:
        """See `pipeline.ports.EvidenceStore.attach`. Raises UnavailableError when the disk does not take it."""
        content = encode(subject, statement)
        name = hashlib.sha256(content).hexdigest()
        write_whole(self._root / subject.digest.hex / f"{statement.stage}-{name}.json", content)
        return f"sha256:{name}"

    def collect(self, subject: ImageRef) -> Collected:
        """See `pipeline.ports.EvidenceStore.collect`. Raises UnavailableError when a file there cannot be read."""
        accepted: list[Evidence] = []
        ignored: list[Ignored] = []
        for path in self._files(subject.digest):
            found = self._read(path)
            (accepted if isinstance(found, Evidence) else ignored).append(found)  # type: ignore[arg-type]
        return Collected(tuple(accepted), tuple(ignored))

    def subjects(self) -> Sequence[Digest]:
        """See `pipeline.ports.EvidenceStore.subjects`."""
        if not self._root.is_dir():
            return ()
        folders = sorted(self._root.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
        return tuple(digest for folder in folders if (digest := _digest(folder.name)))

    def _files(self, digest: Digest) -> list[Path]:
        return sorted((self._root / digest.hex).glob("*.json"))

    @staticmethod
    def _read(path: Path) -> Evidence | Ignored:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UnavailableError(
                f"{path} cannot be read: {error.strerror}", hint="make it readable and run again"
            ) from error
        name = hashlib.sha256(content).hexdigest()
        if not path.stem.endswith(name):
            return Ignored(
                f"sha256:{name}", f"{path.name} is not what was written (its hash differs from its name)"
            )
        try:
            subject, statement = decode(content)
        except NotEvidence as error:
            return Ignored(f"sha256:{name}", f"{path.name} {error}")
        return Evidence(subject, f"sha256:{name}", statement)


def _digest(name: str) -> Digest | None:
    try:
        return Digest(f"sha256:{name}")
    except UsageError:
        return None
