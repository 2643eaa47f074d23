"""What is recorded of images: in the registry, in those of environments with their own, and on this machine."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.adapters.atomic_file import write_whole
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.evidence_export import fetch_bundles
from pipeline.adapters.evidence_store import FileEvidenceStore
from pipeline.adapters.mirror import MirroredStore, deliver
from pipeline.adapters.promoted_tags import promoted, tag_promoted
from pipeline.adapters.registry import OciRegistry
from pipeline.adapters.registry_copy import ImageCopier
from pipeline.adapters.registry_evidence import DigestLocks, RegistryEvidenceStore
from pipeline.adapters.registry_referrers import Referrers
from pipeline.adapters.registry_release import Releases
from pipeline.adapters.release_evidence import ReleaseEvidenceStore
from pipeline.adapters.witness import WitnessedStore
from pipeline.config import Settings
from pipeline.errors import UsageError
from pipeline.gates import make_rules
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import Collected, Evidence, Statement
from pipeline.model.gate import weigh
from pipeline.model.order import Origin
from pipeline.model.rollback import Choice, choose, last_good, named
from pipeline.model.rules import latest
from pipeline.model.surroundings import Image
from pipeline.model.target import Tag, parse_target
from pipeline.ports import EvidenceStore, Say
from pipeline.reach import mirrors_of, own_repositories
from pipeline.runner import Rules
from pipeline.trust import Signing

SBOM_TYPE = "application/vnd.cyclonedx+json"
BLOCKS_TYPE = "application/vnd.onedigest.load-blocks.v1+json+gzip"


@dataclass(frozen=True)
class Records:
    """Images of one app and what is recorded of them, by the keys of `signing`.

    `host` is the registry that is built to, `logins` what a registry asks for, `state` the project's `.pipeline`;
    `run_id` goes into what is recorded.
    """

    settings: Settings
    signing: Signing
    host: str
    logins: Callable[[str], Mapping[str, str] | None]
    state: Path
    run_id: str

    @property
    def repository(self) -> str:
        """The image's repository, registry included."""
        return f"{self.host}/{self.settings.repository}"

    @cached_property
    def registry(self) -> OciRegistry:
        """The registry that is built to."""
        return self._registry_of(self.repository)

    @cached_property
    def evidence(self) -> EvidenceStore:
        """Where evidence is kept: of a release of several services, that of their images is given with it."""
        return ReleaseEvidenceStore(self._kept, self.shares.find) if self.settings.services else self._kept

    @cached_property
    def _kept(self) -> EvidenceStore:
        mirrored = MirroredStore(self._attached, mirrors_of(self.settings), self._copier)
        return WitnessedStore(mirrored, FileEvidenceStore(self.state / "evidence"))

    @cached_property
    def shares(self) -> Releases:
        """The image of each service in a release of several; none of any other image."""
        return Releases(self.registry, self.repository)

    @cached_property
    def rules(self) -> Rules:
        """The gates, with whom they trust."""
        return make_rules(self.settings, self.signing.trust)

    def image(self, text: str) -> ImageRef:
        """The image that a person means.

        Raises UsageError for a tag, naming the digest it points to now, and for what is no digest.
        """
        target = parse_target(text, self.evidence.subjects)
        if isinstance(target, Tag):
            raise _tag_refused(target, self.registry.resolve(self.repository, target.name))
        return ImageRef(self.repository, target)

    def weighed(self, image: ImageRef) -> Collected:
        """What is recorded of an image, by what production's gate takes into account."""
        policy = self.rules.gates["prod"]
        return weigh(image.digest, self._kept.collect(image), policy, SystemClock().now())

    def origin(self, digest: Digest) -> Origin:
        """Where an image comes from, by its build record; commit and time are unknown where there is none."""
        found = self.weighed(ImageRef(self.repository, digest)).accepted
        build = latest([each for each in found if each.statement.stage == "build"])
        if build is None:
            return Origin(digest)
        return Origin(digest, str(build.statement.facts.get("commit", "")), build.statement.finished)

    def rollback_choice(self, environment: str, left: frozenset[Digest]) -> Choice:
        """What the environment goes back to from what is `left`, of all that was ever deployed there."""
        return choose(self._deployed(environment), self.rules.gates[environment], SystemClock().now(), left)

    def named(self, environment: str, digest: Digest) -> Choice:
        """The last good deployment of a digest to the environment, as the target of a rollback."""
        return named(digest, self._collected(digest), self.rules.gates[environment], SystemClock().now())

    def last_good(self, environment: str, told: Digest | None = None) -> Evidence | None:
        """The last good deployment to an environment.

        The promotion tags tell where to begin; `told` is what the service is told to run, which may have got none.
        """
        policy, now = self.rules.gates[environment], SystemClock().now()
        return last_good(self._deployed(environment), told, self._collected, policy, now)

    def _collected(self, digest: Digest) -> Collected:
        return self.evidence.collect(ImageRef(self.repository, digest))

    def _deployed(self, environment: str) -> Iterator[tuple[Digest, Collected]]:
        """Every digest with what is kept of it: by the time of its last promotion there, then all others."""
        seen: set[Digest] = set()
        for digests in (
            lambda: promoted(self.registry, self.repository, environment),
            self.evidence.subjects,
        ):
            for digest in digests():
                if digest not in seen:
                    seen.add(digest)
                    yield digest, self._collected(digest)

    def protect(self, environment: str, image: ImageRef) -> None:
        """Tags an image as promoted, here and where the environment pulls from: lifecycle rules know tags, not ECS."""
        for repository in {self.repository, image.repository}:
            registry = self._registry_of(repository)
            tag_promoted(registry, ImageRef(repository, image.digest), environment, SystemClock().now())

    def deployments(self, environment: str) -> Sequence[Evidence]:
        """What is recorded of deployments to an environment, over all digests, in no order."""
        return [
            evidence
            for digest in self.evidence.subjects()
            for evidence in self.weighed(ImageRef(self.repository, digest)).accepted
            if evidence.statement.environment == environment
            and evidence.statement.stage in (environment, "rollback")
        ]

    def newest(self, environment: str) -> Evidence | None:
        """The newest PASSED deployment to an environment, over all digests."""
        found = (each for each in self.deployments(environment) if each.statement.result == "PASSED")
        return max(found, key=lambda evidence: evidence.statement.finished, default=None)

    @property
    def person(self) -> str:
        """Who acts, by the login that CI or this machine gives, and the key that signs here, if there is one."""
        return f"{login()} (key: {self.signing.name})" if self.signing.name else login()

    def left(self, image: ImageRef, environment: str, to: Digest, reason: str) -> str:
        """Signs that an environment went back from an image to another one; returns the record's `sha256:…`."""
        return self.declare(image, "rollback", environment, "FAILED", reason, to=str(to))

    def declare(
        self, image: ImageRef, stage: str, environment: str, result: str, reason: str, **facts: str
    ) -> str:
        """Signs a person's word, such as an approval or a quarantine, and attaches it; returns the record's `sha256:…`.

        `facts` go into the record beside the reason and who says so.
        """
        now = SystemClock().now()
        said = Statement(
            app=self.settings.app.name,
            stage=stage,
            environment=environment,
            result=result,
            plan="",
            run=self.run_id,
            started=now,
            finished=now,
            facts={"reason": reason, "by": self.person, **facts},
        )
        return self.evidence.attach(image, said)

    def export(self, image: ImageRef, path: Path) -> int:
        """Writes the bundles of all records that count, one a line; returns how many."""
        names = [found.id for found in self.weighed(image).accepted]
        bundles = fetch_bundles(self.registry, Referrers(self.registry, self._locks), image, names)
        write_whole(path, b"".join(bundle + b"\n" for bundle in bundles))
        return len(bundles)

    def attach_materials(self, image: ImageRef, content: bytes) -> None:
        """Puts a CycloneDX list beside an image, once: it is never quite the same bytes twice, and one is enough."""
        if not Referrers(self.registry, self._locks).listed(image, SBOM_TYPE):
            self._attached.attach_artifact(image, SBOM_TYPE, content)

    def attach_blocks(self, image: ImageRef, content: bytes) -> None:
        """Puts what was measured side by side beside the image, so that anybody can compute the verdict again."""
        self._attached.attach_artifact(image, BLOCKS_TYPE, content)

    def delivered(self, environment: str, region: str, image: ImageRef, say: Say) -> ImageRef:
        """The image where the environment pulls from in a region: taken there first where that is another registry."""
        repository = own_repositories(self.settings).get((environment, region))
        return deliver(self._copier(repository), image, repository, say) if repository else image

    def destined(self, environment: str, region: str, image: ImageRef) -> ImageRef:
        """The image by the name under which the environment pulls it in a region."""
        own = own_repositories(self.settings).get((environment, region))
        return ImageRef(own or image.repository, image.digest)

    def found(self, environment: str, region: str, image: ImageRef) -> Image | None:
        """The image where the environment pulls from, else where it would be taken from; None: neither has it."""
        for ref in dict.fromkeys((self.destined(environment, region, image), image)):
            registry = self._registry_of(ref.repository)
            if registry.resolve(ref.repository, str(ref.digest)):
                facts = registry.image_facts(ref)
                return Image(ref.repository, facts.platforms, facts.labels)
        return None

    @cached_property
    def _attached(self) -> RegistryEvidenceStore:
        return RegistryEvidenceStore(
            self.registry, self.repository, lambda: self.signing.signer, self.signing.verifier, self._locks
        )

    def _copier(self, repository: str) -> ImageCopier:
        return ImageCopier(self.registry, self._registry_of(repository), self._locks)

    def _registry_of(self, repository: str) -> OciRegistry:
        host = repository.partition("/")[0]
        return OciRegistry(lambda: self.logins(host), host=host)

    @property
    def _locks(self) -> DigestLocks:
        return DigestLocks(self.state / "locks")


def _tag_refused(tag: Tag, digest: Digest | None) -> UsageError:
    if digest is None:
        return UsageError(
            f"{tag.name!r} is no digest, and no tag that the registry knows",
            hint="give sha256:…, or its first 12 hex digits; `python -m pipeline status` shows the digests in use",
        )
    return UsageError(
        f"{tag.name!r} is a tag, and a tag may point elsewhere tomorrow",
        hint=f"use the digest it points to now: {digest}",
    )


def login() -> str:
    """Who CI says acts, else this process's user; its number where the machine has no name, as in some containers."""
    if actor := os.environ.get("GITHUB_ACTOR"):
        return actor
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
