"""The image of tasks that load: Locust, our plugin, the project's locustfile; built once for what it is made of."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.adapters.locust_process import PLUGIN
from pipeline.errors import ConfigurationError, UnavailableError
from pipeline.model.crossing import BuildRequest
from pipeline.model.digest import ImageRef
from pipeline.ports import ImageBuilder, Registry, Say

_OURS = PLUGIN.parents[2]
_PROGRAMS = (
    "pipeline.adapters.load_worker",
    "pipeline.adapters.locust_main",
    "pipeline.adapters.locust_plugin",
)
_PASSING = shutil.ignore_patterns("__pycache__", "*.pyc", ".git", ".pytest_cache")
_RECIPE = """ARG BUILD_IMAGE
ARG RUNTIME_IMAGE
FROM ${BUILD_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/load
COPY requirements/load.txt /tmp/load.txt
RUN /opt/pip/bin/pip --python /opt/load/bin/python install \\
      --no-deps --require-hashes --only-binary :all: -r /tmp/load.txt
{own}FROM ${RUNTIME_IMAGE}
ENV PATH=/opt/load/bin:/usr/local/bin:/usr/bin:/bin \\
    PYTHONPATH=/opt/onedigest \\
    PYTHONUNBUFFERED=1 \\
    PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/load /opt/load
COPY onedigest /opt/onedigest
COPY project /srv/load
WORKDIR /srv/load
USER 10001:10001
CMD ["python", "-m", "pipeline.adapters.load_worker"]
"""
_OWN = """COPY requirements/own.txt /tmp/own.txt
RUN /opt/pip/bin/pip --python /opt/load/bin/python install -r /tmp/own.txt
"""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a project puts into the image, by paths below `root`.

    The locustfile comes with its folder, unless that is `root` itself; `requirements` (pip's format, or empty) is
    installed beside Locust, `files` are files and folders that the locustfile imports or reads.
    """

    root: Path
    locustfile: Path
    requirements: str = ""
    files: Sequence[str] = ()

    def parts(self) -> list[Path]:
        """Paths below `root` that are put in. Raises ConfigurationError for one that is not there, or not below it."""
        alone = (self.root / self.locustfile.parent).resolve() == self.root.resolve()
        parts = [self.locustfile if alone else self.locustfile.parent, *map(Path, self.files)]
        for path in parts:
            if path.is_absolute() or ".." in path.parts:
                raise ConfigurationError(
                    f"{path} is not below {self.root}, and cannot be put into the image of load.workers",
                    hint="put it into the project, or load from this machine: load.workers.tasks = 0",
                )
            if not (self.root / path).exists():
                raise ConfigurationError(
                    f"no {self.root / path}", hint="mend load.workers.files in pipeline.toml"
                )
        return parts

    def require(self) -> None:
        """Raises ConfigurationError when something of it is missing."""
        self.parts()
        if self.requirements and not (self.root / self.requirements).is_file():
            raise ConfigurationError(
                f"no {self.root / self.requirements}",
                hint="mend load.workers.requirements in pipeline.toml",
            )


@dataclass(frozen=True, slots=True)
class LoadImage:
    """Builds and finds the image. `bases` gives references of the base images `BUILD_IMAGE` and `RUNTIME_IMAGE`."""

    contents: Contents
    repository: str
    platform: str
    bases: Callable[[], Mapping[str, str]]
    builder: ImageBuilder
    registry: Registry

    def ensure(self, say: Say) -> ImageRef:
        """The image by its digest; built and pushed when the registry has none of exactly these contents.

        Raises ConfigurationError for what is missing or does not build, UnavailableError without engine or registry.
        """
        with tempfile.TemporaryDirectory(prefix="onedigest-load-") as directory:
            context = Path(directory)
            self._lay_out(context)
            request = BuildRequest(
                context=context,
                dockerfile=context / "Dockerfile",
                repository=self.repository,
                args=self.bases(),
                labels={"org.opencontainers.image.description": "Load for staging, by onedigest"},
                platform=self.platform,
            )
            tag = self._tag(request)
            found = self.registry.resolve(self.repository, tag)
            if found is None:
                say("building the image of the tasks that load")
                self.builder.build_and_push(request, tag, say)
                found = self.registry.resolve(self.repository, tag)
        if found is None:
            raise UnavailableError(
                f"{self.repository}:{tag} was pushed, and the registry says it has none",
                hint="check that nothing removes images with a tag load-…, then run it again",
            )
        return ImageRef(self.repository, found)

    def _tag(self, request: BuildRequest) -> str:
        made_of = [self.builder.fingerprint(request), dict(request.args), request.platform]
        return "load-" + hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:24]

    def _lay_out(self, context: Path) -> None:
        own = self.contents.requirements
        self.contents.require()
        (context / "Dockerfile").write_text(_RECIPE.replace("{own}", _OWN if own else ""), "utf-8")
        (context / "requirements").mkdir()
        shutil.copyfile(_OURS / "requirements" / "load.txt", context / "requirements" / "load.txt")
        if own:
            shutil.copyfile(self.contents.root / own, context / "requirements" / "own.txt")
        for module in modules(_OURS, _PROGRAMS):
            target = context / "onedigest" / module
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(_OURS / module, target)
        for path in self.contents.parts():
            source, target = self.contents.root / path, context / "project" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=_PASSING, dirs_exist_ok=True)
            else:
                shutil.copyfile(source, target)
        for path in context.rglob("*"):
            # The tasks run as another user, whatever the files' modes are here.
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def modules(root: Path, programs: Iterable[str]) -> list[Path]:
    """The files of the package below `root` that the programs import, directly or not, and themselves."""
    found: dict[Path, None] = {}
    waiting = list(programs)
    while waiting:
        name = waiting.pop()
        path = Path(*name.split("."))
        file = path.with_suffix(".py") if (root / path.with_suffix(".py")).is_file() else path / "__init__.py"
        if file in found or not (root / file).is_file():
            continue
        found[file] = None
        package = name.partition(".")[0]
        waiting += [*_above(name), *(n for n in _imported(root / file) if n.split(".")[0] == package)]
    return sorted(found)


def _above(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _imported(file: Path) -> list[str]:
    """Every name in import statements; of `from a import b` both a and a.b, which may be a module."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
