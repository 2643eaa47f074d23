"""What a person wrote for an image, looked at before anything is started."""

from __future__ import annotations

import click


def well_formed(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """The text as it is. Raises UsageError when it can be no digest, prefix, reference or tag."""
    from pipeline.model.target import require_form

    require_form(value)
    return value
