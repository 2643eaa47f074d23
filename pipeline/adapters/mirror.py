"""Environments with a registry of their own: image and evidence are taken there, digest for digest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.adapters.registry_copy import Copied, ImageCopier
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import Collected, Statement
from pipeline.ports import EvidenceStore, Say


@dataclass(frozen=True, slots=True)
class MirroredStore:
    """See `pipeline.ports.EvidenceStore`. What is recorded of an environment is taken to its own registries as well.

    `repositories` maps an environment to its repositories there, `copier` gives what copies to one.
    """

    store: EvidenceStore
    repositories: Mapping[str, Sequence[str]]
    copier: Callable[[str], ImageCopier]

    def attach(self, subject: ImageRef, statement: Statement) -> str:
        """See `pipeline.ports.EvidenceStore.attach`."""
        name = self.store.attach(subject, statement)
        for repository in self.repositories.get(statement.environment, ()):
            self.copier(repository).copy(subject, repository)
        return name

    def collect(self, subject: ImageRef) -> Collected:
        """See `pipeline.ports.EvidenceStore.collect`."""
        return self.store.collect(subject)

    def subjects(self) -> Sequence[Digest]:
        """See `pipeline.ports.EvidenceStore.subjects`."""
        return self.store.subjects()


def deliver(copier: ImageCopier, image: ImageRef, repository: str, say: Say) -> ImageRef:
    """Takes an image and its evidence to `repository`, says what that came to, and gives the image there."""
    done = copier.copy(image, repository, tag=f"onedigest-{image.digest.short}")
    say(f"{repository}: {_words(done)}")
    return ImageRef(repository, image.digest)


def _words(done: Copied) -> str:
    if not done.manifests and not done.blobs and not done.mounted:
        return (
            f"image and evidence are there already, nothing was transferred ({done.present} parts looked at)"
        )
    return (
        f"{done.sent / 1_000_000:.1f} MB sent: {done.blobs} blobs and {done.manifests} manifests, "
        f"{done.mounted} blobs mounted, {done.present} parts were there"
    )
