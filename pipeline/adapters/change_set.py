"""Change sets of CloudFormation: proposed, looked at, executed or thrown away; and stacks that others work on."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from pipeline.errors import PipelineError, StuckError, UnavailableError
from pipeline.model.stack_plan import ResourceChange, changes_of
from pipeline.ports import Clock, Say
from pipeline.waiting import poll

T = TypeVar("T")

CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM")
QUICK_SECONDS, SLOW_SECONDS, QUICK_FOR = 0.3, 3.0, 10.0
STANDING = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
UPDATABLE = (*STANDING, "UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE")
NOT_THERE = ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE")
NEVER_WHOLE = ("ROLLBACK_COMPLETE", "CREATE_FAILED", "ROLLBACK_FAILED", "DELETE_FAILED")
"""States of a stack that was never made whole, or is half deleted: it can only be deleted."""

_OVERTAKEN = ("InvalidChangeSetStatus", "InvalidChangeSetStatusException", "ChangeSetNotFound")


@dataclass(frozen=True, slots=True)
class StackRequest:
    """A stack to have. `template` is the template's text; secrets among `parameters` are NoEcho in the template.

    `kept` are parameters that keep the value the stack has. `imports`: what exists already under a name that the
    template gives is taken into the stack.
    """

    name: str
    template: str
    parameters: Mapping[str, str] = field(repr=False)
    tags: Mapping[str, str] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    imports: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change set that waits to be executed."""

    arn: str
    stack: str
    changes: tuple[ResourceChange, ...]
    new: bool


