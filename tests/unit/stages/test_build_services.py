"""build, of a release of several services: all side by side, and one digest over what none of them refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigurationError
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.verdict import Outcome, Reason, Verdict
from pipeline.ports import Candidate, Plan, Progress, Source, StageResult
from stages.build_services import ServicesBuildStage
from tests.fakes.load import RecordedProgress

REPOSITORY = "localhost:5000/shop"
RELEASE = ImageRef(REPOSITORY, Digest("sha256:" + "e" * 64))
CANDIDATE = Candidate(Source("c" * 40))
SHARES = {"web": Digest("sha256:" + "a" * 64), "api": Digest("sha256:" + "b" * 64)}


@dataclass
class Build:
    """The build of one service."""

    name: str
    refused: str = ""
    error: ConfigurationError | None = None
    content: Mapping[str, Any] = field(default_factory=dict)

    def plan(self, candidate: Candidate) -> Plan:
        return Plan("build", "", {"service": self.name, **self.content})

    def verdict(self) -> Verdict:
        reasons = (Reason(self.refused, "mend it"),) if self.refused else ()
        return Verdict("build", Outcome.REFUSED if reasons else Outcome.PASSED, reasons)

    def standing(self, candidate: Candidate) -> Verdict:
        assert candidate.ref.digest == SHARES[self.name]
        return self.verdict()

    def run(self, candidate: Candidate, progress: Progress) -> StageResult:
        if self.error:
            raise self.error
        progress.note("built")
        facts = {"commit": candidate.source.commit, "size": 100, "args": {}, "own": self.name}
        image = ImageRef(REPOSITORY, SHARES[self.name])
        return StageResult(self.verdict(), facts, {"image_bytes": 100, "components": 3}, image)


@dataclass
class World:
    builds: dict[str, Build] = field(default_factory=lambda: {name: Build(name) for name in SHARES})
    composed: list[Mapping[str, ImageRef]] = field(default_factory=list)
    there: Mapping[str, Digest] = field(default_factory=lambda: dict(SHARES))

    def compose(self, images: Mapping[str, ImageRef]) -> ImageRef:
        self.composed.append(images)
        return RELEASE

    @property
    def stage(self) -> ServicesBuildStage:
        builds: Any = self.builds
        return ServicesBuildStage(builds, self.compose, lambda _release: self.there)


@pytest.fixture
def world() -> World:
    return World()


def test_one_digest_is_made_of_all_images(world: World) -> None:
    progress = RecordedProgress()
    result = world.stage.run(CANDIDATE, progress)
    assert (result.outcome, result.image) == (Outcome.PASSED, RELEASE)
    assert world.composed == [{name: ImageRef(REPOSITORY, digest) for name, digest in SHARES.items()}]
    assert result.metrics == {"image_bytes": 200, "components": 6}
    assert (result.facts["commit"], result.facts["size"]) == ("c" * 40, 200)
    assert result.facts["platform_digests"] == [str(digest) for digest in SHARES.values()]
    assert result.facts["services"]["api"]["own"] == "api"
    assert (
        sorted(progress.notes)[:2] == ["api: built", f"{RELEASE}: web, api"] or "web: built" in progress.notes
    )


def test_what_one_service_is_refused_for_refuses_the_release(world: World) -> None:
    world.builds["api"].refused = "too large"
    result = world.stage.run(CANDIDATE, RecordedProgress())
    assert (result.outcome, result.image) == (Outcome.REFUSED, None)
    assert result.verdict.reasons == (Reason("api: too large", "mend it"),)
    assert world.composed == []


def test_an_error_of_one_build_is_the_stages(world: World) -> None:
    world.builds["api"].error = ConfigurationError("no Dockerfile", hint="write one")
    with pytest.raises(ConfigurationError, match="no Dockerfile"):
        world.stage.run(CANDIDATE, RecordedProgress())
    assert world.composed == []


def test_another_input_of_any_service_makes_another_plan(world: World) -> None:
    before = world.stage.plan(CANDIDATE).hash
    assert world.stage.plan(CANDIDATE).hash == before
    world.builds["web"].content = {"files": "other"}
    assert world.stage.plan(CANDIDATE).hash != before


def test_a_release_stands_while_all_its_images_do(world: World, tmp_path: Path) -> None:
    candidate = Candidate(CANDIDATE.source, RELEASE)
    assert world.stage.standing(candidate).passed
    world.builds["web"].refused = "gone"
    assert world.stage.standing(candidate).reasons == (Reason("web: gone", "mend it"),)


@pytest.mark.parametrize("there", [{}, {"web": SHARES["web"]}, {**SHARES, "third": RELEASE.digest}])
def test_a_release_of_other_services_does_not_stand(world: World, there: Mapping[str, Digest]) -> None:
    world.there = there
    assert not world.stage.standing(Candidate(CANDIDATE.source, RELEASE)).passed


def test_it_touches_no_environment(world: World) -> None:
    assert (world.stage.name, world.stage.environment) == ("build", "")
    with world.stage.hold(CANDIDATE):
        pass
