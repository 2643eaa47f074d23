from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from pipeline.adapters.aws import Access, Aws
from pipeline.errors import ConfigurationError, PipelineError, UnavailableError
from pipeline.model.lease import Terms
from pipeline.model.surroundings import Credential

ENDPOINT = Access("eu-central-1", endpoint="http://127.0.0.1:9", key="k", secret="s")  # nobody listens there


@pytest.fixture
def aws() -> Aws:
    return Aws(ENDPOINT)


@contextmanager
def answering(aws: Aws, service: str) -> Iterator[Stubber]:
    with Stubber(aws.client(service)) as stubber:
        yield stubber


def test_a_client_is_made_once_and_goes_to_the_endpoint_past_any_proxy(aws: Aws) -> None:
    client = aws.client("sts")
    assert client is aws.client("sts")
    assert client.meta.endpoint_url == "http://127.0.0.1:9"
    assert client.meta.config.proxies == {}
    assert client.meta.region_name == "eu-central-1"


def test_the_secret_is_never_shown() -> None:
    assert "hidden" not in repr(Access("eu-central-1", secret="hidden"))


def test_who_we_are_is_the_arn_and_gives_the_registry_of_the_account(aws: Aws) -> None:
    arn = "arn:aws:sts::123456789012:assumed-role/ci/run"
    with answering(aws, "sts") as sts:
        for _ in range(2):
            sts.add_response("get_caller_identity", {"Arn": arn})
        assert aws.who() == arn
        assert aws.registry() == "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


def test_an_expired_credential_is_unavailable_with_the_way_to_log_in(aws: Aws) -> None:
    with answering(aws, "sts") as sts:
        sts.add_client_error("get_caller_identity", "ExpiredToken", "token has expired")
        with pytest.raises(UnavailableError, match="token has expired") as caught:
            aws.who()
    assert "aws sso login" in caught.value.hint


def test_a_secret_is_told_by_its_arn(aws: Aws) -> None:
    arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop/url-AbCdEf"
    with answering(aws, "secretsmanager") as secrets:
        secrets.add_response("describe_secret", {"ARN": arn}, {"SecretId": "shop/url"})
        assert aws.secret_arn("shop/url") == arn


def test_a_secret_that_is_not_there_is_a_mistake_in_the_configuration(aws: Aws) -> None:
    with answering(aws, "secretsmanager") as secrets:
        secrets.add_client_error("describe_secret", "ResourceNotFoundException", "can't find it")
        with pytest.raises(ConfigurationError, match=r"no secret 'shop/url'.*can't find it"):
            aws.secret_arn("shop/url")


def test_the_login_of_the_registry_is_user_and_password(aws: Aws) -> None:
    token = base64.b64encode(b"AWS:pass:word").decode()
    with answering(aws, "ecr") as ecr:
        ecr.add_response("get_authorization_token", {"authorizationData": [{"authorizationToken": token}]})
        assert aws.registry_login() == {"username": "AWS", "password": "pass:word"}


def test_a_registry_that_gives_no_login_names_the_permission(aws: Aws) -> None:
    with answering(aws, "ecr") as ecr:
        ecr.add_client_error("get_authorization_token", "AccessDeniedException", "no")
        with pytest.raises(UnavailableError) as caught:
            aws.registry_login()
    assert "ecr:GetAuthorizationToken" in caught.value.hint


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("sts", lambda aws: aws.who()),
        ("secretsmanager", lambda aws: aws.secret_arn("shop/url")),
        ("ecr", lambda aws: aws.registry_login()),
    ],
)
def test_a_service_that_cannot_be_reached_is_unavailable(
    service: str, call: Callable[[Aws], object], aws: Aws
) -> None:
    def unreachable(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    aws.client(service).meta.events.register("before-call", unreachable)
    with pytest.raises(UnavailableError) as caught:
        call(aws)
    assert isinstance(caught.value, PipelineError)
    assert caught.value.hint


def test_a_profile_that_does_not_exist_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigurationError, match="no-such-profile") as caught:
        Aws(Access("eu-central-1", profile="no-such-profile")).client("sts")
    assert "cloud.profile" in caught.value.hint


def test_a_key_that_was_given_has_no_end_and_is_not_renewed(aws: Aws) -> None:
    assert aws.credential() == Credential("explicit")


def test_a_session_tells_its_end_and_whether_it_is_renewed(aws: Aws) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    aws.client("sts")
    for method, renews in (("env", False), ("sso", True)):
        session = RefreshableCredentials("k", "s", "t", end, refresh_using=dict, method=method)
        aws._session._session._credentials = session
        assert aws.credential() == Credential(method, end, renews=renews, temporary=True)
    aws._session._session._credentials = Credentials("k", "s", "t", "env")
    assert aws.credential() == Credential("env", temporary=True)


def test_no_credential_is_unavailable(aws: Aws) -> None:
    aws.client("sts")
    aws._session.get_credentials = lambda: None
    with pytest.raises(UnavailableError) as caught:
        aws.credential()
    assert "log in" in caught.value.hint


def test_a_prompt_client_gives_up_well_within_a_lease(aws: Aws) -> None:
    told = aws.client("dynamodb", prompt=True).meta.config
    attempts = told.retries["total_max_attempts"]
    assert attempts * (told.connect_timeout + told.read_timeout) < Terms().length - Terms().heartbeat
    assert aws.client("dynamodb", prompt=True) is aws.client("dynamodb", prompt=True)
    assert aws.client("dynamodb") is not aws.client("dynamodb", prompt=True)
