"""Protocols of the outside world, and the records that cross them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pipeline.errors import ExitCode
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import Collected, Statement
from pipeline.model.load import LoadShape, LoadSummary
from pipeline.model.rollout import ServiceState, TargetState, TaskState
from pipeline.model.verdict import Outcome, Verdict

Say = Callable[[str], None]
"""Takes one line of progress for people."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run: `argv` (never a shell string), where, with which environment, for how long at most.

    `env` replaces the whole environment when given. `timeout` is in seconds; None waits for ever.
    """

    argv: tuple[str, ...]
    cwd: Path | None = None
    env: Mapping[str, str] | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended. `output` is stdout, `errors` is stderr; `timed_out` means that we ended it."""

    exit_code: int
    output: str
    errors: str
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """The work tree a build starts from.

    `commit` is 40 hex digits, or empty outside git; `changed` the paths that differ from it, relative to the root.
    """

    commit: str
    changed: tuple[str, ...] = ()
    committed_at: datetime | None = None
    url: str = ""

    @property
    def dirty(self) -> bool:
        """True when the tree is not what the commit says."""
        return bool(self.changed)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What goes through the stages: the source, and from the build on the image, known only by its digest."""

    source: Source
    image: ImageRef | None = None

    @property
    def ref(self) -> ImageRef:
        """The image. Asking before the build is a mistake in our own code."""
        if self.image is None:
            raise AssertionError("no image before the build stage")
        return self.image


@dataclass(frozen=True, slots=True)
class Plan:
    """What a stage would run, as JSON values: test files' hashes, load shape, target, image. Without the limits."""

    stage: str
    environment: str
    content: Mapping[str, Any]

    @property
    def hash(self) -> str:
        """`sha256:` over the canonical JSON (sorted keys, no white space) of the plan."""
        body = {"stage": self.stage, "environment": self.environment, "content": self.content}
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage found: the verdict with its reasons, facts for the record, metrics for the gate.

    `facts` holds JSON values. `metrics` maps a name to a finite number. The build sets `image`. `error_code` is set
    when the outcome alone does not give the process's exit code (rolled back, superseded, stuck).
    """

    verdict: Verdict
    facts: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    image: ImageRef | None = None
    error_code: ExitCode | None = None

    @property
    def outcome(self) -> Outcome:
        """The verdict's outcome."""
        return self.verdict.outcome


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


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build: `context` and `dockerfile` are absolute paths, `args` the build arguments, `labels` OCI labels."""

    context: Path
    dockerfile: Path
    repository: str
    args: Mapping[str, str]
    labels: Mapping[str, str]
    platform: str


class ImageBuilder(Protocol):
    """Builds and pushes."""

    @property
    def name(self) -> str:
        """`buildkit` or `engine`."""
        ...

    def fingerprint(self, request: BuildRequest) -> Mapping[str, str]:
        """`sha256:…` of every file the build would see (what .dockerignore leaves), by relative path."""
        ...

    def image_id(self, reference: str) -> str:
        """The id of the image that `reference` means to the engine now; empty when it does not have it."""
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


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the registry says of an image: compressed size in bytes, `os/arch`, labels, platform digests of an index."""

    size: int
    platform: str
    labels: Mapping[str, str]
    platform_digests: tuple[Digest, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature and the key that made it. `value` is ECDSA P-256 over SHA-256 in DER, `key_id` its `SHA256:…`."""

    value: bytes
    key_id: str


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


@dataclass(frozen=True, slots=True)
class OneOff:
    """How a one-off task ended. `exit_code` None: it never ran, and `reason` says why."""

    exit_code: int | None
    reason: str
    log_lines: tuple[str, ...] = ()


class Service(Protocol):
    """One ECS service. Every method raises UnavailableError when the API cannot be reached."""

    def describe(self) -> ServiceState:
        """The service as it stands. Raises ConfigurationError when there is none."""
        ...

    def task_definition(self, arn: str) -> Mapping[str, Any]:
        """A task definition as DescribeTaskDefinition gives it."""
        ...

    def register(self, definition: Mapping[str, Any]) -> str:
        """Registers a revision (keys as RegisterTaskDefinition takes them) and returns its ARN."""
        ...

    def update(self, task_definition: str, *, desired: int | None = None) -> str:
        """One UpdateService call; returns our deployment's id. `desired` is sent only when it is given."""
        ...

    def tasks(self) -> Sequence[TaskState]:
        """Running and recently stopped tasks of the service, paged to the end."""
        ...

    def run_once(self, task_definition: str, command: Sequence[str], say: Say) -> OneOff:
        """Runs one task with the service's network and `command`, waits for its end, reads its log."""
        ...

    def log_lines(self, task_id: str, last: int) -> Sequence[str]:
        """The last lines a task wrote; empty where there are none."""
        ...


class TargetHealth(Protocol):
    """The service's target group."""

    def states(self) -> Sequence[TargetState]:
        """Every registered target with its health."""
        ...


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An HTTP answer, or why there was none (`status` 0, `error` set). `seconds` is the time it took."""

    status: int
    body: str
    seconds: float
    error: str = ""


class HttpProbe(Protocol):
    """Asks a URL once."""

    def get(self, url: str, *, timeout: float) -> HttpAnswer:
        """Never raises for what the network or the server does."""
        ...


class LoadGenerator(Protocol):
    """Drives load at a base URL and hands back what it measured."""

    def check(self, locustfile: Path) -> None:
        """Raises ConfigurationError, with the locustfile's own error, when it is missing or does not import."""
        ...

    def run(self, shape: LoadShape, base_url: str, directory: Path, progress: Progress) -> LoadSummary:
        """Runs the shape against `base_url`; raw files go to `directory`.

        Raises UndecidedError when nothing was measured.
        """
        ...


@dataclass(frozen=True, slots=True)
class TestFailure:
    """A failed test: its name as pytest prints it, the message, and the last lines of the containers."""

    __test__: ClassVar[bool] = False

    name: str
    message: str


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """How the integration suite ended: counts, failures, and the JUnit file."""

    passed: int
    failed: int
    skipped: int
    failures: tuple[TestFailure, ...]
    junit: Path
    output: str
    logs: Mapping[str, Sequence[str]] = field(default_factory=dict)


class IntegrationSandbox(Protocol):
    """Runs a candidate with its real dependencies, and a pytest suite against it."""

    def run_suite(self, image: ImageRef, directory: Path, progress: Progress) -> SuiteResult:
        """Starts services and candidate, runs the suite, removes everything.

        `directory` takes JUnit and container logs. Raises ConfigurationError when the suite's folder is missing,
        UndecidedError when the candidate or a service does not come up (with its last log lines).
        """
        ...


class Lease(Protocol):
    """Who may change an environment now."""

    def hold(self, environment: str, holder: str, why: str) -> AbstractContextManager[None]:
        """Holds the environment. Raises BusyError naming the holder when somebody else has it."""
        ...
