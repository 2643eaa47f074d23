"""What boto3 raises, in the product's own error families."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    SSOError,
)
from botocore.parsers import ResponseParserError

from pipeline.errors import ConfigurationError, CredentialError, DeniedError, PipelineError, UnavailableError

_CREDENTIAL = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "MissingAuthenticationToken",
    }
)
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"})
"""AWS's error codes for "you may not"."""

_BUSY = (
    *("throttl", "throughputexceeded", "toomanyrequests"),
    *("requestlimit", "slowdown", "limitexceeded", "serviceunavailable"),
)


@contextmanager
def aws_errors(what: str, *, leave: Collection[str] = ()) -> Iterator[None]:
    """Turns boto3's errors inside the block into ours; `what` names call and resource.

    A ClientError whose code is in `leave` goes through as it is.

    Throttling, outages, network and answers that are none of AWS become UnavailableError, a credential that has
    expired or is refused CredentialError; everything that another try would not mend becomes ConfigurationError.
    """
    try:
        yield
    except ClientError as error:
        if _code(error) in leave:
            raise
        raise _refused(what, error) from error
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, SSOError) as error:
        raise UnavailableError(f"{what}: {error}", hint=_RENEW) from error
    except (NoRegionError, ParamValidationError) as error:
        raise ConfigurationError(
            f"{what}: {error}", hint="mend the environment's settings in pipeline.toml"
        ) from error
    except (BotoCoreError, ResponseParserError) as error:
        hint = "check the network and the endpoint; `python -m pipeline doctor` tells what can be reached"
        raise UnavailableError(f"{what}: {error}", hint=hint) from error


_RENEW = "renew the credential (`aws sso login`, or the CI role); `python -m pipeline doctor` checks it"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _refused(what: str, error: ClientError) -> PipelineError:
    code = _code(error)
    said = str(error.response.get("Error", {}).get("Message", "")) or str(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    message = f"{what}: {said} ({code})"
    if code in _CREDENTIAL:
        return CredentialError(message, hint=_RENEW)
    if code in DENIED:
        return DeniedError(message, hint="allow this action for the role in use, then run the command again")
    if (
        status >= 500
        or status == 429
        or code == "ServerException"
        or any(word in code.lower() for word in _BUSY)
    ):
        return UnavailableError(message, hint="AWS is busy or throttles; run the command again in a while")
    if code.endswith(("NotFoundException", "NotFound")):
        return ConfigurationError(
            message, hint="check the names in pipeline.toml, the region and the account"
        )
    return ConfigurationError(message, hint="AWS refuses the request as it is; mend what the message names")
