"""Clients of AWS: for the caller's own account, or for an endpoint that speaks its API."""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound

from pipeline.adapters.assumed_role import Role, assume
from pipeline.adapters.aws_errors import aws_errors
from pipeline.errors import ConfigurationError, UnavailableError
from pipeline.model.surroundings import Credential

_REMOTE: Mapping[str, Any] = {
    "retries": {"mode": "adaptive", "max_attempts": 6},
    "connect_timeout": 5,
    "read_timeout": 30,
}
_GIVEN = frozenset({"env", "explicit", "shared-credentials-file", "config-file"})
"""Ways to a credential that boto3 cannot go a second time: somebody put it there."""

_LOOPBACK: Mapping[str, Any] = {
    "retries": {"mode": "standard", "max_attempts": 2},
    "connect_timeout": 2,
    "read_timeout": 30,
    "proxies": {},
}
_PROMPT: Mapping[str, Any] = {
    "retries": {"mode": "standard", "total_max_attempts": 2},
    "connect_timeout": 3,
    "read_timeout": 8,
}


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach AWS.

    Without `endpoint` it is the real one, with the credentials that the caller's environment or `profile` gives;
    with it, `key` and `secret` are used, and no proxy. With `role` those only serve to assume it.
    """

    region: str
    profile: str = ""
    endpoint: str = ""
    key: str = ""
    secret: str = field(repr=False, default="")
    role: Role | None = None


class Aws:
    """Makes clients, each once, whichever threads ask for them."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._clients: dict[tuple[str, bool], Any] = {}
        self._source: Any = None
        self._session: Any = None
        self._making = threading.Lock()

    def client(self, service: str, *, prompt: bool = False) -> Any:
        """boto3's client of a service, with adaptive retries.

        A `prompt` one gives up within 25 seconds: for what must be known in time or not at all.
        """
        with self._making:
            if (service, prompt) not in self._clients:
                self._clients[service, prompt] = self._made(service, prompt=prompt)
            return self._clients[service, prompt]

    def _made(self, service: str, *, prompt: bool) -> Any:
        from botocore.config import Config  # noqa: PLC0415 – commands that only look never get here

        access = self._access
        self._source = self._source or self._open()
        if self._session is None:
            role = access.role
            self._session = (
                assume(self._source, role, access.region, access.endpoint) if role else self._source
            )
        endpoint = access.endpoint or None
        config = Config(**{**(_LOOPBACK if endpoint else _REMOTE), **(_PROMPT if prompt else {})})
        return self._session.client(service, endpoint_url=endpoint, config=config)

    def who(self) -> str:
        """The identity that acts, as an ARN. Raises UnavailableError when there is none, or it has expired."""
        try:
            return str(self.client("sts").get_caller_identity()["Arn"])
        except (BotoCoreError, ClientError) as error:
            raise UnavailableError(
                f"AWS does not say who we are: {error}",
                hint='log in (aws sso login, or set AWS_PROFILE), or set cloud.provider = "local"',
            ) from error

    def credential(self) -> Credential:
        """What AWS is asked with, and until when it lasts. Raises UnavailableError when there is none.

        Of a role it is what assumes it: as long as that lasts, botocore gets the next one.
        """
        self.client("sts")
        found = (self._source if self._access.role else self._session).get_credentials()
        if found is None:
            raise UnavailableError(
                "there is no AWS credential", hint="log in: aws sso login, or set AWS_PROFILE"
            )
        with aws_errors("the AWS credential"):
            frozen = found.get_frozen_credentials()
        return Credential(
            method=str(found.method),
            expires=getattr(found, "_expiry_time", None),
            renews=str(found.method) not in _GIVEN,
            temporary=bool(frozen.token),
        )

    def signed(self, service: str, target: str, body: str) -> Mapping[str, Any]:
        """A JSON request that whoever has it can send for five minutes, as JSON values: `url`, `headers`, `body`.

        `target` names the call, as in `DynamoDB_20120810.GetItem`. Raises UnavailableError without a credential.
        """
        from botocore.auth import SigV4Auth  # noqa: PLC0415 – as boto3
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415 – as boto3

        meta = self.client(service).meta
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": target}
        request = AWSRequest("POST", f"{meta.endpoint_url.rstrip('/')}/", headers=headers, data=body)
        found = self._session.get_credentials()
        if found is None:
            raise UnavailableError(
                "there is no AWS credential", hint="log in: aws sso login, or set AWS_PROFILE"
            )
        with aws_errors("the AWS credential"):
            SigV4Auth(found.get_frozen_credentials(), service, meta.region_name).add_auth(request)
        return {"url": request.url, "headers": dict(request.headers), "body": body}

    def secret_arn(self, name: str) -> str:
        """The ARN of a secret in Secrets Manager, by name or ARN. Raises ConfigurationError when there is none."""
        try:
            return str(self.client("secretsmanager").describe_secret(SecretId=name)["ARN"])
        except ClientError as error:
            raise ConfigurationError(
                f"no secret {name!r} in Secrets Manager: {error.response['Error'].get('Message', error)}",
                hint="create it, or mend its name under secrets in pipeline.toml",
            ) from error
        except BotoCoreError as error:
            raise UnavailableError(f"Secrets Manager does not answer: {error}", hint="try again") from error

    def registry(self) -> str:
        """The account's ECR host in this region."""
        account = self.who().split(":")[4]
        return f"{account}.dkr.ecr.{self._access.region}.amazonaws.com"

    def registry_login(self) -> Mapping[str, str]:
        """User and password for ECR, asked for anew at each use (a token is valid for 12 hours)."""
        try:
            answer = self.client("ecr").get_authorization_token()
        except (BotoCoreError, ClientError) as error:
            raise UnavailableError(
                f"ECR gives no login: {error}", hint="allow ecr:GetAuthorizationToken to this identity"
            ) from error
        token = base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode()
        user, _, password = token.partition(":")
        return {"username": user, "password": password}

    def _open(self) -> Any:
        import boto3  # noqa: PLC0415 – a fifth of the time that `verify` takes

        access = self._access
        if access.endpoint:
            return boto3.Session(
                aws_access_key_id=access.key, aws_secret_access_key=access.secret, region_name=access.region
            )
        try:
            return boto3.Session(profile_name=access.profile or None, region_name=access.region)
        except ProfileNotFound as error:
            raise ConfigurationError(
                str(error), hint="mend cloud.profile (or the environment's) in pipeline.toml, or configure it"
            ) from error
