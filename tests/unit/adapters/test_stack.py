from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from pipeline.adapters.stack import (
    StackRequest,
    Stacks,
    first_failure,
    stack_outputs,
    template,
)
from pipeline.adapters.template_file import parsed
from pipeline.errors import BusyError, StuckError, UnavailableError
from pipeline.model.stack_plan import Action, ResourceChange, StackPlan
from tests.fakes.clock import FakeClock

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = StackRequest(
    "shop-prod", "Resources: {}", {"DatabaseUrl": "postgresql://u:hunter2@h/d"}, {"a": "b"}
)
CHANGE = {
    "Type": "Resource",
    "ResourceChange": {
        "Action": "Modify",
        "LogicalResourceId": "Service",
        "PhysicalResourceId": "arn:aws:ecs:eu-west-1:1:service/shop-prod/shop",
        "ResourceType": "AWS::ECS::Service",
        "Replacement": "False",
    },
}
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
        "Changes": [CHANGE] if changes else [],
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
    api.add_response("execute_change_set", {}, {"ChangeSetName": CHANGE_SET, "ClientRequestToken": ANY})
    api.add_response("describe_stacks", stack("CREATE_IN_PROGRESS"))
    api.add_response(
        "describe_stacks",
        stack("CREATE_COMPLETE", Outputs=[{"OutputKey": "ClusterName", "OutputValue": "c"}]),
    )

    result = Stacks(client, FakeClock()).ensure(REQUEST)

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

    result = Stacks(client, FakeClock()).ensure(REQUEST)

    assert not result.changed
    assert result.outputs == {"A": "1"}


def test_a_failed_update_names_the_first_resource_that_failed_and_not_those_cancelled(
    client: Any, api: Stubber
) -> None:
    api.add_response("describe_stacks", stack("CREATE_COMPLETE"))
    propose(api, "UPDATE", "CREATE_COMPLETE")
    api.add_response("execute_change_set", {}, {"ChangeSetName": CHANGE_SET, "ClientRequestToken": ANY})
    api.add_response("describe_stacks", stack("UPDATE_ROLLBACK_COMPLETE"))
    events = [
        event("Listener", "UPDATE_FAILED", "Resource update cancelled"),
        event("Service", "UPDATE_FAILED", "role cannot be assumed"),
    ]
    api.add_response("describe_stack_events", {"StackEvents": events})

    with pytest.raises(StuckError) as caught:
        Stacks(client, FakeClock()).ensure(REQUEST)

    assert "Service (AWS::ECS::Service): role cannot be assumed" in caught.value.message
    assert "previous state is back" in caught.value.hint


def test_what_failed_first_is_found_behind_a_rollback_of_many_pages(client: Any, api: Stubber) -> None:
    """And nothing is asked about what was before the operation."""
    api.add_response("describe_stacks", stack("CREATE_COMPLETE"))
    propose(api, "UPDATE", "CREATE_COMPLETE")
    api.add_response("execute_change_set", {}, {"ChangeSetName": CHANGE_SET, "ClientRequestToken": ANY})
    api.add_response("describe_stacks", stack("UPDATE_ROLLBACK_COMPLETE"))
    rollback = [event("Listener", "DELETE_COMPLETE", "")] * 100
    began = {**event("shop-prod", "UPDATE_IN_PROGRESS", ""), "PhysicalResourceId": "id", "StackId": "id"}
    told = {"StackEvents": [event("Service", "UPDATE_FAILED", "role cannot be assumed"), began]}
    api.add_response("describe_stack_events", {"StackEvents": rollback, "NextToken": "2"})
    api.add_response(
        "describe_stack_events", {**told, "NextToken": "3"}, {"StackName": "shop-prod", "NextToken": "2"}
    )

    with pytest.raises(StuckError, match="role cannot be assumed"):
        Stacks(client, FakeClock()).ensure(REQUEST)


def test_what_was_never_whole_and_is_not_ours_is_left_to_its_owner(client: Any, api: Stubber) -> None:
    api.add_response("describe_stacks", stack("ROLLBACK_COMPLETE"))

    with pytest.raises(StuckError) as caught:
        Stacks(client, FakeClock()).ensure(REQUEST)

    assert "no tag onedigest:app" in caught.value.message
    assert "delete-stack --stack-name shop-prod" in caught.value.hint


def test_what_was_never_whole_and_is_ours_is_deleted_and_made_anew_which_is_said(
    client: Any, api: Stubber
) -> None:
    ours = stack("ROLLBACK_COMPLETE", Tags=[{"Key": "onedigest:app", "Value": "shop"}])
    api.add_response("describe_stacks", ours)
    api.add_response("describe_stacks", ours)
    api.add_response("delete_stack", {}, {"StackName": "shop-prod", "ClientRequestToken": ANY})
    missing(api)
    propose(api, "CREATE", "CREATE_COMPLETE")
    api.add_response("execute_change_set", {}, {"ChangeSetName": CHANGE_SET, "ClientRequestToken": ANY})
    api.add_response("describe_stacks", stack("CREATE_COMPLETE"))
    said: list[str] = []

    assert Stacks(client, FakeClock(), said.append).ensure(REQUEST).changed

    assert said == ["stack shop-prod is ROLLBACK_COMPLETE, it was never whole: deleted, and made anew"]


