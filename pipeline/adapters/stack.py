"""CloudFormation stacks: create or update by change set, and wait with the failed resource's own reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.errors import PipelineError, StuckError, UnavailableError
from pipeline.ports import Clock
from pipeline.waiting import poll

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM")
POLL_SECONDS = 0.5
_STANDING = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
_UPDATABLE = (*_STANDING, "UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE")
_NOT_THERE = ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE")


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
    return (TEMPLATES / "environment.yaml").read_text("utf-8")


def baseline_template() -> str:
    """The template of the service beside staging's (pipeline/templates/baseline.yaml)."""
    return (TEMPLATES / "baseline.yaml").read_text("utf-8")


def shared_template() -> str:
    """The template of what environments share: image repository, table (pipeline/templates/shared.yaml)."""
    return (TEMPLATES / "shared.yaml").read_text("utf-8")


def ensure_stack(client: Any, request: StackRequest, clock: Clock, *, timeout: float = 900.0) -> Stack:
    """Creates the stack or updates it through a change set, and waits until it stands (at most `timeout` seconds).

    `client` is boto3's CloudFormation client. An unchanged stack is left alone. Raises StuckError naming the first
    resource that failed and why, UnavailableError when the API does not answer or time is up.
    """
    try:
        return _Change(client, request, clock, clock.monotonic() + timeout).apply()
    except ClientError as error:
        raise _refused(request.name, error) from error
    except BotoCoreError as error:
        raise UnavailableError(
            f"CloudFormation cannot be reached for stack {request.name}: {error}",
            hint="run `python -m pipeline doctor`",
        ) from error


def stack_outputs(client: Any, name: str) -> Mapping[str, str] | None:
    """The outputs of a stack that stands; None when there is no such stack, or it is not whole.

    Raises UnavailableError when the API does not answer.
    """
    try:
        stack = _describe(client, name)
    except (ClientError, BotoCoreError) as error:
        raise UnavailableError(
            f"stack {name} cannot be described: {error}", hint="run `python -m pipeline doctor`"
        ) from error
    return _outputs(stack) if stack and stack["StackStatus"] in _UPDATABLE else None


class _Change:
    """One change set, from its making to the stack that stands."""

    def __init__(self, client: Any, request: StackRequest, clock: Clock, deadline: float) -> None:
        self._client = client
        self._request = request
        self._clock = clock
        self._deadline = deadline

    def apply(self) -> Stack:
        before = self._settled()
        if before is not None and before["StackStatus"] not in (*_UPDATABLE, *_NOT_THERE):
            raise self._broken(before)
        new = before is None or before["StackStatus"] in _NOT_THERE
        change_set = self._propose(new=new)
        if change_set is None:
            return Stack(_outputs(before or {}), changed=False)
        self._client.execute_change_set(ChangeSetName=change_set)
        after = self._settled()
        if after is None or after["StackStatus"] not in _STANDING:
            raise self._broken(after or {})
        return Stack(_outputs(after), changed=True)

    def _propose(self, *, new: bool) -> str | None:
        answer = self._client.create_change_set(
            StackName=self._request.name,
            ChangeSetName=f"onedigest-{self._clock.now():%Y%m%dT%H%M%S%f}",
            ChangeSetType="CREATE" if new else "UPDATE",
            TemplateBody=self._request.template,
            Capabilities=list(CAPABILITIES),
            Parameters=[
                {"ParameterKey": k, "ParameterValue": v} for k, v in self._request.parameters.items()
            ],
            Tags=[{"Key": k, "Value": v} for k, v in self._request.tags.items()],
        )
        arn = str(answer["Id"])
        seen = self._wait(lambda: self._proposed(arn), "its change set is worked out")
        if seen["Status"] != "FAILED" and (seen.get("Changes") or new):
            return arn
        self._client.delete_change_set(ChangeSetName=arn)
        if seen["Status"] == "FAILED" and not _nothing_to_do(str(seen.get("StatusReason", ""))):
            raise StuckError(
                f"stack {self._request.name} cannot be changed: {seen.get('StatusReason')}",
                hint="mend the template or its parameters; nothing was changed",
            )
        return None

    def _proposed(self, arn: str) -> Mapping[str, Any] | None:
        seen: Mapping[str, Any] = self._client.describe_change_set(ChangeSetName=arn)
        return seen if seen["Status"] in ("CREATE_COMPLETE", "FAILED") else None

    def _settled(self) -> Mapping[str, Any] | None:
        """The stack once nothing is going on in it; None when there is none."""
        found = self._wait(self._at_rest, "it comes to rest")
        return found or None

    def _at_rest(self) -> Mapping[str, Any] | None:
        stack = _describe(self._client, self._request.name)
        if stack is None:
            return {}
        status = stack["StackStatus"]
        return None if status.endswith("_IN_PROGRESS") and status not in _NOT_THERE else stack

    def _wait(self, until: Any, what: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] | None = poll(until, POLL_SECONDS, self._deadline, self._clock)
        if found is None:
            raise UnavailableError(
                f"stack {self._request.name}: time was up before {what}",
                hint="it goes on by itself; run the command again to wait for it",
            )
        return found

    def _broken(self, stack: Mapping[str, Any]) -> PipelineError:
        status = stack.get("StackStatus", "gone")
        events = (
            self._client.describe_stack_events(StackName=self._request.name)["StackEvents"] if stack else []
        )
        return StuckError(
            f"stack {self._request.name} is {status}: {first_failure(events) or stack.get('StackStatusReason', '')}",
            hint=_way_out(self._request.name, str(status)),
        )


def first_failure(events: Sequence[Mapping[str, Any]]) -> str:
    """What failed first, out of stack events as the API lists them (newest first)."""
    for event in reversed(events):
        reason = str(event.get("ResourceStatusReason", ""))
        if str(event.get("ResourceStatus", "")).endswith("_FAILED") and "cancelled" not in reason.lower():
            return f"{event.get('LogicalResourceId')} ({event.get('ResourceType')}): {reason}"
    return ""


def _way_out(name: str, status: str) -> str:
    if status in ("ROLLBACK_COMPLETE", "CREATE_FAILED", "ROLLBACK_FAILED", "DELETE_FAILED"):
        return (
            f"it was never whole: mend the cause, then `aws cloudformation delete-stack --stack-name {name}`"
        )
    if status == "UPDATE_ROLLBACK_FAILED":
        return (
            f"`aws cloudformation continue-update-rollback --stack-name {name}`, then run the command again"
        )
    return "the previous state is back in place; mend the cause and run the command again"


def _describe(client: Any, name: str) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return found


def _outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _nothing_to_do(reason: str) -> bool:
    words = reason.lower()
    return (
        "didn't contain changes" in words
        or "no updates are to be performed" in words
        or "no changes" in words
    )


def _refused(name: str, error: ClientError) -> PipelineError:
    code = error.response.get("Error", {}).get("Code", "")
    if code == "ValidationError":
        return StuckError(
            f"CloudFormation refuses stack {name}: {error}", hint="mend the template or its parameters"
        )
    return UnavailableError(
        f"CloudFormation does not do it for stack {name}: {error}",
        hint="check the credentials and permissions with `python -m pipeline doctor`",
    )
