"""What a candidate on staging is compared with: the release that production runs, in all its regions and services."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.errors import ConfigurationError, UndecidedError
from pipeline.model.baseline import WITHOUT, Baseline, LoadPath, compared_with, production_runs
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.service import short
from pipeline.places import Place
from pipeline.ports import Candidate
from pipeline.records import Records


@dataclass(frozen=True, slots=True)
class Production:
    """Production at all its sites. Nothing is asked of the cloud beforehand.

    `path` says which services the load meets, where there are several; `require` raises ConfigurationError where a
    service of staging (`""`: the only one) has nothing beside it to run production's image.
    """

    records: Records
    places: Sequence[Place]
    path: LoadPath
    require: Callable[[str], object]

    def choose(self, candidate: Candidate) -> tuple[Baseline, Sequence[str]]:
        """What the candidate is compared with, or why with nothing; and what people should know of that.

        Raises UndecidedError when that is not clear, what the cloud raises when production cannot be asked, and
        ConfigurationError when there is no service to run it.
        """
        digest = self._release()
        if digest is None:
            self._require_new()
            return Baseline(why="nothing runs in production yet"), ()
        if digest == candidate.ref.digest:
            return Baseline(why="production runs this very digest"), ()
        image = ImageRef(self.records.repository, digest)
        if self.records.registry.resolve(image.repository, str(digest)) is None:
            raise UndecidedError(
                f"production runs {digest}, and {image.repository} has no such image to compare the candidate with",
                hint=f"copy it there, or promote something that was built by this pipeline; {WITHOUT}",
            )
        recorded = self.places[0].recorded()
        found = self._chosen(Baseline(image, recorded=str(recorded or "")), candidate)
        for service in found.beside if found.image else ():
            self.require(service)
        said = []
        if recorded and recorded != digest:
            newest = f"{recorded.short} is the newest good rollout on record"
            said.append(f"production runs {digest.short}, although {newest}")
        if found.not_compared:
            said.append(f"not compared: {found.not_compared}")
        return found, said

    def _chosen(self, whole: Baseline, candidate: Candidate) -> Baseline:
        """Of a release of several services, the part that is to stand beside the candidate."""
        if whole.image is None or not self.path.front:
            return whole
        runs = self.records.shares(whole.image.digest)
        beside, left_out, why = compared_with(runs, self.records.shares(candidate.ref.digest), self.path)
        if why:
            return Baseline(why=why, left_out=left_out)
        services = {name: digest for name, digest in runs.items() if name in beside}
        return replace(whole, services=services, left_out=left_out)

    def _release(self) -> Digest | None:
        """The one release that runs everywhere; None: nothing does.

        A service that runs nothing counts where the release has an image of it: without one there is nothing to run.
        """
        found = {place.site.key: self._of(place) for place in self.places}
        releases = {digest for digest in found.values() if digest}
        if not releases:
            return None
        release = next(iter(releases))
        if len(releases) == 1 and all(self._has_its_part(place, found, release) for place in self.places):
            return release
        raise self._of_no_release(found) or self._several(found)

    def _require_new(self) -> None:
        """Raises UndecidedError where production only stands at zero: what ran is what users would compare with."""
        for place in self.places:
            if found := place.last_good():
                raise UndecidedError(
                    f"production is scaled to zero, although {short(found.task_definition)} is on record as running in "
                    f"{place.site.key}",
                    hint=f"scale it up, then run the stage again; {WITHOUT}",
                )

    def _has_its_part(self, place: Place, found: Mapping[str, Digest | None], release: Digest) -> bool:
        """Whether something runs there where the release has something for it, and nothing where it has not."""
        service = place.site.service
        wanted = not service or service in self.records.shares(release)
        return wanted == (found[place.site.key] is not None)

    def _of_no_release(self, found: Mapping[str, Digest | None]) -> UndecidedError | None:
        """What to raise where a service runs an image by itself; None: each runs one of a release."""
        told = [
            f"{digest} in {place.site.key}"
            for place in self.places
            if place.site.service and (digest := found[place.site.key]) and not self.records.shares(digest)
        ]
        if not told:
            return None
        return UndecidedError(
            f"production runs images of no release that is known: {', '.join(told)}",
            hint=f"promote a release that was built by this pipeline; {WITHOUT}",
        )

    def _several(self, found: Mapping[str, Digest | None]) -> UndecidedError:
        told = ", ".join(f"{digest or 'nothing'} in {key}" for key, digest in found.items())
        kind = "services" if self.path.front else "regions"
        return UndecidedError(
            f"production's {kind} differ: {told}",
            hint=f"promote or roll back until all {kind} run one digest; {WITHOUT}",
        )

    def _of(self, place: Place) -> Digest | None:
        try:
            live = place.service.describe()
            pinned, running = place.pinned(), place.running()
            platforms = (
                self._platforms(place, pinned) if pinned and running - {pinned} else frozenset[Digest]()
            )
            return production_runs(live, pinned, running, platforms)
        except UndecidedError:
            raise
        except ConfigurationError as error:
            raise type(error)(
                f"production cannot be asked what it runs: {error.message}", hint=f"{error.hint}; {WITHOUT}"
            ) from error

    def _platforms(self, place: Place, digest: Digest) -> frozenset[Digest]:
        image = ImageRef(self.records.repository, digest)
        if self.records.registry.resolve(image.repository, str(digest)) is None:
            return frozenset()
        return frozenset(self.records.registry.image_facts(place.shares.image(image)).platform_digests)