def test_a_stack_whose_update_could_not_be_put_back_needs_a_person(client: Any, api: Stubber) -> None:
    api.add_response("describe_stacks", stack("UPDATE_ROLLBACK_FAILED"))
    api.add_response("describe_stack_events", {"StackEvents": [event("Role", "UPDATE_FAILED", "denied")]})

    with pytest.raises(StuckError) as caught:
        Stacks(client, FakeClock()).ensure(REQUEST)

    assert "continue-update-rollback --stack-name shop-prod" in caught.value.hint
    assert caught.value.exit_code == 6


def test_who_is_overtaken_waits_for_the_other_and_looks_again(client: Any, api: Stubber) -> None:
    api.add_response("describe_stacks", stack("CREATE_COMPLETE"))
    propose(api, "UPDATE", "CREATE_COMPLETE")
    api.add_client_error("execute_change_set", "InvalidChangeSetStatus", "It is OBSOLETE")
    api.add_response("describe_stacks", stack("UPDATE_IN_PROGRESS"))
    api.add_response("describe_stacks", stack("UPDATE_COMPLETE"))
    propose(api, "UPDATE", "FAILED", "The submitted information didn't contain changes.", changes=False)
    api.add_response("delete_change_set", {}, {"ChangeSetName": CHANGE_SET})
    said: list[str] = []

    assert not Stacks(client, FakeClock(), said.append).ensure(REQUEST).changed

    assert said == ["stack shop-prod is UPDATE_IN_PROGRESS: waiting until that is over"]


def test_what_was_not_shown_is_not_done(client: Any, api: Stubber) -> None:
    api.add_response("describe_stacks", stack("CREATE_COMPLETE"))
    propose(api, "UPDATE", "CREATE_COMPLETE")
    api.add_response("delete_change_set", {}, {"ChangeSetName": CHANGE_SET})
    shown = StackPlan("shop-prod", (ResourceChange(Action.CHANGE, "Alarm", "AWS::CloudWatch::Alarm"),))

    with pytest.raises(BusyError, match=r"would change service service/shop-prod/shop"):
        Stacks(client, FakeClock()).ensure(REQUEST, shown)


def test_a_change_set_that_fails_for_a_reason_is_an_error_and_is_removed(client: Any, api: Stubber) -> None:
    api.add_response("describe_stacks", stack("CREATE_COMPLETE"))
    propose(api, "UPDATE", "FAILED", "Parameter App is invalid", changes=False)
    api.add_response("delete_change_set", {}, {"ChangeSetName": CHANGE_SET})

    with pytest.raises(StuckError, match="Parameter App is invalid"):
        Stacks(client, FakeClock()).ensure(REQUEST)


def test_a_stack_that_does_not_come_to_rest_in_time_is_unavailable_not_failed(
    client: Any, api: Stubber
) -> None:
    api.add_response("describe_stacks", stack("UPDATE_IN_PROGRESS"))
    api.add_response("describe_stacks", stack("UPDATE_IN_PROGRESS"))

    with pytest.raises(UnavailableError, match="time was up"):
        Stacks(client, FakeClock(), timeout=0.3).ensure(REQUEST)


def test_a_refused_credential_is_unavailable(client: Any, api: Stubber) -> None:
    api.add_client_error(
        "describe_stacks", "ExpiredToken", "The security token is expired", http_status_code=403
    )

    with pytest.raises(UnavailableError, match="token is expired"):
        Stacks(client, FakeClock()).ensure(REQUEST)


def test_a_refused_template_is_told_as_such(client: Any, api: Stubber) -> None:
    missing(api)
    api.add_client_error(
        "create_change_set", "ValidationError", "Template format error", http_status_code=400
    )

    with pytest.raises(StuckError, match="Template format error"):
        Stacks(client, FakeClock()).ensure(REQUEST)


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
    text = template("environment")
    parameter = text.split("  DatabaseUrl:\n", 1)[1].split("\n  VpcCidr:", 1)[0]

    assert "NoEcho: true" in parameter


@pytest.mark.parametrize("name", ["environment", "baseline"])
def test_a_service_is_told_what_it_runs_and_no_count_once_something_was_rolled_out(name: str) -> None:
    service = parsed(template(name))["Resources"]["Service"]["Properties"]

    assert service["TaskDefinition"] == {
        "Fn::If": ["First", {"Ref": "TaskDefinition"}, {"Ref": "RunningDefinition"}]
    }
    assert service["DesiredCount"] == {"Fn::If": ["First", 0, {"Ref": "AWS::NoValue"}]}


def test_tags_of_the_repository_cannot_be_moved() -> None:
    assert "ImageTagMutability: IMMUTABLE" in template("shared")


def test_images_that_have_a_tag_never_expire() -> None:
    repository = parsed(template("shared"))["Resources"]["ImageRepository"]["Properties"]
    policy = repository["LifecyclePolicy"]["LifecyclePolicyText"]["Fn::Sub"]

    assert [
        rule["selection"]["tagStatus"]
        for rule in json.loads(policy.replace("${UntaggedDays}", "14"))["rules"]
    ] == ["untagged"]


@pytest.mark.parametrize("resource", ["ImageRepository", "StateTable"])
def test_repository_and_table_outlive_their_stack(resource: str) -> None:
    told = parsed(template("shared"))["Resources"][resource]

    assert (told["DeletionPolicy"], told["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_the_table_can_be_set_back() -> None:
    table = parsed(template("shared"))["Resources"]["StateTable"]["Properties"]

    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
