"""build: from the Dockerfile to an image in the registry, from then on known by its digest alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigurationError, UnavailableError
from pipeline.model.digest import ImageRef
from pipeline.model.verdict import Outcome, Reason, Verdict
from pipeline.ports import (
    BillOfMaterials,
    BuildRequest,
    Candidate,
    ImageBuilder,
    ImageFacts,
    Linter,
    Plan,
    Progress,
    Registry,
    StageResult,
)
from stages.files import hash_file

LABEL = "org.opencontainers.image."
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What is built. `max_size` is in bytes of compressed layers; `tag` is this run's own."""

    app: str
    root: Path
    context: Path
    dockerfile: Path
    repository: str
    platform: str
    args: Mapping[str, str]
    max_size: int
    tag: str
    directory: Path


@dataclass(frozen=True, slots=True)
class BuildStage:
    """Lint, build, push, ask the registry for the digest, list what is inside.

    `base_images` turns build arguments that name base images into references which the engine has; `attach` puts the
    list of what is inside (CycloneDX) beside the image.
    """

    settings: BuildPlan
    builder: ImageBuilder
    registry: Registry
    linter: Linter | None
    materials: BillOfMaterials | None
    base_images: Callable[[], Mapping[str, str]]
    attach: Callable[[ImageRef, bytes], None]

    @property
    def name(self) -> str:
        """`build`."""
        return "build"

    @property
    def environment(self) -> str:
        """None: nothing is deployed."""
        return ""

    def plan(self, candidate: Candidate) -> Plan:
        """Every file the build sees, every argument, and what the base images are at present.

        The commit is left out: it changes nothing in the image. The Dockerfile may lie where the build does not see it.
        """
        bases = self.base_images()
        request = self._request(candidate, bases)
        files = self.builder.fingerprint(request)
        within = {self._context_path(path) for path in candidate.source.changed}
        return Plan(
            self.name,
            self.environment,
            {
                "files": dict(files),
                "dockerfile": hash_file(request.dockerfile, "Dockerfile"),
                "base_images": dict(self.builder.digests(bases.values())),
                "args": dict(request.args),
                "platform": request.platform,
                "repository": request.repository,
                "uncommitted": sorted(path for path in within if path in files),
            },
        )

    def standing(self, candidate: Candidate) -> Verdict:
        """The registry still has the image, and it passes what is asked of it today."""
        image = candidate.ref
        if self.registry.resolve(image.repository, str(image.digest)) is None:
            return Verdict(self.name, Outcome.REFUSED, (Reason(f"{image} is gone from the registry"),))
        return self._verdict([*self._findings(), *self._weigh(self.registry.image_facts(image))])

    def hold(self, candidate: Candidate) -> AbstractContextManager[object]:  # noqa: ARG002 – the protocol's signature
        """Nothing that others use is changed."""
        return nullcontext()

    def run(self, candidate: Candidate, progress: Progress) -> StageResult:
        """Builds and pushes. A finding of the linter, or an image over its size, is REFUSED."""
        progress.step(f"checking {self.settings.dockerfile.name}")
        if findings := self._findings():
            return StageResult(self._verdict(findings))
        request = self._request(candidate, self.base_images())
        self.builder.build_and_push(request, self.settings.tag, progress.step)
        image = self._pushed(request)
        progress.note(f"{image}")
        facts = self.registry.image_facts(image)
        components = self._materials(image, progress)
        return StageResult(
            self._verdict(self._weigh(facts)),
            facts={**self._facts(candidate, request, facts), "base_images": self._bases()},
            metrics={"image_bytes": facts.size, **components},
            image=image,
        )

    def _findings(self) -> list[Reason]:
        if self.linter is None:
            return []
        return [
            Reason(finding, "mend the line, or allow the rule in .hadolint.yaml and say why")
            for finding in self.linter.findings(self._dockerfile())
        ]

    def _pushed(self, request: BuildRequest) -> ImageRef:
        digest = self.registry.resolve(request.repository, self.settings.tag)
        if digest is None:
            raise UnavailableError(
                f"the registry has no {request.repository}:{self.settings.tag} right after the push",
                hint="look at the registry's log; run again",
            )
        return ImageRef(request.repository, digest)

    def _materials(self, image: ImageRef, progress: Progress) -> dict[str, float]:
        if self.materials is None:
            return {}
        progress.step("listing what is inside (SBOM)")
        path = self.settings.directory / "sbom.cdx.json"
        components = self.materials.write(image, path)
        self.attach(image, path.read_bytes())
        return {"components": components}

    def _bases(self) -> dict[str, str]:
        return dict(self.builder.digests(self.base_images().values()))

    def _weigh(self, facts: ImageFacts) -> list[Reason]:
        reasons = []
        if facts.size > self.settings.max_size:
            text = f"the image has {facts.size / _MIB:.0f} MiB, at most {self.settings.max_size / _MIB:.0f} are allowed"
            reasons.append(Reason(text, "make it smaller, or raise build.max_size_mb"))
        if facts.platform != self.settings.platform:
            text = f"the image is for {facts.platform}, asked for was {self.settings.platform}"
            reasons.append(Reason(text, "use base images of that platform, or change build.platform"))
        return reasons

    def _verdict(self, reasons: list[Reason]) -> Verdict:
        return Verdict(self.name, Outcome.REFUSED if reasons else Outcome.PASSED, tuple(reasons))

    def _request(self, candidate: Candidate, bases: Mapping[str, str]) -> BuildRequest:
        source = candidate.source
        labels = {
            LABEL + "title": self.settings.app,
            LABEL + "revision": source.commit,
            LABEL + "source": source.url,
            LABEL + "created": source.committed_at.isoformat() if source.committed_at else "",
        }
        return BuildRequest(
            context=self._context(),
            dockerfile=self._dockerfile(),
            repository=self.settings.repository,
            args={**self.settings.args, **bases},
            labels={name: value for name, value in labels.items() if value},
            platform=self.settings.platform,
        )

    def _context(self) -> Path:
        if not self.settings.context.is_dir():
            raise ConfigurationError(
                f"no build context {self.settings.context}", hint="create the folder, or mend app.context"
            )
        return self.settings.context

    def _dockerfile(self) -> Path:
        if not self.settings.dockerfile.is_file():
            raise ConfigurationError(
                f"no {self.settings.dockerfile}", hint="write a Dockerfile, or name yours in app.dockerfile"
            )
        return self.settings.dockerfile

    def _context_path(self, changed: str) -> str:
        path = self.settings.root / changed
        return (
            str(path.relative_to(self.settings.context)) if path.is_relative_to(self.settings.context) else ""
        )

    @staticmethod
    def _facts(candidate: Candidate, request: BuildRequest, facts: ImageFacts) -> dict[str, Any]:
        source = candidate.source
        return {
            "commit": source.commit,
            "dirty": source.dirty,
            "changed": list(source.changed[:50]),
            "committed_at": source.committed_at.isoformat() if source.committed_at else "",
            "source": source.url,
            "args": dict(request.args),
            "platform": facts.platform,
            "size": facts.size,
            "platform_digests": [str(digest) for digest in facts.platform_digests],
        }
