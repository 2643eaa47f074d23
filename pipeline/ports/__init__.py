"""Protocols of the outside world, and the records that cross them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pipeline.model.crossing import (
    BuildRequest,
    Candidate,
    Command,
    Finished,
    HttpAnswer,
    ImageFacts,
    OneOff,
    Plan,
    Signature,
    Source,
    StageResult,
    SuiteResult,
    TestFailure,
)
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import Collected, Statement
from pipeline.model.load import LoadShape, LoadSummary
from pipeline.model.sides import Enough, PairSummary, Sides
from pipeline.model.verdict import Verdict
from pipeline.ports.rollout import (
    Alarms,
    DeploymentLog,
    Held,
    HttpProbe,
    Lease,
    RunningProbe,
    Say,
    Service,
    TargetHealth,
    TrafficProbe,
)

__all__ = [
    "Alarms",
    "BillOfMaterials",
    "BuildIndex",
    "BuildRequest",
    "Candidate",
    "Clock",
    "Command",
    "CommandRunner",
    "DeploymentLog",
    "EvidenceStore",
    "Finished",
    "Held",
    "HttpAnswer",
    "HttpProbe",
    "ImageBuilder",
    "ImageFacts",
    "IntegrationSandbox",
    "Lease",
    "Linter",
    "LoadGenerator",
    "OneOff",
    "Plan",
    "Progress",
    "Registry",
    "RunningProbe",
    "Say",
    "Service",
    "Signature",
    "Signer",
    "Source",
    "Stage",
    "StageResult",
    "SuiteResult",
    "TargetHealth",
    "TestFailure",
    "TrafficProbe",
    "Verifier",
]


class Stage(Protocol):
    """One of build, integration, staging, prod."""

    @property
    def name(self) -> str:
        """The stage's name in evidence and on screen."""
        ...

    @property
    def environment(self) -> str:
        """The environment it touches, or the empty string."""
        ...

    def plan(self, candidate: Candidate) -> Plan:
        """What would be run; its hash goes into the evidence."""
        ...

    def standing(self, candidate: Candidate) -> Verdict:
        """Whether what a PASSED record of this stage says is still so in the world (image there, service runs it)."""
        ...

    def hold(self, candidate: Candidate) -> AbstractContextManager[object]:
        """Keeps others from what it changes, if that is anything, until the block ends.

        The runner judges, runs and records inside; `run` may ask for it once more. Raises BusyError when others have
        it.
        """
        ...

    def run(self, candidate: Candidate, progress: Progress) -> StageResult:
        """Facts and verdict; raises only PipelineError for "could not decide"."""
        ...


class Progress(Protocol):
    """Where a running stage says what it does and waits for."""

    def step(self, text: str) -> None:
        """What the stage does or waits for now."""
        ...

    def share(self, done: float, text: str) -> None:
        """A bar: `done` from 0 to 1."""
        ...

    def note(self, text: str) -> None:
        """A line that stays on screen."""
        ...


class Clock(Protocol):
    """Time. Only this port sleeps."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Waits."""
        ...


class CommandRunner(Protocol):
    """Runs programs."""

    def run(self, command: Command) -> Finished:
        """Runs to the end. Raises UnavailableError when the program is not there."""
        ...


class ImageBuilder(Protocol):
    """Builds and pushes."""

    @property
    def name(self) -> str:
        """`buildkit` or `engine`."""
        ...

    def fingerprint(self, request: BuildRequest) -> Mapping[str, str]:
        """`sha256:…` of every file the build would see (what .dockerignore leaves), by relative path."""
        ...

    def digests(self, references: Iterable[str]) -> Mapping[str, str]:
        """The `sha256:…` of images the engine has, by reference: the digest it was pulled by, else its own id.

        One that it has not is left out.
        """
        ...

    def build_and_push(self, request: BuildRequest, tag: str, say: Say) -> None:
        """Builds, and pushes under `tag`. The digest is the registry's to tell.

        Raises ConfigurationError with the failing Dockerfile step, UnavailableError without an engine or registry.
        """
        ...


