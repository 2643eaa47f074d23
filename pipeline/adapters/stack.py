"""CloudFormation stacks: made or changed to be as asked, described, deleted; and our templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.adapters.aws_errors import aws_errors
from pipeline.adapters.change_set import (
    NEVER_WHOLE,
    NOT_THERE,
    UPDATABLE,
    ChangeSets,
    Proposal,
    StackRequest,
    first_failure,
    overtaken,
    state_of,
)
from pipeline.adapters.owned import tags_of
from pipeline.errors import BusyError, PipelineError, StuckError, UnavailableError
from pipeline.model.stack_plan import ResourceChange, StackPlan, unforeseen
from pipeline.ports import Clock, Say

__all__ = ["StackRequest", "first_failure"]

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
_AGAIN = 5


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack that stands: its outputs, and whether this call changed anything."""

    outputs: Mapping[str, str]
    changed: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """A stack as it is: its state, tags, parameters and outputs, and its resources by logical name."""

    name: str
    status: str
    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def whole(self) -> bool:
        """Whether it stands as it was last asked for, or as it was before."""
        return self.status in UPDATABLE

    @property
    def never_whole(self) -> bool:
        """Whether it can only be deleted."""
        return self.status in NEVER_WHOLE

    @property
    def half_deleted(self) -> bool:
        """Whether it was to be deleted, and something of it is still there."""
        return self.status == "DELETE_FAILED"


def template(name: str) -> str:
    """The text of a template: `environment`, `shared`, `promotion`, … (pipeline/templates/NAME.yaml)."""
    return (TEMPLATES / f"{name}.yaml").read_text("utf-8")


