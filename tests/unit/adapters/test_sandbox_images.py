"""Which image each service of a release runs in the integration sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.adapters.sandbox import BesideSettings, SandboxSettings, _images
from pipeline.errors import UndecidedError
from pipeline.model.digest import Digest, ImageRef

RELEASE = ImageRef("registry.test/shop", Digest("sha256:" + "e" * 64))
WEB, API = Digest("sha256:" + "a" * 64), Digest("sha256:" + "b" * 64)


def settings(shares: dict[str, Digest], *beside: str) -> SandboxSettings:
    return SandboxSettings(
        Path(),
        Path("suite"),
        Path(),
        "python3",
        8080,
        name="web",
        beside=tuple(BesideSettings(name, 8080) for name in beside),
        shares=lambda release: shares if release == RELEASE.digest else {},
    )


def test_a_single_candidate_is_the_release_itself() -> None:
    assert _images(settings({}), RELEASE) == {"web": RELEASE}


def test_each_service_runs_its_share() -> None:
    found = _images(settings({"web": WEB, "api": API}, "api"), RELEASE)
    assert found == {"web": ImageRef(RELEASE.repository, WEB), "api": ImageRef(RELEASE.repository, API)}


@pytest.mark.parametrize("shares", [{}, {"web": WEB}])
def test_a_release_that_lacks_a_service_decides_nothing(shares: dict[str, Digest]) -> None:
    with pytest.raises(UndecidedError, match="has no image of"):
        _images(settings(shares, "api"), RELEASE)
