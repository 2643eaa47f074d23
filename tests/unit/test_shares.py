"""Which image of a release a service runs, and which release an image is of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import ConfigurationError
from pipeline.model.digest import Digest, ImageRef
from pipeline.shares import Shares

REPOSITORY = "registry.test/shop"


def digest(letter: str) -> Digest:
    return Digest("sha256:" + letter * 64)


OLD, NEW, LATER = digest("1"), digest("2"), digest("3")
WEB, API, OTHER_API = digest("a"), digest("b"), digest("c")
RELEASES = {
    OLD: {"web": WEB, "api": API},
    NEW: {"web": WEB, "api": OTHER_API},
    LATER: {"web": WEB, "api": OTHER_API, "worker": digest("d")},
}


@dataclass
class Records:
    """What is on record: the last good release, promotion tags, and everything else."""

    last_good: Digest | None = None
    promoted: Sequence[Digest] = ()
    repository: str = REPOSITORY
    asked: list[Digest] = field(default_factory=list)

    def shares(self, release: Digest) -> dict[str, Digest]:
        self.asked.append(release)
        return RELEASES.get(release, {})

    def newest(self, environment: str) -> Any:
        assert environment == "prod"
        return SimpleNamespace(subject=self.last_good) if self.last_good else None

    @property
    def registry(self) -> Any:
        tags = [f"promoted-prod-20260101T00000{n}Z" for n, _ in enumerate(self.promoted)]
        return SimpleNamespace(
            tags=lambda _repository: tags, resolve=lambda _repository, tag: self.promoted[int(tag[-2])]
        )

    @property
    def evidence(self) -> Any:
        return SimpleNamespace(subjects=lambda: list(RELEASES))


def shares(service: str = "web", records: Records | None = None) -> Shares:
    found: Any = records or Records()
    return Shares(found, "prod", service)


def test_a_single_service_runs_the_release_itself_and_nothing_is_asked() -> None:
    records = Records()
    one = shares("", records)
    image = ImageRef(REPOSITORY, WEB)
    assert (one.image(image), one.release(WEB)) == (image, WEB)
    assert one.releases([WEB]) == {WEB}
    assert records.asked == []


def test_a_service_runs_its_share_from_wherever_the_release_is() -> None:
    assert shares("api").image(ImageRef("other.test/shop", OLD)) == ImageRef("other.test/shop", API)


def test_a_release_without_the_service_says_so() -> None:
    with pytest.raises(ConfigurationError, match="has no image of the service worker") as caught:
        shares("worker").image(ImageRef(REPOSITORY, OLD))
    assert "python -m pipeline run" in caught.value.hint
    assert "to go back to this one, use the pipeline.toml of its commit" in caught.value.hint


def test_an_image_in_several_releases_is_of_the_one_on_record() -> None:
    assert shares("web", Records(NEW)).release(WEB) == NEW
    assert shares("web", Records(OLD)).release(WEB) == OLD


def test_an_image_that_is_not_of_the_one_on_record_is_of_what_was_promoted() -> None:
    assert shares("api", Records(OLD, [LATER])).release(OTHER_API) == LATER
    assert shares("api", Records(OLD)).release(OTHER_API) == NEW


def test_an_image_of_no_known_release_is_itself() -> None:
    assert shares("web").release(digest("e")) == digest("e")
    assert shares("api", Records(OLD)).releases([API, digest("e")]) == {OLD, digest("e")}
