"""What a person may write for an image: a digest, a unique prefix of one, or a reference by digest. Never a tag."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.errors import UsageError
from pipeline.model.digest import Digest

_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{12,63})")
_TAG = re.compile(r"(?:.*:)?([A-Za-z0-9_][A-Za-z0-9._-]{0,127})")
_SEVERAL = 5


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag, which may point to something else tomorrow."""

    name: str


def parse_target(text: str, known: Callable[[], Sequence[Digest]]) -> Digest | Tag:
    """The digest that `text` means, or the tag it names.

    A prefix (at least 12 hex digits) must fit exactly one of the `known` digests, which are asked for only then.
    Raises UsageError otherwise.
    """
    if "@" in text:
        return Digest(text.rpartition("@")[2])
    if match := _PREFIX.fullmatch(text):
        return _only(match[1], [digest for digest in known() if digest.hex.startswith(match[1])])
    if text.startswith("sha256:") or re.fullmatch(r"[0-9a-f]{64}", text):
        return Digest(text if text.startswith("sha256:") else f"sha256:{text}")
    if match := _TAG.fullmatch(text):
        return Tag(match[1])
    raise UsageError(
        f"neither digest nor tag: {text!r}", hint="give sha256:<64 hex digits> or its first 12 hex digits"
    )


def require_form(text: str) -> None:
    """Raises UsageError when `text` can mean no image at all, whatever is on record."""
    if not _PREFIX.fullmatch(text):
        parse_target(text, lambda: ())


def _only(prefix: str, fitting: Sequence[Digest]) -> Digest:
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise UsageError(
            f"no digest on record begins with {prefix}",
            hint="give the whole digest; `python -m pipeline status` shows those in use",
        )
    shown = ", ".join(digest.hex[:20] for digest in fitting[:_SEVERAL])
    raise UsageError(f"{prefix} fits {len(fitting)} digests: {shown}", hint="give more of its hex digits")
