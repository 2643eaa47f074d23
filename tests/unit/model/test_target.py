from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline.model.digest import Digest
from pipeline.model.target import Tag, parse_target, require_form

ONE = Digest("sha256:" + "0123456789ab" + "c" * 52)
TWO = Digest("sha256:" + "0123456789ab" + "d" * 52)


@pytest.mark.parametrize("text", [str(ONE), ONE.hex, f"localhost:5000/shop@{ONE}"])
def test_a_whole_digest_is_taken_without_being_known(text: str) -> None:
    assert parse_target(text, lambda: ()) == ONE


@pytest.mark.parametrize("text", [ONE.hex[:13], f"sha256:{ONE.hex[:20]}"])
def test_a_prefix_that_fits_one_is_that_one(text: str) -> None:
    assert parse_target(text, lambda: (ONE, TWO)) == ONE


def test_a_prefix_that_fits_two_names_both() -> None:
    with pytest.raises(UsageError, match="fits 2 digests: 0123456789abcccccccc, 0123456789abdddddddd"):
        parse_target("0123456789ab", lambda: (ONE, TWO))


def test_a_prefix_that_fits_none_is_refused() -> None:
    with pytest.raises(UsageError, match="no digest on record begins with"):
        parse_target("f" * 12, lambda: (ONE, TWO))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("latest", "latest"),
        ("shop:v1.2", "v1.2"),
        ("localhost:5000/shop:main", "main"),
        ("0123456", "0123456"),
    ],
)
def test_a_tag_is_told_apart(text: str, name: str) -> None:
    assert parse_target(text, lambda: (ONE,)) == Tag(name)


@pytest.mark.parametrize("text", ["", "sha256:xyz", f"shop@sha256:{'A' * 64}", "shop:", "a b"])
def test_anything_else_is_refused_with_the_form_that_is_right(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target(text, lambda: ())
    assert "sha256:" in caught.value.hint


@pytest.mark.parametrize("text", ["f" * 12, "sha256:" + "0" * 20, str(ONE), "latest", "shop:v1"])
def test_a_form_is_right_whatever_is_on_record(text: str) -> None:
    require_form(text)


@pytest.mark.parametrize("text", ["", "sha256:abc", "a b", "shop@sha256:1"])
def test_a_form_that_can_mean_nothing_is_refused_before_anything_is_asked(text: str) -> None:
    with pytest.raises(UsageError):
        require_form(text)
