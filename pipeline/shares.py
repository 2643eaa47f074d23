"""Which image of a release a service runs, and which release an image is of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.adapters.promoted_tags import promoted
from pipeline.errors import ConfigurationError
from pipeline.model.digest import Digest, ImageRef
from pipeline.records import Records


@dataclass(frozen=True, slots=True)
class Shares:
    """A `service` of a release in an environment; without one the release is the image, and nothing is asked."""

    records: Records
    environment: str
    service: str = ""

    def image(self, release: ImageRef) -> ImageRef:
        """The service's image of a release, in the release's repository.

        Raises ConfigurationError where the release has none, as one from before there was such a service.
        """
        if not self.service:
            return release
        found = self.records.shares(release.digest).get(self.service)
        if found is None:
            raise ConfigurationError(
                f"{release.digest.short} has no image of the service {self.service}",
                hint="build a release with all services of pipeline.toml (python -m pipeline run); to go back to "
                "this one, use the pipeline.toml of its commit: services that it does not name are left as they are",
            )
        return ImageRef(release.repository, found)

    def release(self, image: Digest) -> Digest:
        """The release an image of the service is of; the image itself where none is known.

        An image may be in several, as when a service stays what it was: the one on record as the last good one counts
        first, then what was promoted last.
        """
        if not self.service:
            return image
        return next((r for r in self._known() if self.records.shares(r).get(self.service) == image), image)

    def releases(self, images: Iterable[Digest]) -> frozenset[Digest]:
        """The same for several."""
        return frozenset(self.release(image) for image in images)

    def _known(self) -> Iterator[Digest]:
        records = self.records
        newest = records.newest(self.environment)
        if newest:
            yield newest.subject
        yield from promoted(records.registry, records.repository, self.environment)
        yield from records.evidence.subjects()
