"""build, of a release of several services: their images side by side, and one digest over all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from pipeline.fleet import Voices
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.verdict import Outcome, Reason, Verdict, combine
from pipeline.ports import Candidate, Plan, Progress, StageResult
from stages.build import BuildStage

AT_ONCE = 4
"""Builds that go on side by side: more would wait for the engine."""


@dataclass(frozen=True, slots=True)
class ServicesBuildStage:
    """Builds every service as `services` say, by name, and makes one release of their images.

    `compose` puts the index over the images into the registry and gives it; `shares` tells the images of a release.
    """

    services: Mapping[str, BuildStage]
    compose: Callable[[Mapping[str, ImageRef]], ImageRef]
    shares: Callable[[Digest], Mapping[str, Digest]]

    @property
    def name(self) -> str:
        """`build`."""
        return "build"

    @property
    def environment(self) -> str:
        """None: nothing is deployed."""
        return ""

    def plan(self, candidate: Candidate) -> Plan:
        """What each service's build sees."""
        plans = {name: dict(stage.plan(candidate).content) for name, stage in self.services.items()}
        return Plan(self.name, self.environment, {"services": plans})

    def standing(self, candidate: Candidate) -> Verdict:
        """The registry still has the release, with an image of every service that passes what is asked of it today."""
        found = self.shares(candidate.ref.digest)
        if set(found) != set(self.services):
            text = f"{candidate.ref} is gone from the registry, or is of other services"
            return Verdict(self.name, Outcome.REFUSED, (Reason(text),))
        images = {name: ImageRef(candidate.ref.repository, digest) for name, digest in found.items()}
        return self._verdict(
            {
                name: stage.standing(Candidate(candidate.source, images[name]))
                for name, stage in self.services.items()
            }
        )

    def hold(self, candidate: Candidate) -> AbstractContextManager[object]:  # noqa: ARG002 – the protocol's signature
        """Nothing that others use is changed."""
        return nullcontext()

    def run(self, candidate: Candidate, progress: Progress) -> StageResult:
        """Builds and pushes all; a release is made only of images of which none is refused."""
        voices = Voices(progress)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="build") as pool:
            futures = {
                name: pool.submit(stage.run, candidate, voices.of(name))
                for name, stage in self.services.items()
            }
        results = {name: future.result() for name, future in futures.items()}
        verdict = self._verdict({name: result.verdict for name, result in results.items()})
        facts, metrics = _facts(results), _metrics(list(results.values()))
        images = {name: result.image for name, result in results.items() if result.image}
        if not verdict.passed or len(images) < len(results):
            return StageResult(verdict, facts=facts, metrics=metrics)
        release = self.compose(images)
        progress.note(f"{release}: {', '.join(images)}")
        return StageResult(verdict, facts=facts, metrics=metrics, image=release)

    def _verdict(self, verdicts: Mapping[str, Verdict]) -> Verdict:
        reasons = tuple(
            Reason(f"{name}: {reason.text}", reason.remedy)
            for name, verdict in verdicts.items()
            for reason in verdict.reasons
        )
        return Verdict(self.name, combine(verdicts.values()), reasons)


def _facts(results: Mapping[str, StageResult]) -> dict[str, Any]:
    """What is the same for all at the top, as of one service; each service's own below it."""
    each = {
        name: {**result.facts, "image": str(result.image.digest) if result.image else ""}
        for name, result in results.items()
    }
    first = next(iter(each.values()), {})
    shared = ("commit", "dirty", "changed", "committed_at", "source", "args", "platform", "base_images")
    sizes = sum(facts.get("size", 0) for facts in each.values())
    digests = [facts["image"] for facts in each.values() if facts["image"]]
    common = {key: first[key] for key in shared if key in first}
    return {**common, "size": sizes, "platform_digests": digests, "services": each}


def _metrics(results: Sequence[StageResult]) -> dict[str, float]:
    """Sums over the services."""
    names = {name for result in results for name in result.metrics}
    return {name: sum(result.metrics.get(name, 0) for result in results) for name in sorted(names)}
