from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError, UnavailableError
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.verdict import Outcome
from pipeline.ports import BuildRequest, Candidate, ImageFacts, Say, Source
from stages.build import BuildPlan, BuildStage
from tests.fakes.load import RecordedProgress

DIGEST = Digest("sha256:" + "a" * 64)


class Builder:
    name = "engine"

    def __init__(self) -> None:
        self.pushed: list[tuple[BuildRequest, str]] = []
        self.files = {"Dockerfile": "-:sha256:1", "app/x.py": "-:sha256:2"}
        self.images = {"base:1": "sha256:" + "e" * 64, "base:2": "sha256:" + "f" * 64}

    def fingerprint(self, request: BuildRequest) -> Mapping[str, str]:
        return self.files

    def digests(self, references: Iterable[str]) -> Mapping[str, str]:
        return {name: self.images[name] for name in references if name in self.images}

    def build_and_push(self, request: BuildRequest, tag: str, say: Say) -> None:
        self.pushed.append((request, tag))


class Registry:
    def __init__(self) -> None:
        self.facts = ImageFacts(1000, "linux/amd64", {})
        self.digest: Digest | None = DIGEST

    def resolve(self, repository: str, reference: str) -> Digest | None:
        return self.digest

    def image_facts(self, image: ImageRef) -> ImageFacts:
        return self.facts


class Lint:
    def __init__(self) -> None:
        self.found: list[str] = []

    def findings(self, dockerfile: Path) -> Sequence[str]:
        return self.found


class Materials:
    def write(self, image: ImageRef, path: Path) -> int:
        path.write_bytes(b"7 parts")
        return 7


@pytest.fixture
def attached() -> list[tuple[ImageRef, bytes]]:
    return []


@pytest.fixture
def stage(tmp_path: Path, attached: list[tuple[ImageRef, bytes]]) -> BuildStage:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    plan = BuildPlan(
        "shop",
        tmp_path,
        tmp_path,
        tmp_path / "Dockerfile",
        "localhost:5000/shop",
        "linux/amd64",
        {},
        2000,
        "t1",
        tmp_path,
    )

    def attach(image: ImageRef, content: bytes) -> None:
        attached.append((image, content))

    return BuildStage(plan, Builder(), Registry(), Lint(), Materials(), lambda: {"BASE": "base:1"}, attach)


def test_the_list_of_what_is_inside_is_put_beside_the_image(
    stage: BuildStage, attached: list[tuple[ImageRef, bytes]]
) -> None:
    stage.run(CLEAN, RecordedProgress())
    assert attached == [(ImageRef("localhost:5000/shop", DIGEST), b"7 parts")]


CLEAN = Candidate(Source("c" * 40))


def test_the_digest_is_the_registrys(stage: BuildStage) -> None:
    result = stage.run(CLEAN, RecordedProgress())
    assert result.outcome is Outcome.PASSED
    assert result.image == ImageRef("localhost:5000/shop", DIGEST)
    assert result.metrics == {"image_bytes": 1000, "components": 7}
    assert result.facts["commit"] == "c" * 40
    assert result.facts["base_images"] == {"base:1": "sha256:" + "e" * 64}


def test_a_dirty_tree_is_allowed_and_recorded(stage: BuildStage) -> None:
    result = stage.run(Candidate(Source("c" * 40, changed=("README.md",))), RecordedProgress())
    assert result.outcome is Outcome.PASSED
    assert (result.facts["dirty"], result.facts["changed"]) == (True, ["README.md"])


def test_a_push_that_the_registry_does_not_know_of_decides_nothing(stage: BuildStage) -> None:
    registry = Registry()
    registry.digest = None
    with pytest.raises(UnavailableError, match="right after the push"):
        replace(stage, registry=registry).run(CLEAN, RecordedProgress())


def test_findings_of_the_linter_refuse_before_anything_is_built(stage: BuildStage) -> None:
    lint, builder = Lint(), Builder()
    lint.found = ["Dockerfile:1: DL3006 tag the version"]
    result = replace(stage, linter=lint, builder=builder).run(CLEAN, RecordedProgress())
    assert result.outcome is Outcome.REFUSED
    assert result.image is None
    assert not builder.pushed


@pytest.mark.parametrize("facts", [ImageFacts(2001, "linux/amd64", {}), ImageFacts(1, "linux/arm64", {})])
def test_an_image_too_big_or_of_another_platform_is_refused(stage: BuildStage, facts: ImageFacts) -> None:
    registry = Registry()
    registry.facts = facts
    result = replace(stage, registry=registry).run(CLEAN, RecordedProgress())
    assert result.outcome is Outcome.REFUSED
    assert result.image is not None


def test_the_plan_changes_with_a_file_an_argument_and_what_is_not_committed(stage: BuildStage) -> None:
    plain = stage.plan(CLEAN).hash
    other = Builder()
    other.files = {**other.files, "app/x.py": "-:sha256:3"}
    uncommitted = Candidate(Source("c" * 40, changed=("app/x.py",)))
    hashes = {
        plain,
        replace(stage, builder=other).plan(CLEAN).hash,
        replace(stage, base_images=lambda: {"BASE": "base:2"}).plan(CLEAN).hash,
        stage.plan(uncommitted).hash,
    }
    assert len(hashes) == 4


def test_a_base_image_that_moved_under_its_name_is_another_plan(stage: BuildStage) -> None:
    moved = Builder()
    moved.images["base:1"] = "sha256:33"
    assert replace(stage, builder=moved).plan(CLEAN).hash != stage.plan(CLEAN).hash


def test_another_dockerfile_is_another_plan_also_where_the_build_does_not_see_it(
    stage: BuildStage, tmp_path: Path
) -> None:
    before = stage.plan(CLEAN).hash
    other = tmp_path / "Dockerfile.slim"
    other.write_text("FROM scratch\nUSER 1\n")
    renamed = replace(stage, settings=replace(stage.settings, dockerfile=other))
    assert renamed.plan(CLEAN).hash != before
    (tmp_path / "Dockerfile").write_text("FROM scratch\nUSER 2\n")
    assert stage.plan(CLEAN).hash != before


def test_the_plan_is_the_same_for_another_commit_of_the_same_files(stage: BuildStage) -> None:
    elsewhere = Candidate(Source("d" * 40, changed=("README.md",)))
    assert stage.plan(elsewhere).hash == stage.plan(CLEAN).hash


def test_an_image_gone_from_the_registry_does_not_stand(stage: BuildStage) -> None:
    registry = Registry()
    known = Candidate(Source(""), ImageRef("localhost:5000/shop", DIGEST))
    assert replace(stage, registry=registry).standing(known).passed
    registry.digest = None
    assert not replace(stage, registry=registry).standing(known).passed


def test_an_image_stands_only_by_the_size_and_the_lint_rules_of_today(stage: BuildStage) -> None:
    known = Candidate(Source(""), ImageRef("localhost:5000/shop", DIGEST))
    smaller = replace(stage, settings=replace(stage.settings, max_size=999))
    assert not smaller.standing(known).passed
    lint = Lint()
    lint.found = ["Dockerfile:1: DL3006 tag the version"]
    assert not replace(stage, linter=lint).standing(known).passed


def test_a_missing_dockerfile_or_context_is_named(stage: BuildStage, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").unlink()
    with pytest.raises(ConfigurationError, match="Dockerfile"):
        stage.plan(CLEAN)
    with pytest.raises(ConfigurationError, match="build context"):
        replace(stage, settings=replace(stage.settings, context=tmp_path / "nowhere")).plan(CLEAN)
