from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from pipeline.adapters.stack import (
    StackRequest,
    ensure_stack,
    environment_template,
    first_failure,
    shared_template,
    stack_outputs,
)
from pipeline.errors import StuckError, UnavailableError
from tests.fakes.clock import FakeClock

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = StackRequest(
    "shop-prod", "Resources: {}", {"DatabaseUrl": "postgresql://u:hunter2@h/d"}, {"a": "b"}
)
CHANGE_SET = "arn:aws:cloudformation:eu-west-1:1:changeSet/x/1"


@pytest.fixture
def client() -> Any:
    return boto3.client(
        "cloudformation", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
    )


@pytest.fixture
def api(client: Any) -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def stack(status: str, **more: Any) -> dict[str, Any]:
    return {"Stacks": [{"StackName": "shop-prod", "CreationTime": WHEN, "StackStatus": status, **more}]}


def missing(api: Stubber) -> None:
    api.add_client_error(
        "describe_stacks", "ValidationError", "Stack with id shop-prod does not exist", http_status_code=400
    )


def propose(api: Stubber, kind: str, status: str, reason: str = "", *, changes: bool = True) -> None:
    expected = {
        "StackName": "shop-prod",
        "ChangeSetName": ANY,
        "ChangeSetType": kind,
        "TemplateBody": "Resources: {}",
        "Capabilities": ANY,
        "Parameters": [{"ParameterKey": "DatabaseUrl", "ParameterValue": "postgresql://u:hunter2@h/d"}],
        "Tags": [{"Key": "a", "Value": "b"}],
    }
    api.add_response("create_change_set", {"Id": CHANGE_SET}, expected)
    seen: dict[str, Any] = {
        "Status": status,
        "StatusReason": reason,
        "Changes": [{"Type": "Resource"}] if changes else [],
    }
    api.add_response("describe_change_set", seen, {"ChangeSetName": CHANGE_SET})