class Linter(Protocol):
    """Looks for mistakes in a Dockerfile."""

    def findings(self, dockerfile: Path) -> Sequence[str]:
        """One line a finding that must be mended; empty when there is none."""
        ...


class BillOfMaterials(Protocol):
    """Lists what an image is made of."""

    def write(self, image: ImageRef, path: Path) -> int:
        """Writes a CycloneDX document to `path`; returns how many components it lists.

        Raises UndecidedError when the image could not be read.
        """
        ...


class Registry(Protocol):
    """An OCI registry (distribution-spec v1.1)."""

    def resolve(self, repository: str, reference: str) -> Digest | None:
        """The digest of a tag or digest in `repository`; None when the registry says it has none."""
        ...

    def image_facts(self, image: ImageRef) -> ImageFacts:
        """Size, platform and labels from manifest and config, each re-hashed."""
        ...


class EvidenceStore(Protocol):
    """Keeps statements about digests."""

    def attach(self, subject: ImageRef, statement: Statement) -> str:
        """Stores the statement whole or not at all; returns the `sha256:…` of what was stored."""
        ...

    def collect(self, subject: ImageRef) -> Collected:
        """Everything stored for the digest: what counts as evidence, and what was ignored and why."""
        ...

    def subjects(self) -> Sequence[Digest]:
        """Every digest this store knows something of, newest first."""
        ...


class Signer(Protocol):
    """Signs with one key."""

    @property
    def key_id(self) -> str:
        """The OpenSSH fingerprint of the public key, `SHA256:` and 43 characters."""
        ...

    @property
    def public_key(self) -> str:
        """The public key as PEM (SubjectPublicKeyInfo)."""
        ...

    def sign(self, message: bytes) -> Signature:
        """Signs the very bytes given. Raises UnavailableError when the key cannot be used now."""
        ...


class Verifier(Protocol):
    """Knows whom we trust."""

    def signer_of(self, message: bytes, signature: bytes) -> str | None:
        """The id of the trusted key that signed these bytes; None when no trusted key did."""
        ...


class BuildIndex(Protocol):
    """Which image a build plan last gave; a memory for reuse, never evidence."""

    def find(self, plan_hash: str) -> ImageRef | None:
        """The image, or None."""
        ...

    def remember(self, plan_hash: str, image: ImageRef) -> None:
        """Keeps it, replacing what was there."""
        ...


class LoadGenerator(Protocol):
    """Drives load at a base URL and hands back what it measured."""

    def check(self, locustfile: Path) -> None:
        """Raises ConfigurationError, with the locustfile's own error, when it is missing or does not import."""
        ...

    def run(self, shape: LoadShape, base_url: str, directory: Path, progress: Progress) -> LoadSummary:
        """Runs the shape against `base_url`; raw files go to `directory`.

        Raises UndecidedError when nothing was measured, ConfigurationError when the users do not share evenly between
        the processes.
        """
        ...

    def compare(
        self, shape: LoadShape, sides: Sides, directory: Path, progress: Progress, enough: Enough
    ) -> PairSummary:
        """Loads both sides at the same time, each with half of the shape's users; raw files go to `directory`.

        `enough` is asked about once a second with the blocks whose answers are all in; True ends the load early, and
        `shape.duration` is the longest it takes. Raises as `run` does, and ConfigurationError when users are no
        multiple of twice the processes. A side that only fails raises nothing: its summary shows it.
        """
        ...


class IntegrationSandbox(Protocol):
    """Runs a candidate with its real dependencies, and a pytest suite against it."""

    def run_suite(self, image: ImageRef, directory: Path, progress: Progress) -> SuiteResult:
        """Starts services and candidate, runs the suite, removes everything.

        `directory` takes JUnit and container logs. Raises ConfigurationError when the suite's folder is missing,
        UndecidedError when the candidate or a service does not come up (with its last log lines).
        """
        ...