def state_of(client: Any, name: str) -> Mapping[str, Any] | None:
    """The stack as DescribeStacks gives it; None when there is none. Raises boto3's errors."""
    try:
        found: Mapping[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return None if found["StackStatus"] == "DELETE_COMPLETE" else found


class ChangeSets:
    """Change sets of one stack. Every wait ends `timeout` seconds after it began. Raises boto3's errors as they are."""

    def __init__(self, client: Any, clock: Clock, say: Say, timeout: float) -> None:
        self._client = client
        self._clock = clock
        self._say = say
        self._timeout = timeout

    def settled(self, name: str) -> Mapping[str, Any] | None:
        """The stack once nothing is going on in it; None when there is none. Says once that it waits."""
        said: list[str] = []

        def at_rest() -> Mapping[str, Any] | None:
            stack = state_of(self._client, name)
            if stack is None:
                return {}
            status = str(stack["StackStatus"])
            if not status.endswith("_IN_PROGRESS") or status in NOT_THERE:
                return stack
            if not said:
                said.append(status)
                self._say(f"stack {name} is {status}: waiting until that is over")
            return None

        return self.wait(at_rest, f"stack {name}: time was up before it came to rest") or None

    def propose(self, request: StackRequest, stack: Mapping[str, Any] | None) -> Proposal | None:
        """A change set of the stack, which is at rest as `stack` says; None when nothing would change.

        Raises StuckError when CloudFormation says that it cannot be done.
        """
        new = stack is None or stack["StackStatus"] in NOT_THERE
        answer = self._client.create_change_set(
            StackName=request.name,
            ChangeSetName=f"onedigest-{self._clock.now():%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}",
            ChangeSetType="CREATE" if new else "UPDATE",
            Capabilities=list(CAPABILITIES),
            Parameters=_parameters(request),
            Tags=[{"Key": key, "Value": value} for key, value in request.tags.items()],
            **({"TemplateBody": request.template} if request.template else {"UsePreviousTemplate": True}),
            **({"ImportExistingResources": True} if request.imports else {}),
        )
        arn = str(answer["Id"])
        seen = self.wait(
            lambda: self._proposed(arn), f"stack {request.name}: its change set is not worked out"
        )
        if seen["Status"] == "FAILED":
            self._drop(arn)
            _require_nothing_to_do(request.name, str(seen.get("StatusReason", "")))
            return None
        changes = changes_of(self._all_changes(arn, seen))
        if not changes and not new and not _outputs_change(seen):
            self._drop(arn)
            return None
        return Proposal(arn, request.name, changes, new)

    def execute(self, proposal: Proposal) -> Mapping[str, Any] | None:
        """Executes it; gives the stack once it stands. None: somebody else was quicker, propose anew.

        Raises StuckError with the first resource that failed when the stack does not stand afterwards.
        """
        try:
            self._client.execute_change_set(
                ChangeSetName=proposal.arn, ClientRequestToken=f"onedigest-{uuid.uuid4().hex}"
            )
        except ClientError as error:
            if overtaken(error):
                return None
            raise
        after = self._settled_quietly(proposal.stack)
        if after is None or after["StackStatus"] not in STANDING:
            raise self.broken(proposal.stack, after or {})
        return after

    def discard(self, proposal: Proposal) -> None:
        """Throws it away, and the empty stack that a proposal of a new one leaves."""
        self._drop(proposal.arn)
        stack = state_of(self._client, proposal.stack) if proposal.new else None
        if stack is not None and stack["StackStatus"] == "REVIEW_IN_PROGRESS":
            self._client.delete_stack(StackName=proposal.stack)

    def delete(self, name: str) -> None:
        """Deletes the stack and waits until it is gone. Raises StuckError naming what could not be deleted."""
        if state_of(self._client, name) is None:
            return
        self._client.delete_stack(StackName=name, ClientRequestToken=f"onedigest-{uuid.uuid4().hex}")

        def gone() -> Mapping[str, Any] | None:
            stack = state_of(self._client, name)
            if stack is None:
                return {"StackStatus": "DELETE_COMPLETE"}
            return None if str(stack["StackStatus"]).endswith("_IN_PROGRESS") else stack

        after = self.wait(gone, f"stack {name}: time was up before it was deleted")
        if after["StackStatus"] != "DELETE_COMPLETE":
            raise self.broken(name, after)

    def broken(self, name: str, stack: Mapping[str, Any]) -> PipelineError:
        """The error for a stack that is not as it should be, with what failed first and what helps."""
        status = str(stack.get("StackStatus", "gone"))
        why = (first_failure(self._events(name)) if stack else "") or stack.get("StackStatusReason", "")
        return StuckError(f"stack {name} is {status}: {why}", hint=way_out(name, status))

    def _events(self, name: str) -> Iterator[Mapping[str, Any]]:
        """The newest first; a page has a hundred, and a rollback makes more than that."""
        for page in self._client.get_paginator("describe_stack_events").paginate(StackName=name):
            yield from page["StackEvents"]

    def wait(self, until: Callable[[], T | None], late: str) -> T:
        """What `until` gives; asked often at first, then every few seconds. Raises UnavailableError with `late`."""
        began = self._clock.monotonic()
        found = poll(until, QUICK_SECONDS, began + min(QUICK_FOR, self._timeout), self._clock)
        if found is None and self._timeout > QUICK_FOR:
            found = poll(until, SLOW_SECONDS, began + self._timeout, self._clock)
        if found is None:
            raise UnavailableError(late, hint="it goes on by itself; run the command again to wait for it")
        return found

    def _settled_quietly(self, name: str) -> Mapping[str, Any] | None:
        return ChangeSets(self._client, self._clock, lambda _line: None, self._timeout).settled(name)

    def _proposed(self, arn: str) -> Mapping[str, Any] | None:
        seen: Mapping[str, Any] = self._client.describe_change_set(ChangeSetName=arn)
        return seen if seen["Status"] in ("CREATE_COMPLETE", "FAILED") else None

    def _all_changes(self, arn: str, first: Mapping[str, Any]) -> list[Any]:
        found, page = list(first.get("Changes") or ()), first
        while page.get("NextToken"):
            page = self._client.describe_change_set(ChangeSetName=arn, NextToken=page["NextToken"])
            found += page.get("Changes") or ()
        return found

    def _drop(self, arn: str) -> None:
        """Deletes a change set; an execution of another one has done so already."""
        try:
            self._client.delete_change_set(ChangeSetName=arn)
        except ClientError as error:
            if _code(error) not in _OVERTAKEN:
                raise


def overtaken(error: ClientError) -> bool:
    """Whether CloudFormation refuses since somebody else changes the stack right now, or has just done so."""
    said = str(error)
    known = (*_OVERTAKEN, "AlreadyExistsException")
    return _code(error) in known or "_IN_PROGRESS state" in said or "OBSOLETE" in said


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def first_failure(events: Iterable[Mapping[str, Any]]) -> str:
    """What failed first, out of stack events as the API lists them (newest first), of the last operation alone.

    Events before that operation are not asked for.
    """
    last: list[Mapping[str, Any]] = []
    for event in events:
        last.append(event)
        if _began(event):
            break
    for event in reversed(last):
        reason = str(event.get("ResourceStatusReason", ""))
        if str(event.get("ResourceStatus", "")).endswith("_FAILED") and "cancelled" not in reason.lower():
            return f"{event.get('LogicalResourceId')} ({event.get('ResourceType')}): {reason}"
    return ""


def _began(event: Mapping[str, Any]) -> bool:
    """Whether somebody began an operation on the stack here."""
    return event.get("PhysicalResourceId") == event.get("StackId") and str(event.get("ResourceStatus")) in (
        "CREATE_IN_PROGRESS",
        "UPDATE_IN_PROGRESS",
        "DELETE_IN_PROGRESS",
    )


def way_out(name: str, status: str) -> str:
    """What helps a stack in this state."""
    if status == "DELETE_FAILED":
        return "mend what keeps it, then run the command again; it goes on where it stopped"
    if status in NEVER_WHOLE:
        return "mend the cause and run the command again: what is left of it is deleted first"
    if status == "UPDATE_ROLLBACK_FAILED":
        return (
            f"`aws cloudformation continue-update-rollback --stack-name {name}` (with --resources-to-skip for what "
            "cannot be put back), then run the command again"
        )
    return "the previous state is back in place; mend the cause and run the command again"


def _parameters(request: StackRequest) -> list[dict[str, Any]]:
    told = [
        {"ParameterKey": key, "ParameterValue": value}
        for key, value in request.parameters.items()
        if key not in request.kept
    ]
    return [*told, *({"ParameterKey": key, "UsePreviousValue": True} for key in sorted(request.kept))]


def _outputs_change(seen: Mapping[str, Any]) -> bool:
    """A change set without resources is one of outputs or tags alone, where CloudFormation did not call it empty."""
    return seen.get("ExecutionStatus") == "AVAILABLE" and not seen.get("Changes")


def _require_nothing_to_do(name: str, reason: str) -> None:
    if not _nothing_to_do(reason):
        raise StuckError(
            f"stack {name} cannot be changed: {reason}",
            hint="mend the template or its parameters; nothing was changed",
        )


def _nothing_to_do(reason: str) -> bool:
    words = reason.lower()
    return (
        "didn't contain changes" in words
        or "no updates are to be performed" in words
        or "no changes" in words
    )