class Stacks:
    """Stacks of one account and region. `client` is boto3's CloudFormation client.

    Every method raises UnavailableError when the API does not answer or time is up (`timeout` seconds), StuckError
    where a person is needed, naming the first resource that failed and why.
    """

    def __init__(
        self, client: Any, clock: Clock, say: Say = lambda _line: None, *, timeout: float = 1800.0
    ) -> None:
        self._client = client
        self._say = say
        self._sets = ChangeSets(client, clock, say, timeout)

    def standing(self, name: str) -> Standing | None:
        """The stack as it is now; None when there is none, or only an empty one that was never filled."""
        with _errors(name):
            found = state_of(self._client, name)
        return None if found is None or found["StackStatus"] in NOT_THERE else _standing(found)

    def tagged(self, key: str, value: str) -> tuple[Standing, ...]:
        """Every stack that has this tag, as `standing` has it."""
        with aws_errors("cloudformation:DescribeStacks"):
            pages = self._client.get_paginator("describe_stacks").paginate()
            found = [one for page in pages for one in page["Stacks"] if one["StackStatus"] not in NOT_THERE]
        return tuple(_standing(one) for one in found if tags_of(one.get("Tags")).get(key) == value)

    def resources(self, name: str) -> Mapping[str, str]:
        """Physical ids by logical name of what the stack has; empty when there is no such stack."""
        with aws_errors(f"cloudformation:ListStackResources {name}", leave=("ValidationError",)):
            try:
                pages = self._client.get_paginator("list_stack_resources").paginate(StackName=name)
                listed = [one for page in pages for one in page["StackResourceSummaries"]]
            except ClientError as error:
                if "does not exist" in str(error):
                    return {}
                raise
        return {
            str(one["LogicalResourceId"]): str(one["PhysicalResourceId"])
            for one in listed
            if one.get("PhysicalResourceId") and "DELETE" not in one["ResourceStatus"]
        }

    def foreseen(self, request: StackRequest) -> tuple[ResourceChange, ...]:
        """What would change of a stack that stands, once nothing is going on in it. Nothing is changed."""
        with _errors(request.name):
            _, proposal = self._proposed(request, mending=False)
            if proposal is None:
                return ()
            self._sets.discard(proposal)
            return proposal.changes

    def ensure(self, request: StackRequest, shown: StackPlan | None = None) -> Stack:
        """Creates or updates the stack through a change set, and waits until it stands. An unchanged one is left alone.

        What was never whole is deleted first, which is said. With `shown`, BusyError when something would happen
        that is not in it: somebody changed the stack since it was looked at.
        """
        with _errors(request.name):
            for _ in range(_AGAIN):
                before, proposal = self._proposed(request, mending=True)
                if proposal is None:
                    return Stack(_outputs(before or {}), changed=False)
                self._same(shown, proposal)
                after = self._sets.execute(proposal)
                if after is not None:
                    return Stack(_outputs(after), changed=True)
        raise BusyError(
            f"stack {request.name} is changed by somebody else again and again",
            hint="wait until they are done, then run the command again",
        )

    def delete(self, name: str) -> None:
        """Deletes the stack and waits until it is gone; nothing happens where there is none."""
        with _errors(name):
            self._sets.settled(name)
            self._sets.delete(name)

    def _proposed(
        self, request: StackRequest, *, mending: bool
    ) -> tuple[Mapping[str, Any] | None, Proposal | None]:
        """The stack at rest, and what would be changed of it. `mending`: what was never whole is deleted before."""
        while True:
            before = self._sets.settled(request.name)
            if before is not None and mending:
                before = self._fit(before)
            try:
                return before, self._sets.propose(request, before)
            except ClientError as error:
                if not overtaken(error):
                    raise

    def _fit(self, stack: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The stack where it can be changed; None when it had to be deleted."""
        status = str(stack["StackStatus"])
        if status in NEVER_WHOLE:
            self._cleared(stack)
            return None
        if status not in (*UPDATABLE, *NOT_THERE):
            raise self._sets.broken(str(stack["StackName"]), stack)
        return stack

    def _cleared(self, stack: Mapping[str, Any]) -> None:
        name = str(stack["StackName"])
        if "onedigest:app" not in tags_of(stack.get("Tags")):
            raise StuckError(
                f"stack {name} is {stack['StackStatus']}, and has no tag onedigest:app: it was not made by onedigest",
                hint=f"delete it yourself, if it may go: aws cloudformation delete-stack --stack-name {name}",
            )
        self._say(f"stack {name} is {stack['StackStatus']}, it was never whole: deleted, and made anew")
        self._sets.delete(name)

    def _same(self, shown: StackPlan | None, proposal: Proposal) -> None:
        if shown is None or ((shown.new or shown.remade) and proposal.new):
            return
        other = unforeseen(shown, proposal.changes)
        if other:
            self._sets.discard(proposal)
            raise BusyError(
                f"stack {proposal.stack} has changed since it was looked at: now it would {other[0].text}",
                hint="run the command again and look at the new plan",
            )


def stack_outputs(client: Any, name: str) -> Mapping[str, str] | None:
    """The outputs of a stack that stands; None when there is no such stack, or it is not whole.

    Raises UnavailableError when the API does not answer.
    """
    try:
        stack = state_of(client, name)
    except (ClientError, BotoCoreError) as error:
        raise UnavailableError(
            f"stack {name} cannot be described: {error}", hint="run `python -m pipeline doctor`"
        ) from error
    return _outputs(stack) if stack and stack["StackStatus"] in UPDATABLE else None


def _standing(stack: Mapping[str, Any]) -> Standing:
    parameters = {p["ParameterKey"]: str(p.get("ParameterValue", "")) for p in stack.get("Parameters", [])}
    return Standing(
        str(stack["StackName"]),
        str(stack["StackStatus"]),
        tags_of(stack.get("Tags")),
        parameters,
        _outputs(stack),
    )


def _outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


@contextmanager
def _errors(name: str) -> Iterator[None]:
    try:
        with aws_errors(f"CloudFormation, stack {name}", leave=("ValidationError",)):
            yield
    except ClientError as error:
        raise _refused(name, error) from error


def _refused(name: str, error: ClientError) -> PipelineError:
    return StuckError(
        f"CloudFormation refuses stack {name}: {error}", hint="mend the template or its parameters"
    )
