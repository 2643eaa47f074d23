"""The records that cross the ports: what is asked of the outside world, and what it answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from pipeline.errors import ExitCode
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.verdict import Outcome, Verdict


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
    `built_at` is set where an image was named instead of a work tree: when that was built.
    """

    commit: str
    changed: tuple[str, ...] = ()
    committed_at: datetime | None = None
    url: str = ""
    built_at: datetime | None = None

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
    when the outcome alone does not give the process's exit code (rolled back, superseded, stuck). `began` False: it was
    refused before anything was done, so it is no run and takes nothing away from what is on record.
    """

    verdict: Verdict
    facts: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    image: ImageRef | None = None
    error_code: ExitCode | None = None
    began: bool = True

    @property
    def outcome(self) -> Outcome:
        """The verdict's outcome."""
        return self.verdict.outcome


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build: `context` and `dockerfile` are absolute paths, `args` the build arguments, `labels` OCI labels."""

    context: Path
    dockerfile: Path
    repository: str
    args: Mapping[str, str]
    labels: Mapping[str, str]
    platform: str


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the registry says of an image: compressed size in bytes, `os/arch`, labels.

    Of an index, `platforms` and `platform_digests` are of all its images, the rest of the first.
    """

    size: int
    platform: str
    labels: Mapping[str, str]
    platform_digests: tuple[Digest, ...] = ()
    platforms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OneOff:
    """How a one-off task ended. `exit_code` None: it never ran, and `reason` says why."""

    exit_code: int | None
    reason: str
    log_lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An HTTP answer, or why there was none (`status` 0, `error` set). `seconds` is the time it took."""

    status: int
    body: str
    seconds: float
    error: str = ""


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


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature and the key that made it. `value` is ECDSA P-256 over SHA-256 in DER, `key_id` its `SHA256:…`."""

    value: bytes
    key_id: str
