"""Tags that say what was promoted where and when.

A registry's lifecycle rules expire images by tag and age, and know nothing of what ECS runs: a rule for tags that begin
with `promoted-` keeps what may be gone back to. Each is made once and never moved, so immutable tags allow it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from pipeline.adapters.registry import OciRegistry
from pipeline.model.digest import Digest, ImageRef


def tag_promoted(registry: OciRegistry, image: ImageRef, environment: str, when: datetime) -> str:
    """Tags the image `promoted-<environment>-<time>` (UTC, to the second); returns the tag.

    The registry's errors are those of `OciRegistry.put_manifest`.
    """
    found = registry.manifest(image)
    tag = f"{_prefix(environment)}{when.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    if registry.resolve(image.repository, tag) != image.digest:  # several regions are promoted in one second
        registry.put_manifest(image.repository, tag, found.media_type, found.content)
    return tag


def promoted(registry: OciRegistry, repository: str, environment: str) -> Iterator[Digest]:
    """The digests promoted to the environment, the last promotion first; one that came twice is there twice."""
    tags = [tag for tag in registry.tags(repository) if tag.startswith(_prefix(environment))]
    for tag in sorted(tags, reverse=True):
        digest = registry.resolve(repository, tag)
        if digest is not None:
            yield digest


def _prefix(environment: str) -> str:
    return f"promoted-{environment}-"
