"""What goes into the image of tasks that load, and when it is built anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.docker_engine import DockerBuilder
from pipeline.adapters.load_image import Contents, LoadImage, modules
from pipeline.adapters.process import Processes
from pipeline.errors import ConfigurationError, UnavailableError
from pipeline.model.crossing import BuildRequest, ImageFacts
from pipeline.model.digest import Digest, ImageRef
from pipeline.ports import Say

ROOT = Path(__file__).parents[3]
REPOSITORY = "registry.test/shop"


@dataclass
class Shelf:
    """Builds nothing: keeps what it would have seen under the tag, and is the registry, too. `lossy` forgets it."""

    lossy: bool = False
    built: dict[str, dict[str, str]] = field(default_factory=dict)
    name: str = "engine"

    def fingerprint(self, request: BuildRequest) -> Mapping[str, str]:
        def never() -> None:
            raise AssertionError("no engine is needed")

        return DockerBuilder(never, Processes(), lambda: None).fingerprint(request)

    def digests(self, references: Iterable[str]) -> Mapping[str, str]:
        raise AssertionError("not asked for")

    def build_and_push(self, request: BuildRequest, tag: str, say: Say) -> None:
        files = [path for path in request.context.rglob("*") if path.is_file()]
        self.built[tag] = {str(path.relative_to(request.context)): path.read_text() for path in files}

    def resolve(self, repository: str, reference: str) -> Digest | None:
        if self.lossy or reference not in self.built:
            return None
        return Digest(f"sha256:{list(self.built).index(reference):064x}")

    def image_facts(self, image: ImageRef) -> ImageFacts:
        raise AssertionError("not asked for")


def project(root: Path) -> Path:
    (root / "loadtests" / "__pycache__").mkdir(parents=True)
    (root / "loadtests" / "locustfile.py").write_text("from names import NAMES\n")
    (root / "loadtests" / "names.py").write_text("NAMES = ()\n")
    (root / "loadtests" / "__pycache__" / "names.pyc").write_text("")
    (root / "data").mkdir()
    (root / "data" / "people.csv").write_text("anne\n")
    (root / "own.txt").write_text("faker==1\n")
    (root / "secret.pem").write_text("no\n")
    return root


def image(shelf: Shelf, root: Path, base: str = "python:3", **more: Any) -> LoadImage:
    contents = Contents(root, **{"locustfile": Path("loadtests/locustfile.py"), **more})
    bases = {"BUILD_IMAGE": base, "RUNTIME_IMAGE": base}
    return LoadImage(contents, REPOSITORY, "linux/amd64", lambda: bases, shelf, shelf)


def told(_line: str) -> None:
    pass


def test_the_locustfiles_folder_our_program_and_what_is_named_are_in_it_and_nothing_else(
    tmp_path: Path,
) -> None:
    shelf = Shelf()
    found = image(shelf, project(tmp_path), requirements="own.txt", files=("data",)).ensure(told)
    (files,) = shelf.built.values()
    assert {path for path in files if path.startswith("project/")} == {
        "project/loadtests/locustfile.py",
        "project/loadtests/names.py",
        "project/data/people.csv",
    }
    assert files["requirements/own.txt"] == "faker==1\n"
    assert "own.txt" in files["Dockerfile"]
    assert "onedigest/pipeline/adapters/load_worker.py" in files
    assert found == ImageRef(REPOSITORY, Digest("sha256:" + "0" * 64))


def test_without_requirements_none_are_installed_and_a_locustfile_in_the_root_comes_alone(
    tmp_path: Path,
) -> None:
    shelf = Shelf()
    (project(tmp_path) / "locustfile.py").write_text("")
    image(shelf, tmp_path, locustfile=Path("locustfile.py")).ensure(told)
    (files,) = shelf.built.values()
    assert {path for path in files if path.startswith("project/")} == {"project/locustfile.py"}
    assert "own.txt" not in files["Dockerfile"]


def test_it_is_built_once_for_what_it_is_made_of(tmp_path: Path) -> None:
    shelf, root = Shelf(), project(tmp_path)
    said: list[str] = []
    first = image(shelf, root).ensure(said.append)
    assert image(shelf, root).ensure(said.append) == first
    assert said == ["building the image of the tasks that load"]
    assert image(shelf, root, base="python:4").ensure(told) != first
    (root / "loadtests" / "names.py").write_text("NAMES = (1,)\n")
    assert image(shelf, root).ensure(told) != first
    assert len(shelf.built) == 3


def test_a_registry_that_lost_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="was pushed, and the registry says it has none"):
        image(Shelf(lossy=True), project(tmp_path)).ensure(told)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"files": ("nowhere",)}, "no .*nowhere"),
        ({"files": ("../other",)}, "is not below"),
        ({"files": ("/etc/passwd",)}, "is not below"),
        ({"requirements": "nothing.txt"}, r"no .*nothing\.txt"),
    ],
)
def test_what_is_not_there_is_told_by_its_path(tmp_path: Path, more: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as caught:
        image(Shelf(), project(tmp_path), **more).ensure(told)
    assert caught.value.hint


def test_the_program_takes_only_what_it_imports_with_it() -> None:
    found = {str(path) for path in modules(ROOT, ("pipeline.adapters.load_worker",))}
    assert {"pipeline/__init__.py", "pipeline/adapters/load_frames.py", "pipeline/model/load.py"} <= found
    assert not {"pipeline/config.py", "pipeline/adapters/ecs.py", "pipeline/adapters/aws.py"} & found
