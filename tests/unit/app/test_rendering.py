from __future__ import annotations

import jinja2
import pytest

from app.rendering import render


def test_values_are_escaped_in_text_and_in_attributes() -> None:
    nasty = '"><script>alert(1)</script>'
    for page in (
        render("error.html", heading=nasty, message=nasty),
        render("find_owners.html", last_name=nasty, error=nasty),
        render("owner_form.html", title=nasty, values={"city": nasty}, errors={"city": nasty}),
    ):
        assert b"<script" not in page.body


def test_a_value_that_a_template_needs_and_did_not_get_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("vets.html")
