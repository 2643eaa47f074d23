"""A boto3 session of an assumed role: botocore asks STS again, from the same source, before what it has runs out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.adapters.aws_errors import aws_errors
from pipeline.errors import DeniedError, UnavailableError

SESSION_NAME = "onedigest"


@dataclass(frozen=True, slots=True)
class Role:
    """A role to assume, and the external id that its trust policy may ask for."""

    arn: str
    external_id: str = ""


def assume(source: Any, role: Role, region: str, endpoint: str = "") -> Any:
    """A boto3 session that acts as `role`; `source` is the session that may assume it.

    Nothing is asked of STS before a credential is needed. A call of the session then raises DeniedError where the role
    may not be assumed, UnavailableError without a source credential.
    """
    import boto3  # noqa: PLC0415 – the caller has it imported by now; others never need it
    import botocore.session  # noqa: PLC0415 – likewise
    from botocore.credentials import (  # noqa: PLC0415 – likewise
        AssumeRoleCredentialFetcher,
        DeferredRefreshableCredentials,
    )

    credentials = source.get_credentials()
    if credentials is None:
        raise UnavailableError(
            f"there is no AWS credential to assume {role.arn} with",
            hint="log in: aws sso login, or set AWS_PROFILE",
        )
    extra = {"RoleSessionName": SESSION_NAME} | ({"ExternalId": role.external_id} if role.external_id else {})

    def sts(service: str, **options: Any) -> Any:
        return botocore.session.get_session().create_client(
            service, region_name=region, endpoint_url=endpoint or None, **options
        )

    fetcher = AssumeRoleCredentialFetcher(sts, credentials, role.arn, extra_args=extra)
    assumed = DeferredRefreshableCredentials(_told(fetcher.fetch_credentials, role), "assume-role")
    inner = botocore.session.get_session()
    inner.get_component("credential_provider").providers.insert(0, _Given(assumed))
    return boto3.Session(botocore_session=inner, region_name=region)


class _Given:
    """The first of botocore's providers: what is there already."""

    METHOD = "onedigest-role"
    CANONICAL_NAME = None

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials

    def load(self) -> Any:
        """The credentials."""
        return self._credentials


def _told(fetch: Callable[[], Mapping[str, str]], role: Role) -> Callable[[], Mapping[str, str]]:
    """The same, where a refusal says which role, and what lets it be assumed."""

    def fetched() -> Mapping[str, str]:
        try:
            with aws_errors(f"sts:AssumeRole {role.arn}"):
                return fetch()
        except DeniedError as error:
            asks = f" and external id {role.external_id!r}" if role.external_id else ""
            hint = (
                "allow sts:AssumeRole on it to this identity, and this identity in the role's trust policy"
                f"{asks}; `python -m pipeline doctor` tries it again"
            )
            raise DeniedError(error.message, hint=hint) from error

    return fetched
