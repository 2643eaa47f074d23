"""Evidence of a release of several services: what is kept of it, and of each service's image in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import Collected, ServiceImage, Statement
from pipeline.ports import EvidenceStore

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class ReleaseEvidenceStore:
    """See `pipeline.ports.EvidenceStore`. `store` keeps everything, `images` knows which images are in a release.

    It gives the image of each service: none for what is no release, and None for what the registry does not have.
    """

    store: EvidenceStore
    images: Callable[[Digest], Mapping[str, Digest] | None]

    def attach(self, subject: ImageRef, statement: Statement) -> str:
        """See `pipeline.ports.EvidenceStore.attach`."""
        return self.store.attach(subject, statement)

    def collect(self, subject: ImageRef) -> Collected:
        """See `pipeline.ports.EvidenceStore.collect`; what is kept of its images goes into `services`.

        Raises as well when what is kept of one of these cannot be read.
        """
        images = self.images(subject.digest)
        found = self.store.collect(subject)
        if images is None:
            return replace(found, services=None)

        def held(image: Digest) -> ServiceImage:
            return ServiceImage(image, self.store.collect(ImageRef(subject.repository, image)))

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return replace(found, services=dict(zip(images, pool.map(held, images.values()), strict=True)))

    def subjects(self) -> Sequence[Digest]:
        """See `pipeline.ports.EvidenceStore.subjects`."""
        return self.store.subjects()
