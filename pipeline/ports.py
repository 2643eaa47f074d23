"""Protocols of the outside world, and the records that cross them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

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
from pipeline.model.deployment_log import LogEntry
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import Collected, Statement
from pipeline.model.lease import Claim, Tenure
from pipeline.model.load import LoadShape, LoadSummary
from pipeline.model.probe import Log
from pipeline.model.rollout import ServiceState, TargetState, TaskState
from pipeline.model.service_deployment import ServiceDeployment
from pipeline.model.verdict import Verdict

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

Say = Callable[[str], None]
"""Takes one line of progress for people."""


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

    def update(
        self,
        task_definition: str,
        *,
        desired: int | None = None,
        configuration: Mapping[str, Any] | None = None,
    ) -> str:
        """One UpdateService call; returns our deployment's id.

        `desired` and `configuration` (a whole `deploymentConfiguration`) are sent only when they are given.
        """
        ...

    def service_deployments(self, since: datetime | None = None) -> Sequence[ServiceDeployment] | None:
        """The newest service deployments, newest first; with `since` those created then or later, by ECS's clock.

        Empty: none is listed (yet). None: the API does not tell them to us.
        """
        ...

    def roll_back(self, service_deployment: str) -> None:
        """Has ECS stop an ongoing service deployment (its ARN) and put back what it replaces.

        Raises ConfigurationError when ECS refuses, as it does once the deployment has ended.
        """
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


class HttpProbe(Protocol):
    """Asks a URL once."""

    def get(self, url: str, *, timeout: float) -> HttpAnswer:
        """Never raises for what the network or the server does."""
        ...


class RunningProbe(Protocol):
    """Requests that are being sent at a steady rate."""

    def log(self) -> Log:
        """What has ended so far. Moments are of the clock that the rollout goes by."""
        ...

    def stop(self) -> Log:
        """Plans no more, waits for those under way within their time-out; all there was. Once more changes nothing."""
        ...


class TrafficProbe(Protocol):
    """Sends light steady requests through a load balancer, to see what its users see."""

    def start(self, base_url: str) -> RunningProbe:
        """Begins at once, beside the caller. Nothing is sent twice: what fails has failed."""
        ...


class Alarms(Protocol):
    """CloudWatch alarms."""

    def firing(self, names: Sequence[str]) -> Sequence[str]:
        """Those of `names` that are in state ALARM.

        Raises UndecidedError when one is not there, UnavailableError when they cannot be asked now.
        """
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


class IntegrationSandbox(Protocol):
    """Runs a candidate with its real dependencies, and a pytest suite against it."""

    def run_suite(self, image: ImageRef, directory: Path, progress: Progress) -> SuiteResult:
        """Starts services and candidate, runs the suite, removes everything.

        `directory` takes JUnit and container logs. Raises ConfigurationError when the suite's folder is missing,
        UndecidedError when the candidate or a service does not come up (with its last log lines).
        """
        ...


class Held(Protocol):
    """A lease that was won. It keeps itself alive; it can be lost all the same (a paused process, `unlock`)."""

    @property
    def fence(self) -> int:
        """Grows with every holder of the environment: of two who think they hold it, the higher one does."""
        ...

    def check(self) -> None:
        """Asked before every call that changes something. Raises BusyError, naming who has it now, when it is lost.

        It is lost for good when another took it, when it was cleared, and when this process stood still for longer
        than a lease lasts. Raises UnavailableError while nobody can tell.
        """
        ...


class Lease(Protocol):
    """Who may change an environment now."""

    def hold(self, environment: str, claim: Claim, *, wait: float = 0.0) -> AbstractContextManager[Held]:
        """Holds the environment until the block ends, waiting up to `wait` seconds for whoever has it.

        Raises BusyError naming the holder when somebody else still has it then.
        """
        ...

    def tenure(self, environment: str) -> Tenure | None:
        """Who holds it now, None when nobody does."""
        ...

    def clear(self, environment: str, claim: Claim) -> Tenure | None:
        """Takes the lease from whoever has it, and gives what was taken; None when nobody had it.

        The fence goes up, so that the former holder changes nothing any more. `claim` says who does it and why.
        """
        ...


class DeploymentLog(Protocol):
    """What was begun in each environment and how it ended. Entries are added and completed, never changed or removed.

    Every method raises UnavailableError when the log cannot be reached.
    """

    def begin(self, entry: LogEntry) -> None:
        """Writes an entry that has no end yet; one that is there already stays as it is."""
        ...

    def complete(self, entry: LogEntry) -> None:
        """Writes the end of an entry, or all of it where its beginning was not kept. An end that is there stays."""
        ...

    def entries(self, environment: str, limit: int) -> Sequence[LogEntry]:
        """At most `limit` entries of the environment, the newest first."""
        ...