def event(resource: str, status: str, reason: str) -> dict[str, Any]:
    return {
        "StackId": "s",
        "EventId": resource + status,
        "StackName": "shop-prod",
        "Timestamp": WHEN,
        "LogicalResourceId": resource,
        "ResourceType": "AWS::ECS::Service",
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


def test_a_stack_that_is_not_there_is_created_and_its_outputs_come_back(client: Any, api: Stubber) -> None:
    missing(api)
    propose(api, "CREATE", "CREATE_COMPLETE")
    api.add_response("execute_change_set", {}, {"ChangeSetName": CHANGE_SET})
    api.add_response("describe_stacks", stack("CREATE_IN_PROGRESS"))
    api.add_response(
        "describe_stacks",
        stack("CREATE_COMPLETE", Outputs=[{"OutputKey": "ClusterName", "OutputValue": "c"}]),
    )

    result = ensure_stack(client, REQUEST, FakeClock())

    assert result.changed
    assert result.outputs == {"ClusterName": "c"}


@pytest.mark.parametrize(
    "reason",
    [
        "The submitted information didn't contain changes. Submit different information to create a change set.",
        "No updates are to be performed.",
    ],
)
def test_a_stack_without_changes_is_left_alone(client: Any, api: Stubber, reason: str) -> None:
    api.add_response(
        "describe_stacks", stack("UPDATE_COMPLETE", Outputs=[{"OutputKey": "A", "OutputValue": "1"}])
    )
    propose(api, "UPDATE", "FAILED", reason, changes=False)
    api.add_response("delete_change_set", {}, {"ChangeSetName": CHANGE_SET})

    result = ensure_stack(client, REQUEST, FakeClock())

    assert not result.changed
    assert result.outputs == {"A": "1"}


def test_a_failed_update_names_the_first_resource_that_failed_and_not_those_cancelled(
    client: Any, api: Stubber
) -> None:
    api.add_response("describe_stacks", stack("CREATE_COMPLETE"))
    propose(api, "UPDATE", "CREATE_COMPLETE")
    api.add_response("execute_change_set", {}, {"ChangeSetName": CHANGE_SET})
    api.add_response("describe_stacks", stack("UPDATE_ROLLBACK_COMPLETE"))
    events = [
        event("Listener", "UPDATE_FAILED", "Resource update cancelled"),
        event("Service", "UPDATE_FAILED", "role cannot be assumed"),
    ]
    api.add_response("describe_stack_events", {"StackEvents": events})

    with pytest.raises(StuckError) as caught:
        ensure_stack(client, REQUEST, FakeClock())

    assert "Service (AWS::ECS::Service): role cannot be assumed" in caught.value.message
    assert "previous state is back" in caught.value.hint


def test_a_stack_that_was_never_whole_is_not_updated_and_the_way_out_is_named(
    client: Any, api: Stubber
) -> None:
    api.add_response("describe_stacks", stack("ROLLBACK_COMPLETE"))
    api.add_response(
        "describe_stack_events", {"StackEvents": [event("Vpc", "CREATE_FAILED", "limit reached")]}
    )

    with pytest.raises(StuckError) as caught:
        ensure_stack(client, REQUEST, FakeClock())

    assert "Vpc" in caught.value.message
    assert "delete-stack --stack-name shop-prod" in caught.value.hint


def test_a_change_set_that_fails_for_a_reason_is_an_error_and_is_removed(client: Any, api: Stubber) -> None:
    api.add_response("describe_stacks", stack("CREATE_COMPLETE"))
    propose(api, "UPDATE", "FAILED", "Parameter App is invalid", changes=False)
    api.add_response("delete_change_set", {}, {"ChangeSetName": CHANGE_SET})

    with pytest.raises(StuckError, match="Parameter App is invalid"):
        ensure_stack(client, REQUEST, FakeClock())


def test_a_stack_that_does_not_come_to_rest_in_time_is_unavailable_not_failed(
    client: Any, api: Stubber
) -> None:
    api.add_response("describe_stacks", stack("UPDATE_IN_PROGRESS"))
    api.add_response("describe_stacks", stack("UPDATE_IN_PROGRESS"))

    with pytest.raises(UnavailableError, match="time was up"):
        ensure_stack(client, REQUEST, FakeClock(), timeout=0.4)


def test_a_refused_credential_is_unavailable(client: Any, api: Stubber) -> None:
    api.add_client_error(
        "describe_stacks", "ExpiredToken", "The security token is expired", http_status_code=403
    )

    with pytest.raises(UnavailableError, match="token is expired"):
        ensure_stack(client, REQUEST, FakeClock())


def test_a_refused_template_is_told_as_such(client: Any, api: Stubber) -> None:
    missing(api)
    api.add_client_error(
        "create_change_set", "ValidationError", "Template format error", http_status_code=400
    )

    with pytest.raises(StuckError, match="Template format error"):
        ensure_stack(client, REQUEST, FakeClock())


def test_outputs_of_a_stack_that_is_not_there_are_none(client: Any, api: Stubber) -> None:
    missing(api)

    assert stack_outputs(client, "shop-prod") is None


def test_outputs_of_a_broken_stack_are_none(client: Any, api: Stubber) -> None:
    api.add_response(
        "describe_stacks", stack("ROLLBACK_COMPLETE", Outputs=[{"OutputKey": "A", "OutputValue": "1"}])
    )

    assert stack_outputs(client, "shop-prod") is None


def test_without_a_failed_resource_there_is_nothing_to_name() -> None:
    assert first_failure([event("Vpc", "CREATE_COMPLETE", "")]) == ""


def test_parameters_do_not_show_when_a_request_is_printed() -> None:
    assert "hunter2" not in repr(REQUEST)


def test_the_secret_is_a_parameter_that_cloudformation_does_not_echo() -> None:
    text = environment_template()
    parameter = text.split("  DatabaseUrl:\n", 1)[1].split("\n  VpcCidr:", 1)[0]

    assert "NoEcho: true" in parameter


def test_the_service_is_not_tied_to_the_bootstrap_revision() -> None:
    """A changed template would put the bootstrap image back into a running service."""
    assert "TaskDefinition: !Ref TaskDefinition" not in environment_template()
    assert "Family: !Sub" in environment_template()


def test_tags_of_the_repository_cannot_be_moved() -> None:
    assert "ImageTagMutability: IMMUTABLE" in shared_template()


def test_the_table_outlives_its_stack_and_can_be_set_back() -> None:
    table = shared_template().split("  Table:\n", 1)[1].split("\nOutputs:", 1)[0]
    assert "DeletionPolicy: Retain" in table
    assert "UpdateReplacePolicy: Retain" in table
    assert "PointInTimeRecoveryEnabled: true" in table
