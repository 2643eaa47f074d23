from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline.model.digest import Digest, ImageRef

HEX = "0123456789abcdef" * 4


def test_a_digest_knows_its_hex_and_its_short_form() -> None:
    digest = Digest(f"sha256:{HEX}")
    assert (str(digest), digest.hex, digest.short) == (f"sha256:{HEX}", HEX, HEX[:12])


@pytest.mark.parametrize(
    "text", ["", HEX, f"sha256:{HEX[:-1]}", f"sha256:{HEX}0", f"sha256:{HEX.upper()}", f"sha512:{HEX}", None]
)
def test_anything_else_is_no_digest(text: str) -> None:
    with pytest.raises(UsageError):
        Digest(text)


def test_a_reference_is_repository_at_digest() -> None:
    assert (
        str(ImageRef("localhost:5000/team/shop", Digest(f"sha256:{HEX}")))
        == f"localhost:5000/team/shop@sha256:{HEX}"
    )


@pytest.mark.parametrize("repository", ["", "shop:latest", "localhost:5000/shop:v1", "Shop", "shop@x"])
def test_a_reference_has_no_tag(repository: str) -> None:
    with pytest.raises(UsageError):
        ImageRef(repository, Digest(f"sha256:{HEX}"))
