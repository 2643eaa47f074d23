"""How long a command waits for whoever holds an environment."""

from __future__ import annotations

from dataclasses import replace

import click


def _keep(context: click.Context, _parameter: click.Parameter, value: float) -> None:
    context.obj = replace(context.obj, wait=value)


wait_option = click.option(
    "--wait",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=0.0,
    expose_value=False,
    callback=_keep,
    help="How long to wait for whoever holds the environment; 0 when not given.",
)
"""Puts the seconds into the invocation."""
