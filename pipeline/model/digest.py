"""The identity of an image: its manifest digest, and the reference that names it in a registry."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import UsageError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[a-z0-9.:\-_/]+")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """`sha256:` and 64 lower-case hex digits (OCI image-spec, descriptor.md, "Digests").

    Raises UsageError for anything else.
    """

    value: str

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(str(self.value)):
            raise UsageError(
                f"not an image digest: {self.value!r}",
                hint="give sha256:<64 lower-case hex digits>; `python -m pipeline status` shows the digests in use",
            )

    def __str__(self) -> str:
        return self.value

    @property
    def hex(self) -> str:
        """The 64 hex digits without the algorithm."""
        return self.value.removeprefix("sha256:")

    @property
    def short(self) -> str:
        """The first twelve hex digits, for people."""
        return self.hex[:12]


@dataclass(frozen=True, slots=True)
class ImageRef:
    """An image in a registry by digest: `str()` is `repository@sha256:…`. There is no such thing with a tag."""

    repository: str
    digest: Digest

    def __post_init__(self) -> None:
        if not _REPOSITORY.fullmatch(self.repository) or ":" in self.repository.rsplit("/", 1)[-1]:
            raise UsageError(
                f"not a repository: {self.repository!r}",
                hint="a repository is host/name without tag or digest, in lower case",
            )

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"
