"""Asking before something is made or deleted on an account: an environment is agreed to by its name."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from pipeline.errors import UsageError


def agree(environments: Sequence[str], what: str, *, typed: frozenset[str], yes: bool) -> None:
    """Returns when it was agreed to: with `--yes`, or by somebody at a terminal. Those in `typed` are typed by name.

    Raises UsageError where there is nobody to ask, click.Abort where it was not agreed to.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            f"{what} {', '.join(environments)}: nobody is here to agree to it, and there is no --yes",
            hint="look at what is told above, then run the same command with --yes",
        )
    for name in environments:
        if name not in typed:
            click.confirm(f"{what} {name}?", abort=True, err=True)
        elif click.prompt(f"{what} {name}: type its name", default="", show_default=False, err=True) != name:
            raise click.Abort
