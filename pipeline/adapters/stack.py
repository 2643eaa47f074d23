"""CloudFormation stacks: create or update by change set, and wait with the failed resource's own reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.ports import Clock


@dataclass(frozen=True, slots=True)
class StackRequest:
    """A stack to have. `template` is the template's text; secrets among `parameters` are NoEcho in the template."""

    name: str
    template: str
    parameters: Mapping[str, str] = field(repr=False)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack that stands: its outputs, and whether this call changed anything."""

    outputs: Mapping[str, str]
    changed: bool


def environment_template() -> str:
    """The template of one environment (pipeline/templates/environment.yaml)."""
    raise NotImplementedError


def shared_template() -> str:
    """The template of what environments share: the image repository (pipeline/templates/shared.yaml)."""
    raise NotImplementedError


def ensure_stack(client: Any, request: StackRequest, clock: Clock, *, timeout: float = 900.0) -> Stack:
    """Creates the stack or updates it through a change set, and waits until it stands (at most `timeout` seconds).

    `client` is boto3's CloudFormation client. An unchanged stack is left alone. Raises StuckError naming the first
    resource that failed and why, UnavailableError when the API does not answer or time is up.
    """
    raise NotImplementedError


def stack_outputs(client: Any, name: str) -> Mapping[str, str] | None:
    """The outputs of a stack that stands; None when there is no such stack."""
    raise NotImplementedError
